/**
 * Path patterns, and the normalised form of a request target that they are matched against.
 */
import type { Flaw } from '../values/units.ts'
import { foreignPart, literally, ownPatterns } from './foreign.ts'

/** How an application reads paths. There is one object for each way: compare them with `===`. */
export interface PathReading {
  /** `/Stores` is `/stores`. Segments are compared in lower case. */
  readonly ignoresCase: boolean
  /** `/stores;jsessionid=1` is `/stores`: a segment ends at its first `;` (RFC 3986 section 3.3). An encoded one (`%3B`) is kept. */
  readonly ignoresParameters: boolean
  /** `/stores/` is `/stores`. */
  readonly ignoresFinalSlash: boolean
}

const READINGS: readonly PathReading[] = Array.from({ length: 8 }, (_, bits) =>
  Object.freeze({
    ignoresCase: (bits & 1) !== 0,
    ignoresParameters: (bits & 2) !== 0,
    ignoresFinalSlash: (bits & 4) !== 0,
  }),
)

/** The one object for a way to read paths. */
export function readingOf({ ignoresCase, ignoresParameters, ignoresFinalSlash }: PathReading): PathReading {
  const bits = (ignoresCase ? 1 : 0) + (ignoresParameters ? 2 : 0) + (ignoresFinalSlash ? 4 : 0)
  return READINGS[bits] as PathReading
}

/** Nothing is ignored. */
export const EXACT = READINGS[0] as PathReading

/** A compiled path pattern. */
export interface PathPattern {
  /** As the table writes it. */
  readonly text: string
  /** How the paths are read that it is compared with. */
  readonly reading: PathReading
  /** Segment by segment: a decoded literal as `reading` leaves it, or null for a `:name`, which matches any non-empty segment. */
  readonly segments: readonly (string | null)[]
  /** Whether a final `*` matches the rest: at least one more segment, which may be empty. */
  readonly rest: boolean
  /** The least number of segments that it matches: with `rest` and a final slash that is ignored, the last may be absent. */
  readonly least: number
  /** The `:name`s in order, without their colons. */
  readonly params: readonly string[]
  /** Where the values of `params` stand among those of all paths of the route; null where they are in order, and all. */
  readonly places: readonly number[] | null
}

/** A request target (RFC 9112 section 3.2) as the matcher sees it. */
export interface Target {
  /** Host and port of an absolute-form target in lower case, or null. It replaces the Host header (RFC 9112 section 3.2.2). */
  readonly authority: string | null
  /** The decoded segments as they are read; null for the forms without a path (`*`, and the authority-form of CONNECT). */
  readonly segments: readonly string[] | null
  /** The same with their case as received, for the values of `:name`s. */
  readonly values: readonly string[] | null
  /** Why the path is ambiguous, or null. If it is, `segments` is the lenient reading. */
  readonly ambiguity: string | null
}

const ABSOLUTE_FORM = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/is
/** The path tree is as deep as the longest pattern, and is walked recursively. */
const MAX_SEGMENTS = 100
const NO_PATH: Target = { authority: null, segments: null, values: null, ambiguity: null }

/** Most patterns: nothing in them can be another router's. */
const PLAIN = /^(?:\/(?::[A-Za-z_]\w*|[\w~-][\w.~-]*))*(?:\/\*?)?$/

/**
 * Parses a path pattern: literal segments, `:name` for one segment, a final `*` for the rest.
 * @param reading how the paths are read that it is compared with
 */
export function parsePattern(text: string, reading: PathReading = EXACT): PathPattern | Flaw {
  if (PLAIN.test(text)) return parseOwn(text, reading)
  if (/[\r\n]/.test(text)) {
    const [line = ''] = text.trim().split(/[\r\n]/)
    return { message: 'a path must be on one line', hint: `write ${line}` }
  }
  const query = text.indexOf('?')
  if (query !== -1 && !isOptional(text, query) && foreignPart(text.slice(0, query)) === null) {
    return { message: 'a path must not include a query', hint: 'use match.query' }
  }
  const stray = /#|\\(?![dswDSW./()[\]{}^$|?*+-])/.exec(text)
  if (stray) return { message: `a path with ${stray[0]} never matches: such requests are ambiguous` }
  const foreign = foreignPart(text)
  if (foreign !== null) {
    const literal = text.includes(`/${foreign}`) && !/[\\/]/.test(foreign) ? ` (${literally(foreign)})` : ''
    const message = `unsupported path syntax ${JSON.stringify(foreign)}: a segment is literal${literal}, :name or a final *`
    return { message, hint: hintFor(text) }
  }
  return parseOwn(text, reading)
}

/** Why a text is not a path pattern, or null. */
export function flawOfPattern(text: string): Flaw | null {
  const pattern = parsePattern(text)
  return 'message' in pattern ? pattern : null
}

/** `:id?` in other routers. */
function isOptional(text: string, mark: number): boolean {
  return /\/:\w+$/.test(text.slice(0, mark)) && /^\?(?:\/|$)/.test(text.slice(mark))
}

/** Suggests how to write the pattern. Only valid patterns are suggested. */
function hintFor(text: string): string {
  const own = ownPatterns(text, MAX_SEGMENTS).filter(
    (one) => foreignPart(one) === null && !('message' in parseOwn(one, EXACT)),
  )
  if (own.length === 0) return 'use literal segments, :name for any one segment and a final * for the rest'
  return own.length === 1 ? `write ${own[0]}` : `write paths: [${own.join(', ')}]`
}

function parseOwn(text: string, reading: PathReading): PathPattern | Flaw {
  if (!text.startsWith('/')) return { message: 'a path must start with /', hint: hintFor(text) }
  const parts = text.slice(1).split('/')
  const rest = parts.at(-1) === '*'
  if (rest) parts.pop()
  if (parts.length > MAX_SEGMENTS) return { message: `too many segments: at most ${MAX_SEGMENTS}` }
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
      if (reading.ignoresParameters && part.includes(';')) return parameterFlaw(text)
      segments.push(reading.ignoresCase ? literal.toLowerCase() : literal)
    }
  }
  if (reading.ignoresFinalSlash && !rest) dropFinalSlash(segments)
  const least = rest && !reading.ignoresFinalSlash ? segments.length + 1 : segments.length
  return { text, reading, segments, rest, least, params, places: null }
}

function parameterFlaw(text: string): Flaw {
  const hint = `write ${text.replaceAll(/;[^/]*/g, '')}, or %3B for a literal ;`
  return { message: 'a path with ; never matches: path parameters are ignored', hint }
}

function dropFinalSlash(segments: unknown[]): void {
  if (segments.length > 1 && segments.at(-1) === '') segments.pop()
}

function flawOfParam(part: string, earlier: readonly string[]): Flaw | null {
  if (!earlier.includes(part.slice(1))) return null
  return { message: `duplicate parameter ${part}`, hint: 'give each parameter its own name' }
}

function parseLiteral(part: string, last: boolean): string | Flaw {
  const literal = decodePart(part)
  if (literal === null) return { message: `invalid percent-encoded UTF-8 ${part}`, hint: 'write %25 for a literal %' }
  const ambiguity = literal !== '' ? whyAmbiguous(literal) : last ? null : EMPTY_SEGMENT
  return ambiguity ? { message: `a path with ${ambiguity} never matches: such requests are ambiguous` } : literal
}

/** Whether a pattern matches these segments, read as it is; those before `from` are known to match. */
export function patternTakes(pattern: PathPattern, segments: readonly string[], from = 0): boolean {
  const own = pattern.segments
  const length = own.length
  if (pattern.rest ? segments.length < pattern.least : segments.length !== length) return false
  for (let i = from; i < length; i++) {
    const literal = own[i]
    if (literal === null ? segments[i] === '' : literal !== segments[i]) return false
  }
  return true
}

/** Whether one path can match both patterns, which have the same kinds of segments. */
export function canBothMatch(a: PathPattern, b: PathPattern): boolean {
  return a.segments.every((literal, at) => {
    const other = b.segments[at]
    if (literal === null || typeof other !== 'string') return true
    const isCaseless = a.reading.ignoresCase || b.reading.ignoresCase
    const [one, two] = isCaseless ? [literal.toLowerCase(), other.toLowerCase()] : [literal, other]
    if (one === two) return true
    // What one reads as `a;b` the other may read as `a`.
    if (a.reading.ignoresParameters === b.reading.ignoresParameters) return false
    return a.reading.ignoresParameters ? two.startsWith(`${one};`) : one.startsWith(`${two};`)
  })
}

/** Whether `wider` matches every path that `pattern` matches, each reading paths in its own way. */
export function coversPath(wider: PathPattern, pattern: PathPattern): boolean {
  const [own, of] = [wider.reading, pattern.reading]
  const segments: (string | null)[] = [...pattern.segments]
  if (own.ignoresFinalSlash && !pattern.rest) dropFinalSlash(segments)
  const least = pattern.rest ? pattern.least : segments.length
  if (wider.rest ? least < wider.least : pattern.rest || segments.length !== wider.segments.length) return false
  // `/a` may be `/a/` for the other.
  if (!wider.rest && of.ignoresFinalSlash && !own.ignoresFinalSlash && segments.join('/') !== '') return false
  return wider.segments.every((literal, at) => {
    const other = segments[at]
    if (other === undefined) return false
    // `;x` alone is a segment for the one and none for the other.
    if (literal === null) return other === null ? of.ignoresParameters || !own.ignoresParameters : other !== ''
    if (other === null || (of.ignoresCase && !own.ignoresCase)) return false
    if (of.ignoresParameters !== own.ignoresParameters && (of.ignoresParameters || other.includes(';'))) return false
    return literal === (own.ignoresCase ? other.toLowerCase() : other)
  })
}

const NO_PARAMS: readonly string[] = []

/**
 * The values of a pattern's `:name`s, from segments that it matches: in order, or at their `places`, where a name that the
 * pattern does not have is the empty string.
 */
export function paramsOf(pattern: PathPattern, segments: readonly string[]): readonly string[] {
  if (pattern.params.length === 0) return NO_PARAMS
  const own = pattern.segments
  const values: string[] = []
  for (let i = 0; i < own.length; i++) if (own[i] === null) values.push(segments[i] as string)
  return pattern.places === null ? values : placed(values, pattern.places)
}

function placed(values: readonly string[], places: readonly number[]): string[] {
  const all = Array.from({ length: Math.max(...places) + 1 }, () => '')
  for (const [at, place] of places.entries()) all[place] = values[at] as string
  return all
}

/**
 * Parses a request target. Never throws.
 *
 * The path is ambiguous when it has a dot segment (`.`, `..`, `..;x`, also percent-encoded), an empty segment that is
 * not the last, an encoded slash, a backslash, NUL, an escape that is not percent-encoded UTF-8, a `#`, or a raw byte
 * that RFC 3986 does not allow; also if an absolute-form target has no host or has user information. Where path parameters are
 * ignored, a segment of nothing else (`;x`) is an empty one.
 */
export function readTarget(target: string, reading: PathReading = EXACT): Target {
  if (target.charCodeAt(0) === SLASH) {
    const segments = splitPlain(target)
    if (segments === null) return readPath(target, null, reading)
    if (reading === EXACT) return { authority: null, segments, values: segments, ambiguity: null }
    if (!dropIgnored(segments, reading)) return readPath(target, null, reading)
    return { authority: null, segments: compared(segments, reading), values: segments, ambiguity: null }
  }
  const absolute = ABSOLUTE_FORM.exec(target)
  if (!absolute) return NO_PATH
  const authority = (absolute[1] as string).toLowerCase()
  const path = absolute[2] as string
  const read = readPath(path.startsWith('/') ? path : `/${path}`, authority, reading)
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
const PARAMETERS_ALONE = 'a segment of path parameters alone (/;)'

/** The segments of a path that needs no decoding and is not ambiguous, or null. Nearly every request ends here. */
function splitPlain(target: string): string[] | null {
  const segments: string[] = []
  const length = target.length
  let start = 1
  for (let i = 1; i < length; i++) {
    const unit = target.charCodeAt(i)
    if (unit === SLASH) {
      // An empty segment, or one that starts with a dot, is left to the slow path.
      if (i === start || target.charCodeAt(start) === DOT) return null
      segments.push(target.slice(start, i))
      start = i + 1
    } else if (unit === QUESTION_MARK) {
      // A fragment after the query is left to the slow path.
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

/** Drops what a reading ignores of plain segments. Returns false where what is left may be ambiguous. */
function dropIgnored(segments: string[], reading: PathReading): boolean {
  if (reading.ignoresParameters) {
    for (let i = 0; i < segments.length; i++) {
      const segment = segments[i] as string
      const end = segment.indexOf(';')
      if (end === -1) continue
      if (end === 0 && i < segments.length - 1) return false
      segments[i] = segment.slice(0, end)
    }
  }
  if (reading.ignoresFinalSlash) dropFinalSlash(segments)
  return true
}

function compared(segments: readonly string[], reading: PathReading): readonly string[] {
  return reading.ignoresCase ? segments.map((segment) => segment.toLowerCase()) : segments
}

function readPath(target: string, authority: string | null, reading: PathReading): Target {
  let ambiguity = target.includes('#') ? 'a fragment (#)' : null
  const path = target.split(/[?#]/, 1)[0] as string
  if (/[^\x21-\x7e]/.test(path)) ambiguity ??= 'a byte that must be percent-encoded'
  const parts = path.slice(1).split('/')
  const whole = parts.map((part) => decodePart(part) ?? part)
  for (const [at, segment] of whole.entries()) {
    if (ambiguity !== null) break
    if (segment === '' && at < whole.length - 1) ambiguity = EMPTY_SEGMENT
    else if (decodePart(parts[at] as string) === null) ambiguity = 'an invalid escape'
    else ambiguity = whyAmbiguous(segment)
  }
  const segments = reading.ignoresParameters ? parts.map(withoutParameters) : whole
  if (segments.some((segment, at) => segment === '' && at < segments.length - 1)) ambiguity ??= PARAMETERS_ALONE
  const values = ambiguity === null ? segments : resolveSegments(segments, segments)
  if (reading.ignoresFinalSlash) dropFinalSlash(values)
  return { authority, segments: compared(values, reading), values, ambiguity }
}

/**
 * The segments of a path with their bytes, one for each of those that `readTarget` gives, and a final slash that the reading
 * ignores.
 * @param path without query and fragment
 * @param ambiguous in the lenient reading
 */
export function rawSegmentsOf(path: string, ambiguous: boolean, reading: PathReading): readonly string[] {
  const parts = path.slice(1).split('/')
  if (!ambiguous) return parts
  const read = reading.ignoresParameters ? withoutParameters : (part: string) => decodePart(part) ?? part
  return resolveSegments(parts.map(read), parts)
}

/** A raw segment without its path parameters, decoded. */
function withoutParameters(part: string): string {
  const bare = part.split(';', 1)[0] as string
  return decodePart(bare) ?? bare
}

/** Decodes percent-encoded UTF-8 (RFC 3986 section 2.1). Null if an escape is invalid or the bytes are not UTF-8. */
export function decodePart(part: string): string | null {
  if (!part.includes('%')) return part
  try {
    return decodeURIComponent(part)
  } catch {
    return null
  }
}

/** Why a decoded segment is ambiguous, or null. */
export function whyAmbiguous(segment: string): string | null {
  // Some servers remove path parameters (`;x`) before they resolve dot segments, so `..;x` is `..` there.
  if (/^\.\.?(;|$)/.test(segment)) return 'a dot segment'
  if (segment.includes('/')) return 'an encoded slash (%2F)'
  if (segment.includes('\\')) return 'a backslash'
  if (segment.includes('\0')) return 'a NUL'
  return null
}

/**
 * The lenient reading: empty segments except the last dropped, dot segments resolved (RFC 3986 section 5.2.4).
 * @param bytes of each segment: those of the segments that stay are returned
 */
function resolveSegments(segments: readonly string[], bytes: readonly string[]): string[] {
  const resolved: string[] = []
  for (const [at, segment] of segments.entries()) {
    const last = at === segments.length - 1
    if (segment === '..') resolved.pop()
    else if (segment !== '.' && (segment !== '' || last)) resolved.push(bytes[at] as string)
    if (last && (segment === '.' || segment === '..')) resolved.push('')
  }
  return resolved
}
