/**
 * Whose turn it is to edit. Edits are made as they come, and one that has to be parsed is made again where others have overtaken it;
 * after some times it is its turn, and whatever else has to be parsed waits. Changes of numbers pass, since what is being parsed goes
 * on with them; where they are changes of just what it edits, they have to wait too.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { OneByOne } from '../one-by-one.ts'

/** Where several instances edit one table. */
export interface SharedTurn {
  /** Waits for the turn of this instance. @returns what ends it. Never rejects: it is a matter of fairness only */
  take(): Promise<() => void>
  /** From now on this turn is before changes of numbers too. */
  insist(): void
  /** Whether another instance has it. @param isQuick asked for a change of numbers. Never rejects. */
  isOthers(isQuick: boolean): Promise<boolean>
}

/** So long before it is looked again whether another instance still has the turn. */
const AGAIN_MS = 50

/** The turn among the edits of one process, and of a cluster where there is one. */
export class EditTurn {
  readonly #shared: SharedTurn | null
  readonly #waiting = new OneByOne()
  /** Settles when that is over which has the turn; null where nobody has it. */
  #held: Promise<void> | null = null
  #isStrict = false

  constructor(shared: SharedTurn | null) {
    this.#shared = shared
  }

  /** Does work in its turn. @returns what it returns */
  async run<T>(work: () => Promise<T>): Promise<T> {
    return await this.#waiting.run(async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#held = promise
      const release = await this.#shared?.take()
      try {
        return await work()
      } finally {
        release?.()
        this.#held = null
        this.#isStrict = false
        resolve()
      }
    })
  }

  /** Changes of numbers wait for the current turn too. */
  insist(): void {
    this.#isStrict = true
    this.#shared?.insist()
  }

  /**
   * What an edit that does not have the turn has to wait for before it looks again; null where it need not wait.
   * @param isQuick for a change of numbers
   */
  async ofOthers(isQuick: boolean): Promise<(() => Promise<unknown>) | null> {
    const held = this.#held
    if (held !== null && (!isQuick || this.#isStrict)) return () => held
    return (await this.#shared?.isOthers(isQuick)) === true ? () => wait(AGAIN_MS) : null
  }
}
