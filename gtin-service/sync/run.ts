/**
 * One run of the sync: plan, read, compare, check, publish. The data in force changes in the last step, as a whole, or not
 * at all.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DAMAGE_NOTE } from '../data.ts'
import { bytesOf, DamagedStore, type Facts, newestStore, Store, storeFiles } from '../store.ts'
import { RequestFailure, shown } from './client.ts'
import type { Progress } from './progress.ts'
import {
  beginPublishing,
  compare,
  countOf,
  finishFull,
  keepRejected,
  publishChanges,
  renamedCode,
  retryRejected,
  unresolvedIn,
} from './publish.ts'
import { fetchCodes, type ReadingOptions, readFeed } from './reading.ts'
import type { Codes } from './records.ts'
import { emptyTally, type MergeCounts, type Outcome, rejectedOf, type SyncReport } from './report.ts'
import { type Plan, rowsOf, Work } from './work.ts'

/** What to sync, and how carefully. */
export interface SyncOptions extends Omit<ReadingOptions, 'onRecords' | 'onRetry'> {
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
  readonly onProgress: (progress: Progress) => void
  /** Told of what is worth a line while the run goes on. */
  readonly onEvent: (line: string) => void
}

/** All but where from and where to. */
export const SYNC_DEFAULTS = {
  full: false,
  fullEveryMs: 7 * 86_400_000,
  maxDropShare: 0.05,
  maxRejectShare: 0.05,
  attempts: 8,
  firstWaitMs: 500,
  idleTimeoutMs: 60_000,
  commitEvery: 250_000,
  gzip: true,
} as const satisfies Partial<SyncOptions>

const REPORT = 'last-sync.json'

/** A run that must not be published, or may not begin. */
class Stopped extends Error {}

/**
 * Runs once. Never rejects: how it ended is in the report, which is also written to the data folder as `last-sync.json`
 * (unless another sync holds the folder).
 */
export async function runSync(options: SyncOptions): Promise<SyncReport> {
  const run = new Run(options)
  let unlock: (() => void) | null = null
  let outcome: Outcome = 'done'
  let why: string | null = null
  try {
    mkdirSync(options.folder, { recursive: true })
    unlock = lockFolder(options.folder)
    await run.go()
  } catch (error) {
    outcome = error instanceof Stopped || options.signal.aborted ? 'stopped' : 'failed'
    why = options.signal.aborted ? 'told to end; the next run goes on where this one was' : (error as Error).message
    // A refused result, or damaged work, is not to be gone on with.
    if (unlock !== null && (error instanceof Stopped || isDamage(error))) Work.discard(options.folder)
  }
  const report = run.report(outcome, why)
  if (unlock !== null) run.keep(report)
  unlock?.()
  return report
}

/** One run, and what it will tell. */
class Run {
  readonly #options: SyncOptions
  readonly #startedMs = performance.now()
  #startedAtMs = Date.now()
  #mode: 'full' | 'incremental' = 'full'
  #since: string | null = null
  #feed = emptyTally()
  #resumed = false
  #retries = 0
  #merged: MergeCounts | null = null
  #resolved = 0

  constructor(options: SyncOptions) {
    this.#options = options
  }

  async go(): Promise<void> {
    const { folder, onEvent } = this.#options
    const codes = await fetchCodes(this.#reading(null))
    const base = baseOf(folder)
    const why = this.#whyFull(base, codes)
    if (why !== null && base.facts !== null && !this.#options.full) onEvent(`${why}: a full load`)
    try {
      await this.#sync(base, codes, why !== null)
    } catch (error) {
      if (!isDamage(error) || why !== null) throw error
      onEvent(`the data in force can't be read (${(error as Error).message}): a full load replaces it`)
      await this.#sync(base, codes, true)
    }
  }

  /** Why all products are to be read and not only what changed; null where changes will do. */
  #whyFull({ path, facts, problem }: Base, codes: Codes): string | null {
    const { folder, full, fullEveryMs, onEvent } = this.#options
    if (problem !== null) onEvent(`the data in force can't be read (${problem}): a full load replaces it`)
    if (full || path === null || facts === null) return 'all products are asked for'
    if (existsSync(join(folder, DAMAGE_NOTE))) return 'a lookup met a damaged product'
    if (Date.now() - facts.fullAtMs >= fullEveryMs) return 'the last full load is long ago'
    const renamed = ifReadable(() => renamedCode(path, codes), 'some code')
    // What the changes bring would have the new name, and all the rest the old one.
    return renamed === null ? null : `${renamed} has another name now`
  }

  async #sync(base: Base, codes: Codes, full: boolean): Promise<void> {
    const { folder, from, signal, onProgress } = this.#options
    this.#mode = full ? 'full' : 'incremental'
    this.#since = full ? null : (base.facts as Facts).asOf
    const file = base.path === null ? null : basename(base.path)
    const work = await this.#read(
      { from: shown(from), since: this.#since, base: file, codes: rowsOf(codes) },
      base,
      codes,
    )
    try {
      const asOf = work.state.asOf as string
      this.#stopIf(this.#whyNotMerge(asOf))
      onProgress({ phase: 'merging', records: 0, expected: null })
      const isBase = this.#compare(work, base, codes)
      signal.throwIfAborted()
      const { added, removed } = this.#merged as MergeCounts
      const products = base.products + added - removed
      this.#stopIf(this.#whyNotPublish(removed, base.products, products))
      const facts = { asOf, syncedAtMs: this.#startedAtMs, products }
      if (full) finishFull(work, { ...facts, fullAtMs: this.#startedAtMs }, isBase)
      else publishChanges(work, { ...facts, fullAtMs: (base.facts as Facts).fullAtMs })
    } finally {
      work.close()
    }
    if (full) renameSync(work.path, join(folder, nextFile(folder)))
    syncFolder(folder)
    Work.discard(folder)
    if (full) rmSync(join(folder, DAMAGE_NOTE), { force: true })
    removeOldStores(folder)
  }

  async #read(plan: Plan, { products }: Base, codes: Codes): Promise<Work> {
    const { folder, onEvent } = this.#options
    const expected = plan.since === null && products > 0 ? products : null
    for (;;) {
      const work = Work.open(folder, plan)
      this.#resumed = work.state.cursor !== null || work.state.asOf !== null
      this.#startedAtMs = work.state.startedAtMs
      try {
        await readFeed(work, codes, this.#reading(expected))
        return work
      } catch (error) {
        work.close()
        const isUnderWay = work.state.cursor !== null
        if (!(error instanceof RequestFailure && error.kind === 'gone' && isUnderWay)) throw error
        onEvent(`the feed no longer knows the place where it was left (${error.message}): from the beginning`)
        Work.discard(folder)
      } finally {
        this.#feed = work.state.tally
      }
    }
  }

  #reading(expected: number | null): ReadingOptions {
    return {
      ...this.#options,
      onRecords: (records) => this.#options.onProgress({ phase: 'reading', records, expected }),
      onRetry: (why, waitMs) => {
        this.#retries++
        this.#options.onEvent(`${why}; trying again in ${(waitMs / 1_000).toFixed(1)} s`)
      },
    }
  }

  /** Finds out what publishing would change. Returns whether the store in force could be read. */
  #compare(work: Work, base: Base, codes: Codes): boolean {
    const full = this.#mode === 'full'
    work.finish()
    if (base.facts !== null) {
      try {
        beginPublishing(work, base.path)
        if (!full) this.#resolved = retryRejected(work, codes)
        this.#merged = compare(work, base.products, full ? keepRejected(work) : null)
        return true
      } catch (error) {
        if (!full || !isDamage(error)) throw error
        this.#options.onEvent(`the data in force can't be read (${(error as Error).message})`)
        work.database.exec('ROLLBACK; DETACH base')
      }
    }
    beginPublishing(work, null)
    // By the numbers alone: the guard must hold here too.
    const gained = countOf(work, 'main.products') - base.products
    this.#merged = { added: Math.max(0, gained), changed: 0, unchanged: 0, removed: Math.max(0, -gained), kept: 0 }
    return false
  }

  #whyNotMerge(asOf: string): string | null {
    const { maxRejectShare } = this.#options
    const { records } = this.#feed
    const rejected = rejectedOf(this.#feed)
    if (rejected > records * maxRejectShare) {
      return `${rejected} of ${records} records were rejected, at most ${percent(maxRejectShare)} are allowed (--max-reject)`
    }
    if (this.#since === null || asOf >= this.#since) return null
    return `the feed is as of ${asOf}, older than the data (${this.#since}); a full load (--full) would take it`
  }

  #whyNotPublish(removed: number, before: number, after: number): string | null {
    const { maxDropShare } = this.#options
    if (removed > before * maxDropShare) {
      return `it would remove ${removed} of ${before} products, at most ${percent(maxDropShare)} are allowed (--max-drop)`
    }
    return after === 0 && before === 0 ? 'the feed has no products' : null
  }

  #stopIf(why: string | null): void {
    if (why !== null) throw new Stopped(why)
  }

  report(outcome: Outcome, why: string | null): SyncReport {
    const { path, facts, products } = baseOf(this.#options.folder)
    return {
      outcome,
      why,
      from: shown(this.#options.from),
      mode: this.#mode,
      since: this.#since,
      asOf: facts?.asOf ?? null,
      resumed: this.#resumed,
      startedAtMs: this.#startedAtMs,
      seconds: (performance.now() - this.#startedMs) / 1_000,
      peakBytes: process.resourceUsage().maxRSS * 1_024,
      retries: this.#retries,
      feed: this.#feed,
      merged: this.#merged,
      resolved: this.#resolved,
      unresolved: facts === null ? [] : ifReadable(() => unresolvedIn(path as string), []),
      products,
      bytes: path === null ? 0 : bytesOf(path),
    }
  }

  keep(report: SyncReport): void {
    const path = join(this.#options.folder, REPORT)
    try {
      writeFileSync(`${path}.part`, `${JSON.stringify(report, null, 2)}\n`)
      renameSync(`${path}.part`, path)
    } catch (error) {
      this.#options.onEvent(`the report could not be written: ${(error as Error).message}`)
    }
  }
}

/** What is in force before a run. */
interface Base {
  /** The newest store; null where there is none. */
  readonly path: string | null
  /** Null where there is no store, or it can't be read. */
  readonly facts: Facts | null
  /** Where the store can't be read, as the last report told. */
  readonly products: number
  readonly problem: string | null
}

/** What is in force in a data folder. Never throws. */
export function baseOf(folder: string): Base {
  let path: string | null = null
  try {
    path = newestStore(folder)
    if (path === null) return { path, facts: null, products: 0, problem: null }
    const store = new Store(path)
    try {
      store.checkLength()
      const facts = store.facts()
      return { path, facts, products: facts.products, problem: null }
    } finally {
      store.close()
    }
  } catch (error) {
    return { path, facts: null, products: lastProducts(folder), problem: (error as Error).message }
  }
}

function lastProducts(folder: string): number {
  try {
    const { products } = JSON.parse(readFileSync(join(folder, REPORT), 'utf8')) as SyncReport
    return products
  } catch {
    return 0
  }
}

/** SQLite's words for a file that is none of its own, or damaged: SQLITE_CORRUPT and SQLITE_NOTADB. */
function isDamage(error: unknown): boolean {
  return error instanceof DamagedStore || [11, 26].includes(((error as { errcode?: number }).errcode ?? 0) & 0xff)
}

/** What `read` finds, or where the store is damaged there `otherwise`. */
function ifReadable<T>(read: () => T, otherwise: T): T {
  try {
    return read()
  } catch (error) {
    if (isDamage(error)) return otherwise
    throw error
  }
}

/**
 * One sync at a time per data folder, by a lock of the operating system, so that no crash can leave it behind: Node has no
 * file locks of its own, but its SQLite has. The function it returns gives the lock back.
 */
export function lockFolder(folder: string): () => void {
  const database = new DatabaseSync(join(folder, 'sync.lock'))
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (/locked/.test((error as Error).message)) throw new Stopped(`another sync is at work in ${folder}`)
    throw error
  }
  return () => database.close()
}

function nextFile(folder: string): string {
  const [newest] = storeFiles(folder)
  const number = Number(/\d+/.exec(newest ?? '0')?.[0]) + 1
  return `gtin-${String(number).padStart(6, '0')}.db`
}

/** All but the newest two: a reader may be about to open the one before, or an operator to go back to it. */
function removeOldStores(folder: string): void {
  for (const file of storeFiles(folder).slice(2)) {
    for (const end of ['', '-wal', '-shm']) rmSync(join(folder, file + end), { force: true })
  }
}

/** Puts the names in a folder on disk. */
function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  fsyncSync(descriptor)
  closeSync(descriptor)
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(4))} %`
}
