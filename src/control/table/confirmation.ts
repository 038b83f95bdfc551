/**
 * Tables that were made by changing numbers or a few routes are confirmed by a parse of their text, in the background and once nobody
 * edits; where somebody always does, now and then.
 */
import type { Table } from '../../rules/table/table.ts'
import { sameValue } from '../../rules/values/plain.ts'
import type { LiveTable } from '../../state/live-table.ts'
import type { ReadText } from './read-text.ts'
import type { TableReader } from './reader.ts'
import type { TableReports } from './reports.ts'

/** So long nobody has edited: of a hundred steps in a row only the last one is parsed. */
const QUIET_MS = 2_000

/** Edits that never pause are confirmed so long after the first of them. */
const LATEST_MS = 300_000

/** What it works with. */
export interface ConfirmationParts {
  readonly live: LiveTable
  readonly reader: TableReader
  readonly reports: TableReports
  /** A text in force now, or a moment ago, is another table than the one that was made of it. Must not reject. */
  correct(read: ReadText): Promise<void>
}

/** Confirms the table in force. */
export class Confirmation {
  readonly #parts: ConfirmationParts
  #quiet: NodeJS.Timeout | undefined
  #latest: NodeJS.Timeout | undefined
  #isParsing = false
  #isClosed = false

  constructor(parts: ConfirmationParts) {
    this.#parts = parts
  }

  /** Confirms it after a while. */
  later(): void {
    if (this.#isClosed) return
    clearTimeout(this.#quiet)
    this.#quiet = setTimeout(() => void this.#confirm(), QUIET_MS).unref()
    this.#latest ??= setTimeout(() => void this.#confirm(), LATEST_MS).unref()
  }

  close(): void {
    this.#isClosed = true
    this.#rest()
  }

  #rest(): void {
    clearTimeout(this.#quiet)
    clearTimeout(this.#latest)
    this.#latest = undefined
  }

  async #confirm(): Promise<void> {
    this.#rest()
    // Where a parse takes longer than edits are apart, they would pile up, and an edit that needs a parse would wait for all of them.
    if (this.#isParsing) return
    this.#isParsing = true
    const { live, reader, reports, correct } = this.#parts
    const { text, table } = live.current
    try {
      const read = await reader.parse(text, table)
      if (this.#isClosed || ('isLate' in read && read.isLate === true)) return
      if (!read.ok || !isSame(read.table, table)) await correct(read)
      // What was edited since is confirmed by itself.
      else if (live.current.text === text) reader.inForce(text, read.facts)
    } catch (error) {
      reports.takeInFailed(error, live.current)
    } finally {
      this.#isParsing = false
      if (live.current.text !== text) this.later()
    }
  }
}

/** Whether a table that was compiled from its text has taken over all of another one. */
function isSame(one: Table, other: Table): boolean {
  return (
    one.default === other.default &&
    one.defaultStatus === other.defaultStatus &&
    sameValue(one.visitor.document, other.visitor.document) &&
    one.routes.length === other.routes.length &&
    one.routes.every((route, at) => route === other.routes[at]) &&
    one.upstreams.size === other.upstreams.size &&
    [...one.upstreams].every(([name, upstream]) => other.upstreams.get(name) === upstream)
  )
}
