/**
 * What this instance has in force, as a revision of its cluster.
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
  /** While an edit is being recorded, that in force has no record: then it is the one before. */
  #last: RecordedRevision | null = null

  constructor(live: LiveTable, history: History) {
    this.#live = live
    this.#history = history
  }

  /** Null where the instance has never been a member. */
  get revision(): RecordedRevision | null {
    const { number, etag, text } = this.#live.current
    const record = this.#history.get(number)
    if (record?.cluster !== undefined && record.etag === etag) this.#last = { record, text }
    return this.#last
  }

  /** Its position; null where the instance has never been a member. */
  get position(): Position | null {
    const { revision } = this
    return revision === null ? null : positionOf(revision.record)
  }
}
