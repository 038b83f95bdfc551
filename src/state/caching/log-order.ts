/**
 * The order of the log of purges that processes share: each knows by it how far another one had read.
 */

/**
 * Where somebody stands in a log: a number that counts up by one, and one by chance that tells its record from the record of the
 * same number in another log, or in what became of this one after some records were lost. A log begins with number 0, which is no
 * purge: by it an empty log is told from any other.
 */
export type Position = string

/** In no log. */
export const NOWHERE: Position = '0-0'

const FORM = /^([0-9]{1,15})-([0-9]{1,16})$/

/** The number of a position; null where the text is none. */
export function sequenceOf(position: string): number | null {
  const found = FORM.exec(position)
  return found === null ? null : Number(found[1])
}

/** So many records are told apart at least; who has read no further than one before them is taken to have read nothing. */
const MAX_KNOWN = 100_000

/** The records of the log as it now is, as far as they are known: without a hole, up to the last one read. */
export class LogOrder {
  /** Number of the first one that is known. */
  #first = 0
  /** The second number of each: a log is long, and numbers are small. */
  #tags: number[] = []

  /** The last record read. */
  get last(): Position {
    const tag = this.#tags.at(-1)
    return tag === undefined ? NOWHERE : `${this.end}-${tag}`
  }

  /** Its number; -1 before any. */
  get end(): number {
    return this.#first - 1 + this.#tags.length
  }

  /** The number of a position in this log; -1 where it is in none, in another one, or before all that is known. */
  find(position: Position): number {
    const sequence = sequenceOf(position)
    if (sequence === null) return -1
    const tag = this.#tags[sequence - this.#first]
    return tag !== undefined && `${sequence}-${tag}` === position ? sequence : -1
  }

  /** The next record. */
  append(position: Position): void {
    this.#tags.push(Number(position.slice(position.indexOf('-') + 1)))
    if (this.#tags.length < 2 * MAX_KNOWN) return
    this.#tags.splice(0, MAX_KNOWN)
    this.#first += MAX_KNOWN
  }

  /** The log ends behind `sequence`, or with -1 is another one: what was known to come after it is not there. */
  cut(sequence: number): void {
    this.#tags.length = Math.max(0, sequence - this.#first + 1)
    if (sequence === -1) this.#first = 0
  }

  /** What comes before `sequence` is not known. */
  begin(sequence: number): void {
    this.#tags = []
    this.#first = sequence
  }
}
