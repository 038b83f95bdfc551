/**
 * Paths of requests as templates: what differs from request to request is a placeholder. No value of a request is in a template.
 */

/** What stands in the place of a value. */
export const KINDS = ['id', 'gtin', 'uuid', 'date', 'hash', 'token', 'file', 'text', 'name'] as const
export type Kind = (typeof KINDS)[number]

/** Segments behind these are `*`. */
export const MAX_DEPTH = 12

/** A longer segment is a value. */
const MAX_LITERAL = 48

/** Methods that an endpoint can have; any other one is `OTHER`. */
const METHODS: ReadonlySet<string> = new Set([
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'],
  ...['PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE', 'LOCK', 'UNLOCK', 'REPORT', 'SEARCH', 'QUERY'],
])

/** The method of an endpoint. */
export function foldMethod(method: string): string {
  return METHODS.has(method) ? method : 'OTHER'
}

/**
 * The part of a request target that is its path, without the slash it begins with.
 * @returns null where it has none (`*`, and the authority of CONNECT)
 */
export function pathOf(target: string): string | null {
  let begin = 0
  if (target.charCodeAt(0) !== 0x2f) {
    const scheme = target.indexOf('://')
    if (scheme === -1) return null
    begin = target.indexOf('/', scheme + 3)
    if (begin === -1) return ''
  }
  let end = begin
  for (; end < target.length; end++) {
    const unit = target.charCodeAt(end)
    if (unit === 0x3f || unit === 0x23) break
  }
  return target.slice(begin + 1, end)
}

/** A segment without its parameters: `;jsessionid=...` is a value. */
export function withoutParameters(segment: string): string {
  const at = segment.indexOf(';')
  return at === -1 ? segment : segment.slice(0, at)
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const DATE = /^\d{4}-\d\d(?:-\d\d)?(?:[T_ ].*)?$/
const LITERAL = /^[\w.~-]+$/
/** `/api/1.0/`: a version. */
const VERSION = /^\d\.\d$/
const NUMBER = /^\d[\d._-]*$/
const HEX = /^(?=.*\d)[0-9a-f]{8,}$/i
const MIXED = /^(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[\w-]{16,}$/
const LONG = 32
const EXTENSION = /^(.+)\.(?=\d*[a-z])[a-z0-9]{1,5}$/i
const DIGITS = /\d{3}/

/**
 * What kind of value a segment is; null for one that is a name of the application's. Whether it stands for many is seen only
 * where there are many.
 */
export function kindOf(segment: string): Kind | null {
  if (isNumber(segment)) return isGtin(segment) ? 'gtin' : 'id'
  if (segment.length > MAX_LITERAL)
    return UUID.test(segment) ? 'uuid' : segment.length > 4096 ? 'token' : longKind(segment)
  if (DATE.test(segment)) return 'date'
  if (!LITERAL.test(segment)) return segment === '' ? null : 'text'
  const [, base] = EXTENSION.exec(segment) ?? []
  if (base !== undefined) return base.split('.').every((part) => valueKind(part) === null) ? null : 'file'
  return valueKind(segment)
}

/** Digits alone: the most frequent value, and the cheapest to tell. */
function isNumber(segment: string): boolean {
  const { length } = segment
  if (length === 0 || length > MAX_LITERAL) return false
  for (let at = 0; at < length; at++) {
    const unit = segment.charCodeAt(at)
    if (unit < 0x30 || unit > 0x39) return false
  }
  return true
}

function longKind(segment: string): Kind {
  return LITERAL.test(segment) ? 'token' : 'text'
}

function valueKind(segment: string): Kind | null {
  if (VERSION.test(segment)) return null
  if (NUMBER.test(segment)) return isGtin(segment) ? 'gtin' : DATE.test(segment) ? 'date' : 'id'
  if (UUID.test(segment)) return 'uuid'
  if (HEX.test(segment)) return 'hash'
  if (MIXED.test(segment) || segment.length >= LONG) return 'token'
  return DIGITS.test(segment) ? 'id' : null
}

/** Whether it is a GTIN by its length and check digit (GS1 General Specifications section 7.9). */
function isGtin(digits: string): boolean {
  const { length } = digits
  if (length !== 8 && length !== 12 && length !== 13 && length !== 14) return false
  let sum = 0
  for (let at = 0; at < length; at++) {
    const digit = digits.charCodeAt(at) - 0x30
    if (digit < 0 || digit > 9) return false
    sum += (length - at) % 2 === 0 ? digit * 3 : digit
  }
  return sum % 10 === 0
}
