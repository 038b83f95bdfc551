/**
 * Work that is asked for by many, such as a read of what others may change at any time.
 */

/** Runs the same work for all who ask for it: once at a time, and for each a run that begins after it was asked for. */
export class FreshRun<T> {
  readonly #work: () => Promise<T>
  #running: Promise<T> | null = null
  /** The run behind that one: what runs may have read already. */
  #next: Promise<T> | null = null

  constructor(work: () => Promise<T>) {
    this.#work = work
  }

  /** Settles as that run does, whoever asks for another one meanwhile: where each takes long, somebody always does. */
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

  /** Settles when nothing runs. */
  async ended(): Promise<void> {
    while (this.#running !== null) await this.#running.catch(() => {})
  }
}
