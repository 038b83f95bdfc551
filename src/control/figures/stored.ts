/**
 * Figures that are in memory, and in a state store where there is one: read from it at the start, and added to it from time to time.
 */
import type { StateStore } from '../../state/store/store.ts'

/** Where something is kept: `folder` over restarts, `cluster` for all its instances, `memory` for as long as the process runs. */
export const STORAGES = ['folder', 'cluster', 'memory'] as const
export type Storage = (typeof STORAGES)[number]

/** @param store null for none @param problem why it can't be used, or null */
export function storageOf(store: Pick<StateStore, 'place'> | null, problem: string | null): Storage {
  return store === null || problem !== null ? 'memory' : store.place
}

/** They are stored so often. */
const SAVE_EVERY_MS = 60_000

/** Whoever asks waits so long for what is stored: a disk may never answer. */
const LOAD_PATIENCE_MS = 10_000

export const DAY_MS = 86_400_000

/** The day of a time, from the epoch on. @param ms epoch milliseconds */
export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS)
}

/** What such figures have in common. Nothing here rejects: `problem` says why something is in memory only. */
export abstract class Stored {
  readonly #what: string
  readonly #periodMs: number
  protected readonly now: () => number
  #store: StateStore | null = null
  #onProblem: (problem: string | null) => void = () => {}
  /** The period in which the store was read; null where it was not, or has to be read again. */
  #loadedPeriod: number | null = null
  #saving: Promise<void> | null = null
  #savedMs = Number.NEGATIVE_INFINITY
  #problem: string | null = null

  /**
   * @param what these figures are, for the operator: such as `evidence is`
   * @param now epoch milliseconds
   * @param periodMs of the times by which they get too old: in each the store is read again
   */
  constructor(what: string, now: () => number, periodMs = DAY_MS) {
    this.#what = what
    this.now = now
    this.#periodMs = periodMs
  }

  /**
   * Keeps them in a store from now on.
   * @param onProblem called when they can't be stored, with the reason, and with null when they can again
   */
  keepIn(store: StateStore, onProblem: (problem: string | null) => void = () => {}): void {
    this.#store = store
    this.#onProblem = onProblem
  }

  get storage(): Storage {
    return storageOf(this.#store, this.#problem)
  }

  /** Why they are in memory only though there is a store, or null. */
  get problem(): string | null {
    return this.#problem
  }

  /** Resolves when what is stored is known, or after a while. */
  async ready(): Promise<void> {
    if (this.#loadedPeriod !== null || this.#store === null) return
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((done) => {
      timer = setTimeout(done, LOAD_PATIENCE_MS)
    })
    await Promise.race([this.save(), patience])
    clearTimeout(timer)
  }

  /** Stores what is not stored yet, if it is time to. */
  tick(): Promise<void> {
    return this.now() - this.#savedMs < SAVE_EVERY_MS && this.#loadedPeriod !== null ? Promise.resolve() : this.save()
  }

  /** Stores what is not stored yet, and reads what is stored where that has not been done in this period. */
  save(): Promise<void> {
    const store = this.#store
    if (store === null) return Promise.resolve()
    this.#saving ??= this.#save(store)
      .then(() => this.#tell(null))
      .catch((error: Error) => this.failed(error))
      .finally(() => {
        this.#saving = null
      })
    return this.#saving
  }

  /** The store has become this instance's own, or has lost what it had: it is read again. */
  reload(): void {
    this.#loadedPeriod = null
  }

  /** What is stored is known. */
  protected get isLoaded(): boolean {
    return this.#loadedPeriod !== null
  }

  /** There is a store, whether it can be used or not. */
  protected get hasStore(): boolean {
    return this.#store !== null
  }

  /** The store, where it can be read. */
  protected get stored(): StateStore | null {
    return this.#problem === null ? this.#store : null
  }

  /** Reads what is stored; what was counted meanwhile stays. */
  protected abstract load(store: StateStore): Promise<void>

  /** Stores what was counted since the last time. Where that fails, all of it counts as not stored. */
  protected abstract write(store: StateStore): Promise<void>

  async #save(store: StateStore): Promise<void> {
    const period = Math.floor(this.now() / this.#periodMs)
    if (this.#loadedPeriod !== period) {
      await this.load(store)
      this.#loadedPeriod = period
    }
    this.#savedMs = this.now()
    await this.write(store)
  }

  /** The store can't be used at present. */
  protected failed({ message }: Error): void {
    this.#tell(`${this.#what} kept in memory only: ${message}`)
  }

  #tell(problem: string | null): void {
    if (problem === this.#problem) return
    this.#problem = problem
    this.#onProblem(problem)
  }
}
