/**
 * Duration histograms: fine buckets for quantiles, and the coarse buckets of /metrics.
 */
import { FINE_BUCKETS, type FineCounts, fineBound, fineBucketOf } from '../../rules/values/duration-buckets.ts'

/** Upper bounds of the coarse buckets, milliseconds; there is one more bucket beyond the last. */
export const DURATION_BOUNDS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000]

const NONE: FineCounts = []

/** Counts since the last report: plain data. */
export interface DurationsDelta {
  readonly buckets: readonly number[]
  readonly sumMs: number
  readonly fine: FineCounts
}

/**
 * Quantiles, in milliseconds; nulls without data. Exact to the fine bucket, with linear interpolation inside it.
 * @param parts from 0 to 1, ascending
 */
export function quantilesMs(fine: readonly FineCounts[], parts: readonly number[]): (number | null)[] {
  const buckets = new Float64Array(FINE_BUCKETS)
  let total = 0
  for (const counts of fine) total += addFine(buckets, counts)
  if (total === 0) return parts.map(() => null)
  let [bucket, below] = [0, 0]
  return parts.map((part) => {
    const rank = total * part
    while (bucket < FINE_BUCKETS - 1 && below + (buckets[bucket] as number) < rank) below += buckets[bucket++] as number
    const count = buckets[bucket] as number
    const [low, high] = [fineBound(bucket), fineBound(bucket + 1)]
    return low + (high - low) * Math.min((rank - below) / count, 1)
  })
}

/** @returns the number of added durations */
function addFine(to: { [bucket: number]: number }, counts: FineCounts): number {
  let added = 0
  for (let at = 0; at < counts.length; at += 2) {
    to[counts[at] as number]! += counts[at + 1] as number
    added += counts[at + 1] as number
  }
  return added
}

/** Fine buckets of durations; without any it takes hardly any memory, which counts for idle routes and servers of large tables. */
export class FineDurations {
  #buckets: Uint32Array | null = null

  count(ms: number): void {
    this.#buckets ??= new Uint32Array(FINE_BUCKETS)
    this.#buckets[fineBucketOf(ms)]!++
  }

  add(counts: FineCounts): void {
    if (counts.length === 0) return
    this.#buckets ??= new Uint32Array(FINE_BUCKETS)
    addFine(this.#buckets, counts)
  }

  /** What was counted. */
  counts(): FineCounts {
    const fine = this.#buckets
    if (fine === null) return NONE
    const counts: number[] = []
    for (let at = 0; at < FINE_BUCKETS; at++) {
      const count = fine[at] as number
      if (count > 0) counts.push(at, count)
    }
    return counts
  }

  /** Returns what was counted since the last call, and resets it. */
  take(): FineCounts {
    const taken = this.counts()
    this.#buckets = null
    return taken
  }
}

/** Durations of one kind. */
export class Durations {
  /** Coarse buckets, not cumulative, since the start. */
  readonly buckets = new Float64Array(DURATION_BOUNDS_MS.length + 1)
  sumMs = 0
  /** Number of durations. */
  timed = 0
  /** Since they were last taken. */
  readonly #fine = new FineDurations()

  count(ms: number): void {
    let bucket = 0
    while (bucket < DURATION_BOUNDS_MS.length && ms > (DURATION_BOUNDS_MS[bucket] as number)) bucket++
    this.buckets[bucket]!++
    this.sumMs += ms
    this.timed++
    this.#fine.count(ms)
  }

  /** The fine buckets since they were last taken. */
  fine(): FineCounts {
    return this.#fine.counts()
  }

  /** Returns the fine buckets since the last call and resets them. */
  takeFine(): FineCounts {
    return this.#fine.take()
  }

  /** Returns everything since the last call and resets it. */
  take(): DurationsDelta {
    const delta = { buckets: [...this.buckets], sumMs: this.sumMs, fine: this.takeFine() }
    this.buckets.fill(0)
    this.sumMs = 0
    this.timed = 0
    return delta
  }

  /** Adds the counts of another one. */
  add({ buckets, sumMs, fine }: DurationsDelta): void {
    for (const [at, count] of buckets.entries()) {
      this.buckets[at]! += count
      this.timed += count
    }
    this.sumMs += sumMs
    this.#fine.add(fine)
  }
}
