/**
 * One run of the sync: plan, read, compare, check, publish. The data in force changes in the last step, as a whole, or not
 * at all.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DAMAGE_NOTE } from '../data.ts'
import { bytesOf, type Facts } from '../store.ts'
import { RequestFailure, shown } from './client.ts'
import { compareFull, renamedCode, unresolvedIn } from './compare.ts'
import { type Base, baseOf, FolderInUse, isDamage, keepReport, lockFolder, putInForce } from './folder.ts'
import { fetchCodes, type ReadingOptions, readFeed } from './reading.ts'
import type { Codes } from './records.ts'
import { type MergeCounts, newReport, rejectedOf, type SyncReport } from './report.ts'
import { newState, Work } from './work.ts'

/** What to sync, and how carefully. */
export interface SyncOptions extends Omit<ReadingOptions, 'onRetry'> {
  /** The data folder; it is made where it isn't there. */
  readonly folder: string
  /** Read all products, although there is data that changes could be added to. */
  readonly full: boolean
  /** A full load is due when the last one is older. */
  readonly fullEveryMs: number
  /** A run that would remove more than this share of the products (0 to 1) stops. */
  readonly maxDropShare: number
  /** A run that rejects more than this share of the records (0 to 1) stops. */
  readonly maxRejectShare: number
  /** Told how many records have been read, and how many are expected, null where that isn't known. */
  readonly onRecords: (records: number, expected: number | null) => void
  /** Told of what is worth a line while the run goes on. */
  readonly onEvent: (line: string) => void
}

/** How a run is made where nobody says otherwise. */
export const SYNC_DEFAULTS = {
  full: false,
  fullEveryMs: 7 * 86_400_000,
  maxDropShare: 0.05,
  maxRejectShare: 0.05,
  attempts: 8,
  firstWaitMs: 500,
  idleTimeoutMs: 60_000,
  gzip: true,
} as const satisfies Partial<SyncOptions>

/** A run whose result must not be published. */
class Stopped extends Error {}

/**
 * Runs once. Never rejects: how it ended is in the report, which is also written to the data folder as `last-sync.json`
 * (unless another sync holds the folder).
 */
export async function runSync(options: SyncOptions): Promise<SyncReport> {
  const { folder, signal } = options
  const startedMs = performance.now()
  const report = newReport(shown(options.from))
  let unlock: (() => void) | null = null
  try {
    mkdirSync(folder, { recursive: true })
    unlock = lockFolder(folder)
    await new Run(options, report).go()
  } catch (error) {
    report.outcome = error instanceof Stopped || error instanceof FolderInUse || signal.aborted ? 'stopped' : 'failed'
    report.why = signal.aborted ? interrupted(report) : (error as Error).message
    // A refused result, or damaged work, is not to be gone on with.
    if (unlock !== null && (error instanceof Stopped || isDamage(error))) Work.discard(folder)
  }
  const { path, facts, products } = baseOf(folder)
  report.asOf = facts?.asOf ?? null
  report.products = products
  report.bytes = path === null ? 0 : bytesOf(path)
  report.unresolved = facts === null ? [] : unresolvedIn(path as string)
  report.seconds = (performance.now() - startedMs) / 1_000
  report.peakBytes = process.resourceUsage().maxRSS * 1_024
  try {
    if (unlock !== null) keepReport(folder, report)
  } catch (error) {
    options.onEvent(`the report could not be written: ${(error as Error).message}`)
  }
  unlock?.()
  return report
}

class Run {
  readonly #options: SyncOptions
  readonly #report: SyncReport
  readonly #reading: ReadingOptions

  constructor(options: SyncOptions, report: SyncReport) {
    this.#options = options
    this.#report = report
    const onRetry = (why: string, waitMs: number): void => {
      report.retries++
      options.onEvent(`${why}; trying again in ${(waitMs / 1_000).toFixed(1)} s`)
    }
    this.#reading = { ...options, onRetry }
  }

  async go(): Promise<void> {
    const { folder, full, onEvent } = this.#options
    const codes = await fetchCodes(this.#reading)
    const base = baseOf(folder)
    let why: string | null
    try {
      why = this.#whyFull(base, codes)
      if (why === null) return await this.#sync(base, codes, false)
    } catch (error) {
      if (!isDamage(error)) throw error
      why = unreadable(error as Error)
    }
    if (base.path !== null && !full) onEvent(`${why}: reading all products`)
    await this.#sync(base, codes, true)
  }

  /** Why all products are to be read and not only what changed; null where changes will do. */
  #whyFull({ path, facts, problem }: Base, codes: Codes): string | null {
    const { folder, full, fullEveryMs } = this.#options
    if (full || path === null) return 'all products are asked for'
    if (facts === null) return unreadable(problem as Error)
    if (existsSync(join(folder, DAMAGE_NOTE))) return 'a lookup met a damaged product'
    if (Date.now() - facts.fullAtMs >= fullEveryMs) return 'the last full load is too old'
    const renamed = renamedCode(path, codes)
    // What the changes bring would have the new name, and all the rest the old one.
    return renamed === null ? null : `${renamed} has a new name`
  }

  async #sync(base: Base, codes: Codes, full: boolean): Promise<void> {
    const { folder, signal } = this.#options
    this.#report.mode = full ? 'full' : 'incremental'
    this.#report.since = full ? null : (base.facts as Facts).asOf
    const work = await this.#read(base, codes)
    try {
      const { startedAtMs, asOf } = work.state
      this.#guardFeed(asOf as string)
      const merged = full ? this.#compare(work, base) : this.#count(work, codes)
      signal.throwIfAborted()
      this.#guardProducts(base.products, merged)
      const fullAtMs = full ? startedAtMs : (base.facts as Facts).fullAtMs
      const products = base.products + merged.added - merged.removed
      work.publish({ asOf: asOf as string, syncedAtMs: startedAtMs, fullAtMs, products })
    } finally {
      work.close()
    }
    if (full) putInForce(folder)
  }

  /** Reads the feed to its end; a full load from where an earlier run was. */
  async #read(base: Base, codes: Codes): Promise<Work> {
    const { folder, from, onEvent, onRecords } = this.#options
    const { mode, since } = this.#report
    const expected = mode === 'full' && base.products > 0 ? base.products : null
    for (;;) {
      const first = newState(shown(from), base.path, codes)
      const work = mode === 'full' ? Work.full(folder, first) : Work.changes(base.path as string, first)
      const { state } = work
      this.#report.resumed = state.cursor !== null || state.asOf !== null
      this.#report.startedAtMs = state.startedAtMs
      this.#report.feed = state.tally
      try {
        if (state.asOf !== null) return work
        for await (const batch of readFeed(this.#reading, codes, since, state.cursor)) {
          work.take(batch)
          onRecords(state.tally.records, expected)
        }
        return work
      } catch (error) {
        work.close()
        const isUnderWay = state.cursor !== null
        if (!(error instanceof RequestFailure && error.kind === 'gone' && isUnderWay)) throw error
        onEvent(`the feed no longer knows the cursor (${error.message}): starting from the beginning`)
        Work.discard(folder)
      }
    }
  }

  /** What changes have done. */
  #count(work: Work, codes: Codes): MergeCounts {
    this.#report.resolved = work.retryRejected(codes)
    this.#report.merged = { ...work.counts, kept: work.count('rejected JOIN products USING (gtin)') }
    return this.#report.merged
  }

  /** What a full load would do; by the numbers alone where the store in force can't be read: the guard must hold there too. */
  #compare(work: Work, base: Base): MergeCounts {
    const { path, facts, products } = base
    try {
      if (path !== null && facts !== null) return (this.#report.merged = compareFull(work, path, products))
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#options.onEvent(unreadable(error as Error))
    }
    work.database.exec('BEGIN')
    const gained = work.count('products') - products
    const counts = { added: Math.max(0, gained), removed: Math.max(0, -gained) }
    this.#report.merged = { ...counts, changed: 0, unchanged: 0, kept: 0 }
    return this.#report.merged
  }

  #guardFeed(asOf: string): void {
    const { since, feed } = this.#report
    const rejected = rejectedOf(feed)
    const what = `${rejected} of ${feed.records} records were rejected`
    stopAbove(this.#options.maxRejectShare, rejected, feed.records, `${what}, at most`, '--max-reject')
    if (since !== null && asOf < since) {
      throw new Stopped(`the feed is as of ${asOf}, older than the data (${since}); a full load (--full) would take it`)
    }
  }

  #guardProducts(before: number, { added, removed }: MergeCounts): void {
    const what = `it would remove ${removed} of ${before} products`
    stopAbove(this.#options.maxDropShare, removed, before, `${what}, at most`, '--max-drop')
    if (before === 0 && added === 0) throw new Stopped('the feed has no products')
  }
}

/** Throws Stopped where a part is more than its share (0 to 1) of the whole. */
function stopAbove(share: number, part: number, whole: number, what: string, flag: string): void {
  if (part <= whole * share) return
  throw new Stopped(`${what} ${Number((share * 100).toFixed(4))} % are allowed (${flag})`)
}

function unreadable({ message }: Error): string {
  return `the current data can't be read (${message})`
}

/** What a signal means for the next run. */
function interrupted({ mode }: SyncReport): string {
  if (mode === null) return 'interrupted before anything was read'
  return `interrupted; the next run ${mode === 'full' ? 'resumes the full load' : 'reads these changes again'}`
}
