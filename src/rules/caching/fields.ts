/**
 * What a request's fields ask of a cache, read in one pass; a request that asks nothing costs a look at its names' lengths.
 */
import { parseRequestCacheControl, pragmaNoCache, type RequestDirectives } from './directives.ts'
import { trimmed } from './sent.ts'

/** What a request asks of a cache. Values of several lines are joined by commas; null is "not there". */
export interface CacheFields {
  /** Cache-Control, or Pragma where there is no Cache-Control (RFC 9111 section 5.4). */
  readonly directives: RequestDirectives | null
  readonly ifNoneMatch: string | null
  readonly ifModifiedSince: string | null
  readonly range: string | null
  readonly ifRange: string | null
  /** If-Match or If-Unmodified-Since: the origin's to evaluate, not a cache's (RFC 9111 section 4.3.2). */
  readonly originPrecondition: boolean
  readonly authorization: boolean
}

/** What most requests ask: nothing. `readCacheFields` returns this very object for them. */
export const NOTHING_ASKED: CacheFields = Object.freeze({
  directives: null,
  ifNoneMatch: null,
  ifModifiedSince: null,
  range: null,
  ifRange: null,
  originPrecondition: false,
  authorization: false,
})

/** Reads what a request asks of a cache. Never throws. */
export function readCacheFields(rawHeaders: readonly string[]): CacheFields {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (fieldOf(rawHeaders[i] as string) !== '') return readAll(rawHeaders, i)
  }
  return NOTHING_ASKED
}

function readAll(rawHeaders: readonly string[], from: number): CacheFields {
  const lines = new Map<string, string[]>()
  for (let i = from; i < rawHeaders.length; i += 2) {
    const name = fieldOf(rawHeaders[i] as string)
    if (name === '') continue
    const known = lines.get(name)
    if (known) known.push(rawHeaders[i + 1] as string)
    else lines.set(name, [rawHeaders[i + 1] as string])
  }
  const joined = (name: string) => {
    const values = lines.get(name)
    return values === undefined ? null : trimmed(values.join(', '))
  }
  return {
    directives: directivesOf(lines.get('cache-control'), lines.get('pragma')),
    ifNoneMatch: joined('if-none-match'),
    ifModifiedSince: joined('if-modified-since'),
    range: joined('range'),
    ifRange: joined('if-range'),
    originPrecondition: lines.has('if-match') || lines.has('if-unmodified-since'),
    authorization: lines.has('authorization'),
  }
}

function directivesOf(cacheControl: string[] | undefined, pragma: string[] | undefined): RequestDirectives | null {
  if (cacheControl) return parseRequestCacheControl(cacheControl)
  return pragma && pragmaNoCache(pragma) ? parseRequestCacheControl(['no-cache']) : null
}

/** The field's name in lower case where it is one that a cache looks at, else ''. */
function fieldOf(name: string): string {
  switch (name.length) {
    case 5:
      return oneOf(name, 'range')
    case 6:
      return oneOf(name, 'pragma')
    case 8:
      return oneOf(name, 'if-match') || oneOf(name, 'if-range')
    case 13:
      return oneOf(name, 'cache-control') || oneOf(name, 'if-none-match') || oneOf(name, 'authorization')
    case 17:
      return oneOf(name, 'if-modified-since')
    case 19:
      return oneOf(name, 'if-unmodified-since')
    default:
      return ''
  }
}

function oneOf(name: string, field: string): string {
  // Setting bit 5 lowers a letter, so names with another first letter (Cookie, Origin, Accept) cost no copy.
  return (name.charCodeAt(0) | 0x20) === field.charCodeAt(0) && name.toLowerCase() === field ? field : ''
}
