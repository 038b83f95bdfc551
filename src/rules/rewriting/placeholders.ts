/**
 * Texts with placeholders, for header values and query parameters: `{client.ip}`, `{param.storeId}`. A closed set.
 */
import type { RequestView, Side } from '../http/exchange.ts'
import { nearestWord } from '../values/problem.ts'
import type { Flaw } from '../values/units.ts'

/** What placeholders stand for: of an exchange, or of a request that is only described. */
export interface Known {
  readonly view: RequestView
  readonly matched: {
    readonly route: { readonly id: string; readonly params: readonly string[] } | null
    readonly params: readonly string[]
  }
  readonly id: string
}

const SOURCES = {
  'client.ip': ({ view }: Known) => view.clientAddress,
  'request.id': ({ id }: Known) => id,
  route: ({ matched }: Known) => matched.route?.id ?? '',
  side: (_: Known, side: Side | null) => side ?? '',
  host: ({ view }: Known) => view.host,
} as const

type SourceName = keyof typeof SOURCES

/** A placeholder, or a parameter of the route's path. */
type Source = { readonly name: SourceName } | { readonly param: string }

/** A compiled text. */
export interface Template {
  /** Texts as they are sent, bytes as Latin-1; and what stands between them. */
  readonly pieces: readonly (string | Source)[]
}

const PARAM = 'param.'

/**
 * Parses a text. `{{` and `}}` are literal braces.
 * @param params the `:name`s of the route's path; null where there is no route, and so no `{param.NAME}`
 * @param written how what stands between placeholders is written. Default: as UTF-8
 */
export function parseTemplate(
  text: string,
  params: readonly string[] | null,
  written: (literal: string) => string = bytesOf,
): Template | Flaw {
  const pieces: (string | Source)[] = []
  let literal = ''
  for (const [part] of text.matchAll(/\{\{|\}\}|\{[^{}]*\}|[^{}]+|[{}]/gs)) {
    if (part === '{{' || part === '}}') literal += part[0]
    else if (part === '}') literal += part
    else if (!part.startsWith('{')) literal += part
    else {
      const source = sourceOf(part.slice(1, -1), part, params)
      if ('message' in source) return source
      if (literal !== '') pieces.push(written(literal))
      literal = ''
      pieces.push(source)
    }
  }
  if (literal !== '') pieces.push(written(literal))
  return { pieces }
}

function sourceOf(name: string, written: string, params: readonly string[] | null): Source | Flaw {
  if (Object.hasOwn(SOURCES, name)) return { name: name as SourceName }
  if (written === '{') return { message: 'a brace is not closed', hint: 'write {{ for a literal {' }
  if (name.startsWith(PARAM)) {
    const param = name.slice(PARAM.length)
    if (params === null) return { message: `${written} is known in routes only`, hint: 'set it in a route' }
    if (params.includes(param)) return { param }
    const known = params.map((one) => `{${PARAM}${one}}`)
    const hint = known.length === 0 ? 'known: none' : `known: ${known.join(', ')}`
    return { message: `unknown parameter ${written}`, hint }
  }
  const words = [...Object.keys(SOURCES), ...(params ?? []).map((one) => PARAM + one)]
  const near = params?.includes(name) ? PARAM + name : nearestWord(name, words)
  const hint = near === undefined ? `known: ${words.map((word) => `{${word}}`).join(', ')}` : `write {${near}}`
  return { message: `unknown placeholder ${written}`, hint: `${hint}; {{ is a literal {` }
}

/** How values are written at a place. */
export type Encode = (value: string, isParam: boolean) => string

/**
 * The bytes of a text for one request, as Latin-1.
 * @param side of the route that is asked, or null
 */
export function render({ pieces }: Template, known: Known, side: Side | null, encode: Encode): string {
  let text = ''
  for (const piece of pieces) {
    if (typeof piece === 'string') text += piece
    else if ('name' in piece) text += encode(SOURCES[piece.name](known, side), false)
    else text += encode(paramOf(known.matched, piece.param), true)
  }
  return text
}

function paramOf({ route, params }: Known['matched'], name: string): string {
  return params[route?.params.indexOf(name) ?? -1] ?? ''
}

/** For a header: parameters are percent-encoded (RFC 3986 section 2.1), and whatever else could end a line or a value. */
export const inHeader: Encode = (value, isParam) =>
  isParam ? encodeURIComponent(value.toWellFormed()) : value.replace(/[^\x21-\x7e]+/g, percentEncoded)

/** For a query: form-encoded, as HTML forms are sent (application/x-www-form-urlencoded). */
export const inQuery: Encode = (value) => formEncoded(value)

/** A text as the value or name of a parameter in a query. */
export function formEncoded(value: string): string {
  return encodeURIComponent(value.toWellFormed())
    .replaceAll('%20', '+')
    .replace(/[!'()~]/g, percentEncoded)
}

/** Latin-1 characters are bytes here; what lies beyond has no place in an address, a host or an id. */
function percentEncoded(text: string): string {
  return text.replace(/./gs, (one) => `%${(one.charCodeAt(0) & 0xff).toString(16).toUpperCase().padStart(2, '0')}`)
}

const utf8 = new TextEncoder()

/** The UTF-8 bytes of a text, each as the Latin-1 character of its number. */
export function bytesOf(text: string): string {
  if (!/[^\x00-\x7f]/.test(text)) return text
  let bytes = ''
  for (const byte of utf8.encode(text)) bytes += String.fromCharCode(byte)
  return bytes
}
