/**
 * The response that a client got, as far as it is compared.
 */
import type { ComparedAnswer } from '../../rules/evidence/compare.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import type { Recorder } from '../recorder.ts'

/** Collects the response of an exchange, its body up to a limit. */
export class Reference implements Recorder {
  readonly #maxBytes: number
  #status = 0
  #fields: readonly string[] = []
  #pieces: Buffer[] | null = []
  #bytes = 0
  #complete = false
  /** By its head; 0 where that is not known. */
  #length = 0
  /** The response broke off. */
  broken = false

  /** @param maxBytes of a body; null where the request is HEAD, whose response has none */
  constructor(maxBytes: number | null) {
    this.#maxBytes = maxBytes ?? -1
  }

  /** What there is to compare; null where the response came from elsewhere than from an upstream. */
  get answer(): ComparedAnswer | null {
    if (!this.#complete) return null
    const body = this.#pieces === null ? null : Buffer.concat(this.#pieces)
    const tooLarge = body === null && this.#maxBytes >= 0 ? { tooLarge: this.#length || null } : {}
    return { status: this.#status, rawHeaders: this.#fields, body, ...tooLarge }
  }

  head(head: ResponseHead, fields: readonly string[]): void {
    this.#status = head.status
    this.#fields = [...fields]
    this.#pieces = head.contentLength > this.#maxBytes ? null : []
    this.#length = head.contentLength
    this.#bytes = 0
    this.broken = false
  }

  body(piece: Buffer): void {
    this.#bytes += piece.length
    if (this.#bytes > this.#maxBytes) this.#pieces = null
    // The bytes are only lent.
    else this.#pieces?.push(Buffer.from(piece))
  }

  end(): void {
    this.#complete = true
  }

  abandon(): void {
    this.#pieces = null
    this.broken = true
  }
}

/** Two recorders of one response. */
export class BothRecorders implements Recorder {
  readonly #one: Recorder
  readonly #other: Recorder

  constructor(one: Recorder, other: Recorder) {
    this.#one = one
    this.#other = other
  }

  head(head: ResponseHead, fields: readonly string[]): void {
    this.#one.head(head, fields)
    this.#other.head(head, fields)
  }

  body(piece: Buffer): void {
    this.#one.body(piece)
    this.#other.body(piece)
  }

  end(): void {
    this.#one.end()
    this.#other.end()
  }

  abandon(): void {
    this.#one.abandon()
    this.#other.abandon()
  }
}
