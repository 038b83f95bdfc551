/**
 * Purges what becomes untrue by an edit of the table, here and by the one that this process's start is, compared with what was in
 * force when the last process wrote to the remote store.
 */
import { type CachingSummary, purgedByEdit, readSummary, summaryOf, writeSummary } from '../../rules/caching/edits.ts'
import type { PurgeTarget } from '../../rules/caching/purge.ts'
import type { Table } from '../../rules/table/table.ts'
import { fingerprintOf } from './fingerprint.ts'
import type { TableNote } from './remote.ts'

/** The edits of one process's table. */
export class TableEdits implements TableNote {
  readonly #purge: (target: PurgeTarget) => void
  #summary: CachingSummary
  #text: string | null = null

  constructor(table: Table, purge: (target: PurgeTarget) => void) {
    this.#purge = purge
    this.#summary = summaryOf(table, printOf)
  }

  get text(): string {
    this.#text ??= writeSummary(this.#summary)
    return this.#text
  }

  replaces(before: string | null): void {
    this.#purgeSince(before === null ? null : readSummary(before))
  }

  /** Another table is in force. */
  apply(table: Table): void {
    const before = this.#summary
    this.#summary = summaryOf(table, printOf)
    this.#text = null
    this.#purgeSince(before)
  }

  #purgeSince(before: CachingSummary | null): void {
    for (const target of purgedByEdit(before, this.#summary)) this.#purge(target)
  }
}

/** Some letters of it tell it from others as well, and there are many. */
const printOf: typeof fingerprintOf = (table, route, upstream) => fingerprintOf(table, route, upstream).slice(0, 16)
