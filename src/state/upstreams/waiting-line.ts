/**
 * The queue of an upstream: first in, first out, with one timeout.
 */
import { coarseNowMs, unwatch, type Watched, watch } from '../../wire/deadlines.ts'

/** A queued exchange. */
export interface Waiter {
  /** It is admitted. */
  onTurn(): void
  /** Its timeout has expired, and it has left the queue. */
  onWaitedLong(): void
}

/** The queue. It has no size limit itself: the caller checks that. */
export class WaitingLine implements Watched {
  /** In order of arrival, with their deadlines. */
  readonly #waiters = new Map<Waiter, number>()
  deadlineMs = Number.POSITIVE_INFINITY

  get length(): number {
    return this.#waiters.size
  }

  /** @param timeoutMs maximum wait, at most one tick of the deadlines longer */
  join(waiter: Waiter, timeoutMs: number): void {
    if (this.#waiters.size === 0) watch(this)
    this.#waiters.set(waiter, coarseNowMs() + timeoutMs)
    this.#look()
  }

  /** Removes the first in the queue. @returns null if it is empty */
  next(): Waiter | null {
    for (const waiter of this.#waiters.keys()) {
      this.leave(waiter)
      return waiter
    }
    return null
  }

  /** @returns whether it was queued */
  leave(waiter: Waiter): boolean {
    const waited = this.#waiters.delete(waiter)
    if (waited) this.#look()
    return waited
  }

  /** The first deadline has expired. */
  expire(): void {
    const nowMs = coarseNowMs()
    for (const [waiter, untilMs] of this.#waiters) {
      // After an edit of the table, later ones may have earlier deadlines.
      if (untilMs > nowMs) continue
      this.leave(waiter)
      waiter.onWaitedLong()
    }
  }

  #look(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY
    for (const untilMs of this.#waiters.values()) {
      this.deadlineMs = untilMs
      break
    }
    if (this.#waiters.size === 0) unwatch(this)
  }
}
