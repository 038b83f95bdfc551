/**
 * Edits values in the text of a routes.yaml and keeps everything else: comments, order, quoting and spacing.
 */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import type { TableDocument } from '../table/schema.ts'
import { alignLists, isList, isPlainMap, keysOf, type Plain, type PlainMap, sameValue } from '../values/plain.ts'
import { blockText, flowText, isShort, itemText, jsonText, pairText } from './yaml-print.ts'

/** The keys of a route in the order in which they are written; a new key goes after the last one that precedes it here. */
const KEY_ORDER = [
  ...['id', 'match', 'priority', 'from', 'to', 'percent', 'noKey', 'group', 'sticky'],
  ...['fallback', 'rewrite', 'answer', 'timeouts', 'cache', 'ambiguousPaths'],
]

/** A text as a parser has it, with the offsets of all that stands in it. */
export type ParsedText = Document.Parsed

/** A replacement of the text from `start` to `end`. */
interface Splice {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** More than a table that `readTable` accepts can have. */
const MAX_ALIASES = 100

/**
 * How deep to look for a difference before the whole value is rewritten: first down to scalars, then to a key of a route
 * or an upstream, then to the route itself. The first result that parses to the wanted document is taken.
 */
const DEPTHS = [Number.POSITIVE_INFINITY, 3, 2]

/**
 * Edits a text that `readTable` accepts so that it parses to what `change` returns for the current document. `change` may
 * modify its argument. Returns the new text, or the same one if nothing differs.
 * A JSON text stays one. An anchor on what changes or goes moves to the first of its aliases that stay.
 * @param isSaid whether an edited text parses to the wanted document; a caller that parses it anyway can tell
 * @param parsed the text, where it was parsed before: `checkText` keeps it
 * @throws {RangeError} the value cannot be edited alone
 */
export function editTable(
  text: string,
  change: (document: TableDocument) => TableDocument,
  isSaid: (edited: string, wanted: Plain) => boolean = says,
  parsed: ParsedText = parse(text, true),
): string {
  const before = plainOf(parsed)
  const wanted = change(structuredClone(before) as TableDocument) as Plain
  if (sameValue(before, wanted)) return text
  const isJson = isJsonText(text)
  for (const depth of DEPTHS) {
    const edited = new Editor(text, depth, isJson).edit(parsed, before, wanted)
    if (isSaid(edited, wanted) && (!isJson || isJsonText(edited))) return edited
  }
  throw new RangeError('cannot edit this value in place: an anchor or alias is in the way')
}

/** A change of a table, as plain data. */
export type TableEdit =
  /** Replaces the route at this index; appends it if the index is one past the last; null removes it. */
  | { readonly kind: 'route'; readonly at: number; readonly route: object | null }
  /** Replaces the routes at these indexes. */
  | { readonly kind: 'routes'; readonly routes: readonly { readonly at: number; readonly route: object }[] }
  /** All servers of an upstream. */
  | { readonly kind: 'servers'; readonly upstream: string; readonly servers: readonly unknown[] }

/** Applies an edit to a document. The result is not checked. */
export function withEdit(document: TableDocument, edit: TableEdit): TableDocument {
  if (edit.kind === 'route') {
    const routes: unknown[] = [...(document.routes ?? [])]
    routes.splice(edit.at, 1, ...(edit.route === null ? [] : [edit.route]))
    return { ...document, routes } as TableDocument
  }
  if (edit.kind === 'routes') {
    const routes: unknown[] = [...(document.routes ?? [])]
    for (const { at, route } of edit.routes) routes[at] = route
    return { ...document, routes } as TableDocument
  }
  const upstream = { ...document.upstreams[edit.upstream], servers: edit.servers }
  return { ...document, upstreams: { ...document.upstreams, [edit.upstream]: upstream } } as TableDocument
}

/** The values of a text that `readTable` accepts. @throws {Error} for some that it does not accept */
export function plainTable(text: string): Plain {
  const parsed = parse(text)
  const [error] = parsed.errors
  if (error !== undefined) throw error
  return plainOf(parsed)
}

function plainOf(parsed: Document.Parsed): Plain {
  return parsed.toJS({ maxAliasCount: MAX_ALIASES })
}

/** @param keepSourceTokens they have the offsets of the dashes of a list */
function parse(text: string, keepSourceTokens = false): Document.Parsed {
  return parseDocument(text, { uniqueKeys: false, stringKeys: true, logLevel: 'silent', keepSourceTokens })
}

/** Whether a text parses to the wanted document: only then is an edit accepted. */
export function says(text: string, wanted: Plain): boolean {
  const parsed = parse(text)
  if (parsed.errors.length > 0) return false
  try {
    return sameValue(plainOf(parsed), wanted)
  } catch {
    // An alias whose anchor was removed.
    return false
  }
}

function isJsonText(text: string): boolean {
  const first = /^\uFEFF?\s*(.)/.exec(text)?.[1]
  if (first !== '{') return false
  try {
    JSON.parse(text.replace(/^\uFEFF/, ''))
    return true
  } catch {
    return false
  }
}

/** An anchor in the text, with its value and its aliases. */
interface Anchor {
  /** The offset of its `&`. */
  readonly at: number
  readonly node: Node & { anchor: string }
  readonly aliases: Node[]
}

/** The anchors of a document that have aliases. */
function anchorsOf(parsed: Document.Parsed, text: string): Anchor[] {
  const anchors: Anchor[] = []
  // To visit all nodes of a large table takes longer than to look for the character.
  if (!text.includes('&')) return anchors
  const current = new Map<string, Anchor>()
  visit(parsed, (_, node) => {
    if (isAlias(node)) current.get(node.source)?.aliases.push(node)
    else if (isNode(node) && 'anchor' in node && typeof node.anchor === 'string') {
      const at = text.lastIndexOf(`&${node.anchor}`, node.range?.[0])
      const anchor = { at, node: node as Anchor['node'], aliases: [] }
      current.set(node.anchor, anchor)
      anchors.push(anchor)
    }
  })
  return anchors.filter(({ aliases }) => aliases.length > 0)
}

/** Collects the splices of one edit. */
class Editor {
  readonly #text: string
  readonly #depth: number
  readonly #newline: string
  readonly #isJson: boolean
  readonly #splices: Splice[] = []
  #anchors: readonly Anchor[] = []

  constructor(text: string, depth: number, isJson: boolean) {
    this.#text = text
    this.#depth = depth
    this.#isJson = isJson
    this.#newline = text.includes('\r\n') ? '\r\n' : '\n'
  }

  edit(parsed: Document.Parsed, before: Plain, wanted: Plain): string {
    this.#anchors = anchorsOf(parsed, this.#text)
    this.#change(parsed.contents, before, wanted, 0)
    this.#moveAnchors(parsed)
    // At the same offset insertions come first, in their order, then removals.
    const order = this.#splices.sort((a, b) => a.start - b.start || a.end - b.end)
    const pieces: string[] = []
    let from = 0
    for (const { start, end, text: put } of order) {
      pieces.push(this.#text.slice(from, start), put)
      from = Math.max(from, end)
    }
    return pieces.join('') + this.#text.slice(from)
  }

  #change(node: unknown, before: Plain, wanted: Plain, depth: number): void {
    if (sameValue(before, wanted)) return
    const anchor = this.#anchors.find((one) => one.node === node)
    if (anchor !== undefined) {
      const word = /^&\S+[ \t]*/.exec(this.#text.slice(anchor.at, anchor.at + 1000))?.[0] ?? ''
      this.#splice(anchor.at, anchor.at + word.length, '')
    }
    if (depth < this.#depth && isMap(node) && isPlainMap(before) && isPlainMap(wanted)) {
      if (this.#changeMap(node, before, wanted, depth)) return
    }
    if (depth < this.#depth && isSeq(node) && isList(before) && isList(wanted)) {
      if (this.#changeList(node, before, wanted, depth)) return
    }
    if (isSeq(node) && node.flow !== true && isList(before) && !isList(wanted)) {
      if (this.#becomeItem(node, before, wanted)) return
    }
    this.#replace(node as Node, wanted)
  }

  /** An anchor that goes is put on the first of its aliases that stay, with its value. */
  #moveAnchors(parsed: Document.Parsed): void {
    const gone = this.#splices.filter(({ start, end }) => end > start)
    const isGone = (offset: number): boolean => gone.some(({ start, end }) => start <= offset && offset < end)
    for (const { at, node, aliases } of this.#anchors) {
      const heir = isGone(at) ? aliases.find((alias) => !isGone(startOf(alias))) : undefined
      if (heir === undefined) continue
      const [start = 0, end = 0] = node.range ?? []
      const value = isScalar(node) ? this.#text.slice(start, end) : flowText(node.toJS(parsed) as Plain)
      this.#splice(startOf(heir), this.#endOf(heir), `&${node.anchor} ${value}`)
    }
  }

  /** A list that becomes one of its items, such as `sticky`: that item keeps its comment. Returns false if it is none of them. */
  #becomeItem(list: YAMLSeq, before: readonly Plain[], wanted: Plain): boolean {
    const at = before.findIndex((item) => sameValue(item, wanted))
    const item = list.items[at]
    if (!isScalar(item)) return false
    const start = startOf(item)
    const gap = this.#gapBefore(dashOf(list, 0))
    const behindKey = dashOf(list, 0) - gap.length
    if (this.#text[behindKey - 1] !== ':') return false
    this.#splice(behindKey, start, ' ')
    const last = list.items.at(-1)
    if (last !== item) this.#splice(this.#lineEnd(this.#endOf(item)), this.#lineEnd(this.#endOf(last)), '')
    return true
  }

  /** Rewrites a whole value in place. */
  #replace(node: Node, wanted: Plain): void {
    const [from = 0] = node.range ?? []
    const end = this.#endOf(node)
    const isBlock = (isMap(node) || isSeq(node)) && node.flow !== true
    const gap = this.#gapBefore(from)
    const behindKey = this.#text[from - gap.length - 1] === ':'
    const line = this.#text.slice(this.#lineStart(from), from)
    const indent = /^\uFEFF?( *)[^ :{}[\],"'-]+: *$/.exec(line)?.[1]?.length
    // The first routes of a table go on lines of their own, not on the line of the `[]`.
    if (isSeq(node) && node.items.length === 0 && indent !== undefined) {
      this.#splice(from - gap.length, end, `\n${' '.repeat(indent + 2)}${blockText(wanted, indent + 2)}`)
      return
    }
    if (isBlock && behindKey && isShort(wanted))
      this.#splice(from - gap.length, this.#commentEnd(end), ` ${flowText(wanted)}`)
    else if (isBlock) this.#splice(from, this.#commentEnd(end), blockText(wanted, this.#columnOf(from)))
    else this.#splice(from, end, `${behindKey && gap === '' && end === from ? ' ' : ''}${this.#flowText(wanted)}`)
  }

  /** A value on one line. */
  #flowText(value: Plain): string {
    return this.#isJson ? jsonText(value, /": /.test(this.#text)) : flowText(value)
  }

  /** The end of a comment that follows on the line of an offset: it is about what stands there. */
  #commentEnd(offset: number): number {
    return offset + (/^[ \t]+#[^\r\n]*/.exec(this.#text.slice(offset, this.#lineEnd(offset)))?.[0].length ?? 0)
  }

  /** The white space that ends at an offset. */
  #gapBefore(offset: number): string {
    let start = offset
    while (start > 0 && ' \t\r\n'.includes(this.#text[start - 1] as string)) start--
    return this.#text.slice(start, offset)
  }

  /** Returns false if the map should be rewritten. */
  #changeMap(map: YAMLMap, before: PlainMap, wanted: PlainMap, depth: number): boolean {
    const gone = new Set(keysOf(before).filter((key) => wanted[key] === undefined))
    const added = keysOf(wanted).filter((key) => before[key] === undefined)
    const kept = map.items.filter((pair) => !gone.has(keyOf(pair)))
    if (kept.length === 0 || (map.flow === true && gone.size > 1)) return false
    for (const [at, pair] of map.items.entries()) {
      const key = keyOf(pair)
      if (gone.has(key)) this.#removePair(map, at)
      else if (pair.value !== null) this.#change(pair.value, before[key], wanted[key], depth + 1)
      else if (!sameValue(before[key], wanted[key])) return false
    }
    const ranks = kept.map((pair) => rankOf(keyOf(pair)))
    const places = new Map<Pair, string[]>()
    for (const key of added.sort((a, b) => rankOf(a) - rankOf(b))) {
      const behind = (kept[ranks.findLastIndex((rank) => rank <= rankOf(key))] ?? kept.at(-1)) as Pair
      const keys = places.get(behind)
      if (keys === undefined) places.set(behind, [key])
      else keys.push(key)
    }
    for (const [behind, keys] of places) this.#addPairs(map, behind, keys, wanted)
    return true
  }

  #removePair(map: YAMLMap, at: number): void {
    const pair = map.items[at] as Pair
    const start = startOf(pair.key)
    const [previous, next] = [map.items[at - 1], map.items[at + 1]]
    if (map.flow === true) {
      if (next !== undefined) this.#splice(start, startOf(next.key), '')
      else this.#splice(this.#endOf(previous), this.#endOf(pair), '')
      return
    }
    const line = this.#lineStart(start)
    const isOwnLine = this.#text.slice(line, start).trim() === ''
    if (isOwnLine) this.#splice(line, this.#lineEnd(this.#endOf(pair)), '')
    else this.#splice(start, startOf(next?.key), '')
  }

  #addPairs(map: YAMLMap, behind: Pair, keys: readonly string[], wanted: PlainMap): void {
    const end = this.#endOf(behind)
    const start = startOf(behind.key)
    if (map.flow !== true) {
      const column = this.#columnOf(start)
      for (const key of keys)
        this.#addLines(this.#lineEnd(end), ' '.repeat(column) + pairText(key, wanted[key], column))
      return
    }
    const isSpaced = this.#isSpaced(map)
    const isJson = map.items.every((pair) => isScalar(pair.key) && pair.key.type === 'QUOTE_DOUBLE')
    const texts = keys.map((key) => {
      const value = wanted[key]
      // Where all keys of the map have double quotes, so has the new one.
      return isJson ? jsonText({ [key]: value }, isSpaced).slice(1, -1) : `${flowText(key)}: ${flowText(value)}`
    })
    if (this.#hasOwnLine(behind)) this.#addFlowLines(behind, texts, this.#commaAfter(behind) !== null)
    else this.#splice(end, end, texts.map((text) => `,${text.startsWith('"') && !isSpaced ? '' : ' '}${text}`).join(''))
  }

  /** Whether a map in JSON has spaces behind its colons. */
  #isSpaced(map: YAMLMap): boolean {
    return /": /.test(this.#text.slice(startOf(map), this.#endOf(map)))
  }

  /** Returns false if the list should be rewritten. */
  #changeList(list: YAMLSeq, before: readonly Plain[], wanted: readonly Plain[], depth: number): boolean {
    const pairs = alignLists(before, wanted)
    if (pairs === null || pairs.length === 0) return false
    const [kept, known] = [new Set(pairs.map(([from]) => from)), new Map(pairs.map(([from, to]) => [to, from]))]
    const gone = before.map((_, at) => at).filter((at) => !kept.has(at))
    const added = wanted.map((_, at) => at).filter((at) => !known.has(at))
    for (const [from, to] of pairs) this.#change(list.items[from], before[from], wanted[to], depth + 1)
    if (list.flow === true) {
      this.#changeFlowList(list, wanted, kept, known)
      return true
    }
    for (const at of gone) {
      this.#splice(this.#lineStart(dashOf(list, at)), this.#lineEnd(this.#endOf(list.items[at])), '')
    }
    const ofLines = added.length > 0 && isOfLines(list)
    let behind = -1
    for (const [at, value] of wanted.entries()) {
      const from = known.get(at)
      if (from === undefined) this.#addItem(list, behind, value, ofLines)
      else behind = from
    }
    return true
  }

  /**
   * Removes and adds items of a list in brackets, which may go over lines.
   * @param kept the items that stay, and `known` where they stand in `wanted`
   */
  #changeFlowList(list: YAMLSeq, wanted: readonly Plain[], kept: Set<number>, known: Map<number, number>): void {
    const { items } = list
    const added = new Map<number, string[]>()
    let behind = -1
    for (const [at, value] of wanted.entries()) {
      const from = known.get(at)
      if (from !== undefined) behind = from
      else {
        const texts = added.get(behind)
        if (texts === undefined) added.set(behind, [this.#flowText(value)])
        else texts.push(this.#flowText(value))
      }
    }
    const lastKept = Math.max(...kept)
    const hasFinalComma = this.#commaAfter(items.at(-1)) !== null
    for (let at = 0; at < items.length; at++) {
      if (kept.has(at)) continue
      let end = at
      while (end + 1 < items.length && !kept.has(end + 1)) end++
      this.#removeFlowItems(items, at, end)
      at = end
    }
    const comma = this.#commaAfter(items[lastKept])
    const isLast = lastKept < items.length - 1 && !added.has(lastKept)
    // Nothing follows any more what had a comma for others.
    if (isLast && !hasFinalComma && comma !== null) this.#splice(comma, comma + 1, '')
    for (const [after, texts] of added) {
      this.#addFlowItems(items, after, texts, after !== lastKept || hasFinalComma)
    }
  }

  #removeFlowItems(items: readonly unknown[], from: number, to: number): void {
    const [first, last, before, next] = [items[from], items[to], items[from - 1], items[to + 1]]
    const areLines = items.slice(from, to + 1).every((item) => this.#hasOwnLine(item))
    if (areLines) this.#splice(this.#lineStart(startOf(first)), this.#lineEnd(this.#endOf(last)), '')
    else if (before !== undefined) {
      // A comment between the two is about the one that stays.
      const comma = this.#commaAfter(before) as number
      const hasComment = this.#text.slice(comma, startOf(first)).includes('#')
      this.#splice(comma, hasComment ? comma + 1 : this.#endOf(last), '')
      if (hasComment) this.#splice(startOf(first), this.#endOf(last), '')
    } else this.#splice(startOf(first), startOf(next), '')
  }

  /** @param moreFollow whether a comma stands after the last of them */
  #addFlowItems(items: readonly unknown[], behind: number, texts: readonly string[], moreFollow: boolean): void {
    const item = items[Math.max(0, behind)]
    const start = startOf(item)
    const line = this.#lineStart(start)
    if (!this.#hasOwnLine(item)) {
      if (behind === -1) this.#splice(start, start, `${texts.join(', ')}, `)
      else this.#splice(this.#endOf(item), this.#endOf(item), `, ${texts.join(', ')}`)
      return
    }
    if (behind === -1)
      this.#splice(line, line, texts.map((text) => `${this.#text.slice(line, start)}${text},\n`).join(''))
    else this.#addFlowLines(item, texts, moreFollow)
  }

  /** Adds entries of a collection in brackets below one that has its own line. */
  #addFlowLines(entry: unknown, texts: readonly string[], moreFollow: boolean): void {
    const start = isPair(entry) ? startOf(entry.key) : startOf(entry)
    const end = this.#endOf(entry)
    const indent = this.#text.slice(this.#lineStart(start), start)
    if (this.#commaAfter(entry) === null) this.#splice(end, end, ',')
    const lines = texts.map((text) => indent + text).join(',\n')
    this.#splice(this.#lineEnd(end), this.#lineEnd(end), `${lines}${moreFollow ? ',' : ''}\n`)
  }

  /** Whether an entry of a collection in brackets stands alone on its line, with its comma and its comment. */
  #hasOwnLine(item: unknown): boolean {
    const [start, end] = [isPair(item) ? startOf(item.key) : startOf(item), this.#endOf(item)]
    const isFirst = this.#text.slice(this.#lineStart(start), start).trim() === ''
    return isFirst && /^[ \t]*,?[ \t]*(?:#.*)?\r?\n/.test(this.#text.slice(end, this.#lineEnd(end)))
  }

  /** The offset of the comma after an entry of a collection in brackets, or null. */
  #commaAfter(item: unknown): number | null {
    const end = this.#endOf(item)
    const gap = /^(?:\s|(?<=\s)#[^\n]*)*/.exec(this.#text.slice(end, end + 10_000))?.[0] ?? ''
    return this.#text[end + gap.length] === ',' ? end + gap.length : null
  }

  /**
   * Adds an item after the one at `behind`; -1 is before all.
   * @param ofLines whether each item of the list is on one line, so that a new one is too
   */
  #addItem(list: YAMLSeq, behind: number, value: Plain, ofLines: boolean): void {
    const column = this.#columnOf(dashOf(list, 0))
    const lines = ' '.repeat(column) + (ofLines && isShort(value) ? `- ${flowText(value)}` : itemText(value, column))
    if (behind === -1) {
      const start = this.#lineStart(dashOf(list, 0))
      this.#splice(start, start, `${lines}\n`)
      return
    }
    const spaced = list.items.length > 1 && /\n[ \t]*\r?\n/.test(this.#between(list, list.items.length - 2))
    const item = list.items[behind]
    this.#addLines(this.#lineEnd(this.#endOf(item)), spaced ? `\n${lines}` : lines)
  }

  /** The text between an item and the next one's dash. */
  #between(list: YAMLSeq, at: number): string {
    return this.#text.slice(this.#endOf(list.items[at]), dashOf(list, at + 1))
  }

  /** Inserts lines at the start of a line, or at the end of a text without a final line break. */
  #addLines(at: number, lines: string): void {
    const isOpen = at === this.#text.length && !this.#text.endsWith('\n')
    this.#splice(at, at, isOpen ? `\n${lines}` : `${lines}\n`)
  }

  #splice(start: number, end: number, text: string): void {
    this.#splices.push({ start, end, text: text.replaceAll(/\r?\n/g, this.#newline) })
  }

  /** The end of a value, without trailing comments and white space. */
  #endOf(node: unknown): number {
    if (isMap(node) && node.flow !== true) return this.#endOf(node.items.at(-1))
    if (isSeq(node) && node.flow !== true) return this.#endOf(node.items.at(-1))
    if (isPair(node)) {
      const value = node.value as Node | null
      if (value?.range) return Math.max(this.#endOf(value), (node.key as Node).range?.[1] ?? 0)
      return ((node.key as Node).range?.[1] ?? 0) + 1
    }
    const [start = 0, end = 0] = (node as Node).range ?? []
    return start + this.#text.slice(start, end).trimEnd().length
  }

  #lineStart(offset: number): number {
    return this.#text.lastIndexOf('\n', offset - 1) + 1
  }

  /** The start of the line after the one that contains an offset. */
  #lineEnd(offset: number): number {
    const end = this.#text.indexOf('\n', offset)
    return end === -1 ? this.#text.length : end + 1
  }

  #columnOf(offset: number): number {
    const start = this.#lineStart(offset)
    return offset - (start === 0 && this.#text.startsWith('\uFEFF') ? 1 : start)
  }
}

function rankOf(key: string): number {
  const rank = KEY_ORDER.indexOf(key)
  return rank === -1 ? KEY_ORDER.length : rank
}

function keyOf(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : ''
}

function isPair(node: unknown): node is Pair {
  return typeof node === 'object' && node !== null && 'key' in node && 'value' in node && !('range' in node)
}

function startOf(node: unknown): number {
  return (node as Node | null | undefined)?.range?.[0] ?? 0
}

/** Whether each item of a list is on one line. */
function isOfLines(list: YAMLSeq): boolean {
  return list.items.every((item) => isScalar(item) || ((isMap(item) || isSeq(item)) && item.flow === true))
}

/** The offset of an item's dash. */
function dashOf(list: YAMLSeq, at: number): number {
  const token = list.srcToken
  const items = token?.type === 'block-seq' ? token.items : []
  return items[at]?.start.find((part) => part.type === 'seq-item-ind')?.offset ?? startOf(list.items[at])
}
