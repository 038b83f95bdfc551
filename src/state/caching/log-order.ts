/**
 * The order of the log of purges that processes share: each knows by it how far another one had read.
 */

/**
 * Where somebody stands in a log: a number that counts up by one, and one by chance that tells its record from the record of the
 * same number in another log, or in what became of this one after some records were lost. `0-0` is before the first record.
 */
export type Position = string

/** Before the first record of any log. */
export const BEFORE_ALL: Position = '0-0'

const FORM = /^([0-9]{1,15})-([0-9]{1,16})$/

/** The number of a position; null where the text is none. */
export function sequenceOf(position: string): number | null {
  const found = FORM.exec(position)
  return found === null ? null : Number(found[1])
}

/** So many records are told apart at least; who has read no further than one before them is taken to have read nothing. */
const MAX_KNOWN = 20_000

/** The records of the log as it now is, as far as they are known: without a hole, up to the last one read. */
export class LogOrder {
  /** Number of the first one that is known. */
  #first = 1
  #known: Position[] = []

  /** The last record read. */
  get last(): Position {
    return this.#known.at(-1) ?? BEFORE_ALL
  }

  /** Its number; 0 before any. */
  get length(): number {
    return this.#first - 1 + this.#known.length
  }

  /** The number of a position in this log; -1 where it is in none, in another one, or before all that is known. */
  find(position: Position): number {
    if (position === BEFORE_ALL) return this.#first === 1 ? 0 : -1
    const sequence = sequenceOf(position)
    return sequence !== null && this.#known[sequence - this.#first] === position ? sequence : -1
  }

  /** The next record. */
  append(position: Position): void {
    this.#known.push(position)
    if (this.#known.length < 2 * MAX_KNOWN) return
    this.#known.splice(0, MAX_KNOWN)
    this.#first += MAX_KNOWN
  }

  /** The log ends behind `sequence`: what was known to come after it is not there. */
  cut(sequence: number): void {
    this.#known.length = Math.max(0, sequence - this.#first + 1)
    if (sequence === 0) this.#first = 1
  }

  /** What comes before `sequence` can't be known. */
  begin(sequence: number): void {
    this.#known = []
    this.#first = sequence
  }
}
