/**
 * Pins after writes, told to the other instances of a cluster: best effort. Nobody waits for it, and a pin that can't be told is one of this
 * instance only.
 */
import { z } from 'zod'
import { MAX_PIN_MS, type Pin } from '../../state/pins.ts'
import type { RedisStateStore } from '../../state/redis/state-store.ts'

const TOPIC = 'pins'

/** Pins of one message, and those that wait while Redis takes its time; further ones are not told. */
const MAX_TOLD = 500
const MAX_WAITING = 10_000

const told = z.object({
  instance: z.string(),
  pins: z
    .array(
      z.object({
        ...{ id: z.string().max(100), salt: z.string().max(1_000), side: z.enum(['from', 'to']) },
        ...{ atMs: z.number(), untilMs: z.number() },
      }),
    )
    .max(MAX_TOLD),
})

/** The pins of one instance, for the others. */
export class SharedPins {
  readonly #store: RedisStateStore
  readonly #instance: string
  readonly #now: () => number
  #take: (pins: readonly Pin[]) => void = () => {}
  #waiting: Pin[] = []
  #isTelling = false
  #isReading = false
  #isNews = false
  #position = 0
  #unlisten: () => void = () => {}

  /** @param now epoch milliseconds */
  constructor(store: RedisStateStore, instance: string, now: () => number) {
    this.#store = store
    this.#instance = instance
    this.#now = now
  }

  /** @param take told of the pins of others */
  start(take: (pins: readonly Pin[]) => void): void {
    this.#take = take
    this.#unlisten = this.#store.onMessage(TOPIC, () => void this.#read())
  }

  /** Tells the others. */
  relay(pins: readonly Pin[]): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(...pins)
    void this.#tell()
  }

  close(): void {
    this.#unlisten()
    this.#waiting = []
  }

  /** One message at a time: what comes meanwhile goes with the next one. */
  async #tell(): Promise<void> {
    if (this.#isTelling) return
    this.#isTelling = true
    while (this.#waiting.length > 0) {
      const pins = this.#waiting.splice(0, MAX_TOLD)
      const text = JSON.stringify({ instance: this.#instance, pins })
      try {
        await this.#store.publish(TOPIC, this.#store.link.seal.close(TOPIC, text))
      } catch {
        // Those that have come meanwhile would be told late, if at all.
        this.#waiting = []
      }
    }
    this.#isTelling = false
  }

  async #read(): Promise<void> {
    this.#isNews = true
    if (this.#isReading) return
    this.#isReading = true
    try {
      while (this.#isNews) {
        this.#isNews = false
        const { messages, isGap } = await this.#store.messages(TOPIC, this.#position)
        // Another Redis, or one that was emptied, counts from 1 again.
        if (isGap && messages.length === 0) [this.#position, this.#isNews] = [0, true]
        for (const { position, text } of messages) {
          this.#position = position
          this.#heard(text)
        }
      }
    } catch {
      // With the next message.
    } finally {
      this.#isReading = false
    }
  }

  #heard(text: string): void {
    const opened = this.#store.link.seal.open(TOPIC, text)
    const read = opened === null ? null : told.safeParse(jsonOf(opened))
    if (read?.success !== true || read.data.instance === this.#instance) return
    const nowMs = this.#now()
    const isOver = ({ untilMs }: Pin): boolean => untilMs <= nowMs || untilMs > nowMs + MAX_PIN_MS
    const pins = read.data.pins.filter((pin) => !isOver(pin))
    // One that was made in the future, by a clock that is ahead, would outlast later ones.
    if (pins.length > 0) this.#take(pins.map((pin) => ({ ...pin, atMs: Math.min(pin.atMs, nowMs) })))
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
