/**
 * Paths: the patterns of the table, and the one normalised reading of a request target that they are matched against.
 */
import type { Flaw } from '../values/units.ts'
import { foreignPart, literally, ownPatterns } from './foreign.ts'

/** A compiled path pattern. */
export interface PathPattern {
  /** As the table writes it. */
  readonly text: string
  /** Segment by segment: a decoded literal, or null for a `:name`, which takes any segment that is not empty. */
  readonly segments: readonly (string | null)[]
  /** Whether a final `*` takes the rest: at least one more segment, which may be empty. */
  readonly rest: boolean
  /** The `:name`s in order, without their colons. */
  readonly params: readonly string[]
}

/** What a request target (RFC 9112 section 3.2) says to the matcher. */
export interface Target {
  /** Host and port of an absolute-form target in lower case, or null. It replaces the Host field (RFC 9112 section 3.2.2). */
  readonly authority: string | null
  /** The decoded segments; null for the forms without a path (`*`, and the authority-form of CONNECT). */
  readonly segments: readonly string[] | null
  /** What gives the path more than one reading, in words, or null. `segments` is then the lenient reading. */
  readonly ambiguity: string | null
}

const ABSOLUTE_FORM = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/is
/** The tree of the paths is as deep as the longest pattern, and is walked by recursion. */
const MAX_SEGMENTS = 100
const NO_PATH: Target = { authority: null, segments: null, ambiguity: null }

/** Reads a path pattern: literal segments, `:name` for one segment, a final `*` for the rest. */
export function parsePattern(text: string): PathPattern | Flaw {
  const query = text.indexOf('?')
  if (query !== -1 && !isOptional(text, query) && foreignPart(text.slice(0, query)) === null) {
    return { message: 'a path has no query', hint: 'use match.query' }
  }
  const stray = /#|\\(?![dswDSW./()[\]{}^$|?*+-])/.exec(text)
  if (stray) return { message: `a path with ${stray[0]} never matches: such requests are ambiguous` }
  const foreign = foreignPart(text)
  if (foreign !== null) {
    const literal = text.includes(`/${foreign}`) && !/[\\/]/.test(foreign) ? ` (that is ${literally(foreign)})` : ''
    const message = `${JSON.stringify(foreign)} is neither a literal segment${literal}, nor :name, nor a final *`
    return { message, hint: hintFor(text) }
  }
  return parseOwn(text)
}

/** `:id?` in other routers. */
function isOptional(text: string, mark: number): boolean {
  return /\/:\w+$/.test(text.slice(0, mark)) && /^\?(?:\/|$)/.test(text.slice(mark))
}

/** How the pattern is written here. Only what would be taken is suggested. */
function hintFor(text: string): string {
  const own = ownPatterns(text).filter((one) => foreignPart(one) === null && !('message' in parseOwn(one)))
  if (own.length === 0) return 'a path is made of literal segments, :name for any one, and a final * for the rest'
  return own.length === 1 ? `write ${own[0]}` : `write a route for each: ${own.join(', ')}`
}

function parseOwn(text: string): PathPattern | Flaw {
  if (!text.startsWith('/')) return { message: 'expected a path that starts with /', hint: hintFor(text) }
  const parts = text.slice(1).split('/')
  const rest = parts.at(-1) === '*'
  if (rest) parts.pop()
  if (parts.length > MAX_SEGMENTS) return { message: `expected at most ${MAX_SEGMENTS} segments` }
  const segments: (string | null)[] = []
  const params: string[] = []
  for (const [at, part] of parts.entries()) {
    if (part.startsWith(':')) {
      const flaw = flawOfParam(part, params)
      if (flaw) return flaw
      params.push(part.slice(1))
      segments.push(null)
    } else {
      const literal = parseLiteral(part, !rest && at === parts.length - 1)
      if (typeof literal !== 'string') return literal
      segments.push(literal)
    }
  }
  return { text, segments, rest, params }
}

function flawOfParam(part: string, earlier: readonly string[]): Flaw | null {
  if (!earlier.includes(part.slice(1))) return null
  return { message: `${part} stands twice in the path`, hint: 'give each :name a name of its own' }
}

function parseLiteral(part: string, last: boolean): string | Flaw {
  const literal = decode(part)
  if (literal === null)
    return { message: `${part} is no valid percent-encoded UTF-8`, hint: 'write %25 for a literal %' }
  const ambiguity = literal !== '' ? ambiguityOf(literal) : last ? null : EMPTY_SEGMENT
  return ambiguity ? { message: `a path with ${ambiguity} never matches: such requests are ambiguous` } : literal
}

/** Whether a pattern takes these decoded segments, of which those before `from` are known to fit. */
export function patternTakes(pattern: PathPattern, segments: readonly string[], from = 0): boolean {
  const own = pattern.segments
  const length = own.length
  if (pattern.rest ? segments.length <= length : segments.length !== length) return false
  for (let i = from; i < length; i++) {
    const literal = own[i]
    if (literal === null ? segments[i] === '' : literal !== segments[i]) return false
  }
  return true
}

const NO_PARAMS: readonly string[] = []

/** The values of a pattern's `:name`s in order, from segments that it takes. */
export function paramsOf(pattern: PathPattern, segments: readonly string[]): readonly string[] {
  if (pattern.params.length === 0) return NO_PARAMS
  const own = pattern.segments
  const values: string[] = []
  for (let i = 0; i < own.length; i++) if (own[i] === null) values.push(segments[i] as string)
  return values
}

/**
 * Reads a request target. Never throws.
 *
 * The path is ambiguous when it has a dot segment (`.`, `..`, `..;x`, also percent-encoded), an empty segment that is
 * not the last, an encoded slash, a backslash, NUL, an escape that is not percent-encoded UTF-8, a `#`, or a raw byte
 * that RFC 3986 does not allow; also when an absolute-form target has no host or carries user information.
 */
export function readTarget(target: string): Target {
  if (target.charCodeAt(0) === SLASH) {
    const segments = splitPlain(target)
    return segments === null ? readPath(target, null) : { authority: null, segments, ambiguity: null }
  }
  const absolute = ABSOLUTE_FORM.exec(target)
  if (!absolute) return NO_PATH
  const authority = (absolute[1] as string).toLowerCase()
  const path = absolute[2] as string
  const read = readPath(path.startsWith('/') ? path : `/${path}`, authority)
  if (authority === '' || /[@\\\s]/.test(authority))
    return { ...read, ambiguity: `the host ${JSON.stringify(authority)}` }
  return read
}

const SLASH = 0x2f
const DOT = 0x2e
const QUESTION_MARK = 0x3f
const PERCENT = 0x25
const HASH = 0x23
const BACKSLASH = 0x5c
const EMPTY_SEGMENT = 'an empty segment (//)'

/** The segments of a path that needs no decoding and has one reading, or null: nearly every request ends here. */
function splitPlain(target: string): string[] | null {
  const segments: string[] = []
  const length = target.length
  let start = 1
  for (let i = 1; i < length; i++) {
    const unit = target.charCodeAt(i)
    if (unit === SLASH) {
      // An empty segment, or one that begins with a dot, is looked at again by the slow path.
      if (i === start || target.charCodeAt(start) === DOT) return null
      segments.push(target.slice(start, i))
      start = i + 1
    } else if (unit === QUESTION_MARK) {
      // A fragment behind the query is the slow path's to find.
      if (target.charCodeAt(start) === DOT || target.indexOf('#', i) !== -1) return null
      segments.push(target.slice(start, i))
      return segments
    } else if (unit === PERCENT || unit === HASH || unit === BACKSLASH || unit <= 0x20 || unit >= 0x7f) {
      return null
    }
  }
  if (target.charCodeAt(start) === DOT) return null
  segments.push(target.slice(start))
  return segments
}

function readPath(target: string, authority: string | null): Target {
  let ambiguity = target.includes('#') ? 'a fragment (#)' : null
  const path = target.split(/[?#]/, 1)[0] as string
  if (/[^\x21-\x7e]/.test(path)) ambiguity ??= 'a byte that must be percent-encoded'
  const parts = path.slice(1).split('/')
  const segments = parts.map((part) => decode(part) ?? part)
  for (const [at, segment] of segments.entries()) {
    if (ambiguity !== null) break
    if (segment === '' && at < segments.length - 1) ambiguity = EMPTY_SEGMENT
    else if (decode(parts[at] as string) === null) ambiguity = 'an invalid escape'
    else ambiguity = ambiguityOf(segment)
  }
  return { authority, segments: ambiguity === null ? segments : resolveSegments(segments), ambiguity }
}

/** Undoes percent-encoding (RFC 3986 section 2.1) of UTF-8. Null where an escape is invalid or the bytes are not UTF-8. */
function decode(part: string): string | null {
  if (!part.includes('%')) return part
  try {
    return decodeURIComponent(part)
  } catch {
    return null
  }
}

/** What gives a decoded segment more than one reading, in words, or null. */
function ambiguityOf(segment: string): string | null {
  // Some servers cut path parameters (`;x`) off before they resolve dot segments, so `..;x` climbs there.
  if (/^\.\.?(;|$)/.test(segment)) return 'a dot segment'
  if (segment.includes('/')) return 'an encoded slash (%2F)'
  if (segment.includes('\\')) return 'a backslash'
  if (segment.includes('\0')) return 'a NUL'
  return null
}

/** The lenient reading: empty segments dropped but for the last, dot segments resolved (RFC 3986 section 5.2.4). */
function resolveSegments(segments: readonly string[]): string[] {
  const resolved: string[] = []
  for (const [at, segment] of segments.entries()) {
    const last = at === segments.length - 1
    if (segment === '..') resolved.pop()
    else if (segment !== '.' && (segment !== '' || last)) resolved.push(segment)
    if (last && (segment === '.' || segment === '..')) resolved.push('')
  }
  return resolved
}
