/**
 * From the text in force to the next one: where only numbers differ, percents and weights, the table is known without a parse, and
 * where a few routes or servers do, with a parse of these; everything else is parsed on a thread of its own.
 */
import type { TableEdit } from '../../rules/language/edit.ts'
import { withoutPercents } from '../../rules/language/live-percents.ts'
import {
  type NumberChange,
  numbersBetween,
  numbersElsewhere,
  numbersOfEdit,
  numbersOfTables,
  PERCENT,
  tableWithNumbers,
  withNumbers,
} from '../../rules/language/numbers.ts'
import { movedWith } from '../../rules/language/route-places.ts'
import type { Problem, TextFacts } from '../../rules/language/text.ts'
import type { Table } from '../../rules/table/table.ts'
import type { Revision } from '../../state/live-table.ts'
import { editApart, type ReadApart, readApart, SMALL } from './apart.ts'
import type { TableMove } from './followers.ts'
import type { ReadText } from './read-text.ts'
import { editRoutes, readRoutes } from './route-edits.ts'
import { editServers, readServers } from './server-edits.ts'

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

  /** The warnings of the text in force, as far as they are known. */
  get warnings(): readonly Problem[] {
    return this.#known?.facts.warnings ?? []
  }

  /** The result of an edit that changes numbers only; null for any other. */
  editNow(before: Revision, edit: TableEdit): ReadText | null {
    const facts = this.#factsOf(before.text)
    const changes = facts === null ? null : numbersOfEdit(edit, before.table)
    return facts === null || changes === null ? null : changed(before, facts, changes)
  }

  /** What is known of the text of a revision besides its table; null where nothing is, or it is not worth it. */
  factsOf({ text }: Revision): TextFacts | null {
    return this.#factsOf(text)
  }

  /** Whether the text of an earlier revision differs from this one in percents only. */
  hasMovedPercents({ text }: Revision, earlier: string): boolean {
    const facts = this.#factsOf(text)
    const changes = facts === null ? null : numbersBetween(facts.numbers, text, earlier)
    if (changes !== null) return changes.every(({ owner, part }) => owner >= 0 && part === PERCENT)
    return withoutPercents(text) === withoutPercents(earlier)
  }

  /** @throws {Error} on a bug in banyan */
  async edit(before: Revision, edit: TableEdit): Promise<ReadText | Impossible> {
    const facts = this.#factsOf(before.text)
    const few =
      facts === null
        ? null
        : edit.kind === 'servers'
          ? await editServers(before, facts, edit, this.#name)
          : await editRoutes(before, facts, edit, this.#name)
    if (few !== null) return few
    const edited = await editApart(before.text, edit, this.#name, before.table)
    return edited.ok ? readText(edited.text, edited.read) : edited
  }

  /** @throws {Error} on a bug in banyan */
  async read(before: Revision, text: string): Promise<ReadText> {
    const facts = this.#factsOf(before.text)
    if (facts === null) return await this.parse(text, before.table)
    return (
      readNumbers(before, facts, text) ??
      (await readRoutes(before, facts, text, this.#name)) ??
      (await readServers(before, facts, text, this.#name)) ??
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

/** What a text says that differs from the one in force in numbers only; null for any other. */
function readNumbers(before: Revision, facts: TextFacts, text: string): ReadText | null {
  const changes = numbersBetween(facts.numbers, before.text, text)
  const read = changes === null ? null : changed(before, facts, changes)
  // A number can be written otherwise than banyan writes it: 6.0.
  return read?.text === text ? read : null
}

function changed(
  { text, table, etag: base }: Revision,
  facts: TextFacts,
  changes: readonly NumberChange[],
): ReadText | null {
  const next = withChanges(text, table, facts, changes)
  return next && { ok: true, ...next, move: { kind: 'numbers', base, changes } }
}

/** A text, its table and what is known of it, with other numbers; null where a parse has to tell. */
function withChanges(
  text: string,
  table: Table,
  facts: TextFacts,
  changes: readonly NumberChange[],
): { readonly text: string; readonly table: Table; readonly facts: TextFacts } | null {
  const edited = withNumbers(text, facts.numbers, changes)
  const next = edited === null ? null : tableWithNumbers(table, changes)
  if (edited === null || next === null) return null
  const places = movedWith(facts.places, facts.numbers, edited.places)
  return { text: edited.text, table: next, facts: { ...facts, numbers: edited.places, places } }
}

/** What was read of a revision, and what was known of that. */
export interface ReadOf {
  readonly before: Revision
  readonly facts: TextFacts
  readonly read: ReadText
}

/**
 * What was parsed for an earlier revision, for one that differs from it in numbers only, and only in such that what was parsed has
 * left alone: it is parsed once, however often percents are moved meanwhile.
 * @returns null where it has to be read again
 */
export function rebased({ before, facts, read }: ReadOf, now: Revision): ReadOf | null {
  if (!read.ok || (read.move.kind !== 'document' && read.move.kind !== 'routes')) return null
  const theirs = numbersOfTables(before.table, now.table)
  const ours = theirs === null ? null : numbersElsewhere(theirs, before.table, read.table)
  if (theirs === null || ours === null) return null
  const known = withChanges(before.text, before.table, facts, theirs)
  const next = withChanges(read.text, read.table, read.facts, ours)
  // What was changed beside them, such as a comment, is told by the text alone.
  if (known?.text !== now.text || next === null) return null
  return {
    before: now,
    facts: known.facts,
    read: { ok: true, ...next, move: movedOn(read.move, now, next.table, ours) },
  }
}

/** How a table is got at after these of its numbers have changed, in the revision `now` too. */
function movedOn(
  move: Extract<TableMove, { kind: 'document' | 'routes' }>,
  { etag: base }: Revision,
  table: Table,
  changes: readonly NumberChange[],
): TableMove {
  if (move.kind === 'document') return { ...move, changes: [...move.changes, ...changes] }
  const moved = new Map(changes.map(({ owner }) => [table.routes[owner]?.id, table.routes[owner]?.document]))
  const splices = move.splices.map((one) => ({ ...one, come: one.come.map((said) => moved.get(said.id) ?? said) }))
  return { ...move, base, splices }
}

function readText(text: string, read: ReadApart): ReadText {
  if (!read.ok) return { ...read, text }
  const { table, document, warnings, more, numbers, places, lexemes } = read
  const move = { kind: 'document', document, changes: [] } as const
  return { ok: true, text, table, facts: { warnings, more, numbers, places, lexemes }, move }
}
