/**
 * The answer on one HTTP/2 stream (RFC 9113 section 8.1): what is queued to be sent, and its frames.
 */

import type { FrameOutput } from '../../../wire/http2/output.ts'
import { MAX_FRAME_BYTES } from '../../../wire/http2/protocol.ts'
import { Answer } from '../answer.ts'
import { responseHead } from './fields.ts'
import type { Http2Sender, Sendable, Sending } from './sender.ts'

/** The request being answered. */
export interface AnswerOwner {
  /** The request asks for a WebSocket: a 2xx would mean that it is open (RFC 8441 section 5). */
  readonly asksForTunnel: boolean
  /** The whole answer has been queued. */
  answered(): void
  /** The whole answer has been sent, including END_STREAM. */
  sent(): void
  /** Aborts the stream. */
  destroy(): void
  /** Aborts the stream on behalf of the answering side, which is not notified. */
  cut(): void
}

/** With this many bytes queued, the writer of the answer is told to wait. */
const MAX_WAITING_BYTES = 64 * 1024

/** Pieces of this size or more are sent at once, smaller ones at the end of the turn. */
const LARGE_BYTES = 16 * 1024

/** Smaller pieces are joined while they are queued. */
const JOINED_BYTES = 1024

interface Piece {
  bytes: Buffer | string
  readonly spent: boolean
}

/** The answer of one stream. */
export class Http2Answer extends Answer implements Sending {
  readonly #sender: Http2Sender
  readonly #stream: number
  protected readonly isHead: boolean
  /** The request with this answer. Set right after construction. */
  request: AnswerOwner | null = null
  /** Queued interim heads. */
  #interim: string[][] | null = null
  /** The final head between `open` and sending; otherwise null. */
  #head: string[] | null = null
  /** The head may be sent, together with what follows. */
  #isHeadDue = false
  #bodiless = false
  /** The piece being sent, the position in it, and the pieces after it. */
  #piece: Buffer | string | null = null
  #spent = false
  #at = 0
  #behind: Piece[] | null = null
  /** Queued bytes. */
  waiting = 0
  /** The whole answer has been queued. */
  #written = false
  /** Nothing more can be sent. */
  #isCut = false
  #trailers: readonly string[] = NO_FIELDS
  #whenDrained: (() => void) | null = null
  isReady = false
  /** The stream's flow-control window; SETTINGS can make it negative (RFC 9113 section 6.9.2). */
  window: number

  constructor(sender: Http2Sender, stream: number, isHead: boolean) {
    super()
    this.#sender = sender
    this.#stream = stream
    this.isHead = isHead
    this.window = sender.initialWindow
  }

  /** The end of a stream doesn't close its connection. */
  get persistent(): boolean {
    return true
  }

  closes(): void {}

  whenDrained(listener: () => void): void {
    this.#whenDrained = listener
  }

  protected get dead(): boolean {
    return this.#isCut
  }

  protected get hearsInterim(): boolean {
    return !this.#isCut
  }

  /** The whole answer has been queued. */
  get written(): boolean {
    return this.#written
  }

  protected override later(): void {
    this.#sender.later(this)
  }

  protected sendInformation(status: number, _reason: string, fields: readonly string[]): void {
    this.#interim ??= []
    this.#interim.push(responseHead(status, fields, false))
    this.#sender.ready(this)
  }

  /** Replaces a 2xx to a request for a WebSocket by 502: the client would take it for an open WebSocket. */
  override begin(status: number, reason: string, fields: string[]): void {
    const isUntrue = this.request?.asksForTunnel === true && status < 300
    super.begin(isUntrue ? 502 : status, reason, fields)
  }

  protected open(status: number, _reason: string, fields: readonly string[]): void {
    this.#bodiless = this.isHead || status === 204 || status === 304
    this.#head = responseHead(status, fields, true)
  }

  protected sendHead(): boolean {
    if (!this.#isCut && this.#head !== null) {
      this.#isHeadDue = true
      this.#sender.ready(this)
    }
    return true
  }

  protected write(piece: Buffer | string, spent: boolean): boolean {
    if (this.#isCut) return true
    this.#isHeadDue = true
    if (!this.#bodiless) this.#add(piece, spent)
    this.#sender.ready(this)
    if (piece.length >= LARGE_BYTES) this.#sender.send()
    return this.waiting < MAX_WAITING_BYTES
  }

  /** Queues bytes of a tunnel. @returns false if the client does not keep up */
  pass(bytes: Buffer): boolean {
    return this.write(bytes, false)
  }

  /** Opens a tunnel on the stream. @param fields with `:status` */
  openTunnel(fields: string[]): void {
    this.#head = fields
    this.sendHead()
  }

  /** Ends a tunnel. */
  endTunnel(): void {
    this.#written = true
    this.#sender.ready(this)
  }

  protected finish(last: Buffer | string | null, spent: boolean, trailers: readonly string[]): void {
    this.#trailers = this.#bodiless || trailers.length === 0 ? NO_FIELDS : responseTrailers(trailers)
    this.#isHeadDue = true
    this.#written = true
    if (last !== null && !this.#bodiless && !this.#isCut) this.#add(last, spent)
    this.request?.answered()
    this.#sender.ready(this)
  }

  /** @internal */
  override sendNow(): void {
    try {
      super.sendNow()
    } catch (error) {
      // Nothing else would end the stream.
      this.request?.destroy()
      throw error
    }
  }

  protected finishWhole(): boolean {
    return false
  }

  protected cut(): void {
    if (!this.#written) this.request?.cut()
  }

  /** Nothing more is sent: the stream is closed. */
  drop(): void {
    this.#isCut = true
    this.#sender.drop(this)
    this.#interim = null
    this.#head = null
    this.#piece = null
    this.#behind = null
    this.waiting = 0
    this.#whenDrained = null
  }

  #add(bytes: Buffer | string, spent: boolean): void {
    if (bytes.length === 0) return
    this.waiting += bytes.length
    if (this.#piece === null) {
      this.#piece = bytes
      this.#spent = spent
      return
    }
    this.#behind ??= []
    const last = this.#behind.at(-1)
    // Join small queued pieces: each would become a frame of its own.
    if (bytes.length >= JOINED_BYTES) this.#behind.push({ bytes, spent })
    else if (typeof last?.bytes !== 'string' || last.bytes.length >= MAX_FRAME_BYTES)
      this.#behind.push({ bytes: textOf(bytes), spent: false })
    else last.bytes += textOf(bytes)
  }

  /** Writes the next frame, and any heads before it, to the output. @param connectionWindow bytes of DATA that may be sent */
  sendSome(output: FrameOutput, connectionWindow: number): Sendable {
    if (this.#isCut) return 'nothing'
    const sender = this.#sender
    if (this.#interim !== null) {
      for (const fields of this.#interim) output.headers(sender.encoder, this.#stream, fields, false)
      this.#interim = null
    }
    if (!this.#isHeadDue) return 'nothing'
    const endsBehindPiece = this.#written && this.#trailers.length === 0
    if (this.#head !== null) {
      const ends = endsBehindPiece && this.#piece === null
      output.headers(sender.encoder, this.#stream, this.#head, ends)
      this.#head = null
      if (ends) return this.#over()
    }
    const piece = this.#piece
    if (piece === null) return this.#written ? this.#sendEnd(output) : 'nothing'
    const room = Math.min(MAX_FRAME_BYTES, this.window, connectionWindow)
    if (room <= 0) return this.window <= 0 ? 'nothing' : 'connection-window'
    const from = this.#at
    const to = Math.min(piece.length, from + room)
    const isLast = to === piece.length && this.#behind === null
    const length = to - from
    output.data(this.#stream, piece, from, to, isLast && endsBehindPiece, this.#spent)
    this.window -= length
    sender.window -= length
    this.waiting -= length
    this.#at = to
    if (to === piece.length) this.#nextPiece()
    if (this.#whenDrained !== null && this.waiting < MAX_WAITING_BYTES / 2) sender.drained(this)
    if (this.#piece !== null) return 'more'
    if (!this.#written) return 'nothing'
    return endsBehindPiece ? this.#over() : 'more'
  }

  #nextPiece(): void {
    this.#at = 0
    const next = this.#behind?.shift()
    if (this.#behind?.length === 0) this.#behind = null
    this.#piece = next?.bytes ?? null
    this.#spent = next?.spent ?? false
  }

  #sendEnd(output: FrameOutput): Sendable {
    if (this.#trailers.length > 0) output.headers(this.#sender.encoder, this.#stream, this.#trailers, true)
    else output.data(this.#stream, '', 0, 0, true, false)
    return this.#over()
  }

  #over(): Sendable {
    this.#isHeadDue = false
    this.request?.sent()
    return 'nothing'
  }

  /** Lets the waiting writer continue. */
  tellDrained(): void {
    const listener = this.#whenDrained
    this.#whenDrained = null
    listener?.()
  }
}

const NO_FIELDS: readonly string[] = []

function textOf(bytes: Buffer | string): string {
  return typeof bytes === 'string' ? bytes : bytes.toString('latin1')
}

function responseTrailers(fields: readonly string[]): string[] {
  return responseHead(0, fields, false).slice(2)
}
