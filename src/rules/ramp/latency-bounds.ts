/**
 * Bounds of the 95th percentile of a latency that hold at all times together.
 */
import { type FineCounts, fineBound } from '../values/duration-buckets.ts'
import { type Hits, rateEvidence } from './rate-bounds.ts'

/** The part of the samples above the 95th percentile. */
export const TAIL = 0.05

/** It finds those tails soonest that are a few times as large as, or smaller than, the one looked for. */
const PRIOR = { a: 0.5, b: 9.5 }

/**
 * The lowest 95th percentile that samples leave possible, milliseconds, by the edges of their buckets; null where they say nothing
 * yet. Below the percentile more than a twentieth of the samples lie above an edge, beyond it less: an edge is ruled out where the
 * counts are evidence enough against that rate. As the percentile is one edge only, no correction for many edges is needed (Howard
 * and Ramdas, "Sequential estimation of quantiles with applications to A/B testing", arXiv 1906.09712, section 3).
 * @param fine samples by bucket, in ascending order, at most one for each key and while
 * @param alpha the chance that it is ever above the true one
 */
export function p95Lower(fine: FineCounts, alpha: number): number | null {
  const fewest = fewestAbove(countOf(fine), -Math.log(alpha))
  return fewest === null ? null : fineBound(bucketOf(fine, fewest))
}

/** The highest one that they leave possible. @param alpha the chance that it is ever below the true one */
export function p95Upper(fine: FineCounts, alpha: number): number | null {
  const most = mostAbove(countOf(fine), -Math.log(alpha))
  return most === null ? null : fineBound(bucketOf(fine, most + 1) + 1)
}

/** That of the samples themselves, between both bounds; null without samples. */
export function p95Of(fine: FineCounts): number | null {
  const of = countOf(fine)
  return of === 0 ? null : fineBound(bucketOf(fine, Math.floor(of * TAIL) + 1))
}

function countOf(fine: FineCounts): number {
  let of = 0
  for (let at = 1; at < fine.length; at += 2) of += fine[at] as number
  return of
}

/** The highest bucket at or above whose lower edge so many samples lie, of at least as many. */
function bucketOf(fine: FineCounts, samples: number): number {
  let above = 0
  let at = fine.length
  while (above < samples && at > 0) {
    at -= 2
    above += fine[at + 1] as number
  }
  return fine[at] as number
}

/** The fewest samples above an edge that say that the percentile lies above it too; null where even all of them don't. */
function fewestAbove(of: number, limit: number): number | null {
  if (of === 0) return null
  const isEnough = (hits: number): boolean => hits / of > TAIL && evidence({ of, hits }) >= limit
  if (!isEnough(of)) return null
  return bisect(Math.floor(of * TAIL), of, isEnough)
}

/** The most samples above an edge that say that the percentile lies below it; null where even none of them doesn't. */
function mostAbove(of: number, limit: number): number | null {
  if (of === 0) return null
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
