/**
 * Writes the JSON of one answer after the other into the same bytes, and tags it.
 *
 * Bytes, since a text that is put together from some sixty strings costs three times as much: each step makes an object,
 * and the socket has to walk through all of them once more.
 */

/** JSON in the making. One at a time: `begin`, the parts in their order, then `text` and `tag`. */
export class JsonBytes {
  #bytes = Buffer.alloc(4_096)
  /** The same memory, four bytes a number, for the tag. */
  #words = wordsOf(this.#bytes)
  #length = 0

  /** Forgets what was written. */
  begin(): void {
    this.#length = 0
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  /** Puts another byte in a place that has been written, such as the bracket where a list's first comma stands. */
  replace(at: number, byte: number): void {
    this.#bytes[at] = byte
  }

  /** Bytes that were prepared. */
  put(part: Uint8Array): void {
    this.#reserve(part.length)
    this.#bytes.set(part, this.#length)
    this.#length += part.length
  }

  /** A text that hardly ever comes again, such as a number of a product, as a JSON string. */
  quoted(text: string): void {
    const { length } = text
    this.#reserve(length + 2)
    const bytes = this.#bytes
    let at = this.#length
    bytes[at++] = QUOTE
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      // What needs an escape, or more than one byte.
      if (code < 0x20 || code === QUOTE || code === BACKSLASH || code >= 0x80) {
        this.put(jsonOf(text))
        return
      }
      bytes[at++] = code
    }
    bytes[at++] = QUOTE
    this.#length = at
  }

  /** `12000` as `120.00`. Throws a RangeError where the amount is no whole number of cents from 0 up. */
  decimal(cents: number): void {
    if (!Number.isSafeInteger(cents) || cents < 0) throw new RangeError(`not an amount in cents: ${cents}`)
    this.#reserve(MAX_DIGITS + 1)
    const rest = cents % 100
    this.#whole((cents - rest) / 100)
    this.#bytes[this.#length++] = POINT
    this.#padded(rest, 2)
  }

  /** A whole number from 0 up in exactly so many digits (at least 6), with zeros in front. */
  digits(value: number, digits: number): void {
    this.#reserve(digits)
    const low = value % MILLION
    this.#padded((value - low) / MILLION, digits - 6)
    this.#padded(low, 6)
  }

  /** What was written: each character is one byte of its UTF-8, so that `latin1` sends it as it is. */
  text(): string {
    return this.#bytes.toString('latin1', 0, this.#length)
  }

  /**
   * The strong entity tag of what was written, with its quotes: the same bytes, the same tag, in every process (RFC 9110
   * section 8.8.3). Each byte is mixed into two times 32 bits, in rounds as xxHash makes them; words in even and odd places
   * go separate ways, which a processor takes at once. No protection against forgery.
   */
  tag(): string {
    this.#reserve(TAG_BYTES + 7)
    const length = this.#length
    for (let i = length; i % 8 !== 0; i++) this.#bytes[i] = 0
    const words = this.#words
    const count = (length + 3) >> 2
    let lowEven = length
    let lowOdd = SEED
    let highEven = ~length
    let highOdd = ~SEED
    for (let i = 0; i < count; i += 2) {
      const even = words[i] as number
      const odd = words[i + 1] as number
      lowEven = lowRound(lowEven, even)
      lowOdd = lowRound(lowOdd, odd)
      highEven = highRound(highEven, even)
      highOdd = highRound(highOdd, odd)
    }
    this.#tagBehind(finished(lowRound(lowEven, lowOdd)), finished(highRound(highEven, highOdd)))
    return this.#bytes.toString('latin1', length, length + TAG_BYTES)
  }

  /** Six bits a character, behind what was written: a table of texts would cost more than they do. */
  #tagBehind(low: number, high: number): void {
    const bytes = this.#bytes
    let at = this.#length
    bytes[at++] = QUOTE
    for (let shift = 26; shift >= 2; shift -= 6) bytes[at++] = ALPHABET[(low >>> shift) & 63] as number
    bytes[at++] = ALPHABET[((low << 4) | (high >>> 28)) & 63] as number
    for (let shift = 22; shift >= 4; shift -= 6) bytes[at++] = ALPHABET[(high >>> shift) & 63] as number
    bytes[at++] = ALPHABET[(high << 2) & 63] as number
    bytes[at] = QUOTE
  }

  /** A whole number in as many digits as it needs. Room for them has been reserved. */
  #whole(value: number): void {
    if (value >= MILLION) {
      const low = value % MILLION
      this.#whole((value - low) / MILLION)
      this.#padded(low, 6)
      return
    }
    let digits = 1
    for (let bound = 10; value >= bound; bound *= 10) digits++
    this.#padded(value, digits)
  }

  /** A number below 2^31 in exactly so many digits. */
  #padded(value: number, digits: number): void {
    const bytes = this.#bytes
    const at = this.#length
    let rest = value | 0
    for (let i = at + digits - 1; i >= at; i--) {
      const tenth = (rest / 10) | 0
      bytes[i] = ZERO + rest - tenth * 10
      rest = tenth
    }
    this.#length = at + digits
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const grown = Buffer.alloc(Math.max(this.#bytes.length * 2, (this.#length + more + 7) & ~7))
    this.#bytes.copy(grown, 0, 0, this.#length)
    this.#bytes = grown
    this.#words = wordsOf(grown)
  }
}

/**
 * The parts of answers that come again and again: a text as a JSON string, with what stands before and behind it. Should
 * they not come again, there is a limit to how many are kept.
 */
export class Parts {
  readonly #before: string
  readonly #behind: string
  readonly #parts = new Map<string, Uint8Array>()

  constructor(before: string, behind = '') {
    this.#before = before
    this.#behind = behind
  }

  /** The bytes of the part with this text. */
  of(text: string): Uint8Array {
    const found = this.#parts.get(text)
    if (found !== undefined) return found
    if (this.#parts.size >= MAX_PARTS) this.#parts.clear()
    const made = new Uint8Array(Buffer.from(`${this.#before}${JSON.stringify(text)}${this.#behind}`))
    this.#parts.set(text, made)
    return made
  }
}

const MAX_PARTS = 10_000
/** Of 2^53. */
const MAX_DIGITS = 16
const MILLION = 1_000_000
const ZERO = 0x30
const POINT = 0x2e
const QUOTE = 0x22
const BACKSLASH = 0x5c
const SEED = 0x165667b1
/** 64 bits in eleven characters, and two quotes. */
const TAG_BYTES = 13

function jsonOf(text: string): Uint8Array {
  return Buffer.from(JSON.stringify(text))
}

/** The length of `bytes`, and its place in memory, are multiples of eight. */
function wordsOf(bytes: Buffer): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
}

function lowRound(hash: number, word: number): number {
  const sum = (hash + Math.imul(word, 0x85ebca77)) | 0
  return Math.imul((sum << 13) | (sum >>> 19), 0x9e3779b1)
}

function highRound(hash: number, word: number): number {
  const sum = (hash + Math.imul(word, 0xc2b2ae3d)) | 0
  return Math.imul((sum << 17) | (sum >>> 15), 0x27d4eb2f)
}

function finished(hash: number): number {
  const half = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return half ^ (half >>> 13)
}

const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')
