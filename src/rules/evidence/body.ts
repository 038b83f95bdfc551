/**
 * The bodies of two answers by what they are: JSON, text whose white space does not count (XML, HTML), or bytes.
 */
import type { CompareSettings, Differences } from './difference.ts'
import { addJsonDifferences } from './json-differences.ts'
import { type JsonReading, readJson } from './json-value.ts'
import { isPointer } from './pointers.ts'
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
  if (settings.ignore.includes('')) return null
  if (from.bytes.length === 0 || to.bytes.length === 0) {
    if (to.bytes.length > 0) found.add('', 'extra', () => null, rendering(to, settings))
    if (from.bytes.length > 0) found.add('', 'missing', rendering(from, settings), () => null)
    return null
  }
  const pair = { from, to, settings, found }
  if (isSaidToBe(JSON_TYPE, pair) || [from, to].every(looksLikeJson)) {
    const [old, young] = [readJsonBody(from), readJsonBody(to)]
    if (old.ok && young.ok) return addJson(old, young, pair)
    if (isSaidToBe(JSON_TYPE, pair)) return addUnread(old, young, pair)
  }
  if (isSaidToBe(MARKUP_TYPE, pair)) addMarkup(pair)
  else addBytes(pair)
  return null
}

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
function looksLikeJson({ bytes }: Body): boolean {
  const first = bytes.find((byte) => ![0x20, 0x09, 0x0a, 0x0d].includes(byte))
  return first === 0x7b || first === 0x5b
}

type ReadBody = JsonReading | { readonly ok: false; readonly why: 'not valid text' }

interface ReadJsonBody {
  readonly hasMark: boolean
}

function readJsonBody(body: Body): ReadBody & ReadJsonBody {
  const text = textOf(body)
  if (text === null) return { ok: false, why: 'not valid text', hasMark: false }
  const hasMark = text.startsWith('\ufeff')
  return { ...readJson(hasMark ? text.slice(1) : text), hasMark }
}

type Read<Ok extends boolean> = Extract<ReadBody, { ok: Ok }> & ReadJsonBody

function addJson(from: Read<true>, to: Read<true>, { settings, found }: Pair): string | null {
  const mark = (): string => 'byte order mark'
  // Many readers of JSON fail over the mark (RFC 8259 section 8.1).
  if (from.hasMark && !to.hasMark) found.add('', 'missing', mark, () => null)
  if (to.hasMark && !from.hasMark) found.add('', 'extra', () => null, mark)
  addJsonDifferences(from.value, to.value, settings, found)
  const repeated = from.repeated ?? to.repeated
  return repeated === null ? null : `duplicate key ${repeated}`
}

/** JSON that can't be read, on one side or both. */
function addUnread(from: ReadBody, to: ReadBody, pair: Pair): string {
  const faults = [from, to].map((read) => (read.ok ? null : read.why))
  const isInvalid = faults.map((why) => why !== null && why !== 'nested too deeply')
  if (isInvalid[0] === isInvalid[1]) addBytes(pair)
  else {
    const said = (body: Body, why: string | null | undefined) => () =>
      `${why == null ? 'JSON' : why}: ${rendering(body, pair.settings)()}`
    pair.found.add('', 'type', said(pair.from, faults[0]), said(pair.to, faults[1]))
  }
  const why = `body is ${faults[0] ?? faults[1]}`
  return faults[0] !== null && faults[1] !== null ? why : `${why} (${faults[0] !== null ? 'from' : 'to'})`
}

/**
 * The text of a body by its charset; null where the bytes are none. Without a charset it is UTF-8.
 */
function textOf({ bytes, contentType }: Body): string | null {
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType)?.[1] ?? 'utf-8'
  try {
    return new TextDecoder(charset, { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

/** Texts are compared without the white space around tags, and with any other as one space. */
function folded(text: string): string {
  return text
    .replace(/^\ufeff/, '')
    .replaceAll(/[ \t\r\n\f]+/g, ' ')
    .replaceAll(/ ?([<>]) ?/g, '$1')
    .trim()
}

/** The texts of two bodies. If one is none in its charset both are read as Latin-1, where every byte is a character: nothing is lost. */
function textsOf(from: Body, to: Body): readonly [string, string] {
  const [old, young] = [textOf(from), textOf(to)]
  if (old !== null && young !== null) return [folded(old), folded(young)]
  const latin1 = ({ bytes }: Body): string => folded(new TextDecoder('latin1').decode(bytes))
  return [latin1(from), latin1(to)]
}

function addMarkup({ from, to, settings, found }: Pair): void {
  const [old, young] = textsOf(from, to)
  if (old === young) return
  let at = 0
  while (old[at] === young[at]) at++
  const excerpt = (text: string) => (): string => {
    const start = Math.max(0, at - CONTEXT)
    const end = Math.min(text.length, at + 2 * CONTEXT)
    return `${start > 0 ? '…' : ''}${text.slice(start, end)}${end < text.length ? '…' : ''}`.toWellFormed()
  }
  const isShown = !settings.redact.some(isPointer)
  found.add(
    '',
    'value',
    isShown ? excerpt(old) : rendering(from, settings),
    isShown ? excerpt(young) : rendering(to, settings),
  )
}

/** Characters shown before the first difference in a text, and half of those after it. */
const CONTEXT = 30

function addBytes({ from, to, settings, found }: Pair): void {
  if (areSameBytes(from.bytes, to.bytes)) return
  const kind = from.bytes.length === to.bytes.length ? 'value' : 'length'
  found.add('', kind, rendering(from, settings), rendering(to, settings))
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
