/**
 * Reads the answers on a connection as far as the loads need them: status, and a body framed by Content-Length. The load
 * asks only for answers that are framed so; anything else is an error.
 */

const HEAD_END = Buffer.from('\r\n\r\n')

/** Cuts a stream of bytes into answers. */
export class AnswerReader {
  readonly #onAnswer: (status: number, bodyBytes: number) => void
  #head: Buffer = Buffer.alloc(0)
  /** Bytes of body still to come, or -1 while a head is read. */
  #left = -1
  #status = 0
  #bodyBytes = 0

  /** `onAnswer` is called with status and length of the body when the last byte of an answer is in. */
  constructor(onAnswer: (status: number, bodyBytes: number) => void) {
    this.#onAnswer = onAnswer
  }

  /** Whether an answer has begun and is not complete. */
  get midway(): boolean {
    return this.#left >= 0 || this.#head.length > 0
  }

  /** Takes the next bytes. Throws an Error where an answer has no Content-Length. */
  take(chunk: Buffer): void {
    let bytes = chunk
    while (bytes.length > 0 || this.#left === 0) {
      if (this.#left < 0) {
        const rest = this.#takeHead(bytes)
        if (rest === null) return
        bytes = rest
      }
      const used = Math.min(this.#left, bytes.length)
      this.#left -= used
      bytes = bytes.subarray(used)
      if (this.#left > 0) return
      this.#left = -1
      this.#onAnswer(this.#status, this.#bodyBytes)
    }
  }

  /** Returns what follows the head, or null where the head is not complete. */
  #takeHead(bytes: Buffer): Buffer | null {
    const all = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes])
    const end = all.indexOf(HEAD_END)
    if (end < 0) {
      this.#head = Buffer.from(all)
      return null
    }
    this.#head = Buffer.alloc(0)
    const head = all.toString('latin1', 0, end)
    const length = /\r\ncontent-length:\s*(\d+)/i.exec(head)?.[1]
    if (length === undefined) throw new Error(`an answer without Content-Length: ${head.slice(0, 200)}`)
    this.#status = Number(head.slice(9, 12))
    this.#bodyBytes = Number(length)
    this.#left = this.#bodyBytes
    return all.subarray(end + HEAD_END.length)
  }
}
