/**
 * Estimates the number of recent distinct units without storing them: linear counting in a small bitmap.
 */

/** The set bits of a span, as words with their indexes: plain data. */
export type UnitBits = readonly (readonly [at: number, word: number])[]

const BITS = 4096
const TWO_32 = 2 ** 32

/** Estimates distinct sticky keys of the last one to two spans, within some percent up to about 20,000. */
export class UnitCounter {
  static readonly SPAN_MS = 60_000
  /** Created on first use: most routes are not sticky, or idle. */
  #now: Uint32Array | null = null
  #before: Uint32Array | null = null

  /** @param bucket of the unit, in [0, 100), from the decision */
  add(bucket: number): void {
    this.#now ??= new Uint32Array(BITS / 32)
    // The low bits of the hash: the share is selected by the high ones, so on one side those are not uniform.
    const bit = Math.round((bucket / 100) * TWO_32) % BITS
    this.#now[bit >>> 5]! |= 1 << (bit & 31)
  }

  /** Returns the bits of the current span and clears them. */
  take(): UnitBits {
    const words = this.#now ?? []
    this.#now = null
    return [...words.entries()].filter(([, word]) => word !== 0)
  }

  /** Adds the units of another counter. */
  merge(bits: UnitBits): void {
    if (bits.length === 0) return
    this.#now ??= new Uint32Array(BITS / 32)
    for (const [at, word] of bits) this.#now[at]! |= word
  }

  /** Starts a new span. */
  turn(): void {
    this.#before = this.#now
    this.#now = null
  }

  /** The estimate. */
  count(): number {
    return UnitCounter.countAll([this])
  }

  /** The estimate for several counters together: a unit in more than one counts once. */
  static countAll(counters: readonly UnitCounter[]): number {
    let zeros = 0
    for (let word = 0; word < BITS / 32; word++) {
      let bits = 0
      for (const one of counters) bits |= (one.#now?.[word] ?? 0) | (one.#before?.[word] ?? 0)
      zeros += 32 - bitsOf(bits)
    }
    return Math.round(-BITS * Math.log(Math.max(zeros, 1) / BITS)) || 0
  }
}

function bitsOf(word: number): number {
  let count = 0
  for (let rest = word >>> 0; rest !== 0; rest = (rest & (rest - 1)) >>> 0) count++
  return count
}
