/**
 * How strongly counts of failures say that one side fails more often than the other, however often one looks.
 */

/** First failures of different keys while a share of the keys was on the new side. Additive over processes. */
export interface ShareFailures {
  /** Part of the keys that the draw puts on the new side, 0 to 1. */
  readonly share: number
  /** Keys that failed on the new side, and on the rest. */
  readonly to: number
  readonly rest: number
}

/** Relative risks, in multiples of the tolerated one, for which evidence is weighed: all alike. */
const RISKS: readonly number[] = [1.5, 2, 3, 4.5, 7, 10, 15, 22, 33, 50]

/**
 * The natural logarithm of the evidence against "the new side fails at most `ratio` times as often as the rest": a mixture of
 * likelihood ratios over relative risks. Where that holds, each failure of a key falls on the new side with a chance of at most
 * `ratio * share / (ratio * share + 1 - share)`, whatever the traffic is like, so the evidence is a test supermartingale: the
 * chance that it ever reaches `x` is at most `1 / x` (Ville's inequality; Lindon et al., arXiv 2205.14762, section 4).
 *
 * A key must count once only, at its first failure and with the share at that time: later failures of the same key fall on the
 * same side, and would be counted as if they were independent.
 * @param ratio how many times as often the new side may fail, at least 1
 */
export function riskEvidence(failures: readonly ShareFailures[], ratio: number): number {
  return logMean(RISKS.map((risk) => logRatio(failures, ratio * risk, ratio)))
}

/** The logarithm of the likelihood ratio of a relative risk against the tolerated one. */
function logRatio(failures: readonly ShareFailures[], risk: number, tolerated: number): number {
  let sum = 0
  for (const { share, to, rest } of failures) {
    // Without a control, or without traffic on the new side, a failure says nothing.
    if (share <= 0 || share >= 1 || to + rest === 0) continue
    const [there, allowed] = [partOf(risk, share), partOf(tolerated, share)]
    if (to > 0) sum += to * Math.log(there / allowed)
    if (rest > 0) sum += rest * Math.log((1 - there) / (1 - allowed))
  }
  return sum
}

/** The part of all failures that falls on the new side. */
function partOf(risk: number, share: number): number {
  return (risk * share) / (risk * share + 1 - share)
}

/** The logarithm of the mean of numbers that are given as logarithms. */
export function logMean(logs: readonly number[]): number {
  return logMix(logs.map((log) => [log, 1 / logs.length]))
}

/** The logarithm of a weighted sum of numbers that are given as logarithms. */
export function logMix(parts: readonly (readonly [log: number, weight: number])[]): number {
  const highest = Math.max(...parts.map(([log]) => log))
  if (highest === Number.NEGATIVE_INFINITY) return highest
  return highest + Math.log(parts.reduce((sum, [log, weight]) => sum + weight * Math.exp(log - highest), 0))
}
