/**
 * Figures of repeated rounds: the median and how far the rounds lay apart.
 */

/** A figure over several rounds. */
export interface Spread {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** The median of at least one value, with the lowest and the highest; throws RangeError on none. */
export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('spread of no values')
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
  return { median, low: sorted[0] as number, high: sorted.at(-1) as number }
}

/**
 * The ratio of two figures that were measured in the same rounds: the spread of the ratios round by round, so that what
 * slows a whole round (a neighbour on the machine) cancels out.
 */
export function ratio(over: readonly number[], under: readonly number[]): Spread {
  const rounds = Math.min(over.length, under.length)
  return spread(Array.from({ length: rounds }, (_, i) => (over[i] as number) / (under[i] as number)))
}

/** The value at a quantile (0 to 1) of values in ascending order, by the nearest rank. */
export function quantile(ascending: readonly number[] | Float64Array, at: number): number {
  if (ascending.length === 0) throw new RangeError('quantile of no values')
  const rank = Math.min(ascending.length - 1, Math.max(0, Math.ceil(at * ascending.length) - 1))
  return ascending[rank] as number
}

/**
 * The highest percentage that is still possible where so many of so many were seen: the exact bound of Clopper and Pearson.
 * @param confidence percent of cases in which it is right
 */
export function upperPercent(seen: number, of: number, confidence: number): number {
  if (seen >= of) return 100
  let [possible, impossible] = [seen / of, 1]
  for (let step = 0; step < 50; step++) {
    const middle = (possible + impossible) / 2
    if (chanceOfAtMost(seen, of, middle) > 1 - confidence / 100) possible = middle
    else impossible = middle
  }
  return impossible * 100
}

/** The chance of at most so many of so many at a rate between 0 and 1. */
function chanceOfAtMost(seen: number, of: number, rate: number): number {
  let [log, sum] = [of * Math.log1p(-rate), 0]
  for (let hits = 0; hits <= seen; hits++) {
    sum += Math.exp(log)
    log += Math.log((of - hits) / (hits + 1)) + Math.log(rate) - Math.log1p(-rate)
  }
  return sum
}
