/**
 * Reads a request target: which of the service's few places it names. By hand, once over the text, no regular expression.
 */

/** One lookup: the store and the GTIN as the client wrote them, percent-decoded. */
export interface LookupPlace {
  readonly kind: 'lookup'
  readonly store: string
  readonly gtin: string
}

/** The place a request target names. */
export type Place =
  | LookupPlace
  | { readonly kind: 'health' }
  | { readonly kind: 'metrics' }
  /** A lookup or health path with one slash too many at its end; `location` is the path without it, with the query. */
  | { readonly kind: 'moved'; readonly location: string }
  /** `*` of `OPTIONS *`: the server as a whole (RFC 9112 section 3.2.4). */
  | { readonly kind: 'server' }
  | { readonly kind: 'bad-escape' }
  | { readonly kind: 'none' }

const HEALTH: Place = { kind: 'health' }
const METRICS: Place = { kind: 'metrics' }
const SERVER: Place = { kind: 'server' }
const BAD_ESCAPE: Place = { kind: 'bad-escape' }
const NONE: Place = { kind: 'none' }

/**
 * The place that `target` names: `/stores/:store/gtins/:gtin` or `/metrics`, in origin-form or absolute-form (RFC 9112 section 3.2).
 * The query plays no part. Segments are split first and percent-decoded after, so that an encoded slash is data (RFC 3986
 * section 2.2); decoded bytes come as Latin-1 characters.
 */
export function placeOf(target: string): Place {
  if (target === '*') return SERVER
  const start = target.charCodeAt(0) === 0x2f ? 0 : afterAuthority(target)
  if (start < 0) return NONE
  const query = target.indexOf('?', start)
  const end = query < 0 ? target.length : query
  const path = start === 0 && query < 0 ? target : target.slice(start, end)
  if (path.includes('%') && !escapesAreWhole(path)) return BAD_ESCAPE

  if (path === '/metrics') return METRICS
  const storeAt = literalEnd(path, 0, 'stores')
  if (storeAt < 0) return NONE
  const storeEnd = path.indexOf('/', storeAt)
  if (storeEnd <= storeAt) return NONE
  const gtinAt = literalEnd(path, storeEnd, 'gtins')
  if (gtinAt < 0 || gtinAt >= path.length) return NONE
  const gtinEnd = path.indexOf('/', gtinAt)
  if (gtinEnd === gtinAt) return NONE
  if (gtinEnd >= 0) {
    if (gtinEnd !== path.length - 1) return NONE
    return { kind: 'moved', location: path.slice(0, -1) + target.slice(end) }
  }
  const store = decoded(path.slice(storeAt, storeEnd))
  const gtin = decoded(path.slice(gtinAt))
  return store === 'health' && gtin === 'check' ? HEALTH : { kind: 'lookup', store, gtin }
}

/** Where the path of an absolute-form target begins, or -1 where the target is none with a path. */
function afterAuthority(target: string): number {
  const scheme = target.slice(0, 8).toLowerCase()
  const authority = scheme.startsWith('http://') ? 7 : scheme === 'https://' ? 8 : -1
  if (authority < 0) return -1
  const slash = target.indexOf('/', authority)
  const query = target.indexOf('?')
  return query >= 0 && query < slash ? -1 : slash
}

/** Where the segment after `/literal/` begins, or -1 where `path` does not go on like that at `at`. */
function literalEnd(path: string, at: number, literal: string): number {
  const end = at + 1 + literal.length
  if (path.startsWith(literal, at + 1) && path.charCodeAt(end) === 0x2f) return end + 1
  const slash = path.indexOf('/', at + 1)
  return slash > 0 && decoded(path.slice(at + 1, slash)) === literal ? slash + 1 : -1
}

/** Whether each `%` is followed by two hexadecimal digits (RFC 3986 section 2.1). */
function escapesAreWhole(text: string): boolean {
  for (let at = text.indexOf('%'); at >= 0; at = text.indexOf('%', at + 3)) {
    if (!isHex(text.charCodeAt(at + 1)) || !isHex(text.charCodeAt(at + 2))) return false
  }
  return true
}

function isHex(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66)
}

/** `text` with its escapes decoded, byte by byte. Every escape in it is whole. */
function decoded(text: string): string {
  let at = text.indexOf('%')
  if (at < 0) return text
  let result = ''
  let from = 0
  for (; at >= 0; at = text.indexOf('%', from)) {
    result += text.slice(from, at) + String.fromCharCode(Number.parseInt(text.slice(at + 1, at + 3), 16))
    from = at + 3
  }
  return result + text.slice(from)
}
