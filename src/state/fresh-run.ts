/**
 * Coalesces requests for the same work, such as reading data that others may change at any time.
 */

/** Runs work for all callers: one run at a time, and each caller gets a run that began after its call. */
export class FreshRun<T> {
  readonly #work: () => Promise<T>
  #running: Promise<T> | null = null
  /** The next run, for callers that came too late for the current one. */
  #next: Promise<T> | null = null

  constructor(work: () => Promise<T>) {
    this.#work = work
  }

  /** Settles with the caller's run, even if others request more runs meanwhile. */
  run(): Promise<T> {
    if (this.#running === null) {
      this.#running = this.#work().finally(() => {
        this.#running = null
      })
      return this.#running
    }
    const again = (): Promise<T> => {
      this.#next = null
      return this.run()
    }
    this.#next ??= this.#running.then(again, again)
    return this.#next
  }

  /** Resolves when nothing is running. */
  async ended(): Promise<void> {
    while (this.#running !== null) await this.#running.catch(() => {})
  }
}
