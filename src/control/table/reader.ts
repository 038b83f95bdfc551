/**
 * From the text in force to the next one: where only numbers differ, percents and weights, the table is known without a parse;
 * everything else is parsed on a thread of its own.
 */
import type { TableEdit } from '../../rules/language/edit.ts'
import {
  type NumberChange,
  type NumberPlaces,
  numberBetween,
  numbersOfEdit,
  tableWithNumbers,
  withNumbers,
} from '../../rules/language/numbers.ts'
import type { Problem } from '../../rules/language/text.ts'
import type { Table } from '../../rules/table/table.ts'
import type { Revision } from '../../state/live-table.ts'
import { editApart, type ReadApart, readApart, SMALL } from './apart.ts'
import type { TableMove } from './followers.ts'

/** What is known of a valid text besides its table. */
export interface TextFacts {
  readonly warnings: readonly Problem[]
  /** Warnings that are not listed. */
  readonly more: number
  readonly numbers: NumberPlaces
}

/** A text that was read. */
export type ReadText = { readonly text: string } & (
  | {
      readonly ok: true
      readonly table: Table
      readonly facts: TextFacts
      /** How the table is got at from that of the revision in force. */
      readonly move: TableMove
    }
  | Extract<ReadApart, { ok: false }>
)

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
    const edited = await editApart(before.text, edit, this.#name, before.table)
    return edited.ok ? readText(edited.text, edited.read) : edited
  }

  /** @throws {Error} on a bug in banyan */
  async read(before: Revision, text: string): Promise<ReadText> {
    return this.#readNow(before, text) ?? (await this.parse(text, before.table))
  }

  /** As `read`, whatever differs. */
  async parse(text: string, known: Table): Promise<ReadText> {
    return readText(text, await readApart(text, this.#name, known))
  }

  #readNow(before: Revision, text: string): ReadText | null {
    const facts = this.#factsOf(before.text)
    const change = facts === null ? null : numberBetween(facts.numbers, before.text, text)
    return facts === null || change === null ? null : changed(before, facts, [change])
  }

  #factsOf(text: string): TextFacts | null {
    return text.length >= SMALL && this.#known?.text === text ? this.#known.facts : null
  }
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
  return { ok: true, text: edited.text, table: next, facts: { ...facts, numbers: edited.places }, move }
}

function readText(text: string, read: ReadApart): ReadText {
  if (!read.ok) return { ...read, text }
  const { table, document, warnings, more, numbers } = read
  return { ok: true, text, table, facts: { warnings, more, numbers }, move: { kind: 'document', document } }
}
