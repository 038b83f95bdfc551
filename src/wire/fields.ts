/**
 * What HTTP/1.1 requests and responses have in common (RFC 9112 sections 2.2 and 5): character classes, field lines, and a buffer
 * for incomplete input.
 */

/** Limits for one message; larger ones are refused. */
export interface ReaderLimits {
  /** Bytes of a head, of a trailer section, and of all interim heads of one response together. */
  readonly maxHeadBytes: number
  /** Fields of a head or of a trailer section. */
  readonly maxFields: number
}

/** A message that breaks RFC 9112. `message` says how, for the log; it is never sent to a peer. */
export class MalformedMessage extends Error {}

/** A message beyond a limit. */
export class MessageTooLarge extends MalformedMessage {}

const CR = 13
const LF = 10
const SP = 32
const HTAB = 9
const COLON = 58

// Reading an exported binding costs a lookup each time, which the loop below would feel: it uses these module-local constants.
const token = new Uint8Array(256)
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
  token[c.charCodeAt(0)] = 1
const forbidden = new Uint8Array(256)
for (let c = 0; c < 32; c++) if (c !== HTAB) forbidden[c] = 1
forbidden[127] = 1
const inValue = forbidden.map((is) => 1 - is)

/** RFC 9110 section 5.6.2: the characters of a token, each 1. */
export const TOKEN = token

/** RFC 9110 section 5.5: what a field value may not hold, each 1. HTAB, SP, VCHAR and obs-text are allowed. */
export const FORBIDDEN = forbidden

export const NO_FIELDS: string[] = []

/**
 * Common field names in their usual spellings. For these, readers return the same string object: nothing is allocated, and its hash
 * for Map lookups is computed already.
 */
const COMMON_NAMES =
  'Host Connection Keep-Alive Content-Length Transfer-Encoding Content-Type Content-Encoding Content-Language Date Server User-Agent ' +
  'Accept Accept-Encoding Accept-Language Accept-Ranges Authorization Cookie Set-Cookie Cache-Control ETag Last-Modified Expires Pragma ' +
  'Vary Age Via Location Link Range Referer Origin If-None-Match If-Modified-Since X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host ' +
  'X-Forwarded-Port X-Real-IP X-Request-Id X-Requested-With X-Powered-By X-Content-Type-Options X-Frame-Options X-XSS-Protection ' +
  'Strict-Transport-Security Content-Security-Policy Referrer-Policy Access-Control-Allow-Origin Sec-Fetch-Site Sec-Fetch-Mode ' +
  'Sec-Fetch-Dest Sec-Fetch-User Upgrade Upgrade-Insecure-Requests'

const SLOTS = 512

const names = new Array<string>(SLOTS).fill('')
const others = 'CDN-Loop traceparent sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform'
const spellings = `${COMMON_NAMES} ${COMMON_NAMES.toLowerCase()} ${others}`.split(' ')
// Property names are internalized strings, the same objects as literals in code.
for (const name of Object.keys(Object.fromEntries(spellings.map((one) => [one, true])))) {
  names[slotOf(name.length, Buffer.from(name), 0)] = name
}

/** Complete lines, as text and as the bytes it was decoded from, which are cheaper to examine one by one. */
export interface Lines {
  /** Latin-1. */
  readonly text: string
  readonly bytes: Uint8Array
  /** Where in `bytes` the text begins. */
  readonly from: number
}

/**
 * Reads field lines, each with its CRLF, from `at` to the empty line or to the end of the text, into `out`: name, value, ... It is
 * long because it is one pass: it runs for each message.
 * @param at in the text
 * @param maxFields that `out` may hold
 * @returns where in the text the empty line begins, or its length
 */
export function readFieldLines({ text, bytes, from }: Lines, at: number, out: string[], maxFields: number): number {
  const end = from + text.length
  let i = from + at
  while (i < end) {
    const nameStart = i
    while (token[bytes[i]!] === 1) i++
    if (i === nameStart || bytes[i] !== COLON) {
      if (i === nameStart && bytes[i] === CR && bytes[i + 1] === LF) return i - from
      throw new MalformedMessage(badName(text, i - from, nameStart - from))
    }
    const common = names[slotOf(i - nameStart, bytes, nameStart)]!
    const isCommon = common.length === i - nameStart && text.startsWith(common, nameStart - from)
    const name = isCommon ? common : text.slice(nameStart - from, i - from)
    i++
    let c = bytes[i]!
    while (c === SP || c === HTAB) c = bytes[++i]!
    const valueStart = i
    while (inValue[c] === 1) c = bytes[++i]!
    if (c !== CR) throw new MalformedMessage(`control character in field ${name}`)
    let valueEnd = i
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1]!)) valueEnd--
    if (bytes[i + 1] !== LF) throw new MalformedMessage(`bare CR in field ${name}`)
    i += 2
    const value = text.slice(valueStart - from, valueEnd - from)
    if (out.push(name, value) > maxFields * 2) throw new MessageTooLarge('too many fields')
  }
  return i - from
}

/** The slot of a name in `names`, from its length and three of its bytes. The factors were found by search: no two of the names collide. */
function slotOf(length: number, bytes: Uint8Array, start: number): number {
  const later = bytes[start + ((length * 3) >> 2)]!
  return (length * 6 + bytes[start]! * 8 + later * 21 + bytes[start + length - 1]!) & (SLOTS - 1)
}

/** Compares field names without regard to case. @param usual the most common spelling @param lower the name in lower case */
export function isName(name: string, usual: string, lower: string): boolean {
  return name === usual || name === lower || name.toLowerCase() === lower
}

function isBlank(c: number): boolean {
  return c === SP || c === HTAB
}

function badName(text: string, at: number, nameStart: number): string {
  const c = text.charCodeAt(at)
  if (at === nameStart && isBlank(c)) return 'folded field line'
  if (isBlank(c)) return 'white space before the colon of a field'
  return 'a field line without a valid name'
}

/**
 * Reads a Content-Length: digits only, few enough to be counted exactly (RFC 9110 section 8.6).
 * @throws {MalformedMessage} it is anything else, including a list
 */
export function readContentLength(value: string): number {
  if (!/^[0-9]{1,15}$/.test(value)) throw new MalformedMessage('invalid Content-Length')
  return Number(value)
}

/** The options in Connection that concern the connection itself (RFC 9110 section 7.6.1). */
export interface ConnectionWords {
  close: boolean
  keepAlive: boolean
  upgrade: boolean
}

/** Adds the options of one Connection line. */
export function noteConnection(said: ConnectionWords, value: string): void {
  if (value === 'keep-alive') said.keepAlive = true
  else if (value === 'close') said.close = true
  else {
    for (const option of value.toLowerCase().split(',')) {
      const word = option.trim()
      if (word === 'close') said.close = true
      else if (word === 'keep-alive') said.keepAlive = true
      else if (word === 'upgrade') said.upgrade = true
    }
  }
}

const NOTHING = Buffer.alloc(0)

/** Enough for most lines. */
const MIN_HELD = 512

/** Bytes that wait for more. They are copied, because they may be a view of a read buffer that is reused. */
export class HeldBytes {
  #buffer = NOTHING
  #length = 0

  get length(): number {
    return this.#length
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  add(bytes: Buffer, from: number, to: number): void {
    const total = this.#length + to - from
    if (total > this.#buffer.length) {
      // Not from node's pool: a few bytes that wait for long would keep all of it in memory.
      const grown = Buffer.allocUnsafeSlow(Math.max(MIN_HELD, total * 2))
      this.#buffer.copy(grown, 0, 0, this.#length)
      this.#buffer = grown
    }
    bytes.copy(this.#buffer, this.#length, from, to)
    this.#length = total
  }

  clear(): void {
    this.#buffer = NOTHING
    this.#length = 0
  }
}
