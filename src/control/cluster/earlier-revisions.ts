/**
 * Reads the revisions before the newest one from Redis, page by page, while the newest is in force already: neither their number nor a
 * slow Redis delays anything.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { ClusterLog, Position } from '../../state/redis/cluster-log.ts'
import type { History } from '../table/history.ts'
import type { RevisionRecord } from '../table/revision-record.ts'
import { comesBefore, positionOf } from './positions.ts'
import type { SharedRevisions } from './shared-revisions.ts'

/** Dependencies. */
export interface EarlierRevisionsParts {
  readonly shared: ClusterLog
  readonly revisions: SharedRevisions
  readonly history: History
  /** Called with a revision of this instance that the cluster has replaced by another one. */
  onLost(record: RevisionRecord): void
}

/** Numbers to read: from `from` up to, but not including, that of `newest`. */
interface Range {
  from: number
  readonly newest: Position
}

/** Reads revisions into the history. */
export class EarlierRevisions {
  readonly #parts: EarlierRevisionsParts
  #ranges: Range[] = []
  #reading: Promise<void> | null = null
  /** What was missing at the last check, to not retry what can't be read over and over. */
  #lacking = ''

  constructor(parts: EarlierRevisionsParts) {
    this.#parts = parts
  }

  /** Reads the revisions from a number on that come before `newest`. */
  want(from: number, newest: Position): void {
    if (from >= newest.number) return
    // Ranges of other epochs are obsolete.
    this.#ranges = this.#ranges.filter(({ newest: { id, epoch } }) => id === newest.id && epoch === newest.epoch)
    this.#ranges.push({ from, newest })
    void this.read()
  }

  /**
   * Reads the revisions that the history lacks or has differently: those of damaged or removed files, and those added to Redis since.
   * Never rejects.
   */
  async wantLacking(newest: RevisionRecord): Promise<void> {
    const { shared, history } = this.#parts
    await this.read()
    const kept = await shared.numbers().catch(() => [])
    const isLacking = (number: number): boolean => {
      const own = history.get(number)
      // A full history has dropped revisions on purpose.
      return number < newest.number && (own === undefined ? !history.isFull : !comesBefore(own, newest))
    }
    const lacking = kept.filter(isLacking)
    const position = positionOf(newest) as Position
    const seen = this.#lacking
    this.#lacking = `${position.epoch} ${lacking.sort((a, b) => a - b)}`
    if (lacking.length > 0 && this.#lacking !== seen) this.want(lacking[0] as number, position)
  }

  /** Reads what is wanted, as far as Redis answers; call it again later for the rest. Never rejects. */
  read(): Promise<void> {
    this.#reading ??= this.#read()
      .catch(() => {})
      .finally(() => {
        this.#reading = null
      })
    return this.#reading
  }

  async #read(): Promise<void> {
    const { shared, revisions, history } = this.#parts
    for (let range = this.#ranges[0]; range !== undefined; range = this.#ranges[0]) {
      const { rows, more } = await shared.revisionsBefore(range.newest, range.from)
      for (const { number, sealed } of rows) {
        // Reading a revision of megabytes takes milliseconds.
        await turn()
        const found = revisions.earlier(number, sealed)
        if (found === null) continue
        const own = history.get(number)
        if (own?.cluster !== undefined && own.etag !== found.record.etag) this.#parts.onLost(own)
        if (!isDeepStrictEqual(own, found.record)) await history.learn([found])
      }
      range.from = (rows.at(-1)?.number ?? range.from) + 1
      if (more === 0) this.#ranges = this.#ranges.filter((one) => one !== range)
    }
  }
}
