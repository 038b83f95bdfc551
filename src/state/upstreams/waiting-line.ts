/**
 * The queue of an upstream: first in, first out, with one timeout.
 */
import { coarseNowMs, unwatch, type Watched, watch } from '../../wire/deadlines.ts'

/** An exchange that waits. */
export interface Waiter {
  /** It has the place that it waited for. */
  onTurn(): void
  /** It has waited for as long as it may, and waits no longer. */
  onWaitedLong(): void
}

/** A line without a bound of its own: who may join is decided by whoever lets them in. */
export class WaitingLine implements Watched {
  /** In the order in which they came, each with when its time is over. */
  readonly #waiters = new Map<Waiter, number>()
  deadlineMs = Number.POSITIVE_INFINITY

  get length(): number {
    return this.#waiters.size
  }

  /** @param timeoutMs for how long it may wait, at most a tick of the deadlines more */
  join(waiter: Waiter, timeoutMs: number): void {
    if (this.#waiters.size === 0) watch(this)
    this.#waiters.set(waiter, coarseNowMs() + timeoutMs)
    this.#look()
  }

  /** Takes out whoever has waited longest. @returns null where nobody waits */
  next(): Waiter | null {
    for (const waiter of this.#waiters.keys()) {
      this.leave(waiter)
      return waiter
    }
    return null
  }

  /** @returns whether it had waited */
  leave(waiter: Waiter): boolean {
    const waited = this.#waiters.delete(waiter)
    if (waited) this.#look()
    return waited
  }

  /** The time of the first is over. */
  expire(): void {
    const nowMs = coarseNowMs()
    for (const [waiter, untilMs] of this.#waiters) {
      // An edit of the table may let those who come later wait less long.
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
