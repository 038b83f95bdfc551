/**
 * Shares pins after writes with the other instances of a cluster. Best effort: nothing waits for it, and a pin that can't be sent applies
 * to this instance only.
 */
import { z } from 'zod'
import { MAX_PIN_MS, type Pin } from '../../state/pins.ts'
import type { RedisStateStore } from '../../state/redis/state-store.ts'
import { Broadcast } from './broadcast.ts'

/** Limits on pins in one message, and on pins queued while Redis is slow; more are dropped. */
const MAX_TOLD = 500
const MAX_WAITING = 10_000

const pin = z.object({
  ...{ id: z.string().max(100), salt: z.string().max(1_000), side: z.enum(['from', 'to']) },
  ...{ atMs: z.number(), untilMs: z.number() },
})

/** Sends the pins of this instance, and receives those of the others. */
export class SharedPins {
  readonly #others: Broadcast<readonly Pin[]>
  readonly #now: () => number
  #waiting: Pin[] = []
  #isTelling = false

  /** @param now epoch milliseconds */
  constructor(store: RedisStateStore, instance: string, now: () => number) {
    this.#others = new Broadcast<readonly Pin[]>(store, instance, 'pins', z.array(pin).max(MAX_TOLD))
    this.#now = now
  }

  /** @param take called with the pins of others */
  start(take: (pins: readonly Pin[]) => void): void {
    this.#others.start((told) => {
      const nowMs = this.#now()
      const pins = told.filter(({ untilMs }) => untilMs > nowMs && untilMs <= nowMs + MAX_PIN_MS)
      // A pin from the future, made by a clock that is ahead, would outlast later ones.
      if (pins.length > 0) take(pins.map((one) => ({ ...one, atMs: Math.min(one.atMs, nowMs) })))
    })
  }

  /** Sends pins to the other instances. */
  relay(pins: readonly Pin[]): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(...pins)
    void this.#tell()
  }

  close(): void {
    this.#others.close()
    this.#waiting = []
  }

  /** Sends one message at a time: pins that arrive meanwhile go with the next one. */
  async #tell(): Promise<void> {
    if (this.#isTelling) return
    this.#isTelling = true
    while (this.#waiting.length > 0) {
      try {
        await this.#others.tell(this.#waiting.splice(0, MAX_TOLD))
      } catch {
        // Drop those that arrived meanwhile: they would be late, if they got through at all.
        this.#waiting = []
      }
    }
    this.#isTelling = false
  }
}
