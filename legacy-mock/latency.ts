/**
 * How long the application takes to think: log-normal around a median, with the tail that old databases have.
 */
import { chanceFrom } from './mix.ts'

/** Draws the waiting time of one exchange, in milliseconds. */
export type Latency = () => number

/** Spread of the logarithm: the 99th percentile is 4 times the median, the 99.9th 6.4 times. */
const SIGMA = 0.6
/** No answer takes longer than this many medians. */
const CAP = 20

/** No waiting at all. */
export const NO_LATENCY: Latency = () => 0

/**
 * A log-normal distribution with the given median in milliseconds (0 or more).
 * The draws are the same sequence for the same seed.
 */
export function logNormal(medianMs: number, seed: number): Latency {
  if (medianMs === 0) return NO_LATENCY
  const chance = chanceFrom(seed)
  return () => {
    // Box-Muller: two uniform draws make one normal draw; 1 - u keeps the logarithm away from 0.
    const normal = Math.sqrt(-2 * Math.log(1 - chance())) * Math.cos(2 * Math.PI * chance())
    return medianMs * Math.min(CAP, Math.exp(SIGMA * normal))
  }
}
