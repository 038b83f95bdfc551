/**
 * Whether a path differs between the two sides, or only as much as two answers of the same side do.
 */
import type { DifferenceKind } from './difference.ts'

/** What was counted for one path and kind of difference. */
export interface PathCounts {
  /** In how many of `comparisons`, of `from` with `to`, it differed. */
  readonly raw: number
  readonly comparisons: number
  /** In how many of `noiseComparisons`, of two answers of `from` to requests picked at random, it differed. */
  readonly noise: number
  readonly noiseComparisons: number
  /** Without it, faults take six times as many comparisons. */
  readonly again?: Repeats
  readonly thresholds?: NoiseThresholds
}

/** For so many differences at a path `from` is asked again each time: that tells soonest whether they are noise. */
export const MOST_REPEATS = 20

/**
 * Of the comparisons in which a path differed, those after which `from` was asked once more: at random, or because the path,
 * or another one, had differed less than `MOST_REPEATS` times; and those of them in which its second answer differed from
 * its first one at the same path. Kinds with the same `repeatKind` are counted together, and asked again for together.
 */
export interface Repeats {
  readonly asked: number
  readonly differed: number
}

/**
 * The kind that repeats are counted under. Missing and extra are one: a member that one answer in a hundred lacks is missing
 * where `to` lacks it, which a second answer of `from` seldom confirms, and extra where `from` does, which it does always.
 */
export function repeatKind(kind: DifferenceKind): DifferenceKind | 'presence' {
  return kind === 'missing' || kind === 'extra' ? 'presence' : kind
}

export interface NoiseThresholds {
  /** Part of the sum of both rates by which they must differ. */
  readonly relative: number
  /** Part of all comparisons by which the rates must differ. */
  readonly absolute: number
}

/**
 * Diffy's thresholds, 20 % and 0.03 % (`JoinedDifferences.scala` of twitter-archive/diffy, with the defaults of its
 * `threshold.relative` and `threshold.absolute`).
 */
export const DIFFY_THRESHOLDS: NoiseThresholds = { relative: 0.2, absolute: 0.0003 }

export type PathVerdict = 'mismatch' | 'noise' | 'not-enough'

/**
 * What a path's counts say. It is a *mismatch* if the rates of raw differences and of noise are apart by Diffy's rule, and
 * that is no chance: in at most one of a hundred paths that are noise it is ever said, however often one looks. Else it is
 * *noise* if two answers of `from` differ there as well, and the rule does not hold or at least half of the differences come
 * with noise. Else there is not enough yet.
 *
 * The rule alone would call everything a mismatch that differs once before noise was looked for.
 */
export function judgePath(counts: PathCounts): PathVerdict {
  const { noise, again } = counts
  const isMore = isApart(counts)
  if (isMore && evidenceOf(counts) >= 1 / FALSE_ALARMS) return 'mismatch'
  const isRepeated = again !== undefined && again.differed > 0 && again.differed * 2 >= again.asked
  return isRepeated || (noise > 0 && !isMore) ? 'noise' : 'not-enough'
}

/** Diffy's rule, on rates instead of counts: it asks `from` twice for every request. */
export function isApart({ raw, comparisons, noise, noiseComparisons, thresholds }: PathCounts): boolean {
  const { relative, absolute } = thresholds ?? DIFFY_THRESHOLDS
  const rate = raw / Math.max(1, comparisons)
  const noiseRate = noise / Math.max(1, noiseComparisons)
  return rate - noiseRate > relative * (rate + noiseRate) && rate - noiseRate > absolute
}

/** Of paths that are noise, so many may ever be called a mismatch. */
const FALSE_ALARMS = 0.01

/** How often a path differs by noise, for each time it does between the sides, if it is a mismatch: what evidence is weighed for. */
const NOISE_OF_MISMATCHES = [0.02, 0.2, 0.5]

/** How many times likelier the counts are for a mismatch than for noise. */
function evidenceOf(counts: PathCounts): number {
  const ofRates = evidenceOfRates(counts)
  return counts.again === undefined ? ofRates : (ofRates + evidenceOfRepeats(counts.again)) / 2
}

/**
 * The rates of raw differences and of noise as evidence. Were both rates the same, each difference counted
 * would be a raw one with the part that raw comparisons have of all. A likelihood ratio reaches 100 with a chance of at most
 * 1 %, at whatever time one looks (Ville's inequality).
 */
function evidenceOfRates({ raw, comparisons, noise, noiseComparisons }: PathCounts): number {
  const part = (noisePart: number): number => comparisons / (comparisons + noisePart * noiseComparisons)
  return meanRatio(NOISE_OF_MISMATCHES.map(part), part(1), raw, noise)
}

/**
 * The same for answers of `from` that were asked again after a difference. Were the three answers (`from`, `to`, `from` again)
 * alike in kind, the third would equal the first in no more than half of the cases in which the second does not: it is as
 * likely to equal the second one, and can't equal both. So ten that equal the first are rare, whatever the noise is like.
 */
function evidenceOfRepeats({ asked, differed }: Repeats): number {
  const parts = NOISE_OF_MISMATCHES.filter((part) => part < 0.5).map((part) => 1 - part)
  return meanRatio(parts, 0.5, asked - differed, differed)
}

/** The mean of the likelihood ratios of some parts against another one, for so many events that count to the part and others. */
function meanRatio(parts: readonly number[], against: number, events: number, others: number): number {
  const ratios = parts.map((part) => {
    // Without noise comparisons everything is raw, for both.
    const ofOthers = others === 0 ? 0 : others * Math.log((1 - part) / (1 - against))
    return Math.exp(events * Math.log(part / against) + ofOthers)
  })
  return ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length
}
