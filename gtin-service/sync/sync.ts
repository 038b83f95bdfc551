/**
 * One run of the sync: plan, read the feed, merge, check, publish. The data in force changes in the last step, as a whole,
 * or not at all.
 */
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { gtinText } from '../gtin.ts'
import {
  asidePath,
  type Current,
  nextGenerationFile,
  publish,
  readCurrent,
  removeAsides,
  removeOldGenerations,
} from '../store/current.ts'
import { Dictionary } from '../store/dictionary.ts'
import { replaceFile } from '../store/files.ts'
import { Generation } from '../store/generation.ts'
import { GenerationWriter } from '../store/generation-writer.ts'
import { DamagedGeneration } from '../store/layout.ts'
import { RequestFailure, shown } from './client.ts'
import { whyNotMerge, whyNotPublish } from './guards.ts'
import { FolderBusy, lockFolder } from './lock.ts'
import { type MergeCounts, merge } from './merge.ts'
import type { SyncOptions } from './options.ts'
import { Reading } from './reading.ts'
import type { Outcome, SyncReport } from './report.ts'
import { countRejected, emptyTally } from './tally.ts'
import { type Plan, Work } from './work.ts'

/** A run that must not be published, or was told to end. */
class Stopped extends Error {}

/**
 * Runs once. Never rejects: how it ended is in the report, which is also written to the data folder as `last-sync.json`
 * (unless another sync holds the folder).
 */
export async function runSync(options: SyncOptions): Promise<SyncReport> {
  const run = new Run(options)
  try {
    mkdirSync(options.folder, { recursive: true })
    const unlock = lockFolder(options.folder)
    try {
      await run.go()
      return run.report('done', null)
    } catch (error) {
      return run.ended(error)
    } finally {
      unlock()
    }
  } catch (error) {
    return run.refused(error as Error)
  }
}

class Run {
  readonly #options: SyncOptions
  readonly #startedMs = performance.now()
  #startedAtMs = Date.now()
  #current: Current | null = null
  #since: string | null = null
  #work: Work | null = null
  #resumed = false
  #retries = 0
  #merged: MergeCounts | null = null

  constructor(options: SyncOptions) {
    this.#options = options
  }

  async go(): Promise<void> {
    const { folder, full } = this.#options
    removeAsides(folder)
    this.#current = readCurrent(folder)
    const base = this.#current === null ? null : await this.#openBase(this.#current)
    try {
      // Without data to add changes to, all products are read.
      this.#since = full || base === null ? null : (this.#current as Current).asOf
      await this.#read(base)
      await this.#merge(base)
    } finally {
      await base?.close()
    }
  }

  /** The data in force; null where its file is missing or damaged, which a full load replaces. */
  async #openBase({ file }: Current): Promise<Generation | null> {
    try {
      return await Generation.open(join(this.#options.folder, file))
    } catch (error) {
      if (!(error instanceof DamagedGeneration || (error as NodeJS.ErrnoException).code === 'ENOENT')) throw error
      this.#options.onEvent(`the data in force can't be read (${(error as Error).message}): a full load replaces it`)
      return null
    }
  }

  /** What an error means. An abort keeps the state for the next run; a refused result does not. */
  ended(error: unknown): SyncReport {
    const { signal, folder } = this.#options
    if (signal.aborted) return this.report('stopped', 'told to end; the next run goes on where this one was')
    if (error instanceof Stopped) {
      Work.discard(folder)
      return this.report('stopped', error.message)
    }
    if (error instanceof DamagedGeneration) {
      return this.report('failed', `${error.message}; remove current.json, and the next run loads everything`)
    }
    return this.report('failed', error instanceof Error ? error.message : String(error))
  }

  /** The run could not begin. What is in force is told all the same; the report that is kept is that of whoever is at work. */
  refused(error: Error): SyncReport {
    try {
      this.#current = readCurrent(this.#options.folder)
    } catch {
      // The report then tells of no data, and why the run did not begin.
    }
    return this.report(error instanceof FolderBusy ? 'stopped' : 'failed', error.message, false)
  }

  report(outcome: Outcome, why: string | null, keep = true): SyncReport {
    const report: SyncReport = {
      outcome,
      why,
      from: shown(this.#options.from),
      mode: this.#since === null ? 'full' : 'incremental',
      since: this.#since,
      asOf: this.#current?.asOf ?? null,
      resumed: this.#resumed,
      startedAtMs: this.#startedAtMs,
      seconds: (performance.now() - this.#startedMs) / 1_000,
      peakBytes: process.resourceUsage().maxRSS * 1_024,
      retries: this.#retries,
      feed: this.#work?.state.tally ?? emptyTally(),
      merged: this.#merged,
      products: this.#current?.products ?? 0,
      bytes: this.#current?.bytes ?? 0,
    }
    if (keep) this.#keep(report)
    return report
  }

  #keep(report: SyncReport): void {
    try {
      replaceFile(join(this.#options.folder, 'last-sync.json'), `${JSON.stringify(report, null, 2)}\n`)
    } catch (error) {
      this.#options.onEvent(`the report could not be written: ${(error as Error).message}`)
    }
  }

  async #read(base: Generation | null): Promise<void> {
    const { folder, from } = this.#options
    const plan: Plan = { from: shown(from), since: this.#since, base: this.#current?.file ?? null }
    const resumed = Work.resume(folder, plan)
    this.#resumed = resumed !== null
    this.#work = resumed ?? this.#begin(plan, base)
    this.#startedAtMs = this.#work.state.startedAtMs
    const expected = this.#since === null ? (this.#current?.products ?? null) : null
    let reading = this.#reading(expected)
    try {
      await reading.toTheEnd()
    } catch (error) {
      if (!(error instanceof RequestFailure && error.kind === 'gone' && reading.isUnderWay)) throw error
      this.#options.onEvent(
        `the feed no longer knows the place where it was left (${error.message}): from the beginning`,
      )
      this.#resumed = false
      this.#work = this.#begin(plan, base)
      this.#startedAtMs = this.#work.state.startedAtMs
      reading = this.#reading(expected)
      await reading.toTheEnd()
    }
  }

  #begin(plan: Plan, base: Generation | null): Work {
    // Of its own: the generation's is read by nobody else, but grows no file.
    const dictionary = base === null ? new Dictionary() : Dictionary.readLines(base.dictionary.linesFrom(0))
    return Work.begin(this.#options.folder, plan, Date.now(), dictionary)
  }

  #reading(expected: number | null): Reading {
    return new Reading(this.#work as Work, {
      ...this.#options,
      chance: Math.random,
      onRecords: (records) => this.#options.onProgress({ phase: 'reading', records, expected }),
      onRetry: (why, waitMs) => {
        this.#retries++
        this.#options.onEvent(`${why}; trying again in ${(waitMs / 1_000).toFixed(1)} s`)
      },
    })
  }

  async #merge(base: Generation | null): Promise<void> {
    const { folder } = this.#options
    const work = this.#work as Work
    const asOf = work.state.asOf as string
    this.#stopIf(whyNotMerge(work.state.tally, { ...this.#options, asOf, since: this.#since }))
    if (this.#current !== null) removeOldGenerations(folder, this.#current.file)
    const file = nextGenerationFile(folder)
    const aside = asidePath(folder, file)
    try {
      const { bytes, products } = await this.#writeMerged(new GenerationWriter(aside), base)
      const { added, changed, removed } = this.#merged as MergeCounts
      // Nothing new but the day: the file in force stays.
      const same = this.#current !== null && added + changed + removed === 0 ? this.#current : null
      if (same === null) renameSync(aside, join(folder, file))
      const next: Current = { ...(same ?? { file, products, bytes }), asOf, syncedAtMs: this.#startedAtMs }
      publish(folder, next)
      this.#current = next
    } finally {
      rmSync(aside, { force: true })
    }
    Work.discard(folder)
    removeOldGenerations(folder, this.#current.file)
  }

  async #writeMerged(
    writer: GenerationWriter,
    base: Generation | null,
  ): Promise<{ readonly bytes: number; readonly products: number }> {
    const { signal, onProgress } = this.#options
    const work = this.#work as Work
    const runs = work.cursors()
    const expected = this.#since === null ? work.state.tally.records : (this.#current?.products ?? null)
    let isFinished = false
    try {
      this.#merged = await merge({
        base,
        runs,
        full: this.#since === null,
        writer,
        onDuplicate: (key) => countRejected(work.state.tally, 'duplicate', gtinText(key)),
        onStep: (records) => {
          signal.throwIfAborted()
          onProgress({ phase: 'merging', records, expected })
        },
      })
      const before = this.#current?.products ?? 0
      this.#stopIf(whyNotPublish(this.#merged, { ...this.#options, before, after: writer.products }))
      const bytes = writer.finish(work.dictionary)
      isFinished = true
      return { bytes, products: writer.products }
    } finally {
      if (!isFinished) writer.abort()
      for (const run of runs) run.close()
    }
  }

  /** Ends the run where a guard says so. */
  #stopIf(why: string | null): void {
    if (why !== null) throw new Stopped(why)
  }
}
