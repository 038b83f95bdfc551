/**
 * Reads a request target: which of the service's few places it names.
 */

/** The place a request target names. */
export type Place =
  /** The store and the GTIN as the client wrote them, percent-decoded. */
  | { readonly kind: 'lookup'; readonly store: string; readonly gtin: string }
  | { readonly kind: 'health' | 'metrics' | 'bad-escape' | 'none' }
  /** A lookup or health path with one slash too many at its end; `location` is the path without it, with the query. */
  | { readonly kind: 'moved'; readonly location: string }
  /** `*` of `OPTIONS *`: the server as a whole (RFC 9112 section 3.2.4). */
  | { readonly kind: 'server' }

/**
 * The place that `target` names: `/stores/:store/gtins/:gtin` or `/metrics`, in origin-form or absolute-form (RFC 9112
 * section 3.2). The query plays no part. Segments are split first and percent-decoded after, so that an encoded slash is
 * data (RFC 3986 section 2.2).
 */
export function placeOf(target: string): Place {
  if (target === '*') return { kind: 'server' }
  const [, path = '', query = ''] = /^(?:https?:\/\/[^/?]*)?(\/[^?]*)(\?.*)?$/is.exec(target) ?? []
  if (/%(?![0-9a-f]{2})/i.test(path)) return { kind: 'bad-escape' }
  if (path === '/metrics') return { kind: 'metrics' }
  const [root, stores, store = '', gtins, gtin = '', ...more] = path.split('/').map(decoded)
  if (root !== '' || stores !== 'stores' || gtins !== 'gtins' || gtin === '') return { kind: 'none' }
  if (more.length === 1 && more[0] === '') return { kind: 'moved', location: path.slice(0, -1) + query }
  if (more.length > 0) return { kind: 'none' }
  return store === 'health' && gtin === 'check' ? { kind: 'health' } : { kind: 'lookup', store, gtin }
}

/** Decoded as UTF-8, or byte by byte where it is none. Every escape in `text` is whole. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text.replaceAll(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  }
}
