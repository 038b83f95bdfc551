/**
 * Values that are asked for in one turn of the event loop are asked for in one command: a reply of many costs little more
 * than a reply of one, and most of what a small value costs is the command around it.
 */

/** Keys of one command at most. */
const MAX_KEYS = 64
/** A reply should not hold more than about so much: who waits for a small value must not wait for large ones as well. */
const MAX_REPLY_BYTES = 256 * 1024
/** Of each value seen, this part goes into what is taken for typical. */
const WEIGHT = 1 / 16

/** A value; null where there is none; undefined where nothing is known: no reply in time, or an error. */
export type Value = Buffer | null | undefined

/** Asks for the values of some keys, at least one. The reply has one for each, or is undefined. */
export type AskForValues = (names: readonly string[]) => Promise<readonly (Buffer | null)[] | undefined>

interface Batch {
  readonly names: string[]
  readonly settle: ((value: Value) => void)[]
}

/** Gathers what is asked for. */
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
