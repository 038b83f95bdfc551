/**
 * Pins after writes, told to the other instances of a cluster: best effort. Nobody waits for it, and a pin that can't be told is one of this
 * instance only.
 */
import { z } from 'zod'
import { MAX_PIN_MS, type Pin } from '../../state/pins.ts'
import type { RedisStateStore } from '../../state/redis/state-store.ts'
import { Broadcast } from './broadcast.ts'

/** Pins of one message, and those that wait while Redis takes its time; further ones are not told. */
const MAX_TOLD = 500
const MAX_WAITING = 10_000

const pin = z.object({
  ...{ id: z.string().max(100), salt: z.string().max(1_000), side: z.enum(['from', 'to']) },
  ...{ atMs: z.number(), untilMs: z.number() },
})

/** The pins of one instance, for the others. */
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

  /** @param take told of the pins of others */
  start(take: (pins: readonly Pin[]) => void): void {
    this.#others.start((told) => {
      const nowMs = this.#now()
      const pins = told.filter(({ untilMs }) => untilMs > nowMs && untilMs <= nowMs + MAX_PIN_MS)
      // One that was made in the future, by a clock that is ahead, would outlast later ones.
      if (pins.length > 0) take(pins.map((one) => ({ ...one, atMs: Math.min(one.atMs, nowMs) })))
    })
  }

  /** Tells the others. */
  relay(pins: readonly Pin[]): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(...pins)
    void this.#tell()
  }

  close(): void {
    this.#others.close()
    this.#waiting = []
  }

  /** One message at a time: what comes meanwhile goes with the next one. */
  async #tell(): Promise<void> {
    if (this.#isTelling) return
    this.#isTelling = true
    while (this.#waiting.length > 0) {
      try {
        await this.#others.tell(this.#waiting.splice(0, MAX_TOLD))
      } catch {
        // Those that have come meanwhile would be told late, if at all.
        this.#waiting = []
      }
    }
    this.#isTelling = false
  }
}
