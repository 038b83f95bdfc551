/**
 * Checks the Redis server of a cluster: whether it is suitable, and, if it is another server than before or has restarted, whether it
 * has everything that the instances have.
 */
import { type ClusterLog, SERVER_TOPIC } from '../../state/redis/cluster-log.ts'
import type { Refill } from './refill.ts'
import { ForeignTable } from './shared-revisions.ts'

/** Dependencies. */
export interface ServerCheckParts {
  readonly shared: ClusterLog
  readonly refill: Pick<Refill, 'confirm' | 'say'>
  /** How often a healthy server is checked, in milliseconds. */
  readonly policyMs: number
  /** The other instances can't be asked. */
  onFailed(error: Error): void
}

/** The check of one instance. */
export class ServerCheck {
  readonly #parts: ServerCheckParts
  #lookedMs = Number.NEGATIVE_INFINITY
  /** The run id of the last server. */
  #run: string | null = null
  #isSuspect = false
  #confirming: Promise<void> | null = null

  constructor(parts: ServerCheckParts) {
    this.#parts = parts
  }

  /** Redis is another server than before, or has restarted: other instances may have more than it has. */
  get isSuspect(): boolean {
    return this.#isSuspect
  }

  /** Resolves when the other instances have been asked; null if none are being asked. Never rejects. */
  get confirming(): Promise<void> | null {
    return this.#confirming
  }

  /** Makes the next `look` check the server again. */
  forget(): void {
    this.#lookedMs = Number.NEGATIVE_INFINITY
  }

  /**
   * Checks the server, unless it was checked recently.
   * @param isWell there is no problem now, so that a recent check is enough
   * @throws {ForeignTable} Redis may evict keys, and with them the table
   * @throws {Error} Redis can't be reached
   */
  async look(isWell: boolean): Promise<void> {
    const nowMs = performance.now()
    if (isWell && nowMs - this.#lookedMs < this.#parts.policyMs) return
    const { policy, run } = await this.#parts.shared.server()
    if (policy !== '' && policy !== 'noeviction')
      throw new ForeignTable(
        `its Redis may evict keys (maxmemory-policy ${policy}): name one with noeviction as --cluster-redis`,
      )
    if (this.#run !== null && this.#run !== run) this.#isSuspect = true
    this.#run = run
    this.#lookedMs = nowMs
  }

  /** Redis has been filled with everything that the instances have. */
  trust(): void {
    this.#isSuspect = false
  }

  /** Asks the other instances for their positions, and to check the server as well. */
  confirm(): void {
    if (!this.#isSuspect) return
    this.#confirming ??= this.#confirm().finally(() => {
      this.#confirming = null
    })
  }

  async #confirm(): Promise<void> {
    const { shared, refill, onFailed } = this.#parts
    try {
      await shared.link.tell(SERVER_TOPIC)
      const run = await refill.confirm(() => this.#run ?? '')
      if (run === this.#run) this.#isSuspect = false
    } catch (error) {
      onFailed(error as Error)
    }
  }

  /** Answers another instance that asks for positions. Never rejects. */
  async say(): Promise<void> {
    await this.#parts.refill.say(this.#run ?? '').catch(() => {})
  }
}
