/**
 * The revision in force at this instance, as a revision of its cluster.
 */
import type { LiveTable } from '../../state/live-table.ts'
import type { Position } from '../../state/redis/cluster-log.ts'
import type { History } from '../table/history.ts'
import type { RecordedRevision } from '../table/revision-record.ts'
import { positionOf } from './positions.ts'

/** The revision in force. */
export class Held {
  readonly #live: LiveTable
  readonly #history: History
  /** The previous revision, which is used while the one in force has no record yet. */
  #last: RecordedRevision | null = null

  constructor(live: LiveTable, history: History) {
    this.#live = live
    this.#history = history
  }

  /** Null if the instance has never been a member. */
  get revision(): RecordedRevision | null {
    const { number, etag, text } = this.#live.current
    const record = this.#history.get(number)
    if (record?.cluster !== undefined && record.etag === etag) this.#last = { record, text }
    return this.#last
  }

  /** Its position; null if the instance has never been a member. */
  get position(): Position | null {
    const { revision } = this
    return revision === null ? null : positionOf(revision.record)
  }
}
