/**
 * Bytes written one value after the other into a buffer that grows, and the reading of the same values.
 *
 * Numbers are LEB128: seven bits a byte, the lowest first, the top bit set while more follow; up to 2^53 - 1.
 */

/** Writes values one after the other. `length` may be set back to forget the last ones. */
export class ByteWriter {
  bytes: Buffer
  length = 0

  /** `capacity` in bytes is only the beginning: it doubles when it is full. */
  constructor(capacity = 4_096) {
    this.bytes = Buffer.allocUnsafe(capacity)
  }

  /** Makes room for `more` bytes behind `length`. */
  reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.length + more))
    this.bytes.copy(grown, 0, 0, this.length)
    this.bytes = grown
  }

  /** One byte, 0 to 255. */
  byte(value: number): void {
    this.reserve(1)
    this.bytes[this.length++] = value
  }

  /** A whole number from 0 to 2^53 - 1. Throws a RangeError for any other. */
  number(value: number): void {
    if (!(Number.isSafeInteger(value) && value >= 0)) throw new RangeError(`not a whole number from 0 up: ${value}`)
    this.reserve(8)
    let rest = value
    // Above 31 bits the bit operators would cut it off.
    for (; rest > 0x7fffffff; rest = Math.floor(rest / 128)) this.bytes[this.length++] = (rest % 128) | 0x80
    for (; rest > 0x7f; rest >>>= 7) this.bytes[this.length++] = (rest & 0x7f) | 0x80
    this.bytes[this.length++] = rest
  }

  /** A text: its length in bytes, and its UTF-8. */
  text(value: string): void {
    const length = Buffer.byteLength(value)
    this.number(length)
    this.reserve(length)
    this.length += this.bytes.write(value, this.length)
  }

  /** A piece of other bytes as it is. */
  copy(from: Buffer, start: number, end: number): void {
    this.reserve(end - start)
    from.copy(this.bytes, this.length, start, end)
    this.length += end - start
  }
}

/** Reads what a ByteWriter wrote. Throws a RangeError where the bytes end too early. */
export class ByteReader {
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  #end = 0

  /** From now on reads `bytes` from `start` to `end`. */
  from(bytes: Buffer, start: number, end: number): void {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
  }

  byte(): number {
    if (this.#at >= this.#end) throw new RangeError('a record ends too early')
    return this.#bytes[this.#at++] as number
  }

  number(): number {
    const bytes = this.#bytes
    const end = this.#end
    let at = this.#at
    let value = 0
    // The first four bytes in integers: a lookup reads some twenty-five numbers, and almost all of them end there.
    for (let shift = 0; shift < 28 && at < end; shift += 7) {
      const byte = bytes[at++] as number
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        this.#at = at
        return value
      }
    }
    for (let scale = 2 ** 28; at < end; scale *= 128) {
      const byte = bytes[at++] as number
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        this.#at = at
        return value
      }
    }
    throw new RangeError('a record ends too early')
  }

  text(): string {
    const length = this.number()
    const start = this.#at
    if (start + length > this.#end) throw new RangeError('a record ends too early')
    this.#at += length
    return this.#bytes.toString('utf8', start, this.#at)
  }
}
