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

/** What is stored of ramps. No method rejects: without a store that can be written, ramps go on in memory. */
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

  /** Those that are stored and readable. */
  async read(): Promise<RampRecord[]> {
    if (this.#store === null) return []
    try {
      const records: RampRecord[] = []
      for (const { group, value } of await this.#store.list(SPACE)) {
        const record = readRampRecord(value)
        if (record !== null) records.push(record)
        else this.#warn(`the stored ramp of ${group} is unreadable: it is not continued`, group)
      }
      return records
    } catch (error) {
      this.#failed(error as Error)
      return []
    }
  }

  /** Stores where a ramp stands and what was counted. */
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
  }

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
    }
  }

  #failed({ message }: Error): void {
    const problem = `ramps are kept in memory only: ${message}`
    if (this.problem === null) this.#warn(problem)
    this.problem = problem
  }

  #warn(message: string, route?: string): void {
    this.#log.warn({ event: 'ramp', ...(route !== undefined && { route }) }, message)
  }
}
