/**
 * Purges what becomes untrue by an edit of the table, here and by the one that this process's start is, compared with what was in
 * force when the last process wrote to the remote store.
 */
import { type CachingSummary, purgedByEdit, readSummary, summaryOf, writeRoute } from '../../rules/caching/edits.ts'
import type { PurgeTarget } from '../../rules/caching/purge.ts'
import type { Table } from '../../rules/table/table.ts'
import { replaced } from '../../rules/values/replaced.ts'
import { fingerprintOf } from './fingerprint.ts'
import { NotePieces } from './note-pieces.ts'
import type { TableNote, WrittenNote } from './remote.ts'

/** The edits of one process's table. */
export class TableEdits implements TableNote {
  readonly #purge: (target: PurgeTarget) => void
  #table: Table
  /** Of an edit only the routes that it changes are written again. */
  #pieces: NotePieces | null = null

  constructor(table: Table, purge: (target: PurgeTarget) => void) {
    this.#purge = purge
    this.#table = table
  }

  get written(): WrittenNote {
    this.#pieces ??= new NotePieces(writtenOf(summaryOf(this.#table, this.#table.routes, printOf)))
    return this.#pieces.written
  }

  replaces(before: Iterable<string> | null): void {
    const now = summaryOf(this.#table, this.#table.routes, printOf)
    this.#purgeSince(before === null ? null : readPieces(before), now)
  }

  /** Another table is in force. */
  apply(table: Table): void {
    const before = this.#table
    this.#table = table
    const isAlike = isOnSameUpstreams(before, table)
    const { gone, come } = isAlike ? replaced(before.routes, table.routes) : { gone: before.routes, come: table.routes }
    const [was, is] = [summaryOf(before, gone, printOf), summaryOf(table, come, printOf)]
    if (!isAlike) this.#pieces = null
    else if (this.#pieces !== null) writeAgain(this.#pieces, was, is)
    this.#purgeSince(was, is)
  }

  #purgeSince(before: CachingSummary | null, now: CachingSummary): void {
    for (const target of purgedByEdit(before, now)) this.#purge(target)
  }
}

function writtenOf({ routes }: CachingSummary): [id: string, text: string][] {
  return routes.map((route) => [route.id, writeRoute(route)])
}

function writeAgain(pieces: NotePieces, was: CachingSummary, is: CachingSummary): void {
  const again = writtenOf(is)
  const stay = new Set(again.map(([id]) => id))
  for (const { id } of was.routes) if (!stay.has(id)) pieces.delete(id)
  for (const [id, text] of again) pieces.set(id, text)
}

/** @returns null where one of them is none of this form */
function readPieces(pieces: Iterable<string>): CachingSummary | null {
  const read = [...pieces].map(readSummary)
  if (read.includes(null)) return null
  return { routes: read.flatMap((piece) => piece?.routes ?? []) }
}

function isOnSameUpstreams({ upstreams: one }: Table, { upstreams: other }: Table): boolean {
  return one.size === other.size && [...one].every(([name, upstream]) => other.get(name) === upstream)
}

/** Some letters of it tell it from others as well, and there are many. */
const printOf: typeof fingerprintOf = (table, route, upstream) => fingerprintOf(table, route, upstream).slice(0, 16)
