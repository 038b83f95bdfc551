/**
 * Text -> table: parses routes.yaml, reporting each problem with line and column.
 */
import {
  type Alias,
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
  type YAMLMap,
} from 'yaml'
import { type TableDocument, tableKeys } from '../table/schema.ts'
import type { Table } from '../table/table.ts'
import { type Finding, MAX_PROBLEMS, type Problem, type Problems, pointerOf } from '../values/problem.ts'
import { checkTable } from './check.ts'
import { compileTable } from './compile.ts'
import type { ParsedText } from './edit.ts'
import { schemaFindings } from './findings.ts'
import { numberPlaces } from './number-places.ts'
import type { NumberPlaces } from './numbers.ts'
import { parse } from './parse.ts'
import { type RoutePlaces, routePlaces } from './route-places.ts'
import { codeOf, conflictMarker, invisibleIn } from './stray.ts'
import { firstMistake, type Lexeme, type Mistake, quotesMistake, SCALAR_MARK } from './syntax.ts'

export { countsText, formatProblem, formatProblems, type Problem, type Problems } from '../values/problem.ts'

/** What is known of a valid text besides its table. */
export interface TextFacts {
  readonly warnings: readonly Problem[]
  /** Warnings that are not listed. */
  readonly more: number
  readonly numbers: NumberPlaces
  readonly places: RoutePlaces
  /** How many lexemes it has; after changes of a few routes, how many at most. */
  readonly lexemes: number
}

/** A parsed text, or why it is invalid. Plain data, so it can be passed to another thread. */
export type CheckedText =
  | ({ readonly ok: true; readonly document: TableDocument } & TextFacts)
  | ({ readonly ok: false } & Problems)

/** A compiled table with its warnings, or why the text is invalid; `more` is the number of problems that are not listed. */
export type ReadTable =
  | (Omit<Extract<CheckedText, { ok: true }>, 'document'> & { readonly table: Table })
  | Extract<CheckedText, { ok: false }>

type Path = readonly (string | number)[]

/** More than a hand-written table needs, and far below an alias bomb. */
const MAX_ALIASES = 100

/** Where directives are looked for. */
const MAX_PREAMBLE = 2_000

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

/**
 * Like `readTable`, without compiling: the result is plain data. Never throws.
 * @param keep gets what was parsed, for an edit of the same text
 */
export function checkText(text: string, fileName: string, keep?: (parsed: ParsedText) => void): CheckedText {
  const lines = new LineCounter()
  let placed: Placed[]
  let more = 0
  let document: unknown
  let numbers: NumberPlaces = Int32Array.of()
  let places: RoutePlaces = Int32Array.of()
  const size = { lexemes: 0 }
  try {
    const parsed = parse(text, lines, size, keep !== undefined)
    keep?.(parsed)
    const characters = characterFindings(text)
    const syntax = characters.length > 0 ? characters : syntaxFindings(parsed, text)
    const first = syntax.reduce((least, { offset }) => Math.min(least, offset), Number.POSITIVE_INFINITY)
    // Behind a syntax error the parser reads something else than what was meant.
    const structure = structureFindings(parsed, text, lines)
    const broken = [
      ...syntax,
      ...(parsed.errors.length === 0 ? structure : structure.filter(({ offset }) => offset < first)),
    ]
    if (broken.length === 0) {
      document = parsed.toJS({ maxAliasCount: MAX_ALIASES })
      const findings = checkTable(document)
      more = Math.max(0, findings.length - MAX_PROBLEMS)
      placed = locateAll(mostImportant(findings), parsed, text).sort(byOffset)
      const isValid = findings.every(({ severity }) => severity === 'warning')
      if (isValid) {
        numbers = numberPlaces(parsed, document as TableDocument, text)
        places = routePlaces(parsed, text)
      }
    } else {
      const all = [...broken, ...certainFindings(parsed, broken, text)].sort(byOffset)
      more = Math.max(0, all.length - MAX_PROBLEMS)
      placed = all.slice(0, MAX_PROBLEMS)
    }
  } catch (cause) {
    placed = [{ finding: unreadable(cause), offset: 0 }]
  }
  const problems = placed.map(({ finding, offset }) => problemOf(finding, offset, fileName, lines, text))
  if (problems.some((problem) => problem.severity === 'error')) return { ok: false, problems, more }
  const { lexemes } = size
  return { ok: true, document: document as TableDocument, warnings: problems, more, numbers, places, lexemes }
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
  return locateAll(findings, parse(text, lines), text)
    .sort((a, b) => a.offset - b.offset)
    .map(({ finding, offset }) => problemOf(finding, offset, fileName, lines, text))
}

/** Findings of a document that has no text: the first of them, placed at its start. */
export function unplacedProblems(findings: readonly Finding[], fileName: string): Problems {
  const told = findings.slice(0, MAX_PROBLEMS)
  const problems = told.map((finding) => problemOf(finding, 0, fileName, new LineCounter(), ''))
  return { problems, more: findings.length - told.length }
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

/**
 * The first syntax error, as one finding; what the parser reports behind it follows from it. Unknown tags are errors too: the value
 * is not what was meant.
 */
function syntaxFindings(parsed: Document.Parsed, text: string): Placed[] {
  const errors = parsed.errors.toSorted((a, b) => a.pos[0] - b.pos[0])
  // Where a comma is missing, the entry before it is read as a key.
  const first = errors.find(({ code }) => code !== 'NON_STRING_KEY') ?? errors[0]
  if (first !== undefined) {
    const { code, message, pos } = first
    const mistake = firstMistake(text, { code, message, offset: pos[0] }, lexemesOf(text), tableKeys())
    return [placedOf(mistake, mistake.isValue === true ? pathOf(parsed.contents, mistake.offset) : [])]
  }
  return parsed.warnings.flatMap(({ code, message, pos: [offset] }) => {
    // The version of a directive is told below.
    if (/^Unsupported YAML version/.test(message)) return []
    if (code === 'TAG_RESOLVE_FAILED' && text[offset] === '!') return [placedOf(quotesMistake(text, offset))]
    if (code === 'BAD_DIRECTIVE')
      return [placedOf({ offset, message: 'unexpected directive', hint: 'remove this line' })]
    return [placedOf({ offset, message })]
  })
}

/** The path to the text that starts at an offset; empty if there is none. */
function pathOf(node: unknown, offset: number): Path {
  const entries: (readonly [string | number, unknown])[] = isSeq(node)
    ? node.items.map((item, at) => [at, item])
    : isMap(node)
      ? node.items.map(({ key, value }) => [String(isScalar(key) ? key.value : key), value])
      : []
  const entry = entries.findLast(([, value]) => (rangeStart(value) ?? Infinity) <= offset)
  if (entry === undefined) return []
  const [key, value] = entry
  if (isScalar(value)) return rangeStart(value) === offset ? [key] : []
  const rest = pathOf(value, offset)
  return rest.length === 0 ? [] : [key, ...rest]
}

function placedOf({ offset, message, hint }: Mistake, path: Path = []): Placed {
  return { finding: { path, message, hint, severity: 'error' }, offset }
}

/** The lexemes of a text, without those that stand for nothing in it but mark what follows. */
function lexemesOf(text: string): Lexeme[] {
  const lexemes: Lexeme[] = []
  let offset = 0
  let plain = false
  for (const source of new Lexer().lex(text)) {
    lexemes.push({ offset, source, plain })
    // Control characters are marks of the lexer, but for those that are in the text.
    if (plain || !MARKS.has(source)) offset += source.length
    plain = !plain && source === SCALAR_MARK
  }
  return lexemes
}

/** Lexemes that take no place in the text. */
const MARKS: ReadonlySet<string> = new Set(['\x02', '\x18', SCALAR_MARK])

/** What YAML 1.2.2 section 5.1 does not allow anywhere, comments included. */
const NO_CHARACTER = /[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u

/** The first character that no YAML text may have, or the first marker of a merge. */
function characterFindings(text: string): Placed[] {
  const marker = conflictMarker(text)
  if (marker !== null) return [placedOf(marker)]
  const offset = text.search(NO_CHARACTER)
  if (offset === -1) return []
  return [placedOf({ offset, message: `invalid character U+${codeOf(text[offset] as string)}` })]
}

/** Duplicate keys, `__proto__` as a key, undefined aliases, and strings with unpaired surrogates. */
function structureFindings(parsed: Document.Parsed, text: string, lines: LineCounter): Placed[] {
  const found: Placed[] = []
  const directive = /^\uFEFF?(?:(?:#.*|%.*)?\r?\n)*?%YAML +(\S+)/.exec(text.slice(0, MAX_PREAMBLE))
  if (directive !== null && directive[1] !== '1.2') {
    const message = `YAML ${directive[1]} is not supported: a table is YAML 1.2`
    found.push(placedOf({ offset: directive[0].lastIndexOf('%YAML'), message, hint: 'remove this line' }))
  }
  const anchors = new Set<string>()
  const walk = (node: unknown, path: Path, isItem = false): void => {
    if (isAlias(node)) {
      if (!anchors.has(node.source)) found.push(placedOf(undefinedAlias(node, text), path))
      return
    }
    if (isNode(node) && node.anchor !== undefined) anchors.add(node.anchor)
    if (isScalar(node) && typeof node.value === 'string' && !node.value.isWellFormed()) {
      const offset = rangeStart(node) ?? 0
      found.push(placedOf({ offset, message: 'contains half of a surrogate pair' }, path))
    }
    if (isSeq(node)) {
      for (const [at, item] of node.items.entries()) walk(item, [...path, at], true)
    } else if (isMap(node)) {
      const seen = new Map<string, number>()
      let isFirst = true
      for (const { key, value } of node.items) {
        const name = isScalar(key) ? String(key.value) : null
        if (name === null) continue
        const finding = { path: [...path, name], severity: 'error' } as const
        const offset = rangeStart(key) ?? 0
        const earlier = seen.get(name)
        // Where the next item of a list has no dash, all of its keys are duplicates.
        if (earlier !== undefined && (isFirst || !isItem)) {
          const dash = isItem ? '; the next item of a list starts with -' : ''
          const hint = `first on line ${lines.linePos(earlier).line}${dash}`
          found.push({ finding: { ...finding, message: 'duplicate key', hint }, offset })
          isFirst = false
        }
        if (name === '__proto__') found.push({ finding: { ...finding, message: 'unknown key' }, offset })
        if (earlier === undefined) seen.set(name, offset)
        walk(value, [...path, name])
      }
    }
  }
  walk(parsed.contents, [])
  return found
}

/** An alias without an anchor, or more likely text such as `*.example.test` that should have quotes. */
function undefinedAlias({ source, range }: Alias, text: string): Mistake {
  const offset = range?.[0] ?? 0
  if (!/^[A-Za-z_][\w-]*$/.test(source)) return quotesMistake(text, offset)
  return { offset, message: `undefined alias *${source}: no anchor &${source} before it` }
}

/** In a text with syntax errors: the findings before the first of them that no later line can change. */
function certainFindings(parsed: Document.Parsed, broken: readonly Placed[], text: string): Placed[] {
  const mistake = broken.reduce((least, { offset }) => Math.min(least, offset), Number.POSITIVE_INFINITY)
  const first = text.lastIndexOf('\n', mistake - 1) + 1
  let document: unknown
  try {
    document = parsed.toJS({ maxAliasCount: MAX_ALIASES })
  } catch {
    return []
  }
  return locateAll(schemaFindings(document).slice(0, MAX_DOUBTED), parsed, text).filter(({ finding, offset }) => {
    const { node, pair } = nodeAt(parsed, finding.path)
    if (offset >= first || finding.at === 'parent') return false
    // A key without its colon takes in the next one.
    if (finding.at === 'key') return pair !== null && ((pair.key as Node).range?.[1] ?? first) < first
    // An unclosed quote swallows all that follows.
    return isScalar(node) && node.value !== null && (node.range?.[1] ?? first) < first
  })
}

function locateAll(findings: readonly Finding[], parsed: Document.Parsed, text: string): Placed[] {
  const placed = findings.map(
    (finding) =>
      strayIn(finding, parsed, text) ??
      itemOf(finding, parsed, text) ??
      continued(finding, parsed, text) ?? { finding: withVariable(finding, parsed), offset: offsetOf(finding, parsed) },
  )
  // What an alias stands for is read once for each alias.
  const told = new Set<string>()
  return placed.filter(({ finding: { path, message }, offset }) => {
    const mark = JSON.stringify([offset, path.at(-1), message])
    return told.size < told.add(mark).size
  })
}

/** An error of a key or value without quotes that has an invisible character. */
function strayIn(finding: Finding, parsed: Document.Parsed, text: string): Placed | null {
  if (finding.severity !== 'error' || finding.at === 'parent') return null
  const { node, pair } = nodeAt(parsed, finding.path)
  const found = finding.at === 'key' ? pair?.key : node
  if (!isScalar(found) || found.type !== 'PLAIN') return null
  const [start, end] = found.range as [number, number, number]
  const stray = invisibleIn(text, start, Math.min(end, start + MAX_KEY_LENGTH))
  return stray === null ? null : { finding: { ...finding, ...stray }, offset: stray.offset }
}

/** Text on lines of its own where a list is expected. */
function itemOf(finding: Finding, parsed: Document.Parsed, text: string): Placed | null {
  if (!finding.message.startsWith('expected list, received string')) return null
  const { node } = nodeAt(parsed, finding.path)
  if (!isScalar(node) || node.type !== 'PLAIN') return null
  const [offset, end] = node.range as [number, number, number]
  if (!/\n[ \t]*$/.test(text.slice(Math.max(0, offset - MAX_KEY_LENGTH), offset))) return null
  const [first = '', ...more] = text.slice(offset, end).split('\n')
  const item = first.trim().replace(/^-/, '')
  const hint = more.length > 0 ? 'start each line with - ' : `write - ${item}`
  return { finding: { ...finding, message: 'expected a list item', hint }, offset }
}

/** `${UPSTREAM}` in the place of a value. */
function withVariable(finding: Finding, parsed: Document.Parsed): Finding {
  if (finding.severity !== 'error' || finding.at === 'key' || finding.at === 'parent') return finding
  const { node } = nodeAt(parsed, finding.path)
  const isVariable =
    isScalar(node) && typeof node.value === 'string' && /\$\{\w+|^\$[A-Z_]+$|\{\{/.test(node.value.slice(0, 200))
  return isVariable ? { ...finding, hint: 'variables are not expanded in a table' } : finding
}

/** An error of a value without quotes that goes on on the next line: that line is meant to be something else. */
function continued(finding: Finding, parsed: Document.Parsed, text: string): Placed | null {
  if (finding.severity !== 'error' || finding.at === 'key' || finding.at === 'parent') return null
  const { node } = nodeAt(parsed, finding.path)
  if (!isScalar(node) || node.type !== 'PLAIN') return null
  const [start, end] = node.range as [number, number, number]
  const lineEnd = text.slice(start, end).indexOf('\n')
  if (lineEnd === -1) return null
  const offset = start + lineEnd + text.slice(start + lineEnd, end).search(/\S/)
  const message = 'wrong indentation: this line is read as part of the value above it'
  return { finding: { ...finding, message, hint: undefined }, offset }
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
