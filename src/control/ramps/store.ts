/**
 * Where ramps are kept: the state store, as long as it can be read and written.
 */
import { isUnderWay } from '../../rules/ramp/plan.ts'
import type { StateStore } from '../../state/store/store.ts'
import type { ControlLog } from '../control-log.ts'
import { type Storage, storageOf } from '../figures/stored.ts'
import { MAX_FAILED_KEYS, type RampRecord, readRampRecord } from './record.ts'
import type { Run } from './run.ts'

const SPACE = 'ramps'
const KEY = 'ramp'

/**
 * What is stored of ramps. With a folder that can't be written they go on in memory, and nothing here rejects. In a cluster another
 * instance would go on with what is stored: what can't be stored there is not done.
 */
export class RampStore {
  readonly #store: StateStore | null
  readonly #log: ControlLog
  readonly #monotonic: () => number
  /** Why ramps are in memory only though there is a store, or null. */
  problem: string | null = null

  /** @param store null keeps them in memory */
  constructor(store: StateStore | null, log: ControlLog, monotonic: () => number) {
    this.#store = store
    this.#log = log
    this.#monotonic = monotonic
  }

  get storage(): Storage {
    return storageOf(this.#store, this.problem)
  }

  /** Those that are stored and readable; null where the store can't be read. */
  async read(): Promise<RampRecord[] | null> {
    if (this.#store === null) return []
    try {
      const records: RampRecord[] = []
      for (const { group, value } of await this.#store.list(SPACE)) {
        const record = readRampRecord(value)
        if (record !== null) records.push(record)
        else this.#warn(`the stored ramp of ${group} is unreadable: it is not continued`, group)
      }
      // An instance that only shows them may never write again.
      if (this.#store.place === 'cluster') this.problem = null
      return records
    } catch (error) {
      this.#failed(error as Error)
      return null
    }
  }

  /** Stores where a ramp stands and what was counted. @throws {StateError} in a cluster */
  async save(run: Run): Promise<void> {
    const { record, counts } = run
    run.savedMs = this.#monotonic()
    const most = Math.floor(MAX_FAILED_KEYS / record.routes.length)
    const routes = record.routes.map((one) => {
      const counted = counts.get(one.route)
      return {
        ...one,
        evidence: counted?.evidence().steps ?? [],
        failedKeys: counted?.failedKeys(most) ?? [],
      }
    })
    await this.#write(record.name, { ...record, routes })
    run.stored = record
  }

  /** @throws {StateError} in a cluster */
  async remove(name: string): Promise<void> {
    await this.#write(name, null)
  }

  /** Whether a ramp has not been stored for so long. */
  isDue({ record, savedMs }: Run, everyMs: number): boolean {
    return isUnderWay(record.status) && this.#monotonic() - savedMs >= everyMs
  }

  async #write(name: string, record: object | null): Promise<void> {
    if (this.#store === null) return
    try {
      await this.#store.write(SPACE, name, KEY, record === null ? null : JSON.stringify(record))
      this.problem = null
    } catch (error) {
      this.#failed(error as Error)
      if (this.#store.place === 'cluster') throw error
    }
  }

  #failed({ message }: Error): void {
    const problem =
      this.#store?.place === 'cluster' ? `ramps stand still: ${message}` : `ramps are kept in memory only: ${message}`
    if (this.problem === null) this.#warn(problem)
    this.problem = problem
  }

  #warn(message: string, route?: string): void {
    this.#log.warn({ event: 'ramp', ...(route !== undefined && { route }) }, message)
  }
}
