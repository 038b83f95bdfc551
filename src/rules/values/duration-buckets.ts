/**
 * Fine buckets of durations: log-linear, each at most 1/32 as wide as its values.
 */

/** Fine buckets per power of two, of equal width: each is at most 1/32 as wide as its values. */
const PER_OCTAVE = 32
const OCTAVE_BITS = 5
/** So that 0.01 ms is PER_OCTAVE units: from there on buckets have their full resolution. */
const UNITS_PER_MS = 3200
/** 671 s: longer durations count as that. */
const MAX_UNITS = 2 ** 31 - 1

/** The number of fine buckets. */
export const FINE_BUCKETS = fineBucketOf(MAX_UNITS / UNITS_PER_MS) + 1

/** Non-empty fine buckets: number, count, number, count. Plain data. */
export type FineCounts = readonly number[]

/** The fine bucket of a duration. */
export function fineBucketOf(ms: number): number {
  const units = Math.min(Math.max(ms * UNITS_PER_MS, 0), MAX_UNITS) | 0
  if (units < PER_OCTAVE) return units
  const shift = 31 - Math.clz32(units) - OCTAVE_BITS
  return (shift << OCTAVE_BITS) + (units >>> shift)
}

/** Lower bound of a fine bucket, milliseconds. */
export function fineBound(bucket: number): number {
  if (bucket < PER_OCTAVE) return bucket / UNITS_PER_MS
  const shift = (bucket >>> OCTAVE_BITS) - 1
  return ((bucket - (shift << OCTAVE_BITS)) * 2 ** shift) / UNITS_PER_MS
}

/** Counts by a duration inside each bucket, milliseconds, for people and programs that know no buckets; `fineFrom` reads them. */
export function fineByMs(fine: FineCounts): Record<string, number> {
  const counts: Record<string, number> = {}
  for (let at = 0; at + 1 < fine.length; at += 2) {
    const bucket = fine[at] as number
    counts[Number(((fineBound(bucket) + fineBound(bucket + 1)) / 2).toPrecision(4))] = fine[at + 1] as number
  }
  return counts
}

/** Counts by bucket from those by milliseconds. */
export function fineFrom(counts: Readonly<Record<string, number>>): Map<number, number> {
  return new Map(Object.entries(counts).map(([ms, count]) => [fineBucketOf(Number(ms)), count]))
}
