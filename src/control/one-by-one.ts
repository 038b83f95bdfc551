/**
 * Serializes work that must not overlap.
 */

/** Runs pieces of work one after the other. */
export class OneByOne {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `work` after all earlier pieces, whether they succeeded or not. Settles as it does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}
