/**
 * Which server the Redis of a cluster is: whether it may be used, and, where it is another one than before or was started anew,
 * whether it has what the other instances have.
 */
import { type ClusterLog, SERVER_TOPIC } from '../../state/redis/cluster-log.ts'
import type { Refill } from './refill.ts'
import { ForeignTable } from './shared-revisions.ts'

/** What it is made of. */
export interface ServerCheckParts {
  readonly shared: ClusterLog
  readonly refill: Pick<Refill, 'confirm' | 'say'>
  /** How often a server is looked at with which all is well, in milliseconds. */
  readonly policyMs: number
  /** The other instances can't be asked. */
  onFailed(error: Error): void
}

/** The check of one instance. */
export class ServerCheck {
  readonly #parts: ServerCheckParts
  #lookedMs = Number.NEGATIVE_INFINITY
  /** Of the server that Redis was last. */
  #run: string | null = null
  #isSuspect = false
  #confirming: Promise<void> | null = null

  constructor(parts: ServerCheckParts) {
    this.#parts = parts
  }

  /** Redis is another server than before, or was started anew: the others may have more than it has. */
  get isSuspect(): boolean {
    return this.#isSuspect
  }

  /** Settles when the other instances have been asked; null where they are not being asked. Never rejects. */
  get confirming(): Promise<void> | null {
    return this.#confirming
  }

  /** The server is looked at again at the next `look`. */
  forget(): void {
    this.#lookedMs = Number.NEGATIVE_INFINITY
  }

  /**
   * Looks at the server, unless that was done a moment ago.
   * @param isWell nothing is wrong at present, so that a moment ago is enough
   * @throws {ForeignTable} a Redis that makes room by removing keys would remove the table
   * @throws {Error} where Redis can't be asked
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

  /** It has been filled with what all have. */
  trust(): void {
    this.#isSuspect = false
  }

  /** Asks the others what they have, which are asked at once to look as well. */
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

  /** Says to an instance that asks what this one has. Never rejects. */
  async say(): Promise<void> {
    await this.#parts.refill.say(this.#run ?? '').catch(() => {})
  }
}
