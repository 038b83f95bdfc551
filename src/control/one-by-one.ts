/**
 * Work that must not overlap.
 */

/** Runs one piece of work after the other. */
export class OneByOne {
  #last: Promise<unknown> = Promise.resolve()

  /** Runs `work` after all that was given before, however that ended. Settles as it does. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}
