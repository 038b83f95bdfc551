/**
 * The bodies of two answers by what they are: JSON, text whose white space does not count (XML, HTML), or bytes.
 */
import type { CompareSettings, Differences } from './difference.ts'
import { addJsonDifferences } from './json-differences.ts'
import { type JsonReading, readJson } from './json-value.ts'
import { isPointer, Marks, pathTo } from './pointers.ts'
import { renderBytes, shortened } from './rendering.ts'

/** A body without its content codings, and the Content-Type it came with. */
export interface Body {
  readonly bytes: Uint8Array
  readonly contentType: string
}

/**
 * Adds the differences between two bodies. Returns what else there is to know, or null.
 */
export function addBodyDifferences(from: Body, to: Body, settings: CompareSettings, found: Differences): string | null {
  if (from.bytes.length === 0 || to.bytes.length === 0) {
    if (to.bytes.length > 0) found.addWhole('extra', () => null, rendering(to, settings))
    if (from.bytes.length > 0) found.addWhole('missing', rendering(from, settings), () => null)
    return null
  }
  const pair = { from, to, settings, found }
  if (isSaidToBe(JSON_TYPE, pair) || [from, to].every(looksLikeJson)) {
    const texts = [textOf(from), textOf(to)] as const
    const [old, young] = [readJson(texts[0].text), readJson(texts[1].text)]
    if (old.ok && young.ok) {
      const notes = [addCharset(...texts, pair), addJson(old, young, pair)].filter((note) => note !== null)
      return notes.length === 0 ? null : notes.join('; ')
    }
    if (isSaidToBe(JSON_TYPE, pair)) return addUnread(old, young, pair)
  }
  if (isSaidToBe(MARKUP_TYPE, pair)) return addMarkup(textOf(from), textOf(to), pair)
  addBytes(pair)
  return null
}

/**
 * Whether two bodies are compared byte by byte, as far as that is known without them: their types are said, and none is one
 * in which white space may differ.
 */
export function areSaidToBeBytes(...types: readonly (string | null)[]): boolean {
  return types.every((type) => type !== null && !JSON_TYPE.test(type) && !MARKUP_TYPE.test(type))
}

/** The empty pointer, or its name. */
export const isBodyIgnored = ({ ignore }: Pick<CompareSettings, 'ignore'>): boolean =>
  ignore.includes('') || ignore.includes('body')

interface Pair {
  readonly from: Body
  readonly to: Body
  readonly settings: CompareSettings
  readonly found: Differences
}

const JSON_TYPE = /^[^/;\s]+\/(?:[^;\s]*[+-])?json(?![^;\s])/i
const MARKUP_TYPE = /^[^/;\s]+\/(?:(?:[^;\s]*[+-])?xml|html)(?![^;\s])/i

const isSaidToBe = (type: RegExp, { from, to }: Pair): boolean =>
  type.test(from.contentType) || type.test(to.contentType)

/** Many old applications send JSON as text/html or without a type. */
export function looksLikeJson({ bytes }: Pick<Body, 'bytes'>): boolean {
  const first = bytes.find((byte) => ![0x20, 0x09, 0x0a, 0x0d].includes(byte))
  return first === 0x7b || first === 0x5b
}

/** A body as text, by its charset; without one it is UTF-8. */
interface Text {
  readonly text: string
  /** Whether it is text in its charset. If not it is read as Latin-1, where each byte is a character, so that nothing is lost. */
  readonly isValid: boolean
  /** Whether it begins with a byte order mark, which is no part of `text`. */
  readonly hasMark: boolean
}

function textOf({ bytes, contentType }: Body): Text {
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType)?.[1] ?? 'utf-8'
  const decoded = tryDecode(decoderOf(charset), bytes)
  const text = decoded ?? new TextDecoder('latin1').decode(bytes)
  const hasMark = text.startsWith('\ufeff')
  return { text: hasMark ? text.slice(1) : text, isValid: decoded !== null, hasMark }
}

function decoderOf(charset: string): TextDecoder {
  try {
    return new TextDecoder(charset, { fatal: true, ignoreBOM: true })
  } catch {
    // No client knows this charset either.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  }
}

function tryDecode(decoder: TextDecoder, bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes)
  } catch {
    return null
  }
}

/** What differs before a word is read: bytes that are no text, which some clients fail over, or a byte order mark (RFC 8259 section 8.1). */
function addCharset(from: Text, to: Text, { settings, found }: Pair): string | null {
  if (settings.ignore.includes('charset')) return null
  const valid =
    ({ isValid }: Text) =>
    (): string =>
      isValid ? 'text in its charset' : 'no text in its charset'
  const mark =
    ({ hasMark }: Text) =>
    (): string | null =>
      hasMark ? 'byte order mark' : null
  if (from.isValid !== to.isValid) found.add('charset', 'type', valid(from), valid(to))
  if (from.hasMark !== to.hasMark) found.add('charset', from.hasMark ? 'missing' : 'extra', mark(from), mark(to))
  return from.isValid && to.isValid ? null : 'body is no text in its charset'
}

type Read<Ok extends boolean> = Extract<JsonReading, { ok: Ok }>

function addJson(from: Read<true>, to: Read<true>, { settings, found }: Pair): string | null {
  addJsonDifferences(from.value, to.value, settings, found)
  const repeated = from.repeated ?? to.repeated
  return repeated === null ? null : `duplicate key ${pathTo(repeated, Marks.of(settings))}`
}

/** JSON that can't be read, on one side or both. */
function addUnread(from: JsonReading, to: JsonReading, pair: Pair): string {
  const faults = [from, to].map((read) => (read.ok ? null : read.why))
  const isInvalid = faults.map((why) => why === 'not valid JSON')
  if (isInvalid[0] === isInvalid[1]) addBytes(pair)
  else {
    const said = (body: Body, why: string | null | undefined) => () =>
      `${why == null ? 'JSON' : why}: ${rendering(body, pair.settings)()}`
    pair.found.addWhole('type', said(pair.from, faults[0]), said(pair.to, faults[1]))
  }
  const why = `body is ${faults[0] ?? faults[1]}`
  return faults[0] !== null && faults[1] !== null ? why : `${why} (${faults[0] !== null ? 'from' : 'to'})`
}

/** Texts are compared without the white space around tags, and with any other as one space. */
function folded(text: string): string {
  return text
    .replaceAll(/[ \t\r\n\f]+/g, ' ')
    .replaceAll(/ ?([<>]) ?/g, '$1')
    .trim()
}

function addMarkup(from: Text, to: Text, pair: Pair): string | null {
  const note = addCharset(from, to, pair)
  const { settings, found } = pair
  const [old, young] = [folded(from.text), folded(to.text)]
  if (old === young) return note
  let at = 0
  while (old[at] === young[at]) at++
  const excerpt = (text: string) => (): string => {
    const start = Math.max(0, at - CONTEXT)
    const end = Math.min(text.length, at + 2 * CONTEXT)
    return `${start > 0 ? '…' : ''}${text.slice(start, end)}${end < text.length ? '…' : ''}`.toWellFormed()
  }
  const isShown = !settings.redact.some(isPointer)
  found.addWhole(
    'value',
    isShown ? excerpt(old) : rendering(pair.from, settings),
    isShown ? excerpt(young) : rendering(pair.to, settings),
    !isShown,
  )
  return note
}

/** Characters shown before the first difference in a text, and half of those after it. */
const CONTEXT = 30

function addBytes({ from, to, settings, found }: Pair): void {
  if (areSameBytes(from.bytes, to.bytes)) return
  const kind = from.bytes.length === to.bytes.length ? 'value' : 'length'
  found.addWhole(kind, rendering(from, settings), rendering(to, settings))
}

/** What is shown of a body as a whole: where something in it is redacted and can't be found, not even a hash. */
const rendering =
  ({ bytes }: Body, { redact }: CompareSettings) =>
  (): string =>
    redact.some(isPointer) ? `${bytes.length} bytes` : shortened(renderBytes(bytes))

/** Whether two bodies are the same byte for byte. */
export function areSameBytes(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false
  return true
}
