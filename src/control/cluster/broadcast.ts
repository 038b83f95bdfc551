/**
 * Sealed, ordered, best-effort messages of one kind between the instances of a cluster. Messages of another shape are ignored.
 */

import { z } from 'zod'
import { jsonOf } from '../../rules/values/json.ts'
import type { RedisStateStore } from '../../state/redis/state-store.ts'

/** Messages of one kind. */
export class Broadcast<T> {
  readonly #store: RedisStateStore
  readonly #topic: string
  readonly #instance: string
  readonly #message: z.ZodType<{ readonly instance: string; readonly told: T }>
  #hear: (told: T, instance: string) => void = () => {}
  #isReading = false
  #isNews = false
  #position = 0
  #unlisten: () => void = () => {}

  constructor(store: RedisStateStore, instance: string, topic: string, shape: z.ZodType<T>) {
    this.#store = store
    this.#instance = instance
    this.#topic = topic
    this.#message = z.object({ instance: z.string().max(100), told: shape }) as never
  }

  /** @param hear called with messages that other instances send from about now on */
  start(hear: (told: T, instance: string) => void): void {
    this.#hear = hear
    this.#unlisten = this.#store.onMessage(this.#topic, () => void this.#read())
  }

  /** Sends a message to the other instances. @throws {StateError} */
  async tell(told: T): Promise<void> {
    const text = JSON.stringify({ instance: this.#instance, told })
    await this.#store.publish(this.#topic, this.#store.link.seal.close(this.#topic, text))
  }

  close(): void {
    this.#unlisten()
  }

  async #read(): Promise<void> {
    this.#isNews = true
    if (this.#isReading) return
    this.#isReading = true
    try {
      while (this.#isNews) {
        this.#isNews = false
        const { messages, isGap } = await this.#store.messages(this.#topic, this.#position)
        // Another Redis, or one that was emptied, numbers messages from 1 again.
        if (isGap && messages.length === 0) [this.#position, this.#isNews] = [0, true]
        for (const { position, text } of messages) {
          this.#position = position
          this.#take(text)
        }
      }
    } catch {
      // Retried with the next message.
    } finally {
      this.#isReading = false
    }
  }

  #take(text: string): void {
    const opened = this.#store.link.seal.open(this.#topic, text)
    const read = opened === null ? null : this.#message.safeParse(jsonOf(opened))
    if (read?.success === true && read.data.instance !== this.#instance) this.#hear(read.data.told, read.data.instance)
  }
}
