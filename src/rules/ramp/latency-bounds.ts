/**
 * Bounds of the 95th percentile of a latency that hold at all times together.
 */
import { type FineCounts, fineBound } from '../values/duration-buckets.ts'
import { type Hits, rateEvidence } from './rate-bounds.ts'

/** The part of the samples above the 95th percentile. */
const TAIL = 0.05

/** It finds those tails soonest that are a few times as large as, or smaller than, the one looked for. */
const PRIOR = { a: 0.5, b: 9.5 }

/** Milliseconds: the percentile lies between them. Null where the samples say nothing yet. */
export interface PercentileBounds {
  readonly lowerMs: number | null
  readonly upperMs: number | null
}

/**
 * Bounds of the 95th percentile of samples, by the edges of their buckets. Below the percentile more than a twentieth of the
 * samples lie above an edge, beyond it less: an edge is ruled out where the counts are evidence enough against that rate. As the
 * percentile is one edge only, no correction for many edges is needed (Howard and Ramdas, "Sequential estimation of quantiles with
 * applications to A/B testing", arXiv 1906.09712, section 3).
 * @param fine samples by bucket, in ascending order, at most one for each key and while
 * @param alpha the chance that either bound is ever wrong
 */
export function p95Bounds(fine: FineCounts, alpha: number): PercentileBounds {
  let of = 0
  for (let at = 1; at < fine.length; at += 2) of += fine[at] as number
  if (of === 0) return { lowerMs: null, upperMs: null }
  const limit = -Math.log(alpha)
  const fewest = fewestAbove(of, limit)
  const most = mostAbove(of, limit)
  let [lowerMs, upperMs]: [number | null, number | null] = [null, null]
  // From the slowest on: how many samples lie at or above the lower edge of a bucket.
  let above = 0
  for (let at = fine.length - 2; at >= 0; at -= 2) {
    const [bucket, count] = [fine[at] as number, fine[at + 1] as number]
    if (most !== null && above <= most) upperMs = fineBound(bucket + 1)
    above += count
    if (fewest !== null && above >= fewest) {
      lowerMs = fineBound(bucket)
      break
    }
  }
  return { lowerMs, upperMs }
}

/** The fewest samples above an edge that say that the percentile lies above it too; null where even all of them don't. */
function fewestAbove(of: number, limit: number): number | null {
  const isEnough = (hits: number): boolean => hits / of > TAIL && evidence({ of, hits }) >= limit
  if (!isEnough(of)) return null
  return bisect(Math.floor(of * TAIL), of, isEnough)
}

/** The most samples above an edge that say that the percentile lies below it; null where even none of them doesn't. */
function mostAbove(of: number, limit: number): number | null {
  const isFew = (hits: number): boolean => hits / of < TAIL && evidence({ of, hits }) >= limit
  if (!isFew(0)) return null
  return bisect(Math.ceil(of * TAIL), 0, isFew)
}

function evidence(counts: Hits): number {
  return rateEvidence(counts, TAIL, PRIOR)
}

/** Between a number that does not hold and one that does: the one nearest to the first that does. */
function bisect(not: number, does: number, holds: (value: number) => boolean): number {
  while (Math.abs(does - not) > 1) {
    const middle = Math.floor((not + does) / 2)
    if (holds(middle)) does = middle
    else not = middle
  }
  return does
}
