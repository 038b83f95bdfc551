/**
 * A request on one stream of HTTP/2, as the engine sees it.
 */
import { createHash } from 'node:crypto'
import { constants, type ServerHttp2Stream } from 'node:http2'
import { fieldValue } from '../../../rules/http/exchange.ts'
import { SMALL_BYTES } from '../../../wire/chunks.ts'
import { resetStream } from '../../../wire/http2/reset.ts'
import { type Held, sendLater } from '../../../wire/turn.ts'
import type { BodyReader, ClientRequest, HandedOver, Peer, RequestOwner, SwitchingHead } from '../request.ts'
import { whenEnding } from '../sockets.ts'
import type { AnswerOwner, Http2Answer } from './answer.ts'
import { type RequestHead, responseHead } from './fields.ts'

/** RFC 6455 section 1.3. */
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** How long a client may continue sending behind the answer before its stream is reset. */
const LINGER_MS = 2000

/** A stream, with the request that came on it; null once it is closed. */
type Carrier = ServerHttp2Stream & { [REQUEST]?: Http2Request | null }

const REQUEST = Symbol('request')

/** One stream. */
export class Http2Request implements AnswerOwner, ClientRequest, Held {
  readonly #stream: ServerHttp2Stream
  readonly #onClosed: (request: Http2Request) => void
  readonly #webSocketKey: string | null
  readonly peer: Peer
  readonly method: string
  readonly target: string
  readonly minor = 1
  readonly rawHeaders: readonly string[]
  readonly answer: Http2Answer
  readonly upgrade: string | null
  /** Node can hold bytes that it has said are written: their memory is never used again early. */
  readonly exclusive = false
  readonly bodyTaken = false
  rawTrailers: readonly string[] = NO_FIELDS
  complete: boolean
  owner: RequestOwner | null = null
  #reader: BodyReader | null = null
  /** Small pieces that wait for the end of the turn. */
  #small: Buffer[] | null = null
  #isReading = false
  #handedOver = false
  /** Its stream was reset before there was an answer, and not by us. */
  isGivenUp = false
  #isStalled = false
  /** END_STREAM has come. */
  #isEnded: boolean
  /** Bytes of the body that were read, and those that were told of. */
  #read = 0
  #told = 0
  /** Its place among those of its connection. */
  place = -1
  /** Bytes of its answer that its client had yet to take when that was last looked at, and since when. */
  pending = 0
  pendingSinceMs = 0

  /**
   * @param complete END_STREAM came with the head
   * @param onClosed called once its stream is closed
   */
  constructor(
    stream: ServerHttp2Stream,
    head: RequestHead,
    peer: Peer,
    answer: Http2Answer,
    complete: boolean,
    onClosed: (request: Http2Request) => void,
  ) {
    this.#stream = stream
    this.#onClosed = onClosed
    this.#webSocketKey = head.webSocketKey
    this.method = head.method
    this.target = head.target
    this.rawHeaders = head.rawHeaders
    this.peer = peer
    this.answer = answer
    this.upgrade = head.webSocketKey === null ? null : 'websocket'
    this.#isEnded = complete
    // What a WebSocket sends is no body.
    this.complete = complete || head.webSocketKey !== null
    answer.request = this
    // Node's table of streams can keep one until the next full collection: once it is closed it must not keep the request.
    ;(stream as Carrier)[REQUEST] = this
    // Each listener costs an event of its own in node:http2.
    stream.on('error', ignore)
    // It may not be closed for long: the reset waits for a client that reads nothing.
    stream.on('aborted', onAborted)
    stream.on('close', onClose)
    if (complete) return
    stream.on('end', onEnd)
    stream.on('trailers', onTrailers as (this: ServerHttp2Stream) => void)
  }

  get gone(): boolean {
    const { destroyed, aborted, closed } = this.#stream
    return destroyed || aborted || (closed && !this.answer.written)
  }

  get paused(): boolean {
    return this.#isReading && this.#stream.isPaused()
  }

  get asksForTunnel(): boolean {
    return this.#webSocketKey !== null
  }

  /** It speaks another protocol now. */
  get isOther(): boolean {
    return this.#handedOver
  }

  get stream(): ServerHttp2Stream {
    return this.#stream
  }

  /** Bytes of its body that have come since this was last asked, read or not. */
  takeReceived(): number {
    const all = this.#read + this.#stream.readableLength
    const received = all - this.#told
    this.#told = all
    return received
  }

  read(reader: BodyReader): void {
    this.#reader = reader
    if (this.complete) {
      reader.onBodyEnd()
      return
    }
    this.#listen()
  }

  /** Reads what comes, if only to count it. */
  #listen(): void {
    if (this.#isReading) return
    this.#isReading = true
    this.#stream.on('data', (piece: Buffer) => this.#onData(piece))
  }

  /** Reads on, for nobody. */
  #drop(): void {
    this.#reader = null
    this.#small = null
    this.#listen()
    this.#stream.resume()
  }

  pause(): void {
    if (!this.complete) this.#stream.pause()
  }

  resume(): void {
    if (!this.complete) this.#stream.resume()
  }

  discard(limitMs: number): void {
    const stream = this.#stream
    if (this.#isEnded || stream.destroyed) return
    this.#drop()
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), limitMs)
    timer.unref()
    stream.once('close', () => clearTimeout(timer))
  }

  destroy(): void {
    resetStream(this.#stream, this.answer.resetCode)
  }

  askForHttp1(): void {
    this.answer.resetCode = constants.NGHTTP2_HTTP_1_1_REQUIRED
  }

  handOver({ status, fields }: SwitchingHead): HandedOver {
    const stream = this.#stream
    this.owner = null
    this.#handedOver = true
    // As a socket, so that the other side learns that data is missing (RFC 8441 section 5).
    const reset = (): void => resetStream(stream, constants.NGHTTP2_CONNECT_ERROR)
    Object.assign(stream, { resetAndDestroy: reset })
    this.#listen()
    if (status !== 101 || !this.#isAccepted(fields)) reset()
    else stream.respond(responseHead(200, withoutAccept(fields)))
    return { stream, early: [], exclusive: false, whenEnding: (listener) => whenEnding(stream, listener) }
  }

  /** A client of HTTP/1.1 checks this (RFC 6455 section 4.1); the one of HTTP/2 has no key to check it with. */
  #isAccepted(fields: readonly string[]): boolean {
    const expected = createHash('sha1').update(`${this.#webSocketKey}${ACCEPT_GUID}`).digest('base64')
    return fieldValue(fields, 'sec-websocket-accept') === expected
  }

  answered(): void {
    // The rest of the body is of no use (RFC 9113 section 8.1); curl 7 loses an answer with which its stream is reset.
    if (!this.#isEnded) this.discard(LINGER_MS)
  }

  /** The client accepts nothing of what it is sent. */
  stalled(): void {
    this.#isStalled = true
    resetStream(this.#stream, constants.NGHTTP2_ENHANCE_YOUR_CALM)
    // Its reset may never leave.
    this.left()
  }

  #onData(piece: Buffer): void {
    this.#read += piece.length
    if (this.#reader === null) return
    if (piece.length >= SMALL_BYTES) {
      this.sendNow()
      this.#reader.onBody(piece)
    } else if (this.#small === null) {
      this.#small = [piece]
      sendLater(this)
    } else this.#small.push(piece)
  }

  /** Reports small pieces that came in one turn together. */
  sendNow(): void {
    const small = this.#small
    if (small === null) return
    this.#small = null
    this.#reader?.onBody(small.length === 1 ? (small[0] as Buffer) : Buffer.concat(small))
  }

  /** @internal */
  ended(): void {
    // A stream that was reset ends as well, but not its body.
    if (this.gone || this.#stream.closed) return
    this.#isEnded = true
    if (this.complete) return
    this.sendNow()
    this.complete = true
    this.#reader?.onBodyEnd()
  }

  /** @internal */
  closed(): void {
    this.left()
    this.#onClosed(this)
  }

  /** @internal */
  left(): void {
    const { owner } = this
    this.owner = null
    this.#small = null
    this.isGivenUp ||= !this.answer.over && !this.#handedOver
    if (!this.answer.written && !this.#handedOver) owner?.onGone(this.#isStalled)
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

function onAborted(this: Carrier): void {
  this[REQUEST]?.left()
}

function onClose(this: Carrier): void {
  const request = this[REQUEST]
  this[REQUEST] = null
  request?.closed()
}

function onEnd(this: Carrier): void {
  this[REQUEST]?.ended()
}

function onTrailers(this: Carrier, _fields: unknown, _flags: unknown, raw: readonly string[] = NO_FIELDS): void {
  const request = this[REQUEST]
  if (request) request.rawTrailers = raw
}

function ignore(): void {
  // 'close' follows and handles it.
}
