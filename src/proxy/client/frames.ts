/**
 * WebSocket frames (RFC 6455 section 5.2), read just far enough to know where one ends.
 */

/** Follows the frames of one direction. */
export class Frames {
  /** Bytes of the header that is being read. */
  #head = 0
  #headBytes = 2
  /** Bytes of it up to the end of the length. */
  #lengthBytes = 2
  #length = 0
  /** Bytes of the payload still to come. */
  #payload = 0

  /** Everything so far is whole frames. */
  get atBoundary(): boolean {
    return this.#head === 0 && this.#payload === 0
  }

  /**
   * Reads on.
   * @param stops at the end of the first frame
   * @returns how many bytes were read
   */
  read(bytes: Buffer, stops: boolean): number {
    let at = 0
    while (at < bytes.length) {
      if (this.#payload > 0) {
        const taken = Math.min(this.#payload, bytes.length - at)
        this.#payload -= taken
        at += taken
      } else this.#readHeader(bytes[at++] as number)
      if (stops && this.atBoundary) return at
    }
    return at
  }

  #readHeader(byte: number): void {
    const nth = this.#head++
    if (nth === 1) {
      const short = byte & 0x7f
      const more = short === 126 ? 2 : short === 127 ? 8 : 0
      this.#length = more === 0 ? short : 0
      // A mask follows the length.
      this.#headBytes = 2 + more + (byte & 0x80 ? 4 : 0)
      this.#lengthBytes = 2 + more
    } else if (nth > 1 && nth < this.#lengthBytes) this.#length = this.#length * 256 + byte
    if (this.#head < this.#headBytes) return
    this.#payload = this.#length
    this.#head = 0
    this.#headBytes = 2
  }
}

/** A frame that closes the connection: 1001, "going away" (RFC 6455 section 7.4.1). */
export const GOING_AWAY = Buffer.from([0x88, 0x02, 0x03, 0xe9])
