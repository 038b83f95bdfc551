/**
 * The expensive work on table texts: functions from plain data to plain data, so that they can run on another thread.
 */
import { briefly, type ChangeSummary, tableChanges } from '../../rules/language/changes.ts'
import { compileSteps, compileTable } from '../../rules/language/compile.ts'
import { editTable, type ParsedText, says, type TableEdit, withEdit } from '../../rules/language/edit.ts'
import { schemaFindings } from '../../rules/language/findings.ts'
import { withLivePercents } from '../../rules/language/live-percents.ts'
import { type RevertedText, revertText } from '../../rules/language/revert.ts'
import {
  type CheckedText,
  checkText,
  type Problem,
  type Problems,
  placeFindings,
  unplacedProblems,
} from '../../rules/language/text.ts'
import { diffText } from '../../rules/language/text-diff.ts'
import type { TableDocument } from '../../rules/table/schema.ts'
import type { Table } from '../../rules/table/table.ts'
import { type Plain, sameValue } from '../../rules/values/plain.ts'
import { type Finding, MAX_PROBLEMS } from '../../rules/values/problem.ts'
import type { Steps } from '../../rules/values/steps.ts'

/** A document as JSON in pieces, so that it can be sent and compiled in steps. */
export interface PackedDocument {
  readonly default: TableDocument['default']
  /** Lists of `[name, upstream]`. */
  readonly upstreams: readonly string[]
  /** Lists of routes. */
  readonly routes: readonly string[]
  readonly visitor: TableDocument['visitor']
}

/** A parsed text, or its problems. */
export type Checked =
  | (Omit<Extract<CheckedText, { ok: true }>, 'document'> & { readonly document: PackedDocument })
  | Extract<CheckedText, { ok: false }>

/** An edited text, or why the edit is not possible. */
export type Edited =
  | { readonly ok: true; readonly text: string; readonly checked: Checked }
  | { readonly ok: false; readonly message: string }

/** The difference between two texts; `changes` is null if one of them is invalid. */
export interface PackedDifference {
  /** Lists of changes as JSON. */
  readonly changes: readonly string[] | null
  /** In unified format. */
  readonly diff: string
}

/** A file beside what is live: the text that it would be, and what that would change. */
export type Followed =
  | { readonly ok: true; readonly wanted: string; readonly changes: ChangeSummary }
  | ({ readonly ok: false } & Problems)

/** The jobs by name. */
export const JOBS = {
  check(text: string, fileName: string): Checked {
    return packed(checkKept(text, fileName))
  },

  /** @param edit as JSON: as an object, members such as `__proto__` would not reach the other thread */
  edit(text: string, edit: string, fileName: string): Edited {
    const wanted = JSON.parse(edit) as TableEdit
    const problems = refusal(wanted, edit, text, fileName)
    if (problems !== null) return { ok: true, text, checked: { ok: false, ...problems } }
    const read: { text: string; checked: CheckedText }[] = []
    const isSaid = (edited: string, expected: Plain): boolean => {
      const checked = checkKept(edited, fileName)
      read.push({ text: edited, checked })
      return checked.ok ? sameValue(checked.document as unknown as Plain, expected) : says(edited, expected)
    }
    try {
      const known = kept?.text === text ? kept.parsed : undefined
      const edited = editTable(text, (document) => withEdit(document, wanted), isSaid, known)
      const checked = read.find((one) => one.text === edited)?.checked ?? checkText(edited, fileName)
      return { ok: true, text: edited, checked: packed(checked) }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return { ok: false, message: error.message }
    }
  },

  compare(before: string, after: string): PackedDifference {
    const [old, now] = [before, after].map((text) => checkText(text, 'routes.yaml'))
    const changes = old?.ok && now?.ok ? tableChanges(compileTable(old.document), compileTable(now.document)) : null
    return { changes: changes && pieces(changes), diff: diffText(before, after) }
  },

  /** @param findings as JSON: their hints must be strings */
  place(text: string, findings: string, fileName: string): readonly Problem[] {
    return placeFindings(JSON.parse(findings) as Finding[], text, fileName)
  },

  /**
   * A file that is followed, beside the table that is live.
   * @param take 'take' where the percents of the file count; otherwise those that are live stay
   */
  follow(file: string, live: string, fileName: string, take: string): Followed {
    const checked = checkText(file, fileName)
    if (!checked.ok) return { ok: false, problems: checked.problems, more: checked.more }
    const wanted = take === 'take' ? file : withLive(file, live, checked)
    const [now, then] = [checkText(live, fileName), wanted === file ? checked : checkText(wanted, fileName)]
    if (!now.ok || !then.ok) return { ok: false, problems: [], more: 0 }
    return { ok: true, wanted, changes: briefly(tableChanges(compileTable(now.document), compileTable(then.document))) }
  },

  withLive(file: string, live: string): string {
    const checked = checkText(file, 'routes.yaml')
    return checked.ok ? withLive(file, live, checked) : file
  },

  diff: diffText,

  /** `message`: why the values can't be edited alone. */
  revert(before: string, after: string, current: string): RevertedText | { readonly message: string } {
    try {
      return revertText(before, after, current)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return { message: error.message }
    }
  },
}

function withLive(file: string, live: string, { document, numbers }: Extract<CheckedText, { ok: true }>): string {
  return withLivePercents(file, live, { routes: document.routes ?? [], numbers }).wanted
}

/** Texts with fewer characters are parsed in no time. */
const WORTH_KEEPING = 50_000

/**
 * The large text that was parsed last, without an error: the next edit is most likely one of it. It takes a hundred times the memory of
 * the text, which the thread for these jobs frees when it ends.
 */
let kept: { readonly text: string; readonly parsed: ParsedText } | null = null

function checkKept(text: string, fileName: string): CheckedText {
  if (text.length < WORTH_KEEPING) return checkText(text, fileName)
  let found: ParsedText | null = null
  const checked = checkText(text, fileName, (parsed) => {
    found = parsed
  })
  if (checked.ok && found !== null) kept = { text, parsed: found }
  return checked
}

/** An edit or a text with more characters than this: such an edit is not put into the text if the schema does not accept it. */
const LARGE = 50_000

/**
 * The schema's problems with what an edit puts in, if there are more than are told, or if it or the text is large: then nobody needs
 * the edited text, which costs far more than they do, while other edits wait. Else null: the whole text is checked, with all that the
 * schema does not know. Problems with several routes of a text are told by their lines, which takes a parse.
 */
function refusal(edit: TableEdit, json: string, text: string, fileName: string): Problems | null {
  // Half of a surrogate pair is not for the schema: YAML's check of the text tells it.
  if (/\\ud[89a-f]/.test(json)) return null
  const table = { version: 1, upstreams: { it: { servers: ['http://localhost'] } }, default: 'it' }
  const routes = routesIn(edit)
  const findings =
    edit.kind === 'servers'
      ? schemaFindings({ ...table, upstreams: { [edit.upstream]: { servers: edit.servers } } })
      : schemaFindings({ ...table, routes: routes.map(({ route }) => route) })
  const isLarge = json.length > LARGE || (text.length > LARGE && edit.kind !== 'routes')
  if (findings.length <= (isLarge ? 0 : MAX_PROBLEMS)) return null
  const placed =
    edit.kind === 'servers' ? findings : findings.map((one) => ({ ...one, path: inTable(routes, one.path) }))
  return unplacedProblems(placed, fileName)
}

function routesIn(edit: TableEdit): readonly { readonly at: number; readonly route: object }[] {
  if (edit.kind === 'routes') return edit.routes
  return edit.kind === 'route' && edit.route !== null ? [{ at: edit.at, route: edit.route }] : []
}

function inTable(routes: readonly { readonly at: number }[], [, nth, ...rest]: Finding['path']): Finding['path'] {
  return ['routes', routes[nth as number]?.at ?? 0, ...rest]
}

/** Entries in a piece of a packed document: it is parsed, or sent to another process, in less than a millisecond. */
const PIECE = 50

function packed(checked: CheckedText): Checked {
  return checked.ok ? { ...checked, document: pack(checked.document) } : checked
}

function pack({ default: fallback, upstreams, routes = [], visitor }: TableDocument): PackedDocument {
  return { default: fallback, upstreams: pieces(Object.entries(upstreams)), routes: pieces(routes ?? []), visitor }
}

function pieces(entries: readonly unknown[]): string[] {
  const all: string[] = []
  for (let at = 0; at < entries.length; at += PIECE) all.push(JSON.stringify(entries.slice(at, at + PIECE)))
  return all
}

/** Compiles a packed document. @param known the table to take over from what has stayed the same */
export function* tableSteps(packed: PackedDocument, known: Table | null): Steps<Table> {
  const upstreams = Object.fromEntries(yield* unpack<[string, TableDocument['upstreams'][string]]>(packed.upstreams))
  const routes = yield* unpack<NonNullable<TableDocument['routes']>[number]>(packed.routes)
  const document = { version: 1, default: packed.default, upstreams, routes, visitor: packed.visitor } as const
  return yield* compileSteps(document, known)
}

function* unpack<Entry>(packed: readonly string[]): Steps<Entry[]> {
  const entries: Entry[] = []
  for (const piece of packed) {
    entries.push(...(JSON.parse(piece) as Entry[]))
    yield
  }
  return entries
}
