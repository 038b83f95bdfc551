/**
 * Revisions in the Redis of a cluster: sealed, and appended by compare-and-set.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { ClusterLog, Head, Position } from '../../state/redis/cluster-log.ts'
import type { StateError } from '../../state/store/store.ts'
import { WriteFailure } from '../table/durable-write.ts'
import {
  CLUSTER_FORMAT,
  formatOf,
  printRevision,
  type RecordedRevision,
  readRevision,
} from '../table/revision-record.ts'
import { identityOf, positionOf } from './positions.ts'

/** Retries of an edit whose reply was lost. */
const ASKED_AGAIN = 3
const ASK_AGAIN_MS = 500

/** Redis does not hold the table of this instance's cluster: this instance must not write there. */
export class ForeignTable extends Error {}

/** The revisions of one cluster. */
export class SharedRevisions {
  readonly #shared: ClusterLog

  constructor(shared: ClusterLog) {
    this.#shared = shared
  }

  /** The newest revision. @throws {Error} it does not verify as a revision of this cluster */
  opened({ position, sealed }: Head): RecordedRevision {
    const revision = this.#revisionOf(position.number, sealed)
    const own = revision === null ? null : positionOf(revision.record)
    if (revision !== null && own !== null && identityOf(own) === identityOf(position)) return revision
    throw new ForeignTable(
      `revision ${position.number} in its Redis does not verify: ${this.#flawOf(position.number, sealed)}`,
    )
  }

  /** An earlier revision; null if this instance can't read it. */
  earlier(number: number, sealed: string): RecordedRevision | null {
    return this.#revisionOf(number, sealed)
  }

  /**
   * Appends a revision, unless another one has been appended since.
   * @param behind the newest position so far; null for none
   * @param isRefill replaces everything in Redis
   * @throws {WriteFailure}
   */
  async append(behind: Position | null, revision: RecordedRevision, isRefill = false): Promise<boolean> {
    const position = positionOf(revision.record) as Position
    const sealed = this.#sealed(revision)
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#shared.append(behind, position, sealed, isRefill)
      } catch (error) {
        const { fault, message } = error as StateError
        if (fault === 'full' || fault === 'read-only' || fault === 'corrupt')
          throw new WriteFailure('cluster', `can't be written to: ${message}`, error)
        // It may have succeeded already; the operation is idempotent.
        if (attempt > ASKED_AGAIN)
          throw new WriteFailure('unknown', `is in a Redis that has not answered (${message})`, error)
        await wait(ASK_AGAIN_MS)
      }
    }
  }

  /** Adds earlier revisions that Redis lacks, newest first. @returns whether there was room for all of them @throws {StateError} */
  fill(position: Position, revisions: readonly RecordedRevision[]): Promise<boolean> {
    const rows = revisions.map((revision) => ({ number: revision.record.number, sealed: this.#sealed(revision) }))
    return this.#shared.fill(position, rows)
  }

  /** Reseals all revisions up to the newest with the first secret, so that the other secrets can be removed later. @throws {StateError} */
  async renew(newest: Position): Promise<void> {
    const { seal } = this.#shared.link
    if (!seal.hasEarlier) return
    const end = { ...newest, number: newest.number + 1 }
    for (let from = 1, left = 1; left > 0; ) {
      const { rows, more } = await this.#shared.revisionsBefore(end, from)
      for (const { number, sealed } of rows) {
        const renewed = seal.renewed(`revision ${number}`, sealed)
        if (renewed !== null) await this.#shared.renew(number, sealed, renewed)
        from = number + 1
      }
      left = more
    }
  }

  #revisionOf(number: number, sealed: string): RecordedRevision | null {
    const text = this.#shared.link.seal.open(`revision ${number}`, sealed)
    const revision = text === null ? null : readRevision(text)
    return revision?.record.number === number && revision.record.cluster !== undefined ? revision : null
  }

  /** What is wrong with a sealed revision, and what to do. */
  #flawOf(number: number, sealed: string): string {
    const { seal } = this.#shared.link
    const text = seal.open(`revision ${number}`, sealed)
    const format = text === null ? 0 : formatOf(text)
    if (format > CLUSTER_FORMAT)
      return `it is of a later release (format ${format}, here ${CLUSTER_FORMAT}): upgrade this instance`
    const flaw = text === null ? seal.flawOf(sealed) : 'it is damaged'
    if (!flaw.includes('damaged')) return flaw
    return `${flaw}; where it stays damaged, redis-cli DEL "${this.#shared.link.key('table')}" has the members fill Redis again`
  }

  #sealed(revision: RecordedRevision): string {
    return this.#shared.link.seal.close(`revision ${revision.record.number}`, printRevision(revision))
  }
}
