/**
 * Estimates the number of recent distinct units without storing them: linear counting in a small bitmap.
 */

/** The bits of a span that are set, as words and where each stands: plain data. */
export type UnitBits = readonly (readonly [at: number, word: number])[]

const BITS = 4096
const TWO_32 = 2 ** 32

/** Counts distinct sticky keys of the last one to two spans; within some per cent up to about 20,000. */
export class UnitCounter {
  static readonly SPAN_MS = 60_000
  /** Made when the first unit comes: most routes are not sticky, or idle. */
  #now: Uint32Array | null = null
  #before: Uint32Array | null = null

  /** @param bucket the unit's place in [0, 100), as the decision has it */
  add(bucket: number): void {
    this.#now ??= new Uint32Array(BITS / 32)
    // The low bits of the hash: the high ones are what the share is cut from, so on one side they are not even.
    const bit = Math.round((bucket / 100) * TWO_32) % BITS
    this.#now[bit >>> 5]! |= 1 << (bit & 31)
  }

  /** Those of the running span; from now on it has none. */
  take(): UnitBits {
    const words = this.#now ?? []
    this.#now = null
    return [...words.entries()].filter(([, word]) => word !== 0)
  }

  /** Adds units that another counter has seen. */
  merge(bits: UnitBits): void {
    if (bits.length === 0) return
    this.#now ??= new Uint32Array(BITS / 32)
    for (const [at, word] of bits) this.#now[at]! |= word
  }

  /** Begins a new span. */
  turn(): void {
    this.#before = this.#now
    this.#now = null
  }

  /** The estimate. */
  count(): number {
    return UnitCounter.countAll([this])
  }

  /** The estimate for several together: a unit that more than one has seen counts once. */
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
