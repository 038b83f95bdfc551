/**
 * Reads the feed into a run's work: verified up to each checkpoint, committed from time to time, asked for again from the
 * last checkpoint whenever it breaks off.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type ClientOptions, failureOf, get, getText, RequestFailure } from './client.ts'
import { BrokenFeed, codesUrl, FeedReader, feedUrl, parseCodes } from './feed.ts'
import type { Codes } from './records.ts'
import type { Work } from './work.ts'

/** How to read. */
export interface ReadingOptions extends ClientOptions {
  readonly from: URL
  /** Failures in a row, without a checkpoint between them, before the run gives up. */
  readonly attempts: number
  /** The longest wait after the first failure, in milliseconds. */
  readonly firstWaitMs: number
  /** Records are committed when there are this many, or ten seconds after the last commit. */
  readonly commitEvery: number
  /** Told of each checkpoint: records so far. */
  readonly onRecords: (records: number) => void
  /** Told of each failure that another attempt follows. */
  readonly onRetry: (why: string, waitMs: number) => void
}

const COMMIT_MS = 10_000
/** The feed has a checkpoint every ten thousand records: without one for this long it is another feed. */
const MAX_UNVERIFIED = 200_000
const MAX_WAIT_MS = 30_000

/** The code tables. Rejects as `readFeed` does. */
export function fetchCodes(options: ReadingOptions): Promise<Codes> {
  const attempt = async (): Promise<Codes> => parseCodes(await getText(codesUrl(options.from), options))
  return patiently(options, attempt, () => null)
}

/**
 * Reads to the feed's end. Rejects with the last RequestFailure or BrokenFeed where too many attempts failed, with
 * AbortError when aborted, with SQLite's error where the disk failed; what was committed before stays.
 */
export async function readFeed(work: Work, codes: Codes, options: ReadingOptions): Promise<void> {
  const pages = new Repetition()
  try {
    while (work.state.asOf === null) {
      await patiently(
        options,
        () => readAnswer(work, codes, options, pages),
        () => work.state.cursor,
      )
    }
  } finally {
    work.commit()
  }
}

/** Tries until it works. Progress between two failures makes the second one the first again. */
async function patiently<T>(options: ReadingOptions, attempt: () => Promise<T>, place: () => unknown): Promise<T> {
  let failures = 0
  for (let before = place(); ; before = place()) {
    try {
      return await attempt()
    } catch (error) {
      options.signal.throwIfAborted()
      const failure = failureOf(error)
      const isRequest = failure instanceof RequestFailure
      if (!(failure instanceof BrokenFeed || (isRequest && failure.kind === 'transient'))) throw failure
      failures = before === place() ? failures + 1 : 1
      if (failures >= options.attempts) throw failure
      const retryAfterMs = isRequest ? failure.retryAfterMs : null
      const ms = waitMs(failures, options.firstWaitMs, retryAfterMs, Math.random())
      options.onRetry(failure.message, ms)
      await sleep(ms, undefined, { signal: options.signal })
    }
  }
}

/**
 * Milliseconds before the next attempt, after `failures` (from 1) in a row: drawn (`chance` in [0, 1)) from zero to twice
 * as much each time, at most half a minute, so that clients which failed together don't come back together; never before
 * the server said.
 */
export function waitMs(failures: number, firstMs: number, retryAfterMs: number | null, chance: number): number {
  return Math.max(retryAfterMs ?? 0, Math.round(chance * Math.min(MAX_WAIT_MS, firstMs * 2 ** (failures - 1))))
}

/** One answer of the feed: to its end, or to where it breaks. */
async function readAnswer(work: Work, codes: Codes, options: ReadingOptions, pages: Repetition): Promise<void> {
  const body = await get(feedUrl(options.from, work.state.plan.since, work.state.cursor), options)
  let unverified = 0
  let sinceCommit = 0
  let committedMs = performance.now()
  const reader = new FeedReader(codes, {
    record(change, line, mended) {
      if (++unverified > MAX_UNVERIFIED) throw new BrokenFeed(`no checkpoint in ${MAX_UNVERIFIED} records`)
      work.take(change, line, mended)
    },
    checkpoint({ cursor, closing, asOf }) {
      // A closing line with a cursor closes one page of several.
      work.verified(cursor, cursor === null ? asOf : null)
      sinceCommit += unverified
      unverified = 0
      options.onRecords(work.state.tally.records)
      if (closing && cursor !== null && pages.hasCome(cursor)) throw new Error(`the feed repeats the cursor ${cursor}`)
      if (sinceCommit < options.commitEvery && performance.now() - committedMs < COMMIT_MS) return
      work.commit()
      sinceCommit = 0
      committedMs = performance.now()
    },
  })
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) reader.take(chunk)
    reader.end()
  } catch (error) {
    work.undo()
    throw error
  }
}

/** Notices a sequence that goes round in a circle, and remembers one value of it (Brent's algorithm). */
class Repetition {
  #kept: string | null = null
  #steps = 0
  #limit = 1

  /** Whether `value` has come before; a circle may be run through up to three times before that shows. */
  hasCome(value: string): boolean {
    if (value === this.#kept) return true
    if (++this.#steps === this.#limit) {
      this.#kept = value
      this.#steps = 0
      this.#limit *= 2
    }
    return false
  }
}
