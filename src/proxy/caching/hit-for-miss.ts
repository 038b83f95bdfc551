/**
 * Hit-for-miss: remembers which responses could not be shared, so that requests for them are not collapsed for a while.
 */
const MARK_MS = 120_000
const MAX_MARKS = 10_000

/** The marks of one process, oldest first. */
export class HitForMiss {
  readonly #now: () => number
  /** By collapse key: epoch milliseconds until which requests are not collapsed. */
  readonly #marks = new Map<string, number>()

  /** @param now epoch milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  mark(collapseKey: string): void {
    this.#marks.delete(collapseKey)
    this.#marks.set(collapseKey, this.#now() + MARK_MS)
    if (this.#marks.size > MAX_MARKS) this.#marks.delete(this.#marks.keys().next().value as string)
  }

  unmark(collapseKey: string): void {
    this.#marks.delete(collapseKey)
  }

  isMarked(collapseKey: string): boolean {
    const untilMs = this.#marks.get(collapseKey)
    if (untilMs === undefined) return false
    if (this.#now() < untilMs) return true
    this.#marks.delete(collapseKey)
    return false
  }
}
