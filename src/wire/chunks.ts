/**
 * The framing of chunked bodies (RFC 9112 section 7.1): a byte machine, so that no split of the bytes can matter.
 */
import { FORBIDDEN, MalformedMessage, MessageTooLarge } from './fields.ts'

/** Digits of one chunk size, and blanks behind it: servers pad them to a fixed width. */
const MAX_SIZE_LENGTH = 256

/** A chunk of so many bytes or more is refused: 13 digits are counted exactly. */
const TOO_LARGE = 2 ** 52

/** Bytes that chunk extensions of one message may take in all. They mean nothing to us and are dropped. */
const MAX_EXTENSION_BYTES = 16 * 1024

const CR = 13
const LF = 10
const SP = 32
const HTAB = 9
const SEMICOLON = 59

type State = 'size' | 'extension' | 'size-lf' | 'data' | 'data-lf' | 'ended'

/** Finds where the data of each chunk begin. The reader takes them: `left` bytes. */
export class ChunkFraming {
  readonly #mayPad: boolean
  #state: State = 'size'
  #size = 0
  #sizeLength = 0
  #extensionBytes = 0
  #extensionOpen = false
  /** Data bytes of the current chunk still to come; whoever takes some subtracts them. */
  left = 0
  /** There were blanks behind a chunk size. */
  padded = false

  /** @param mayPad blanks may stand behind a chunk size, and around what is in an extension */
  constructor(mayPad: boolean) {
    this.#mayPad = mayPad
  }

  /** Another body begins. */
  begin(): void {
    this.#state = 'size'
    this.#size = 0
    this.#sizeLength = 0
    this.#extensionBytes = 0
    this.left = 0
    this.padded = false
  }

  /** The line of the last chunk is complete: the trailer section follows. */
  get ended(): boolean {
    return this.#state === 'ended'
  }

  /**
   * Reads on while no data are to come.
   * @returns where the bytes go on: with data, with the trailer section, or at their end
   * @throws {MalformedMessage} it is no proper framing
   */
  read(bytes: Buffer, from: number): number {
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
          } else if (this.#sizeLength === 0) throw new MalformedMessage('chunk size without a digit')
          else if (c === CR) this.#state = 'size-lf'
          else if (c === SEMICOLON || (this.#mayPad && (c === SP || c === HTAB))) {
            this.#extensionOpen = c === SEMICOLON
            this.#state = 'extension'
          } else throw new MalformedMessage('invalid character in chunk size')
          break
        }
        case 'extension':
          this.#readExtension(c)
          break
        case 'size-lf':
          if (c !== LF) throw new MalformedMessage('CR without LF after the chunk size')
          if (this.#size === 0) {
            this.#state = 'ended'
            return at
          }
          this.left = this.#size
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
        case 'ended':
          return at - 1
      }
    }
    return at
  }

  #readExtension(c: number): void {
    if (!this.#extensionOpen) this.#lengthenSize()
    else if (++this.#extensionBytes > MAX_EXTENSION_BYTES) throw new MessageTooLarge('chunk extensions too large')
    if (c === CR) {
      this.padded ||= !this.#extensionOpen
      this.#state = 'size-lf'
    } else if (c === SEMICOLON) this.#extensionOpen = true
    else if (FORBIDDEN[c] === 1) throw new MalformedMessage('control character in a chunk extension')
    else if (!this.#extensionOpen && c !== SP && c !== HTAB)
      throw new MalformedMessage('invalid character in chunk size')
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
