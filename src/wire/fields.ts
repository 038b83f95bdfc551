/**
 * What HTTP/1.1 requests and responses are made of alike (RFC 9112 sections 2.2 and 5): characters, field lines, and the bytes of
 * what is not complete yet.
 */

/** Limits of one message; beyond them it is refused. */
export interface ReaderLimits {
  /** Bytes of a head, and of a trailer section; of all interim heads of one response together. */
  readonly maxHeadBytes: number
  /** Fields of a head, and of a trailer section. */
  readonly maxFields: number
}

/** A message that breaks RFC 9112. `message` says how, for the log; nothing of it goes to a peer. */
export class MalformedMessage extends Error {}

/** A message beyond a limit. */
export class MessageTooLarge extends MalformedMessage {}

const CR = 13
const LF = 10
const SP = 32
const HTAB = 9
const COLON = 58

// What a module exports is looked up at each use, which the loop below would feel: it uses these, and constants of its own.
const token = new Uint8Array(256)
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
  token[c.charCodeAt(0)] = 1
const forbidden = new Uint8Array(256)
for (let c = 0; c < 32; c++) if (c !== HTAB) forbidden[c] = 1
forbidden[127] = 1

/** RFC 9110 section 5.6.2: the characters of a token, each 1. */
export const TOKEN = token

/** RFC 9110 section 5.5: what a field value may not hold, each 1. HTAB, SP, VCHAR and obs-text are allowed. */
export const FORBIDDEN = forbidden

export const NO_FIELDS: string[] = []

/**
 * Reads field lines, each with its CRLF, from `at` to the empty line or to the end of `text`, into `out`: name, value, ... One
 * pass, since it runs for each message; that is why it is long.
 * @param text Latin-1, of complete lines
 * @param maxFields that `out` may hold
 * @returns where the empty line begins, or the length of `text`
 */
export function readFieldLines(text: string, at: number, out: string[], maxFields: number): number {
  let i = at
  while (i < text.length) {
    const nameStart = i
    while (token[text.charCodeAt(i)] === 1) i++
    if (i === nameStart || text.charCodeAt(i) !== COLON) {
      if (i === nameStart && text.charCodeAt(i) === CR && text.charCodeAt(i + 1) === LF) return i
      throw new MalformedMessage(badName(text, i, nameStart))
    }
    const name = text.slice(nameStart, i)
    i++
    let c = text.charCodeAt(i)
    while (c === SP || c === HTAB) c = text.charCodeAt(++i)
    const valueStart = i
    while (c !== CR) {
      if (forbidden[c] === 1) throw new MalformedMessage(`control character in field ${name}`)
      c = text.charCodeAt(++i)
    }
    let valueEnd = i
    while (valueEnd > valueStart && isBlank(text.charCodeAt(valueEnd - 1))) valueEnd--
    if (text.charCodeAt(i + 1) !== LF) throw new MalformedMessage(`bare CR in field ${name}`)
    i += 2
    if (out.push(name, text.slice(valueStart, valueEnd)) > maxFields * 2) throw new MessageTooLarge('too many fields')
  }
  return i
}

function isBlank(c: number): boolean {
  return c === SP || c === HTAB
}

function badName(text: string, at: number, nameStart: number): string {
  const c = text.charCodeAt(at)
  if (at === nameStart && isBlank(c)) return 'folded field line'
  if (isBlank(c)) return 'white space before the colon of a field'
  return 'a field line without a proper name'
}

/**
 * Reads a Content-Length: digits only, few enough to be counted exactly (RFC 9110 section 8.6).
 * @throws {MalformedMessage} it is anything else, a list too
 */
export function readContentLength(value: string): number {
  if (!/^[0-9]{1,15}$/.test(value)) throw new MalformedMessage('odd Content-Length')
  return Number(value)
}

/** What Connection says of the connection itself (RFC 9110 section 7.6.1). */
export interface ConnectionWords {
  close: boolean
  keepAlive: boolean
  upgrade: boolean
}

/** Adds what one Connection line says. */
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

/** What most lines have room in. */
const MIN_HELD = 512

/** Bytes that wait for more. They are copied, since they may be a window of a buffer that is filled again. */
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
      // Not of node's pool: a few bytes that wait for long would hold all of it.
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
