/**
 * A request on an HTTP/2 stream (RFC 9113 section 8.1), as the engine sees it: the receiving half of the stream, and its end.
 */
import { createHash } from 'node:crypto'
import { fieldValue } from '../../../rules/http/exchange.ts'
import { SMALL_BYTES } from '../../../wire/chunks.ts'
import { type Breakable, contain } from '../../../wire/exceptions.ts'
import { HeldBytes } from '../../../wire/fields.ts'
import { LINGER_MS } from '../../../wire/gentle-end.ts'
import { CODE } from '../../../wire/http2/protocol.ts'
import type { BodyReader, ClientRequest, HandedOver, Peer, RequestOwner, SwitchingHead } from '../request.ts'
import { whenEnding } from '../sockets.ts'
import type { AnswerOwner, Http2Answer } from './answer.ts'
import { type RequestHead, responseHead } from './fields.ts'
import { WINDOW_BYTES } from './limits.ts'
import { TunnelStream } from './tunnel-stream.ts'

/** RFC 6455 section 1.3. */
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** The connection of a request. */
export interface RequestHost {
  /** Sends RST_STREAM. @param unsent bytes that the client may still send before it sees the reset */
  sendReset(stream: number, code: number, unsent: number): void
  /** Sends WINDOW_UPDATE. */
  sendWindow(stream: number, increment: number): void
  /** The stream is closed. */
  forget(request: Http2Request): void
  /** Calls `deliver` once everything in the current read has been processed. */
  gather(request: Http2Request): void
}

/** How the body is read. */
type Reading = 'not-yet' | 'on' | 'paused' | 'dropped'

/** One stream. */
export class Http2Request implements AnswerOwner, Breakable, ClientRequest {
  readonly #host: RequestHost
  readonly id: number
  readonly #webSocketKey: string | null
  readonly peer: Peer
  readonly method: string
  readonly target: string
  readonly minor = 1
  readonly rawHeaders: readonly string[]
  readonly answer: Http2Answer
  readonly upgrade: string | null
  readonly exclusive = true
  readonly bodyTaken = false
  rawTrailers: readonly string[] = NO_FIELDS
  complete: boolean
  owner: RequestOwner | null = null
  #reader: BodyReader | null = null
  #reading: Reading = 'not-yet'
  /** Body bytes that have arrived but were not read; null for none. */
  #held: HeldBytes | null = null
  #isGathering = false
  #tunnel: TunnelStream | null = null
  /** The stream was given up, and not by us. */
  isGivenUp = false
  /** END_STREAM has arrived, or the stream is closed. */
  ended: boolean
  /** END_STREAM has been sent. */
  #sent = false
  isClosed = false
  /** The reader has been told of the end. */
  #isEndTold = false
  /** The body is malformed: the stream is reset after the answer. */
  #isBroken = false
  /** The receive window: how much the client may still send. */
  #window = WINDOW_BYTES
  /** Bytes read since the last WINDOW_UPDATE. */
  #credit = 0
  /** Bytes still to come according to Content-Length; Infinity without one. */
  #declared: number
  /** How long the rest of the body is read and dropped once the answer is sent, and until when. */
  #lingerMs = LINGER_MS
  #dropUntilMs = Number.POSITIVE_INFINITY
  /** Its index in the list of the connection's streams. */
  place = -1
  /** Queued bytes of its answer at the last check of the send timeout, and since when that number is unchanged. */
  pending = 0
  pendingSinceMs = 0

  /** @param complete END_STREAM was set on the head */
  constructor(host: RequestHost, id: number, head: RequestHead, peer: Peer, answer: Http2Answer, complete: boolean) {
    this.#host = host
    this.id = id
    this.#webSocketKey = head.webSocketKey
    this.method = head.method
    this.target = head.target
    this.rawHeaders = head.rawHeaders
    this.#declared = head.webSocketKey === null ? head.contentLength : Number.POSITIVE_INFINITY
    this.peer = peer
    this.answer = answer
    this.upgrade = head.webSocketKey === null ? null : 'websocket'
    this.ended = complete
    // The data of a WebSocket is not a body.
    this.complete = complete || head.webSocketKey !== null
    answer.request = this
  }

  get gone(): boolean {
    return this.isClosed && !this.answer.written
  }

  get paused(): boolean {
    return this.#reading === 'paused'
  }

  get asksForTunnel(): boolean {
    return this.#webSocketKey !== null
  }

  /** It has become a tunnel. */
  get isOther(): boolean {
    return this.#tunnel !== null
  }

  /** The tunnel, or null. */
  get tunnel(): TunnelStream | null {
    return this.#tunnel
  }

  /** Bytes that the client may still send. */
  get #unsent(): number {
    return this.ended ? 0 : this.#window
  }

  /** Bytes that have arrived but were not read. */
  get heldBytes(): number {
    return this.#held?.length ?? 0
  }

  read(reader: BodyReader): void {
    this.#reader = reader
    this.#reading = 'on'
    if (this.complete) reader.onBodyEnd()
    else this.deliver()
  }

  pause(): void {
    if (this.#reading === 'on' && !this.complete) this.#reading = 'paused'
  }

  resume(): void {
    if (this.#reading !== 'paused') return
    this.#reading = 'on'
    this.deliver()
  }

  discard(limitMs: number): void {
    if (this.ended || this.isClosed) return
    this.#reader = null
    this.#reading = 'dropped'
    this.#lingerMs = Math.min(this.#lingerMs, limitMs)
    this.deliver()
  }

  /** Resets the stream if the rest of a dropped body takes too long. @param nowMs of a monotonic clock */
  checkRest(nowMs: number): void {
    if (nowMs >= this.#dropUntilMs && !this.ended) this.#reset(CODE.none)
  }

  destroy(): void {
    this.#reset(this.resetCode)
  }

  cut(): void {
    // Otherwise `onGone` would report that the client has left.
    this.owner = null
    this.destroy()
  }

  /** The code of RST_STREAM if the answer is aborted. */
  resetCode: number = CODE.internal

  askForHttp1(): void {
    this.resetCode = CODE.http11
  }

  handOver({ status, fields }: SwitchingHead): HandedOver {
    this.owner = null
    const stream = new TunnelStream(this)
    this.#tunnel = stream
    this.#reading = 'on'
    if (this.isClosed) stream.destroy()
    else if (status !== 101 || !this.#isAccepted(fields)) this.#reset(CODE.connect)
    else {
      this.answer.openTunnel(responseHead(200, withoutAccept(fields), true))
      this.deliver()
    }
    return { stream, early: [], exclusive: false, whenEnding: (listener) => whenEnding(stream, listener) }
  }

  /** Checks Sec-WebSocket-Accept for the client (RFC 6455 section 4.1), which has no key in HTTP/2. */
  #isAccepted(fields: readonly string[]): boolean {
    const expected = createHash('sha1').update(`${this.#webSocketKey}${ACCEPT_GUID}`).digest('base64')
    return fieldValue(fields, 'sec-websocket-accept') === expected
  }

  // Input on the stream.

  /** @returns an error code, or null if the frame is allowed */
  onDataHead(length: number): number | null {
    if (this.ended) return CODE.streamClosed
    if (length > this.#window) return CODE.flowControl
    this.#window -= length
    return null
  }

  /** @param piece its memory may be reused after the call */
  onData(piece: Buffer): void {
    this.#declared -= piece.length
    if (this.#reading === 'dropped' || this.#isBroken) {
      this.#took(piece.length)
      return
    }
    if (this.#reading === 'on' && this.#held === null && (piece.length >= SMALL_BYTES || this.#tunnel !== null)) {
      this.#took(piece.length)
      this.#give(piece)
      return
    }
    this.#held ??= new HeldBytes()
    this.#held.add(piece, 0, piece.length)
    if (this.#isGathering || this.#reading !== 'on') return
    this.#isGathering = true
    this.#host.gather(this)
  }

  /** Credits the padding of a frame, which needs no reader. */
  onPadding(padding: number): void {
    this.#took(padding)
  }

  /** Whether the declared length is exceeded, or not reached at the end. */
  isMisdeclared(ends: boolean): boolean {
    return this.#declared < 0 || (ends && this.#declared > 0 && this.#declared !== Number.POSITIVE_INFINITY)
  }

  /** @param trailers name, value, name, value */
  onEnd(trailers: readonly string[]): void {
    this.ended = true
    if (trailers.length > 0) this.rawTrailers = trailers
    this.#dropUntilMs = Number.POSITIVE_INFINITY
    this.deliver()
    if (this.#sent) this.#close(true)
  }

  /** The client has reset the stream, or the connection is closed. */
  onReset(): void {
    this.#close(false)
  }

  /** Passes what has been gathered, and the end, to the reader. */
  deliver(): void {
    this.#isGathering = false
    if (this.#reading === 'not-yet' || this.#reading === 'paused') return
    const held = this.#held
    if (held !== null) {
      this.#held = null
      this.#took(held.length)
      if (this.#reading === 'on') this.#give(held.bytes)
    }
    if (!this.ended || this.#isEndTold || this.#held !== null || this.paused) return
    this.#isEndTold = true
    if (this.#tunnel !== null) this.#tunnel.onEnd()
    else if (!this.complete) {
      this.complete = true
      contain(this, () => this.#reader?.onBodyEnd())
    }
  }

  #give(piece: Buffer): void {
    if (this.#tunnel !== null) {
      if (!this.#tunnel.onData(piece)) this.#reading = 'paused'
    } else contain(this, () => this.#reader?.onBody(piece))
  }

  /** An exception in the body's reader aborts only this stream. */
  breakOff(): void {
    this.destroy()
  }

  /** Credits bytes that were read; once they are worth a frame, a WINDOW_UPDATE is sent. */
  #took(bytes: number): void {
    this.#credit += bytes
    if (this.#credit < WINDOW_BYTES / 2 || this.ended || this.isClosed) return
    this.#host.sendWindow(this.id, this.#credit)
    this.#window += this.#credit
    this.#credit = 0
  }

  /** The body is malformed: the client gets an error as its answer, if there is none yet, and its stream is reset. */
  broke(): void {
    if (this.#isBroken) return
    this.#isBroken = true
    this.isGivenUp = true
    this.resetCode = CODE.protocol
    this.#held = null
    const { owner, answer } = this
    if (!answer.over && owner !== null) owner.onMalformed()
    else if (!answer.over || this.#sent) this.#reset(CODE.protocol)
  }

  answered(): void {
    // The rest of the body is useless, but RST_STREAM(NO_ERROR) (RFC 9113 section 8.1) must wait: curl 7 would lose the answer.
    if (!this.ended) this.discard(LINGER_MS)
  }

  /** END_STREAM has been sent. */
  sent(): void {
    this.#sent = true
    this.#tunnel?.onSent()
    if (this.#isBroken) this.#reset(CODE.protocol)
    else if (this.ended) this.#close(true)
    // Not earlier: a reset would make the client lose the rest of the answer.
    else if (this.#tunnel === null) this.#dropUntilMs = performance.now() + this.#lingerMs
  }

  /** The client accepts nothing of the answer. */
  stalled(): void {
    this.#host.sendReset(this.id, CODE.calm, this.#unsent)
    this.#close(false, true)
  }

  /** Resets the stream with an error. */
  fail(code: number): void {
    this.isGivenUp = true
    this.#reset(code)
  }

  #reset(code: number): void {
    if (this.isClosed) return
    this.#host.sendReset(this.id, code, this.#unsent)
    this.#close(false)
  }

  /** @param whole both sides have ended the stream @param isStalled the client accepts nothing */
  #close(whole: boolean, isStalled = false): void {
    if (this.isClosed) return
    this.isClosed = true
    this.#leave(isStalled)
    this.ended = true
    this.answer.drop()
    this.#host.forget(this)
    // Data that arrived before the end is still read.
    if (whole && this.#tunnel !== null) return
    this.#isEndTold = true
    this.#held = null
    this.#tunnel?.onClosed()
  }

  #leave(isStalled: boolean): void {
    const { owner } = this
    this.owner = null
    this.isGivenUp ||= !this.answer.over && this.#tunnel === null
    if (!this.answer.written && this.#tunnel === null) owner?.onGone(isStalled)
  }
}

function withoutAccept(fields: readonly string[]): readonly string[] {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    if ((fields[i] as string).toLowerCase() !== 'sec-websocket-accept')
      kept.push(fields[i] as string, fields[i + 1] as string)
  }
  return kept
}

const NO_FIELDS: readonly string[] = []
