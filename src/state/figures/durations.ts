/**
 * Duration histograms: fine buckets for quantiles, and the coarse buckets of /metrics.
 */

/** The upper bounds of the coarse buckets, milliseconds; beyond the last is one more bucket. */
export const DURATION_BOUNDS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000]

/** Each power of two is cut into so many fine buckets of one width: none is wider than 1/32 of what lies in it. */
const PER_OCTAVE = 32
const OCTAVE_BITS = 5
/** 0.01 ms is one octave's worth of units: from there on the buckets are as fine as PER_OCTAVE says. */
const UNITS_PER_MS = 3200
/** 671 s: what took longer counts as that. */
const MAX_UNITS = 2 ** 31 - 1

/** The number of fine buckets. */
export const FINE_BUCKETS = fineBucketOf(MAX_UNITS / UNITS_PER_MS) + 1

/** The fine buckets that are not empty: number, count, number, count. Plain data. */
export type FineCounts = readonly number[]

/** What was counted since it was last told: plain data. */
export interface DurationsDelta {
  readonly buckets: readonly number[]
  readonly sumMs: number
  readonly fine: FineCounts
}

/** The fine bucket of a duration. */
export function fineBucketOf(ms: number): number {
  const units = Math.min(Math.max(ms * UNITS_PER_MS, 0), MAX_UNITS) | 0
  if (units < PER_OCTAVE) return units
  const shift = 31 - Math.clz32(units) - OCTAVE_BITS
  return (shift << OCTAVE_BITS) + (units >>> shift)
}

/** Where a fine bucket begins, milliseconds. */
function fineBound(bucket: number): number {
  if (bucket < PER_OCTAVE) return bucket / UNITS_PER_MS
  const shift = (bucket >>> OCTAVE_BITS) - 1
  return ((bucket - (shift << OCTAVE_BITS)) * 2 ** shift) / UNITS_PER_MS
}

/**
 * The durations that the given parts of what was counted stayed below, milliseconds; nulls where nothing was counted.
 * Exact to the fine bucket, and within it by a straight line.
 * @param parts from 0 to 1, rising
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

/** @returns how many were added */
function addFine(to: { [bucket: number]: number }, counts: FineCounts): number {
  let added = 0
  for (let at = 0; at < counts.length; at += 2) {
    to[counts[at] as number]! += counts[at + 1] as number
    added += counts[at + 1] as number
  }
  return added
}

/** Durations of one kind. */
export class Durations {
  /** In the coarse buckets, each in its own one only; from the start. */
  readonly buckets = new Float64Array(DURATION_BOUNDS_MS.length + 1)
  sumMs = 0
  /** How many they are. */
  timed = 0
  /** Since they were last taken; null for none. Most of what is counted in a large table is idle. */
  #fine: Uint32Array | null = null

  count(ms: number): void {
    let bucket = 0
    while (bucket < DURATION_BOUNDS_MS.length && ms > (DURATION_BOUNDS_MS[bucket] as number)) bucket++
    this.buckets[bucket]!++
    this.sumMs += ms
    this.timed++
    this.#fine ??= new Uint32Array(FINE_BUCKETS)
    this.#fine[fineBucketOf(ms)]!++
  }

  /** The fine ones since they were last taken. */
  fine(): FineCounts {
    return sparse(this.#fine)
  }

  /** The fine ones since this was last called; from now on there are none. */
  takeFine(): FineCounts {
    const taken = sparse(this.#fine)
    this.#fine = null
    return taken
  }

  /** All that has been counted since the last time; from now on it counts from 0. */
  take(): DurationsDelta {
    const delta = { buckets: [...this.buckets], sumMs: this.sumMs, fine: this.takeFine() }
    this.buckets.fill(0)
    this.sumMs = 0
    this.timed = 0
    return delta
  }

  /** Counts what others have counted. */
  add({ buckets, sumMs, fine }: DurationsDelta): void {
    for (const [at, count] of buckets.entries()) {
      this.buckets[at]! += count
      this.timed += count
    }
    this.sumMs += sumMs
    if (fine.length === 0) return
    this.#fine ??= new Uint32Array(FINE_BUCKETS)
    addFine(this.#fine, fine)
  }
}

const NONE: FineCounts = []

function sparse(fine: Uint32Array | null): FineCounts {
  if (fine === null) return NONE
  const counts: number[] = []
  for (let at = 0; at < FINE_BUCKETS; at++) {
    const count = fine[at] as number
    if (count > 0) counts.push(at, count)
  }
  return counts
}
