/**
 * Numbers that look random and are always the same: a hash of (number, salt), and a seeded generator.
 */

/** A 32-bit unsigned hash of a number and a salt, by the finaliser of MurmurHash3. Numbers below 2^32 never collide under one salt. */
export function mix(number: number, salt: number): number {
  let hash = number ^ Math.imul(salt, 0x9e3779b1)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** The entry of a list that belongs to a number under a salt. */
export function pick<T>(list: readonly T[], number: number, salt: number): T {
  return list[mix(number, salt) % list.length] as T
}

/** A generator of numbers in [0, 1), the same sequence for the same seed. */
export function chanceFrom(seed: number): () => number {
  let count = 0
  return () => mix(count++, seed) / 2 ** 32
}
