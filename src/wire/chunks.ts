/**
 * Reads the framing of chunked bodies (RFC 9112 section 7.1), one byte at a time: it doesn't matter how the bytes are split into reads.
 */
import { FORBIDDEN, HeldBytes, MalformedMessage, MessageTooLarge, TOKEN } from './fields.ts'

/** Digits of one chunk size and the blanks after it: some servers pad sizes to a fixed width. */
const MAX_SIZE_LENGTH = 256

/** Chunks of this size or more are refused: below it, sizes are exact in a double. */
const TOO_LARGE = 2 ** 52

/** Limit on the total bytes of chunk extensions in one message. They are ignored and dropped. */
const MAX_EXTENSION_BYTES = 16 * 1024

/** Smaller pieces that arrive in one read are joined: passing on a piece has a fixed cost, however small it is. */
export const SMALL_BYTES = 1024

const CR = 13
const LF = 10
const SP = 32
const HTAB = 9
const SEMICOLON = 59
const EQUALS = 61
const QUOTE = 34
const BACKSLASH = 92

/** Position in an extension: name, value, quoted value, after a backslash in a quoted value, after a quoted value. */
type ExtensionPart = 'name' | 'value' | 'quoted' | 'pair' | 'behind'

type State = 'size' | 'extension' | 'size-lf' | 'data' | 'data-lf' | 'ended'

/** Removes the framing from a body. */
export class ChunkFraming {
  readonly #lax: boolean
  #state: State = 'size'
  #size = 0
  #sizeLength = 0
  #extensionBytes = 0
  #extensionOpen = false
  #part: ExtensionPart = 'name'
  #partLength = 0
  /** Data bytes of the current chunk still to come. */
  #left = 0
  /** There were blanks after a chunk size. */
  padded = false

  /** @param lax allows blanks after a chunk size, and any text in an extension: the line ends at the same CRLF either way */
  constructor(lax: boolean) {
    this.#lax = lax
  }

  /** Another body begins. */
  begin(): void {
    this.#state = 'size'
    this.#size = 0
    this.#sizeLength = 0
    this.#extensionBytes = 0
    this.#left = 0
    this.padded = false
  }

  /** The line of the last chunk is complete: the trailer section follows. */
  get ended(): boolean {
    return this.#state === 'ended'
  }

  /**
   * Reads the next bytes and reports the data in them.
   * @param sink gets a view of `bytes`, or a copy of several small pieces
   * @returns where the trailer section begins, or the end of `bytes`
   * @throws {MalformedMessage} the framing is invalid; the data before it has been reported
   */
  read(bytes: Buffer, from: number, sink: { onBody(piece: Buffer): void }): number {
    let at = from
    // A small piece that the next one may be joined with.
    let smallFrom = 0
    let smallTo = 0
    let joined: HeldBytes | null = null
    const report = (): void => {
      const piece = joined === null ? bytes.subarray(smallFrom, smallTo) : joined.bytes
      smallTo = smallFrom
      joined = null
      if (piece.length > 0) sink.onBody(piece)
    }
    try {
      while (at < bytes.length && !this.ended) {
        if (this.#left === 0) {
          at = this.#readFraming(bytes, at)
          continue
        }
        const start = at
        at = Math.min(bytes.length, at + this.#left)
        this.#left -= at - start
        if (at - start >= SMALL_BYTES) {
          report()
          sink.onBody(bytes.subarray(start, at))
        } else if (smallTo === smallFrom) {
          smallFrom = start
          smallTo = at
        } else {
          if (joined === null) {
            joined = new HeldBytes()
            joined.add(bytes, smallFrom, smallTo)
          }
          joined.add(bytes, start, at)
        }
      }
    } finally {
      report()
    }
    return at
  }

  #readFraming(bytes: Buffer, from: number): number {
    let at = from
    while (at < bytes.length) {
      const c = bytes[at++] as number
      switch (this.#state) {
        case 'size': {
          const digit = hexDigit(c)
          if (digit !== -1) {
            this.#size = this.#size * 16 + digit
            if (this.#size >= TOO_LARGE) throw new MessageTooLarge('chunk size too large')
            this.#lengthenSize()
          } else if (this.#sizeLength === 0) throw new MalformedMessage('chunk size without digits')
          else if (c === CR) this.#state = 'size-lf'
          else if (c === SEMICOLON || (this.#lax && (c === SP || c === HTAB))) {
            this.#extensionOpen = c === SEMICOLON
            this.#enter('name')
            this.#state = 'extension'
          } else throw new MalformedMessage('invalid character in chunk size')
          break
        }
        case 'extension':
          if (this.#lax) this.#skipExtension(c)
          else this.#readExtension(c)
          break
        case 'size-lf':
          if (c !== LF) throw new MalformedMessage('CR without LF after the chunk size')
          if (this.#size === 0) {
            this.#state = 'ended'
            return at
          }
          this.#left = this.#size
          this.#size = 0
          this.#sizeLength = 0
          this.#state = 'data'
          return at
        case 'data':
          if (c !== CR) throw new MalformedMessage('chunk longer than its size')
          this.#state = 'data-lf'
          break
        case 'data-lf':
          if (c !== LF) throw new MalformedMessage('CR without LF after a chunk')
          this.#state = 'size'
          break
      }
    }
    return at
  }

  #skipExtension(c: number): void {
    if (!this.#extensionOpen) this.#lengthenSize()
    else this.#lengthenExtension()
    if (c === CR) {
      this.padded ||= !this.#extensionOpen
      this.#state = 'size-lf'
    } else if (c === SEMICOLON) this.#extensionOpen = true
    else if (FORBIDDEN[c] === 1) throw new MalformedMessage('control character in a chunk extension')
    else if (!this.#extensionOpen && c !== SP && c !== HTAB)
      throw new MalformedMessage('invalid character in chunk size')
  }

  /** RFC 9112 section 7.1.1, without the optional blanks. */
  #readExtension(c: number): void {
    this.#lengthenExtension()
    const part = this.#part
    if (part === 'quoted') {
      if (c === QUOTE) this.#enter('behind')
      else if (c === BACKSLASH) this.#enter('pair')
      else if (FORBIDDEN[c] === 1) throw new MalformedMessage('control character in a chunk extension')
    } else if (part === 'pair') {
      if (FORBIDDEN[c] === 1) throw new MalformedMessage('control character in a chunk extension')
      this.#enter('quoted')
    } else if (part !== 'behind' && TOKEN[c] === 1) this.#partLength++
    else if (part === 'value' && this.#partLength === 0 && c === QUOTE) this.#enter('quoted')
    else if (part !== 'behind' && this.#partLength === 0) throw new MalformedMessage('invalid chunk extension')
    else if (c === CR) this.#state = 'size-lf'
    else if (c === SEMICOLON) this.#enter('name')
    else if (part === 'name' && c === EQUALS) this.#enter('value')
    else throw new MalformedMessage('invalid chunk extension')
  }

  #enter(part: ExtensionPart): void {
    this.#part = part
    this.#partLength = 0
  }

  #lengthenExtension(): void {
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES) throw new MessageTooLarge('chunk extensions too large')
  }

  #lengthenSize(): void {
    if (++this.#sizeLength > MAX_SIZE_LENGTH) throw new MessageTooLarge('chunk size too long')
  }
}

function hexDigit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48
  const lower = c | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}
