/**
 * Reads the feed to its end, verified up to each checkpoint, asked for again from the last one whenever it breaks off.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type ClientOptions, get, RequestFailure } from './client.ts'
import { type Batch, BrokenFeed, codesUrl, FeedReader, feedUrl, parseCodes } from './feed.ts'
import type { Codes } from './records.ts'

/** How to read. */
export interface ReadingOptions extends ClientOptions {
  readonly from: URL
  /** Failures in a row, without a checkpoint between them, before the run gives up. */
  readonly attempts: number
  /** The longest wait after the first failure, in milliseconds. */
  readonly firstWaitMs: number
  /** Told of each failure that another attempt follows. */
  readonly onRetry: (why: string, waitMs: number) => void
}

const MAX_WAIT_MS = 30_000
const MAX_CODES_BYTES = 8_388_608

/** The code tables. Rejects with the last RequestFailure or BrokenFeed where too many attempts failed. */
export async function fetchCodes(options: ReadingOptions): Promise<Codes> {
  const url = codesUrl(options.from)
  for (let failures = 1; ; failures++) {
    try {
      let body = Buffer.alloc(0)
      for await (const chunk of get(url, options)) {
        body = Buffer.concat([body, chunk])
        if (body.length > MAX_CODES_BYTES) throw new BrokenFeed(`code tables of more than ${MAX_CODES_BYTES} bytes`)
      }
      return parseCodes(body.toString())
    } catch (error) {
      await pause(error, failures, options)
    }
  }
}

/**
 * What the feed tells, from `cursor` (null for the beginning) to its end. Rejects with the last RequestFailure or
 * BrokenFeed where too many attempts failed in a row, with AbortError when aborted.
 */
export async function* readFeed(
  options: ReadingOptions,
  codes: Codes,
  since: string | null,
  cursor: string | null,
): AsyncGenerator<Batch> {
  const places = new Set([cursor])
  for (let at = cursor, failures = 0; ; ) {
    const before = at
    let failure: unknown = null
    try {
      const reader = new FeedReader(codes)
      for await (const chunk of get(feedUrl(options.from, since, at), options)) {
        for (const batch of reader.take(chunk)) {
          at = batch.cursor
          yield batch
        }
      }
      const last = reader.end()
      yield last
      if (last.cursor === null) return
      at = last.cursor
    } catch (error) {
      failure = error
    }
    // Progress makes the next failure the first again.
    failures = failure === null || at !== before ? 0 : failures
    if (failure !== null) await pause(failure, ++failures, options)
    if (failure !== null && at === before) continue
    if (places.has(at)) throw new Error(`the feed repeats the cursor ${at}`)
    places.add(at)
  }
}

/** Waits before the next attempt; throws where there should be none. `failures`: how many in a row. */
async function pause(error: unknown, failures: number, options: ReadingOptions): Promise<void> {
  const isTransient = error instanceof BrokenFeed || (error instanceof RequestFailure && error.kind === 'transient')
  if (!isTransient || failures >= options.attempts) throw error
  const retryAfterMs = error instanceof RequestFailure ? error.retryAfterMs : 0
  const ms = waitMs(failures, options.firstWaitMs, retryAfterMs, Math.random())
  options.onRetry(error.message, ms)
  await sleep(ms, undefined, { signal: options.signal })
}

/**
 * Milliseconds before the next attempt, after `failures` (from 1) in a row: drawn (`chance` in [0, 1)) from zero to twice
 * as much each time, at most half a minute, so that clients which failed together don't come back together; never before
 * the server said.
 */
export function waitMs(failures: number, firstMs: number, retryAfterMs: number, chance: number): number {
  return Math.max(retryAfterMs, Math.round(chance * Math.min(MAX_WAIT_MS, firstMs * 2 ** (failures - 1))))
}
