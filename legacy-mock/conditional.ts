/**
 * Conditional requests and byte ranges over a representation that is at hand whole (RFC 9110 sections 13 and 14).
 */
import { httpDate } from './clock.ts'
import type { Exchange, Field } from './exchange.ts'

/** What tells one version of a representation from another. */
export interface Validators {
  /** With its quotes, and `W/` where it is weak. */
  readonly etag: string
  /** Milliseconds since 1970; whole seconds count. */
  readonly modifiedMs: number
}

/**
 * Adds the validators to `fields`, and answers 304 where the client's copy is good; then it returns true.
 * If-None-Match goes before If-Modified-Since (RFC 9110 section 13.2.2).
 */
export function notModified(x: Exchange, validators: Validators, fields: Field[]): boolean {
  fields.push(['ETag', validators.etag], ['Last-Modified', httpDate(validators.modifiedMs)])
  const none = x.req.headers['if-none-match']
  const since = x.req.headers['if-modified-since']
  const same = none !== undefined ? listsTag(none, validators.etag) : since !== undefined && isSince(since, validators)
  if (!same) return false
  x.head(304, fields)
  x.res.end()
  return true
}

/** Weak comparison (RFC 9110 section 8.8.3.2) of a tag with a list of tags or `*`. */
function listsTag(list: string, etag: string): boolean {
  const bare = etag.replace(/^W\//, '')
  return list.trim() === '*' || list.match(/"[^"]*"/g)?.some((tag) => tag === bare) === true
}

function isSince(since: string, { modifiedMs }: Validators): boolean {
  return Math.floor(modifiedMs / 1000) * 1000 <= Date.parse(since)
}

/** A part of a representation: first and last byte, both counted in. */
type Span = readonly [first: number, last: number]

/** Parts beyond this many are a strange wish: the whole is sent. */
const MAX_SPANS = 16

/** Answers with the parts of `body` that the client asks for, or with the whole: 206, 416 or 200. */
export function sendRanged(x: Exchange, type: string, body: Buffer, validators: Validators, fields: Field[]): void {
  fields.push(['Accept-Ranges', 'bytes'])
  const spans = x.req.method === 'GET' && stillSame(x, validators) ? spansOf(x.req.headers.range, body.length) : null
  const [only] = spans ?? []
  if (spans === null) x.send(200, type, body, fields)
  else if (only === undefined) {
    x.send(416, 'text/plain', '', [...fields, ['Content-Range', `bytes */${body.length}`]])
  } else if (spans.length === 1) {
    x.send(206, type, partOf(body, only), [...fields, ['Content-Range', contentRange(only, body.length)]])
  } else sendParts(x, type, { body, spans, etag: validators.etag }, fields)
}

type Parts = { readonly body: Buffer; readonly spans: readonly Span[]; readonly etag: string }

/** Several parts in one answer (RFC 9110 section 14.6). */
function sendParts(x: Exchange, type: string, { body, spans, etag }: Parts, fields: readonly Field[]): void {
  const boundary = `CE_${etag.replace(/\W/g, '')}_PART`
  const parts = spans.flatMap((span) => [
    Buffer.from(
      `\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: ${contentRange(span, body.length)}\r\n\r\n`,
    ),
    partOf(body, span),
  ])
  parts.push(Buffer.from(`\r\n--${boundary}--\r\n`))
  x.send(206, `multipart/byteranges; boundary=${boundary}`, Buffer.concat(parts), fields)
}

/** If-Range: parts are of use only to one who holds the rest of this very version (RFC 9110 section 13.1.5, strong comparison). */
function stillSame(x: Exchange, { etag, modifiedMs }: Validators): boolean {
  const condition = x.req.headers['if-range']
  if (condition === undefined) return true
  const value = Array.isArray(condition) ? condition.join() : condition
  return value.includes('"') ? !value.startsWith('W/') && value === etag : value === httpDate(modifiedMs)
}

function partOf(body: Buffer, [first, last]: Span): Buffer {
  return body.subarray(first, last + 1)
}

function contentRange([first, last]: Span, size: number): string {
  return `bytes ${first}-${last}/${size}`
}

/** The parts asked for that exist; none where no part does; null where the field is absent or no byte range. */
function spansOf(range: string | undefined, size: number): Span[] | null {
  const match = /^bytes\s*=\s*(.+)$/i.exec(range ?? '')
  if (match === null) return null
  const wishes = (match[1] ?? '').split(',').map((wish) => /^\s*(\d*)-(\d*)\s*$/.exec(wish))
  if (wishes.length > MAX_SPANS) return null
  const spans: Span[] = []
  for (const wish of wishes) {
    const [, from = '', to = ''] = wish ?? []
    if (wish === null || (from === '' && to === '') || (from !== '' && to !== '' && Number(to) < Number(from)))
      return null
    const first = from === '' ? Math.max(0, size - Number(to)) : Number(from)
    const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1)
    if (first <= last) spans.push([first, last])
  }
  return spans
}
