/**
 * Answers a client: the only place that knows whether the headers are sent. Nothing is written twice.
 */
import { STATUS_CODES } from 'node:http'
import { FAILURES, type FailureCode, retryAfterSeconds } from '../../rules/failures/failure.ts'
import { keep } from '../../wire/read-memory.ts'
import { type Held, sendLater } from '../../wire/turn.ts'

/** Body chunks up to this size are copied into one string with the headers: cheaper than two buffers. */
const SMALL_BYTES = 16 * 1024

const NO_FIELDS: readonly string[] = []

/** Headers that are sent repeatedly. */
export interface Again {
  /** Of `headText`. */
  readonly head: string | null
  /** Additional headers: name, value, name, value. */
  readonly more: readonly string[]
}

/** A response of which everything is known, and nothing written. */
export interface Whole {
  readonly status: number
  readonly reason: string
  /** Name, value, name, value. */
  readonly fields: readonly string[]
  /** The status line and `fields` as text, if already formatted. */
  readonly head: string | null
  /** Additional headers: name, value, name, value. */
  readonly more: readonly string[]
  /** All of the body: a Latin-1 string if small; null for none. */
  readonly bodyHeld: Buffer | string | null
}

/** Changes the headers of a response when it begins, and its trailers at the end. */
export interface OwnFields {
  /** @returns the fields to send: name, value, name, value; the given array is not changed */
  addTo(status: number, fields: readonly string[]): readonly string[]
  /** @returns the trailer fields to send: name, value, name, value; the given array is not changed */
  trailers(fields: readonly string[]): readonly string[]
}

/** The response of one exchange. How it is written is up to the implementation of the client side. */
export abstract class Answer implements Held, Whole {
  /** The first chunk of the body, held until it is known whether more follows at once. */
  #held: Buffer | string | null = null
  /** Nothing else uses the memory of #held. */
  #heldSpent = false
  #flushed = false
  /** The headers were passed on to be written. */
  #opened = false
  #reason = ''
  #fields: readonly string[] = []
  #more: readonly string[] = NO_FIELDS
  #head: string | null = null
  #trailers: readonly string[] = NO_FIELDS
  /** Adds to the final headers; null for most. */
  own: OwnFields | null = null
  /** Final headers were set: there can be no second response. */
  begun = false
  /** The response is complete or was aborted. */
  over = false
  /** Status of the final response, 0 before. */
  status = 0
  /** Body bytes so far. */
  bodyBytes = 0

  /** The connection stays open after this answer, as far as is known now. */
  abstract get persistent(): boolean

  /** Closes the connection after this answer. */
  abstract closes(): void

  /** Nothing more can be sent: the connection is closed. */
  protected abstract get dead(): boolean

  /** Calls the listener once when the client accepts more, after `body` or `flush` returned false. */
  abstract whenDrained(listener: () => void): void

  /** Writes an interim response. */
  protected abstract sendInformation(status: number, reason: string, fields: readonly string[]): void

  /** Formats status and headers, with the framing that the connection needs. They are sent with what is written next. */
  protected abstract open(status: number, reason: string, fields: readonly string[]): void

  /** Sends what `open` has formatted. @returns false if the client does not keep up */
  protected abstract sendHead(): boolean

  /**
   * Writes a chunk of the body. A string is Latin-1.
   * @param spent its memory is not used elsewhere: it may be released once it has been written
   * @returns false if the client does not keep up
   */
  protected abstract write(piece: Buffer | string, spent: boolean): boolean

  /** Writes the last chunk, or null for none, and ends the response. @param trailers name, value; only with chunks */
  protected abstract finish(last: Buffer | string | null, spent: boolean, trailers: readonly string[]): void

  /**
   * Writes a response of which nothing is written yet in one piece, and ends it.
   * @returns false if that is not possible: then it is written with `open` and `finish`
   */
  protected abstract finishWhole(whole: Whole): boolean

  /** Cuts the connection. @param opened the head has been written, or may have been */
  protected abstract cut(opened: boolean): void

  /** The method of the request is HEAD: no body is sent. */
  protected abstract get isHead(): boolean

  /** Interim responses may be sent (RFC 9110 section 15.2). */
  protected abstract get hearsInterim(): boolean

  /** Other code has responded. */
  get isTaken(): boolean {
    return false
  }

  /**
   * Headers of a response that is not written here, with those set by other code.
   * @param fields name, value, name, value
   */
  withOthers(fields: readonly string[]): readonly string[] {
    return fields
  }

  get reason(): string {
    return this.#reason
  }

  get fields(): readonly string[] {
    return this.#fields
  }

  get head(): string | null {
    return this.#head
  }

  get more(): readonly string[] {
    return this.#more
  }

  /** The part of the body that is held before it is written. */
  get bodyHeld(): Buffer | string | null {
    return this.#held
  }

  /**
   * Relays an interim response (RFC 9110 section 15.2), not to HTTP/1.0 clients.
   * @param fields name, value, name, value
   */
  information(status: number, reason: string, fields: string[]): void {
    if (this.begun || this.over || !this.hearsInterim) return
    this.sendInformation(status, reason, fields)
  }

  /**
   * Sets the final status and headers. They are written together with what follows, by `flush` at the latest.
   * @param fields name, value, name, value
   */
  begin(status: number, reason: string, fields: string[]): void {
    this.begun = true
    this.status = status
    this.#reason = reason
    this.#fields = this.own === null ? fields : this.own.addTo(status, fields)
  }

  /**
   * Like `begin`, for headers that are sent repeatedly.
   * @param fields the headers: name, value, name, value
   */
  beginAgain(status: number, reason: string, fields: readonly string[], { head, more }: Again): void {
    if (head === null || this.own !== null) {
      this.begin(status, reason, [...fields, ...more])
      return
    }
    this.begun = true
    this.status = status
    this.#reason = reason
    this.#fields = fields
    this.#head = head
    this.#more = more
  }

  /**
   * Adds a chunk of the body. Its memory may be reused after the call.
   * @param spent it is not used elsewhere: its memory may be released once it has been written
   * @returns false if the client does not keep up: see `whenDrained`
   */
  body(piece: Buffer, spent = false): boolean {
    this.bodyBytes += piece.length
    if (!this.#flushed && this.#held === null) {
      this.#held = piece.length <= SMALL_BYTES ? piece.toString('latin1') : keep(piece)
      this.#heldSpent = spent
      return true
    }
    this.#release()
    return this.write(keep(piece), spent)
  }

  /**
   * Writes everything so far.
   * @returns false if the client does not keep up
   */
  flush(): boolean {
    if (!this.begun || this.over || (this.#flushed && this.#held === null)) return true
    if (this.#held === null) {
      this.#flushed = true
      this.#open()
      return this.sendHead()
    }
    return this.#release()
  }

  /** @param trailers name, value, name, value; sent only with chunked encoding */
  end(trailers: string[]): void {
    if (this.over) return
    this.over = true
    this.#trailers = this.own === null || trailers.length === 0 ? trailers : this.own.trailers(trailers)
    this.later()
  }

  /** Calls `sendNow` at the end of this turn of the event loop. */
  protected later(): void {
    sendLater(this)
  }

  /** @internal */
  sendNow(): void {
    if (this.dead) return
    if (!this.#opened && this.#trailers.length === 0 && this.finishWhole(this)) return
    const held = this.#held
    this.#held = null
    this.#open()
    this.finish(held, this.#heldSpent, this.#trailers)
  }

  /** Part of it was or may have been sent: it can't be replaced by another response. */
  get left(): boolean {
    return this.#opened || this.over
  }

  /** Discards the response, of which nothing has `left`, so that another one can begin. */
  withdraw(): void {
    this.begun = false
    this.status = 0
    this.bodyBytes = 0
    this.#held = null
    this.#head = null
    this.#more = NO_FIELDS
  }

  /** Aborts the transfer, so that the client notices that it is incomplete. */
  break(): void {
    this.over = true
    this.#held = null
    this.cut(this.#opened)
  }

  /** The connection speaks another protocol from now on. */
  switched(status: number): void {
    this.begun = true
    this.over = true
    this.status = status
  }

  /**
   * Sends a response of banyan's own (RFC 9457), replacing one of which nothing was sent. If headers were sent already, the
   * transfer is aborted instead.
   * @param requestId to find the exchange in the log
   * @param as a status in place of the failure's own
   * @returns the status sent, 0 if no response was possible
   */
  problem(failure: FailureCode, requestId: string, as?: number): number {
    const { culprit } = FAILURES[failure]
    const status = as ?? FAILURES[failure].status
    if (this.over) return this.status
    if (this.#opened || status === 0) {
      this.break()
      return this.status
    }
    this.withdraw()
    const body = Buffer.from(problemText(failure, requestId, status))
    const fields = ['Content-Type', 'application/problem+json', 'Content-Length', String(body.length)]
    fields.push('Cache-Control', 'no-store')
    const retryAfter = retryAfterSeconds(failure)
    if (retryAfter !== null) fields.push('Retry-After', String(retryAfter))
    // After a client error the rest of this connection is unreliable.
    if (culprit === 'client') this.closes()
    this.begin(status, STATUS_CODES[status] ?? '', fields)
    if (!this.isHead) this.body(body)
    this.end([])
    return status
  }

  /**
   * Sends a response of banyan's own where no upstream is asked (RFC 9457).
   * @param kind the last part of the problem's type
   * @param more fields besides those of the document: name, value, name, value
   */
  document(status: number, kind: string, detail: string, requestId: string, more: readonly string[]): void {
    const title = STATUS_CODES[status] ?? 'Error'
    const document = { type: `urn:banyan:problem:${kind}`, title, status, detail, requestId }
    const body = Buffer.from(`${JSON.stringify(document)}\n`)
    const fields = ['Content-Type', 'application/problem+json', 'Content-Length', String(body.length)]
    this.begin(status, STATUS_CODES[status] ?? '', [...fields, 'Cache-Control', 'no-store', ...more])
    if (!this.isHead) this.body(body)
    this.end([])
  }

  #open(): void {
    if (this.#opened) return
    const given = this.#more.length === 0 ? this.#fields : [...this.#fields, ...this.#more]
    this.open(this.status, this.#reason, given)
    this.#opened = true
  }

  #release(): boolean {
    const held = this.#held
    if (held === null) return true
    this.#open()
    this.#held = null
    this.#flushed = true
    return this.write(held, this.#heldSpent)
  }
}

/** The text of a problem document (RFC 9457 section 3). It names the failure and reveals no internals. */
export function problemText(failure: FailureCode, requestId: string, as?: number): string {
  const { detail } = FAILURES[failure]
  const status = as ?? FAILURES[failure].status
  const title = STATUS_CODES[status] ?? 'Error'
  return `${JSON.stringify({ type: `urn:banyan:problem:${failure}`, title, status, detail, requestId })}\n`
}
