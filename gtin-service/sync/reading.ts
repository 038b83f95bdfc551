/**
 * Reads the feed into the run's changes: verified up to each checkpoint, committed from time to time, asked for again from
 * the last checkpoint whenever it breaks off.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { writeProduct } from '../store/codec.ts'
import { waitMs } from './back-off.ts'
import type { Change } from './change.ts'
import { type ClientOptions, failureOf, get, getText, RequestFailure } from './client.ts'
import { BrokenFeed, type Checkpoint, codesUrl, FeedReader, feedUrl, parseCodes } from './legacy-feed.ts'
import type { Codes } from './legacy-records.ts'
import { Batch, KEEP, PUT, REMOVE } from './runs.ts'
import { addTally, countRejected, emptyTally, type Tally } from './tally.ts'
import type { Work } from './work.ts'

/** How to read. */
export interface ReadingOptions extends ClientOptions {
  readonly from: URL
  /** Failures in a row, without a checkpoint between them, before the run gives up. */
  readonly attempts: number
  /** The longest wait after the first failure, in milliseconds. */
  readonly firstWaitMs: number
  /** Changes are committed when there are this many, or ten seconds after the last commit. */
  readonly commitEvery: number
  /** A draw in [0, 1). */
  readonly chance: () => number
  /** Told of each checkpoint: records so far. */
  readonly onRecords: (records: number) => void
  /** Told of each failure that another attempt follows. */
  readonly onRetry: (why: string, waitMs: number) => void
}

/** The run's changes could not be written. */
export class DiskFailure extends Error {}

const COMMIT_MS = 10_000
/** The feed has a checkpoint every ten thousand records: without one for this long it is another feed, and memory has an end. */
const MAX_UNVERIFIED = 200_000

/** The reading of one run. */
export class Reading {
  readonly #work: Work
  readonly #options: ReadingOptions
  readonly #batch = new Batch()
  /** Of all verified records. */
  readonly #tally: Tally
  /** Of the records behind the last checkpoint. */
  #unverified = emptyTally()
  #verifiedSize = 0
  #cursor: string | null
  #asOf: string | null
  #committedMs = performance.now()

  constructor(work: Work, options: ReadingOptions) {
    this.#work = work
    this.#options = options
    this.#tally = structuredClone(work.state.tally)
    this.#cursor = work.state.cursor
    this.#asOf = work.state.asOf
  }

  /** Whether the feed has been read past its beginning. */
  get isUnderWay(): boolean {
    return this.#cursor !== null
  }

  /**
   * Reads to the feed's end; the run's changes are then complete. Rejects with the last RequestFailure or BrokenFeed where
   * too many attempts failed, with AbortError when aborted, with DiskFailure where the disk failed; what was
   * committed before stays.
   */
  async toTheEnd(): Promise<void> {
    if (this.#asOf !== null) return
    const codes = await this.#patiently(async () => {
      const body = await getText(codesUrl(this.#options.from), this.#options)
      return parseCodes(body)
    })
    while (this.#asOf === null) await this.#patiently(() => this.#answer(codes))
    this.#commit()
  }

  /** Tries until it works. Progress between two failures makes the second one the first again. */
  async #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    let failures = 0
    let place = this.#cursor
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        this.#options.signal.throwIfAborted()
        const failure = failureOf(error)
        const isTransient =
          failure instanceof BrokenFeed || (failure instanceof RequestFailure && failure.kind === 'transient')
        if (!isTransient) throw failure
        failures = place === this.#cursor ? failures + 1 : 1
        place = this.#cursor
        if (failures >= this.#options.attempts) throw failure
        await this.#pause(failure, failures)
      }
    }
  }

  async #pause(failure: Error, failures: number): Promise<void> {
    const { firstWaitMs, chance, onRetry, signal } = this.#options
    const retryAfterMs = failure instanceof RequestFailure ? failure.retryAfterMs : null
    const ms = waitMs(failures, { firstMs: firstWaitMs, chance: chance(), retryAfterMs })
    onRetry(failure.message, ms)
    await sleep(ms, undefined, { signal })
  }

  /** One answer of the feed: to its end, or to where it breaks. */
  async #answer(codes: Codes): Promise<void> {
    const url = feedUrl(this.#options.from, { since: this.#work.state.plan.since, cursor: this.#cursor })
    const body = await get(url, this.#options)
    const reader = new FeedReader(codes, {
      record: (change, line, mended) => this.#take(change, line, mended),
      checkpoint: (checkpoint) => this.#verified(checkpoint),
    })
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        reader.take(chunk)
        if (this.#isDue()) this.#commit()
      }
      reader.end()
    } finally {
      this.#batch.cutTo(this.#verifiedSize)
      this.#unverified = emptyTally()
    }
  }

  #take(change: Change, line: string, mended: boolean): void {
    const tally = this.#unverified
    tally.records++
    if (tally.records > MAX_UNVERIFIED) throw new BrokenFeed(`no checkpoint in ${MAX_UNVERIFIED} records`)
    if (change.kind === 'remove') this.#batch.add(change.key, REMOVE)
    else if (change.kind === 'reject') this.#reject(change.reason, change.key, line)
    else {
      try {
        writeProduct(this.#batch.records, change.product, this.#work.dictionary)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        this.#reject('bad-value', change.product.key, line)
        return
      }
      this.#batch.add(change.product.key, PUT)
      if (mended) tally.mended++
    }
  }

  #reject(reason: Parameters<typeof countRejected>[1], key: number | null, line: string): void {
    countRejected(this.#unverified, reason, line)
    if (key !== null) this.#batch.add(key, KEEP)
  }

  #verified({ cursor, asOf }: Checkpoint): void {
    addTally(this.#tally, this.#unverified)
    this.#unverified = emptyTally()
    this.#verifiedSize = this.#batch.size
    this.#cursor = cursor
    // A closing line with a cursor closes one page of several.
    if (cursor === null) this.#asOf = asOf
    this.#options.onRecords(this.#tally.records)
  }

  #isDue(): boolean {
    if (this.#verifiedSize === 0) return false
    return this.#verifiedSize >= this.#options.commitEvery || performance.now() - this.#committedMs >= COMMIT_MS
  }

  #commit(): void {
    const after = { cursor: this.#cursor, asOf: this.#asOf, tally: this.#tally }
    try {
      this.#work.commit(this.#batch, this.#verifiedSize, after)
    } catch (error) {
      // By its code alone it might pass for a broken connection, and no other attempt would help.
      throw new DiskFailure((error as Error).message, { cause: error })
    }
    this.#verifiedSize = 0
    this.#committedMs = performance.now()
  }
}
