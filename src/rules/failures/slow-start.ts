/**
 * Slow start: a server that comes takes a small part of its share first, and the whole of it after a while.
 */

/** What it takes at first: enough that it warms up. */
const FIRST = 0.1

/**
 * The part of its weight that a server has, in (0, 1]: it grows evenly over the length.
 * @param ageMs since it came
 * @param lengthMs 0 for none
 */
export function slowStartFactor(ageMs: number, lengthMs: number): number {
  return ageMs >= lengthMs ? 1 : Math.max(FIRST, ageMs / lengthMs)
}
