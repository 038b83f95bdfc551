/**
 * From the text in force to the next one: where only numbers differ, percents and weights, the table is known without a parse, and
 * where a few routes do, with a parse of these; everything else is parsed on a thread of its own.
 */
import type { TableEdit } from '../../rules/language/edit.ts'
import {
  type NumberChange,
  numberBetween,
  numbersOfEdit,
  tableWithNumbers,
  withNumbers,
} from '../../rules/language/numbers.ts'
import { movedWith } from '../../rules/language/route-places.ts'
import type { TextFacts } from '../../rules/language/text.ts'
import type { Table } from '../../rules/table/table.ts'
import type { Revision } from '../../state/live-table.ts'
import { editApart, type ReadApart, readApart, SMALL } from './apart.ts'
import type { ReadText } from './read-text.ts'
import { editRoutes, readRoutes } from './route-edits.ts'

/** Why an edit is not possible. */
export interface Impossible {
  readonly message: string
}

/** Reads the texts of one table. */
export class TableReader {
  readonly #name: string
  #known: { readonly text: string; readonly facts: TextFacts } | null

  /**
   * @param name of the file, for problems
   * @param known of the text in force, if it is known
   */
  constructor(name: string, known: { readonly text: string; readonly facts: TextFacts } | null) {
    this.#name = name
    this.#known = known
  }

  /** This text is in force. */
  inForce(text: string, facts: TextFacts): void {
    this.#known = { text, facts }
  }

  /** The result of an edit that changes numbers only; null for any other. */
  editNow(before: Revision, edit: TableEdit): ReadText | null {
    const facts = this.#factsOf(before.text)
    const changes = facts === null ? null : numbersOfEdit(edit, before.table)
    return facts === null || changes === null ? null : changed(before, facts, changes)
  }

  /** @throws {Error} on a bug in banyan */
  async edit(before: Revision, edit: TableEdit): Promise<ReadText | Impossible> {
    const facts = this.#factsOf(before.text)
    const few = facts === null ? null : await editRoutes(before, facts, edit, this.#name)
    if (few !== null) return few
    const edited = await editApart(before.text, edit, this.#name, before.table)
    return edited.ok ? readText(edited.text, edited.read) : edited
  }

  /** @throws {Error} on a bug in banyan */
  async read(before: Revision, text: string): Promise<ReadText> {
    const facts = this.#factsOf(before.text)
    if (facts === null) return await this.parse(text, before.table)
    return (
      readNumber(before, facts, text) ??
      (await readRoutes(before, facts, text, this.#name)) ??
      (await this.parse(text, before.table))
    )
  }

  /** As `read`, whatever differs. */
  async parse(text: string, known: Table): Promise<ReadText> {
    return readText(text, await readApart(text, this.#name, known))
  }

  #factsOf(text: string): TextFacts | null {
    return text.length >= SMALL && this.#known?.text === text ? this.#known.facts : null
  }
}

/** What a text says that differs from the one in force in one number; null for any other. */
function readNumber(before: Revision, facts: TextFacts, text: string): ReadText | null {
  const change = numberBetween(facts.numbers, before.text, text)
  const read = change === null ? null : changed(before, facts, [change])
  // A number can be written otherwise than banyan writes it: 6.0.
  return read?.text === text ? read : null
}

function changed(
  { text, table, etag: base }: Revision,
  facts: TextFacts,
  changes: readonly NumberChange[],
): ReadText | null {
  const edited = withNumbers(text, facts.numbers, changes)
  const next = edited === null ? null : tableWithNumbers(table, changes)
  if (edited === null || next === null) return null
  const move = { kind: 'numbers', base, changes } as const
  const places = movedWith(facts.places, facts.numbers, edited.places)
  return { ok: true, text: edited.text, table: next, facts: { ...facts, numbers: edited.places, places }, move }
}

function readText(text: string, read: ReadApart): ReadText {
  if (!read.ok) return { ...read, text }
  const { table, document, warnings, more, numbers, places } = read
  return { ok: true, text, table, facts: { warnings, more, numbers, places }, move: { kind: 'document', document } }
}
