/**
 * Purges what becomes untrue by an edit of the table, here and by the one that this process's start is, compared with what was in
 * force when the last process wrote to the remote store.
 */
import {
  type CachingSummary,
  purgedByEdit,
  readSummary,
  summaryOf,
  writeRoute,
  writeSummary,
} from '../../rules/caching/edits.ts'
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
  /** The routes that cache as they are written, by id: of an edit only those that it changes are written again. */
  #written: Map<string, string> | null = null

  constructor(table: Table, purge: (target: PurgeTarget) => void) {
    this.#purge = purge
    this.#table = table
  }

  get text(): string {
    if (this.#text === null) {
      this.#written ??= written(summaryOf(this.#table, this.#table.routes, printOf))
      const sorted = [...this.#written].sort(([one], [other]) => (one < other ? -1 : 1))
      this.#text = writeSummary(sorted.map(([, route]) => route))
    }
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
    const isAlike = isOnSameUpstreams(before, table)
    const { gone, come } = isAlike ? replaced(before.routes, table.routes) : { gone: before.routes, come: table.routes }
    const [was, is] = [summaryOf(before, gone, printOf), summaryOf(table, come, printOf)]
    if (!isAlike || this.#written === null) [this.#text, this.#written] = [null, null]
    else if (writeAgain(this.#written, was, is)) this.#text = null
    this.#purgeSince(was, is)
  }

  #purgeSince(before: CachingSummary | null, now: CachingSummary): void {
    for (const target of purgedByEdit(before, now)) this.#purge(target)
  }
}

function written({ routes }: CachingSummary): Map<string, string> {
  return new Map(routes.map((route) => [route.id, writeRoute(route)]))
}

/** @returns whether anything is written otherwise than it was */
function writeAgain(known: Map<string, string>, was: CachingSummary, is: CachingSummary): boolean {
  const again = written(is)
  let isOther = false
  // What stays keeps its place: what is sorted already is sorted again in no time.
  for (const { id } of was.routes) if (!again.has(id)) isOther = known.delete(id) || isOther
  for (const [id, text] of again) {
    if (known.get(id) === text) continue
    known.set(id, text)
    isOther = true
  }
  return isOther
}

function isOnSameUpstreams({ upstreams: one }: Table, { upstreams: other }: Table): boolean {
  return one.size === other.size && [...one].every(([name, upstream]) => other.get(name) === upstream)
}

/** Some letters of it tell it from others as well, and there are many. */
const printOf: typeof fingerprintOf = (table, route, upstream) => fingerprintOf(table, route, upstream).slice(0, 16)
