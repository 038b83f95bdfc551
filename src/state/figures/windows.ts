/**
 * Figures of the last minutes: sums are remembered at every tick, and a window is what has been added since one of them.
 */

/** Between two ticks. */
export const WINDOW_TICK_MS = 10_000

/** Counters that only grow. */
export interface Sums {
  exchanges: number
  /** Answers of class 5. */
  errors: number
  /** Clients that left before an answer began. */
  gone: number
  fallbacks: number
  noKey: number
  forced: number
  cacheHits: number
  cacheMisses: number
  durationMsSum: number
  /** Exchanges by duration; see DURATION_BOUNDS_MS. */
  buckets: Float64Array
}

/** The sums of one cell at the last ticks. */
export class SumsRing {
  /** Five minutes and the step under way. */
  static readonly LENGTH = 31
  readonly #sums: Sums[] = []
  #exchanges = -1

  /** @param sums makes the sums of now; not called where nothing was counted since the last tick */
  push(sums: () => Sums, exchanges: number): void {
    const last = this.#sums.at(-1)
    // An idle cell costs a reference for each tick.
    this.#sums.push(last !== undefined && this.#exchanges === exchanges ? last : sums())
    this.#exchanges = exchanges
    if (this.#sums.length > SumsRing.LENGTH) this.#sums.shift()
  }

  /** The sums of so many ticks ago, or null where nothing had been counted by then. */
  ago(ticks: number): Sums | null {
    return this.#sums.at(-ticks) ?? null
  }
}

/** What was added between two sums; `before` may be null for nothing. */
export function addedSince(before: Sums | null, now: Sums): Sums {
  if (before === null) return now
  return {
    exchanges: now.exchanges - before.exchanges,
    errors: now.errors - before.errors,
    gone: now.gone - before.gone,
    fallbacks: now.fallbacks - before.fallbacks,
    noKey: now.noKey - before.noKey,
    forced: now.forced - before.forced,
    cacheHits: now.cacheHits - before.cacheHits,
    cacheMisses: now.cacheMisses - before.cacheMisses,
    durationMsSum: now.durationMsSum - before.durationMsSum,
    buckets: now.buckets.map((count, at) => count - (before.buckets[at] as number)),
  }
}

/** Both together. */
export function addSums(a: Sums, b: Sums): Sums {
  return {
    exchanges: a.exchanges + b.exchanges,
    errors: a.errors + b.errors,
    gone: a.gone + b.gone,
    fallbacks: a.fallbacks + b.fallbacks,
    noKey: a.noKey + b.noKey,
    forced: a.forced + b.forced,
    cacheHits: a.cacheHits + b.cacheHits,
    cacheMisses: a.cacheMisses + b.cacheMisses,
    durationMsSum: a.durationMsSum + b.durationMsSum,
    buckets: a.buckets.map((count, at) => count + (b.buckets[at] as number)),
  }
}

/**
 * The duration that the given part of the exchanges stayed below, milliseconds; null where there were none.
 * Exact to the bucket, and within it by a straight line.
 */
export function quantileMs(buckets: Float64Array, boundsMs: readonly number[], part: number): number | null {
  const total = buckets.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  let rest = total * part
  for (const [at, count] of buckets.entries()) {
    if (rest > count || count === 0) {
      rest -= count
      continue
    }
    const low = at === 0 ? 0 : (boundsMs[at - 1] as number)
    const high = boundsMs[at] ?? low
    return low + (high - low) * (rest / count)
  }
  return boundsMs.at(-1) ?? null
}
