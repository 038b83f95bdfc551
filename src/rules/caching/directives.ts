/**
 * Cache directives (RFC 9111 section 5.2, RFC 5861, RFC 8246): read liberally, understood conservatively.
 *
 * Whatever is malformed loosens nothing: a lifetime that can't be read is no time at all, a restriction holds however it
 * is written, and what is found inside another directive's quoted value is that value.
 */

/** What an answer's directives say. Times are whole seconds; null is "not said". */
export interface ResponseDirectives {
  noStore: boolean
  /** The unqualified form. */
  noCache: boolean
  /** Field names of `no-cache="..."`, lower case. */
  noCacheFields: readonly string[]
  /** The unqualified form. */
  private: boolean
  /** Field names of `private="..."`, lower case. */
  privateFields: readonly string[]
  public: boolean
  mustRevalidate: boolean
  proxyRevalidate: boolean
  mustUnderstand: boolean
  noTransform: boolean
  /** RFC 8246: no validation while fresh. A shared cache sends none then anyway, unless the client asks for it. */
  immutable: boolean
  /** An unreadable one, and two that differ, are 0. */
  maxAge: number | null
  sMaxAge: number | null
  staleWhileRevalidate: number | null
  staleIfError: number | null
  /** A well-formed directive lets a shared cache reuse an answer to Authorization (RFC 9111 section 3.5). */
  allowsAuthorization: boolean
}

/** What a request's directives ask for. Times are whole seconds; null is "not said". */
export interface RequestDirectives {
  noStore: boolean
  noCache: boolean
  onlyIfCached: boolean
  /** An unreadable one is 0: validate. */
  maxAge: number | null
  /** Infinity where no number is given; an unreadable one is 0. */
  maxStale: number | null
  /** An unreadable one is Infinity: nothing stored is fresh enough. */
  minFresh: number | null
  staleIfError: number | null
}

/**
 * What a larger number of seconds counts as (RFC 9111 section 1.2.2 asks for 2^31 at least): 35,000 years, which still
 * leaves room for whole milliseconds in a double.
 */
export const MAX_DELTA_SECONDS = 2 ** 40

/** Reads delta-seconds: digits only, clamped to 2^40. Null where the text is anything else. */
export function parseDeltaSeconds(text: string): number | null {
  return /^[0-9]+$/.test(text) ? Math.min(Number(text), MAX_DELTA_SECONDS) : null
}

/** The directives of an answer that says nothing. */
export function noResponseDirectives(): ResponseDirectives {
  return {
    noStore: false,
    noCache: false,
    noCacheFields: [],
    private: false,
    privateFields: [],
    public: false,
    mustRevalidate: false,
    proxyRevalidate: false,
    mustUnderstand: false,
    noTransform: false,
    immutable: false,
    maxAge: null,
    sMaxAge: null,
    staleWhileRevalidate: null,
    staleIfError: null,
    allowsAuthorization: false,
  }
}

/** Reads the Cache-Control lines of an answer (RFC 9111 section 5.2.2). Never throws. */
export function parseCacheControl(lines: readonly string[]): ResponseDirectives {
  const said = noResponseDirectives()
  for (const line of lines) readDirectives(line, (directive) => noteResponse(said, directive))
  return said
}

/** Reads the Cache-Control lines of a request (RFC 9111 section 5.2.1). Never throws. */
export function parseRequestCacheControl(lines: readonly string[]): RequestDirectives {
  const asked: RequestDirectives = {
    noStore: false,
    noCache: false,
    onlyIfCached: false,
    maxAge: null,
    maxStale: null,
    minFresh: null,
    staleIfError: null,
  }
  for (const line of lines) readDirectives(line, (directive) => noteRequest(asked, directive))
  return asked
}

/** Reads the Pragma lines of a request: true where one says no-cache (RFC 9111 section 5.4). */
export function pragmaNoCache(lines: readonly string[]): boolean {
  let found = false
  for (const line of lines) readDirectives(line, ({ name }) => (found ||= name === 'no-cache'))
  return found
}

interface Directive {
  /** Lower case. */
  readonly name: string
  /** Without its quotes and escapes, or null where there is none. */
  readonly argument: string | null
  /** Spelled as the grammar has it, and nothing but commas and white space around it. */
  readonly wellFormed: boolean
}

const isBare = (directive: Directive) => directive.wellFormed && directive.argument === null

/** Longer than a function should be, but flat: one case a directive. */
function noteResponse(said: ResponseDirectives, directive: Directive): void {
  switch (directive.name) {
    case 'no-store':
      said.noStore = true
      break
    case 'no-cache': {
      const fields = fieldNames(directive)
      if (fields === null) said.noCache = true
      else said.noCacheFields = [...said.noCacheFields, ...fields]
      break
    }
    case 'private': {
      const fields = fieldNames(directive)
      if (fields === null) said.private = true
      else said.privateFields = [...said.privateFields, ...fields]
      break
    }
    case 'public':
      said.public ||= isBare(directive)
      said.allowsAuthorization ||= isBare(directive)
      break
    case 'must-revalidate':
      said.mustRevalidate = true
      said.allowsAuthorization ||= isBare(directive)
      break
    case 'proxy-revalidate':
      said.proxyRevalidate = true
      break
    case 'must-understand':
      said.mustUnderstand ||= isBare(directive)
      break
    case 'no-transform':
      said.noTransform = true
      break
    case 'immutable':
      said.immutable ||= isBare(directive)
      break
    case 'max-age':
      said.maxAge = lifetime(said.maxAge, directive)
      break
    case 's-maxage':
      said.sMaxAge = lifetime(said.sMaxAge, directive)
      said.allowsAuthorization ||= secondsOf(directive) !== null
      break
    case 'stale-while-revalidate':
      said.staleWhileRevalidate = shorter(said.staleWhileRevalidate, secondsOf(directive) ?? 0)
      break
    case 'stale-if-error':
      said.staleIfError = shorter(said.staleIfError, secondsOf(directive) ?? 0)
      break
  }
}

function noteRequest(asked: RequestDirectives, directive: Directive): void {
  switch (directive.name) {
    case 'no-store':
      asked.noStore = true
      break
    case 'no-cache':
      asked.noCache = true
      break
    case 'only-if-cached':
      asked.onlyIfCached = true
      break
    case 'max-age':
      asked.maxAge = shorter(asked.maxAge, secondsOf(directive) ?? 0)
      break
    case 'max-stale':
      asked.maxStale = shorter(asked.maxStale, isBare(directive) ? Infinity : (secondsOf(directive) ?? 0))
      break
    case 'min-fresh':
      asked.minFresh = Math.max(asked.minFresh ?? 0, secondsOf(directive) ?? Infinity)
      break
    case 'stale-if-error':
      asked.staleIfError = shorter(asked.staleIfError, secondsOf(directive) ?? 0)
      break
  }
}

function secondsOf({ argument, wellFormed }: Directive): number | null {
  return wellFormed && argument !== null ? parseDeltaSeconds(argument) : null
}

/** Two lifetimes that differ make the answer stale, as an unreadable one does (RFC 9111 section 4.2.1). */
function lifetime(before: number | null, directive: Directive): number {
  const seconds = secondsOf(directive) ?? 0
  return before === null || before === seconds ? seconds : 0
}

function shorter(before: number | null, seconds: number): number {
  return before === null ? seconds : Math.min(before, seconds)
}

/** The names of a qualified form in lower case, or null where the directive must be taken for the unqualified one. */
function fieldNames({ argument, wellFormed }: Directive): string[] | null {
  return wellFormed && argument !== null ? parseFieldNames(argument) : null
}

/** Reads a comma-separated list of field names in lower case; null where one is no name, or there is none. */
export function parseFieldNames(list: string): string[] | null {
  const names = list.split(',').map((name) => name.trim().toLowerCase())
  const kept = names.filter((name) => name !== '')
  return kept.length > 0 && kept.every((name) => FIELD_NAME.test(name)) ? kept : null
}

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const QUOTED = /"(?:[^"\\]|\\.)*"/sy
const GAP = /[^!#$%&'*+.^_`|~0-9A-Za-z"-]*/y
const CLEAN_GAP = /^(?:|[ \t]*,[ \t,]*)$/

/**
 * Walks one line. Between two directives belongs a comma; where anything else stands (a semicolon, a space, stray quotes),
 * the directives on both sides are handed over as malformed. After a quote that never closes, everything is.
 */
function readDirectives(line: string, note: (directive: Directive) => void): void {
  const cursor: Cursor = { line, at: 0, unclosed: false }
  let cleanBefore = /^[ \t,]*$/.test(match(GAP, cursor) as string)
  while (cursor.at < line.length) {
    const name = match(TOKEN, cursor)
    if (name === null) {
      // A quoted string where a directive should begin: nothing in it is a directive.
      skipQuoted(cursor)
      match(GAP, cursor)
      cleanBefore = false
      continue
    }
    const argument = line[cursor.at] === '=' ? readArgument(cursor) : null
    const wellFormed = cleanBefore && argument !== undefined && !cursor.unclosed
    const gap = match(GAP, cursor) as string
    const last = cursor.at === line.length
    const cleanAfter = last ? /^[ \t,]*$/.test(gap) : CLEAN_GAP.test(gap) && gap !== ''
    note({ name: name.toLowerCase(), argument: argument ?? null, wellFormed: wellFormed && cleanAfter })
    cleanBefore = cleanAfter
  }
}

interface Cursor {
  readonly line: string
  at: number
  /** A quote before `at` was never closed. */
  unclosed: boolean
}

/** Reads what follows `=`; undefined where that is neither a token nor a quoted string. */
function readArgument(cursor: Cursor): string | undefined {
  cursor.at++
  if (cursor.line[cursor.at] !== '"') return match(TOKEN, cursor) ?? undefined
  return skipQuoted(cursor)?.slice(1, -1).replace(/\\(.)/gs, '$1')
}

/** Steps over a quoted string and returns it; over the quote alone where it never closes. */
function skipQuoted(cursor: Cursor): string | undefined {
  // Looking for the end once is enough: a line of quotes that don't close must not cost its length squared.
  const quoted = cursor.unclosed ? null : match(QUOTED, cursor)
  if (quoted !== null) return quoted
  cursor.at++
  cursor.unclosed = true
  return undefined
}

function match(pattern: RegExp, cursor: Cursor): string | null {
  pattern.lastIndex = cursor.at
  const found = pattern.exec(cursor.line)
  if (!found) return null
  cursor.at = pattern.lastIndex
  return found[0]
}
