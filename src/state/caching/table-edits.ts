/**
 * Purges what becomes untrue by an edit of the table, here and by the one that this process's start is, compared with what was in
 * force when the last process wrote to the remote store.
 */
import { type CachingSummary, purgedByEdit, readSummary, summaryOf, writeSummary } from '../../rules/caching/edits.ts'
import type { PurgeTarget } from '../../rules/caching/purge.ts'
import type { Table } from '../../rules/table/table.ts'
import { replaced } from '../../rules/values/replaced.ts'
import { fingerprintOf } from './fingerprint.ts'
import type { TableNote } from './remote.ts'

/** The edits of one process's table. */
export class TableEdits implements TableNote {
  readonly #purge: (target: PurgeTarget) => void
  #table: Table
  #text: string | null = null

  constructor(table: Table, purge: (target: PurgeTarget) => void) {
    this.#purge = purge
    this.#table = table
  }

  get text(): string {
    this.#text ??= writeSummary(summaryOf(this.#table, this.#table.routes, printOf))
    return this.#text
  }

  replaces(before: string | null): void {
    const now = summaryOf(this.#table, this.#table.routes, printOf)
    this.#purgeSince(before === null ? null : readSummary(before), now)
  }

  /** Another table is in force. */
  apply(table: Table): void {
    const before = this.#table
    this.#table = table
    this.#text = null
    const { gone, come } = isOnSameUpstreams(before, table)
      ? replaced(before.routes, table.routes)
      : { gone: before.routes, come: table.routes }
    this.#purgeSince(summaryOf(before, gone, printOf), summaryOf(table, come, printOf))
  }

  #purgeSince(before: CachingSummary | null, now: CachingSummary): void {
    for (const target of purgedByEdit(before, now)) this.#purge(target)
  }
}

function isOnSameUpstreams({ upstreams: one }: Table, { upstreams: other }: Table): boolean {
  return one.size === other.size && [...one].every(([name, upstream]) => other.get(name) === upstream)
}

/** Some letters of it tell it from others as well, and there are many. */
const printOf: typeof fingerprintOf = (table, route, upstream) => fingerprintOf(table, route, upstream).slice(0, 16)
