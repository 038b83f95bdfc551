/**
 * Batches the values requested in one turn of the event loop into one command: a reply with many small values costs little more than a
 * reply with one.
 */

/** Maximum keys per command. */
const MAX_KEYS = 64
/** Approximate maximum size of a reply, so that small values don't wait long for large ones. */
const MAX_REPLY_BYTES = 256 * 1024
/** Weight of each new value in the moving average of sizes. */
const WEIGHT = 1 / 16

/** A value; null for none; undefined if unknown: no reply in time, or an error. */
export type Value = Buffer | null | undefined

/** Requests the values of at least one key. Returns one for each, or undefined. */
export type AskForValues = (names: readonly string[]) => Promise<readonly (Buffer | null)[] | undefined>

interface Batch {
  readonly names: string[]
  readonly settle: ((value: Value) => void)[]
}

/** Batches requests. */
export class Gatherer {
  readonly #ask: AskForValues
  #batch: Batch | null = null
  #typicalBytes = 0

  /** @param ask it must not reject */
  constructor(ask: AskForValues) {
    this.#ask = ask
  }

  /** The value of one key. */
  get(name: string): Promise<Value> {
    return new Promise((resolve) => {
      if (this.#batch === null) {
        this.#batch = { names: [], settle: [] }
        setImmediate(() => this.#send())
      }
      const { names, settle } = this.#batch
      names.push(name)
      settle.push(resolve)
      if (names.length >= this.#keysAtOnce()) this.#send()
    })
  }

  #keysAtOnce(): number {
    return Math.min(MAX_KEYS, Math.max(1, Math.floor(MAX_REPLY_BYTES / (this.#typicalBytes + 1))))
  }

  #send(): void {
    const batch = this.#batch
    if (batch === null) return
    this.#batch = null
    void this.#ask(batch.names).then((values) => {
      for (let i = 0; i < batch.settle.length; i++) {
        const value = values?.[i]
        if (value) this.#typicalBytes += (value.length - this.#typicalBytes) * WEIGHT
        batch.settle[i]!(value)
      }
    })
  }
}
