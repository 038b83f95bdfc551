/**
 * Answers on one stream of HTTP/2 (RFC 9113 section 8.1), by node:http2.
 */
import { constants, type ServerHttp2Stream } from 'node:http2'
import { resetStream } from '../../../wire/http2/reset.ts'
import { Answer } from '../answer.ts'
import { fieldObject, responseHead } from './fields.ts'

/** The request that is answered. */
export interface AnswerOwner {
  /** A WebSocket was asked for: a 2xx would say that it is there (RFC 8441 section 5). */
  readonly asksForTunnel: boolean
  /** All of the answer has been given to the stream. */
  answered(): void
}

/** Statuses that never have a body; node:http2 ends the stream with them. */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304])

/** The largest status of HTTP/2 in node:http2. */
const MAX_STATUS = 599

/** The answer of one stream. */
export class Http2Answer extends Answer {
  readonly #stream: ServerHttp2Stream
  protected readonly isHead: boolean
  /** The request with this answer. Set right behind the constructor. */
  request: AnswerOwner | null = null
  /** Head that waits for what follows it; null where there is none. */
  #unsent: string[] | null = null
  #bodiless = false
  /** The length is not known before the end: trailers may come. */
  #isOpenEnded = false
  /** The stream waits for trailers behind the body. */
  #awaitsTrailers = false
  #trailers: readonly string[] = NO_FIELDS
  #written = false
  /** Why the stream is reset where the answer is broken off. */
  resetCode: number = constants.NGHTTP2_INTERNAL_ERROR

  constructor(stream: ServerHttp2Stream, isHead: boolean) {
    super()
    this.#stream = stream
    this.isHead = isHead
  }

  /** Streams do not end connections. */
  get persistent(): boolean {
    return true
  }

  closes(): void {}

  whenDrained(listener: () => void): void {
    this.#stream.once('drain', listener)
  }

  protected get dead(): boolean {
    return this.#stream.destroyed || this.#stream.closed
  }

  protected get hearsInterim(): boolean {
    return !this.dead
  }

  /** All of it was given to the stream. */
  get written(): boolean {
    return this.#written
  }

  protected sendInformation(status: number, _reason: string, fields: readonly string[]): void {
    this.#stream.additionalHeaders({ ...fieldObject(fields), ':status': status })
  }

  /** What HTTP/2 has no word for is an answer that the client can't get: 502. */
  override begin(status: number, reason: string, fields: string[]): void {
    const isUntrue = this.request?.asksForTunnel === true && status < 300
    super.begin(isUntrue || status > MAX_STATUS ? 502 : status, reason, fields)
  }

  protected open(status: number, _reason: string, fields: readonly string[]): void {
    this.#bodiless = this.isHead || BODILESS.has(status)
    const head = responseHead(status, fields)
    this.#isOpenEnded = !this.#bodiless && !head.includes('content-length')
    this.#unsent = head
  }

  protected sendHead(): boolean {
    const head = this.#unsent
    this.#unsent = null
    if (head === null || this.dead) return true
    this.#awaitsTrailers = this.#isOpenEnded
    if (this.#awaitsTrailers) this.#stream.once('wantTrailers', () => this.#sendTrailers())
    this.#stream.respond(head, { endStream: this.#bodiless, waitForTrailers: this.#awaitsTrailers })
    // Formatted by now. Node would keep it, and what it was cut from, as long as the stream.
    head.length = 0
    return true
  }

  protected write(piece: Buffer | string): boolean {
    this.sendHead()
    if (this.#bodiless || piece.length === 0 || this.dead) return true
    return typeof piece === 'string' ? this.#stream.write(piece, 'latin1') : this.#stream.write(piece)
  }

  protected finish(last: Buffer | string | null, _spent: boolean, trailers: readonly string[]): void {
    this.#trailers = trailers
    // Known now, where nothing has been sent before.
    if (this.#unsent !== null) {
      const isEmpty = last === null || last.length === 0
      if (isEmpty && trailers.length === 0) this.#bodiless = true
      this.#isOpenEnded &&= trailers.length > 0
    }
    this.sendHead()
    this.#written = true
    if (!this.dead && !this.#bodiless) {
      if (typeof last === 'string') this.#stream.end(last, 'latin1')
      else if (last === null) this.#stream.end()
      else this.#stream.end(last)
    }
    this.request?.answered()
  }

  /** @internal */
  override sendNow(): void {
    try {
      super.sendNow()
    } catch (error) {
      // Nobody else would end the stream.
      resetStream(this.#stream, this.resetCode)
      throw error
    }
  }

  protected finishWhole(): boolean {
    return false
  }

  protected cut(): void {
    if (!this.#written) resetStream(this.#stream, this.resetCode)
  }

  #sendTrailers(): void {
    if (!this.dead) this.#stream.sendTrailers(fieldObject(this.#trailers))
  }
}

const NO_FIELDS: readonly string[] = []
