/**
 * Text <-> table: parses routes.yaml, reporting each problem with line and column, and edits one value, keeping all other bytes.
 */
import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  Parser,
  type YAMLMap,
  YAMLParseError,
} from 'yaml'
import type { TableDocument } from '../table/schema.ts'
import type { Table } from '../table/table.ts'
import { type Finding, MAX_PROBLEMS, type Problem, type Problems, pointerOf } from '../values/problem.ts'
import { flawOfPercent, formatPercent } from '../values/units.ts'
import { checkTable } from './check.ts'
import { compileTable } from './compile.ts'
import { schemaFindings } from './findings.ts'

export { formatProblem, formatProblems, type Problem, type Problems } from '../values/problem.ts'

/** A parsed text, or why it is invalid. Plain data, so it can be passed to another thread. */
export type CheckedText =
  | {
      readonly ok: true
      readonly document: TableDocument
      readonly warnings: readonly Problem[]
      readonly more: number
    }
  | ({ readonly ok: false } & Problems)

/** A compiled table with its warnings, or why the text is invalid; `more` is the number of problems that are not listed. */
export type ReadTable =
  | { readonly ok: true; readonly table: Table; readonly warnings: readonly Problem[]; readonly more: number }
  | Extract<CheckedText, { ok: false }>

type Path = readonly (string | number)[]

/** More than a hand-written table needs, and far below an alias bomb. */
const MAX_ALIASES = 100

/** Maximum nesting of collections; a table has fewer than twenty levels. */
const MAX_DEPTH = 500
/** Maximum number of lexemes: ten thousand routes have about 600,000. */
const MAX_LEXEMES = 2_000_000

/** To find what an alias stands for, the parser looks at all anchors and aliases before it: so many looks at most. */
const MAX_ALIAS_LOOKS = 40_000_000

/** A finding with its offset in the text. */
interface Placed {
  readonly finding: Finding
  readonly offset: number
}

/** Maximum number of schema findings to examine in a text with syntax errors. */
const MAX_DOUBTED = 1000

/**
 * Parses and compiles a routes.yaml (YAML 1.2, core schema). Never throws. Problems are reported for `fileName`,
 * in the order of the text; if one of them is an error, the warnings are among them.
 */
export function readTable(text: string, fileName: string): ReadTable {
  const checked = checkText(text, fileName)
  if (!checked.ok) return checked
  const { document, ...rest } = checked
  return { ...rest, table: compileTable(document) }
}

/** Like `readTable`, without compiling: the result is plain data. Never throws. */
export function checkText(text: string, fileName: string): CheckedText {
  const lines = new LineCounter()
  let placed: Placed[]
  let more = 0
  let document: unknown
  try {
    const parsed = parse(text, lines)
    const broken = [...syntaxFindings(parsed), ...structureFindings(parsed)]
    if (broken.length === 0) {
      document = parsed.toJS({ maxAliasCount: MAX_ALIASES })
      const findings = checkTable(document)
      more = Math.max(0, findings.length - MAX_PROBLEMS)
      placed = locateAll(mostImportant(findings), parsed).sort(byOffset)
    } else {
      const all = [...broken, ...certainFindings(parsed, broken)].sort(byOffset)
      more = Math.max(0, all.length - MAX_PROBLEMS)
      placed = all.slice(0, MAX_PROBLEMS)
    }
  } catch (cause) {
    placed = [{ finding: unreadable(cause), offset: 0 }]
  }
  const problems = placed.map(({ finding, offset }) => problemOf(finding, offset, fileName, lines, text))
  if (problems.some((problem) => problem.severity === 'error')) return { ok: false, problems, more }
  return { ok: true, document: document as TableDocument, warnings: problems, more }
}

/** The findings that are reported: errors first, so that warnings do not displace them. */
function mostImportant(findings: readonly Finding[]): readonly Finding[] {
  if (findings.length <= MAX_PROBLEMS) return findings
  const errors = findings.filter(({ severity }) => severity === 'error')
  const warnings = findings.filter(({ severity }) => severity === 'warning')
  return [...errors.slice(0, MAX_PROBLEMS), ...warnings].slice(0, MAX_PROBLEMS)
}

function byOffset(a: Placed, b: Placed): number {
  return a.offset - b.offset
}

/** Locates findings in the text of a table, in the order of the text. For a text that `readTable` accepts. */
export function placeFindings(findings: readonly Finding[], text: string, fileName: string): Problem[] {
  if (findings.length === 0) return []
  const lines = new LineCounter()
  return locateAll(findings, parse(text, lines))
    .sort((a, b) => a.offset - b.offset)
    .map(({ finding, offset }) => problemOf(finding, offset, fileName, lines, text))
}

/**
 * Like `parseDocument` of yaml, with limits on nesting and length: the parser itself would follow ten million brackets
 * until memory runs out. Throws a RangeError above the limits.
 */
function parse(text: string, lines = new LineCounter()): Document.Parsed {
  // Duplicate keys are found below: yaml's own search is quadratic in the size of a map.
  const composer = new Composer({ uniqueKeys: false, stringKeys: true, logLevel: 'silent' })
  const [document, another] = composer.compose(tokensOf(text, lines), true, text.length)
  if (document === undefined) throw new Error('the composer was told to make a document, and made none')
  if (another !== undefined) {
    document.errors.push(new YAMLParseError([another.range[0], another.range[0] + 1], 'MULTIPLE_DOCS', ''))
  }
  return document
}

const AMPERSAND = 0x26
const ASTERISK = 0x2a

function* tokensOf(text: string, lines: LineCounter): Generator<CST.Token> {
  lines.addNewLine(0)
  const parser = new Parser(lines.addNewLine)
  let lexemes = 0
  let marks = 0
  let looks = 0
  for (const lexeme of new Lexer().lex(text)) {
    if (parser.stack.length > MAX_DEPTH) throw new RangeError('nested too deeply')
    if (++lexemes > MAX_LEXEMES) throw new RangeError('too large')
    const first = lexeme.charCodeAt(0)
    if (first === AMPERSAND || first === ASTERISK) marks++
    if (first === ASTERISK && (looks += marks) > MAX_ALIAS_LOOKS) throw new RangeError('too many anchors and aliases')
    yield* parser.next(lexeme)
  }
  yield* parser.end()
}

function unreadable(cause: unknown): Finding {
  const message =
    cause instanceof RangeError
      ? cause.message
      : cause instanceof ReferenceError
        ? 'aliases expand to too many values'
        : 'invalid YAML'
  return { path: [], message, severity: 'error' }
}

function problemOf(finding: Finding, offset: number, file: string, lines: LineCounter, text: string): Problem {
  const { line, col } = lines.lineStarts.length === 0 ? { line: 1, col: 1 } : lines.linePos(offset)
  const column = line === 1 && text.startsWith('\uFEFF') ? Math.max(1, col - 1) : Math.max(1, col)
  const { path, severity } = finding
  // Aliases can repeat a long key or value: reported problems stay small.
  const long = path.findIndex((key) => String(key).length > MAX_KEY_LENGTH)
  const pointer = pointerOf(long === -1 ? path : path.slice(0, long))
  const message = cut(finding.message)
  const problem = { file, line: Math.max(1, line), column, pointer, message, severity }
  const hint = typeof finding.hint === 'function' ? finding.hint() : finding.hint
  return hint === undefined ? problem : { ...problem, hint: cut(hint) }
}

/** Longest key in a problem's pointer; a problem with a longer one is reported at the enclosing map. */
const MAX_KEY_LENGTH = 300
const MAX_MESSAGE_LENGTH = 600

function cut(text: string): string {
  return text.length > MAX_MESSAGE_LENGTH ? `${text.slice(0, MAX_MESSAGE_LENGTH)}…` : text
}

/** Messages in place of those in which the parser refers to its own options. */
const SYNTAX_MESSAGES: Readonly<Record<string, string>> = {
  MULTIPLE_DOCS: 'expected a single document, found another',
  NON_STRING_KEY: 'keys must be strings',
}

/** The errors of the YAML parser. Its warnings (unknown tags) are errors too: the value is not what was meant. */
function syntaxFindings(parsed: Document.Parsed): Placed[] {
  return [...parsed.errors, ...parsed.warnings].map(({ code, message, pos }) => ({
    finding: {
      path: [],
      message: SYNTAX_MESSAGES[code] ?? message.charAt(0).toLowerCase() + message.slice(1),
      severity: 'error',
    },
    offset: pos[0],
  }))
}

/** Duplicate keys, `__proto__` as a key, and undefined aliases. */
function structureFindings(parsed: Document.Parsed): Placed[] {
  const found: Placed[] = []
  const anchors = new Set<string>()
  const walk = (node: unknown, path: Path): void => {
    if (isAlias(node)) {
      const finding = {
        path,
        message: `undefined alias *${node.source}: no anchor &${node.source} before it`,
        severity: 'error',
      } as const
      if (!anchors.has(node.source)) found.push({ finding, offset: rangeStart(node) ?? 0 })
      return
    }
    if (isNode(node) && node.anchor !== undefined) anchors.add(node.anchor)
    if (isSeq(node)) {
      for (const [at, item] of node.items.entries()) walk(item, [...path, at])
    } else if (isMap(node)) {
      const seen = new Set<string>()
      for (const { key, value } of node.items) {
        const name = isScalar(key) ? String(key.value) : null
        if (name === null) continue
        const finding = { path: [...path, name], severity: 'error' } as const
        const offset = rangeStart(key) ?? 0
        if (seen.has(name)) found.push({ finding: { ...finding, message: 'duplicate key' }, offset })
        if (name === '__proto__') found.push({ finding: { ...finding, message: 'unknown key' }, offset })
        seen.add(name)
        walk(value, [...path, name])
      }
    }
  }
  walk(parsed.contents, [])
  return found
}

/** In a text with syntax errors: the findings before the first of them that no later line can change. */
function certainFindings(parsed: Document.Parsed, syntax: readonly Placed[]): Placed[] {
  const first = syntax.reduce((least, { offset }) => Math.min(least, offset), Number.POSITIVE_INFINITY)
  let document: unknown
  try {
    document = parsed.toJS({ maxAliasCount: MAX_ALIASES })
  } catch {
    return []
  }
  return locateAll(schemaFindings(document).slice(0, MAX_DOUBTED), parsed).filter(({ finding, offset }) => {
    const { node, pair } = nodeAt(parsed, finding.path)
    if (offset >= first || finding.at === 'parent') return false
    if (finding.at === 'key') return pair !== null
    // An unclosed quote swallows all that follows.
    return isScalar(node) && node.value !== null && (node.range?.[1] ?? first) < first
  })
}

function locateAll(findings: readonly Finding[], parsed: Document.Parsed): Placed[] {
  return findings.map((finding) => ({ finding, offset: offsetOf(finding, parsed) }))
}

/** The offset that a finding points at: its value, its key, or the map that lacks it. */
function offsetOf({ path, at }: Finding, parsed: Document.Parsed): number {
  const { node, pair, parent } = nodeAt(parsed, path)
  const offset = at === 'key' || node === null ? rangeStart(pair?.key) : rangeStart(node)
  return offset ?? rangeStart(parent) ?? 0
}

/** Walks to a path: its node, the pair that holds it, and the deepest collection on the way. */
function nodeAt(parsed: Document.Parsed, path: Path): { node: Node | null; pair: Pair | null; parent: Node | null } {
  let node: Node | null = parsed.contents
  let pair: Pair | null = null
  let parent: Node | null = null
  for (const key of path) {
    const holder: unknown = isAlias(node) ? node.resolve(parsed) : node
    pair = null
    if (isMap(holder)) pair = pairOf(holder, String(key)) ?? null
    else if (!isSeq(holder)) return { node: null, pair: null, parent: node ?? parent }
    parent = node
    node = ((pair ? pair.value : isSeq(holder) ? holder.items[Number(key)] : null) ?? null) as Node | null
    if (node === null) break
  }
  return { node, pair, parent }
}

/** The pairs of a map by key, cached with the map: one map may have thousands of findings. */
const pairsByMap = new WeakMap<YAMLMap, Map<unknown, Pair>>()

/** The pair of a key; of duplicates the last one, whose value counts. */
function pairOf(map: YAMLMap, key: string): Pair | undefined {
  let pairs = pairsByMap.get(map)
  if (pairs === undefined) {
    pairs = new Map(map.items.map((pair) => [isScalar(pair.key) ? pair.key.value : pair.key, pair]))
    pairsByMap.set(map, pairs)
  }
  return pairs.get(key)
}

function rangeStart(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0]
}

/**
 * Changes a route's percent in a text that `readTable` accepts, and nothing else: the number is replaced in place, or the
 * key is added after `to`. Returns the new text. `percent` is 0 to 100 with up to 4 decimals.
 * Throws a RangeError if the percent is invalid, if the table has no such route, or if the number cannot be edited alone
 * (the route, or its percent, is an alias or has one).
 */
export function setPercent(text: string, routeId: string, percent: number): string {
  const flaw = flawOfPercent(percent)
  if (flaw) throw new RangeError(flaw.message)
  const parsed = parse(text)
  const routes = nodeAt(parsed, ['routes']).node
  const at = isSeq(routes) ? routes.items.findIndex((item) => isMap(item) && item.get('id') === routeId) : -1
  if (at === -1) throw new RangeError(`unknown route ${JSON.stringify(routeId)}`)
  const route = (routes as { items: unknown[] }).items[at] as YAMLMap
  const edited = replaceOrAdd(text, route, 'percent', formatPercent(percent))
  assertOnlyChange(parsed, parse(edited), at, percent)
  return edited
}

function replaceOrAdd(text: string, map: YAMLMap, key: string, value: string): string {
  const pair = pairOf(map, key)
  const range = (pair?.value as Node | null | undefined)?.range
  if (range) return splice(text, range[0], range[1], value)
  const behind = pairOf(map, 'to')
  const end = (behind?.value as Node | null | undefined)?.range?.[1]
  if (behind === undefined || end === undefined) throw new RangeError('the route has no `to` to add its percent behind')
  const quoted = text[rangeStart(behind.key) as number] === '"' ? `"${key}"` : key
  if (map.flow) return splice(text, end, end, `, ${quoted}: ${value}`)
  const lineEnd = text.indexOf('\n', end)
  const newline = text.includes('\r\n') ? '\r\n' : '\n'
  const line = `${' '.repeat(columnOf(text, rangeStart(behind.key) as number))}${quoted}: ${value}`
  return lineEnd === -1 ? `${text}${newline}${line}` : splice(text, lineEnd + 1, lineEnd + 1, line + newline)
}

function splice(text: string, start: number, end: number, replacement: string): string {
  return text.slice(0, start) + replacement + text.slice(end)
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1)
}

/** An edit is accepted only if parsing it gives the old document with the one new value. */
function assertOnlyChange(before: Document.Parsed, after: Document.Parsed, route: number, percent: number): void {
  const wanted = before.toJS({ maxAliasCount: MAX_ALIASES })
  wanted.routes[route] = { ...wanted.routes[route], percent }
  const got = after.errors.length === 0 ? after.toJS({ maxAliasCount: MAX_ALIASES }) : null
  if (got !== null && canonical(wanted) === canonical(got)) return
  throw new RangeError('cannot edit percent in place: write it as a plain number, without anchor or alias')
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}
