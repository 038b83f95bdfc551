/**
 * Bounds of a rate that hold at all times together, from how many of some keys had it.
 */

/** How many there were, and how many of them had it. */
export interface Hits {
  readonly of: number
  readonly hits: number
}

/** A prior of Jeffreys: as good for rates near 0 and 1 as any that does not know them. */
const JEFFREYS = { a: 0.5, b: 0.5 }

/** Steps of a bisection: finer than any count can tell. */
const BISECTIONS = 40

/**
 * The natural logarithm of the evidence against a rate: the likelihood of a Beta mixture over that of the rate. With outcomes that
 * have that rate it reaches `1 / alpha` with a chance of at most alpha, at whatever time one looks (Robbins 1970; Howard et al.,
 * "Time-uniform, nonparametric, nonasymptotic confidence sequences", arXiv 1810.08240, section 3).
 * @param prior of the mixture: it finds those rates soonest that are likely by it
 */
export function rateEvidence(counts: Hits, rate: number, prior = JEFFREYS): number {
  return logMixture(counts, prior) - logLikelihood(counts, rate)
}

/** The likelihood of the counts under the mixture. */
function logMixture({ of, hits }: Hits, prior: typeof JEFFREYS): number {
  return logBeta(prior.a + hits, prior.b + of - hits) - logBeta(prior.a, prior.b)
}

/** The likelihood of the counts under a rate. */
function logLikelihood({ of, hits }: Hits, rate: number): number {
  const ofHits = hits === 0 ? 0 : hits * Math.log(rate)
  const ofOthers = hits === of ? 0 : (of - hits) * Math.log1p(-rate)
  return ofHits + ofOthers
}

/**
 * Evidence, as `rateEvidence`, against "the rate is at most this": none where fewer had it.
 */
export function excessEvidence(counts: Hits, rate: number): number {
  if (counts.of === 0 || counts.hits / counts.of <= rate) return 0
  return rateEvidence(counts, rate)
}

/** The highest rate that the counts leave possible, with a chance of at most alpha to be ever below the true one. */
export function upperRate(counts: Hits, alpha: number): number {
  return edge(counts, alpha, counts.of === 0 ? 1 : counts.hits / counts.of, 1)
}

/** The lowest rate that the counts leave possible, with a chance of at most alpha to be ever above the true one. */
export function lowerRate(counts: Hits, alpha: number): number {
  return edge(counts, alpha, counts.of === 0 ? 0 : counts.hits / counts.of, 0)
}

/** Between a rate that is possible and an end of the range: where evidence against the rate reaches 1 / alpha. */
function edge(counts: Hits, alpha: number, possible: number, end: number): number {
  if (possible === end || counts.of === 0) return end
  const least = logMixture(counts, JEFFREYS) + Math.log(alpha)
  let [inside, outside] = [possible, end]
  for (let step = 0; step < BISECTIONS; step++) {
    const middle = (inside + outside) / 2
    if (logLikelihood(counts, middle) <= least) outside = middle
    else inside = middle
  }
  return outside
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b)
}

const LOG_ROOT_TAU = 0.5 * Math.log(2 * Math.PI)

/** The natural logarithm of the gamma function, for numbers above 0: Stirling's series, exact to 1e-12. */
function logGamma(x: number): number {
  if (x < 10) return logGamma(x + 1) - Math.log(x)
  const [inverse, square] = [1 / x, 1 / (x * x)]
  const series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
  return (x - 0.5) * Math.log(x) - x + LOG_ROOT_TAU + series
}
