/**
 * The receiving half of an HTTP/2 connection: requests on their streams (RFC 9113 sections 5 and 6), and flood protection.
 */
import type { FailureCode } from '../../../rules/failures/failure.ts'
import { fieldValue } from '../../../rules/http/exchange.ts'
import { contain } from '../../../wire/exceptions.ts'
import { FrameReader, type FrameSink } from '../../../wire/http2/frames.ts'
import { FieldDecoder } from '../../../wire/http2/hpack-decoder.ts'
import { CODE, FRAME_HEAD_BYTES, Http2Fault, MAX_WINDOW, SETTING } from '../../../wire/http2/protocol.ts'
import { flawOfRequest, isTrailerSection } from '../../../wire/http2/section.ts'
import type { Arrival, Peer, RequestHandler } from '../request.ts'
import { Allowance } from './allowance.ts'
import { Http2Answer } from './answer.ts'
import type { Authorities } from './authorities.ts'
import { type Beginning, beginInTurn } from './beginnings.ts'
import { headBytes, readHead } from './fields.ts'
import { MAX_STREAMS, MAX_WAITING_CONTROLS, type SectionLimits, TABLE_BYTES, WINDOW_BYTES } from './limits.ts'
import { ReceiveWindow } from './receive-window.ts'
import { Http2Request, type RequestHost } from './request.ts'
import type { Http2Sender } from './sender.ts'
import { Streams } from './streams.ts'

/** Settings shared by the connections of one server. */
export interface ReceiverTerms {
  readonly engine: RequestHandler
  readonly section: SectionLimits
  readonly maxHeaderBytes: number
}

/** The connection being read. */
export interface ReceiverHost {
  /** Nothing more is read. */
  readonly isOver: boolean
  /** New requests are not answered. */
  readonly isFinal: boolean
  /** A request begins. */
  onRequest(): void
  /** The last request in flight has ended. */
  onLastRequest(): void
  onPingAnswered(): void
  /** Sends GOAWAY with a code, and closes. */
  fail(code: number): void
}

/** A request to be given to the engine once everything in the same read has been processed. */
interface Fresh {
  readonly request: Http2Request
  readonly failure: FailureCode | null
}

/** The receiving half of one connection. */
export class Http2Receiver implements Beginning, FrameSink, RequestHost {
  readonly #host: ReceiverHost
  readonly #terms: ReceiverTerms
  readonly #sender: Http2Sender
  readonly #peer: Peer
  /** Null without TLS. */
  readonly #authorities: Authorities | null
  /** The connection's scheme; null if requests may differ from it. */
  readonly #scheme: 'http' | 'https' | null
  readonly #reader = new FrameReader(this)
  readonly #decoder = new FieldDecoder({ maxTableBytes: TABLE_BYTES })
  readonly streams = new Streams()
  readonly #window = new ReceiveWindow()
  readonly #allowance = new Allowance(performance.now())
  #fresh: Fresh[] = []
  isWaiting = false
  /** Requests with data from this read that has not been reported yet. */
  #gathering: Http2Request[] = []
  /** The stream whose DATA is being read; null if the data is dropped. */
  #receiving: Http2Request | null = null
  #receivingBytes = 0
  /** The highest stream opened, and the highest that is answered. */
  #lastStream = 0
  lastAnswered = 0
  /** The client has acknowledged our settings. */
  isAcknowledged = false

  constructor(
    host: ReceiverHost,
    terms: ReceiverTerms,
    sender: Http2Sender,
    { peer, proxied, authorities }: Pick<Arrival, 'proxied'> & { peer: Peer; authorities: Authorities | null },
  ) {
    this.#host = host
    this.#terms = terms
    this.#sender = sender
    this.#peer = peer
    this.#authorities = authorities
    // RFC 9110 section 7.4 exempts trusted gateways.
    this.#scheme = peer.trusted || proxied ? null : peer.tls ? 'https' : 'http'
  }

  /** Processes bytes that have arrived. @throws {Http2Fault} or {CompressionError}: a connection error */
  push(bytes: Buffer): void {
    this.#reader.push(bytes)
    this.#tell()
    if (this.#isFlooding()) throw new Http2Fault(CODE.calm, 'too many control frames')
  }

  /** Drops all requests. */
  leaveAll(): void {
    this.#fresh = []
    for (const request of [...this.streams.all]) request.onReset()
  }

  /** Reports what arrived together: a request that was reset in the same read never begins. */
  #tell(): void {
    if (this.#fresh.length > 0) beginInTurn(this)
    const gathering = this.#gathering
    if (gathering.length > 0) {
      this.#gathering = []
      for (const request of gathering) request.deliver()
    }
  }

  get hasMore(): boolean {
    return this.#fresh.length > 0
  }

  beginSome(most: number): number {
    const fresh = this.#fresh
    let begun = 0
    let at = 0
    for (; at < fresh.length && begun < most; at++) {
      const one = fresh[at] as Fresh
      if (one.request.isClosed) continue
      begun++
      contain(one.request, () => this.#handle(one))
    }
    // If the connection ended meanwhile, the list has been cleared.
    if (this.#fresh === fresh) this.#fresh = at === fresh.length ? [] : fresh.slice(at)
    return begun
  }

  #handle({ request, failure }: Fresh): void {
    const { engine } = this.#terms
    if (failure === null) engine.handle(request)
    else engine.refuse(request, failure)
  }

  #isFlooding(): boolean {
    if (this.#sender.waitingControls > MAX_WAITING_CONTROLS) return true
    const verdict = this.#allowance.judge(this.#reader.controlBytes, this.#sender.bytes, performance.now())
    if (verdict === 'settled') this.#reader.controlBytes = 0
    return verdict === 'over'
  }

  onHeaders(stream: number, endStream: boolean, block: Buffer): void {
    this.#needOpen()
    const { maxListBytes, maxFields } = this.#terms.section
    // Decode in any case, because all streams share the table.
    const fields = this.#decoder.decode(block, maxListBytes, maxFields)
    const request = this.streams.find(stream)
    if (request !== null) this.#onTrailers(request, endStream, fields)
    else if ((stream & 1) === 0) throw new Http2Fault(CODE.protocol, 'an even stream id')
    else if (stream <= this.#lastStream || this.#host.isFinal) {
      // A stream that was reset, or one beyond our GOAWAY.
      this.#reader.controlBytes += FRAME_HEAD_BYTES + block.length
      if (stream > this.#lastStream && !endStream) this.#window.excuse(WINDOW_BYTES)
      this.#lastStream = Math.max(this.#lastStream, stream)
    } else {
      this.#lastStream = stream
      this.#onRequest(stream, endStream, fields)
    }
  }

  #onTrailers(request: Http2Request, endStream: boolean, fields: readonly string[] | null): void {
    if (request.ended) request.fail(CODE.streamClosed)
    else if (!endStream || fields === null || !isTrailerSection(fields) || request.isMisdeclared(true)) request.broke()
    else request.onEnd(fields)
  }

  #onRequest(stream: number, endStream: boolean, fields: readonly string[] | null): void {
    const { maxHeaderBytes } = this.#terms
    const flaw = fields === null ? null : flawOfRequest(fields)
    if (this.streams.count >= MAX_STREAMS) this.#refuse(stream, CODE.refused, endStream)
    else if (fields === null) this.#refuse(stream, CODE.calm, endStream)
    else if (flaw === 'reset') this.#refuse(stream, CODE.protocol, endStream)
    else {
      const head = readHead(fields, !endStream, this.#scheme, flaw !== null)
      const answer = new Http2Answer(this.#sender, stream, head.method === 'HEAD')
      const isRefused = 'failure' in head
      const known = isRefused ? { ...head, contentLength: Number.POSITIVE_INFINITY, webSocketKey: null } : head
      if (endStream && known.contentLength > 0 && known.contentLength !== Number.POSITIVE_INFINITY) {
        this.#refuse(stream, CODE.protocol, endStream)
        return
      }
      // Streams are independent: a refused request doesn't make later ones suspect.
      const peer = { ...this.#peer, refused: false }
      const request = new Http2Request(this, stream, known, peer, answer, endStream)
      this.streams.add(request)
      this.lastAnswered = stream
      this.#host.onRequest()
      let failure: FailureCode | null = isRefused ? head.failure : null
      if (headBytes(fields) > maxHeaderBytes) failure = 'head-too-large'
      else if (failure === null && this.#authorities?.has(fieldValue(head.rawHeaders, 'host') ?? '') === false)
        failure = 'misdirected'
      this.#fresh.push({ request, failure })
    }
  }

  /** Refuses a stream without creating a request. */
  #refuse(stream: number, code: number, endStream: boolean): void {
    this.sendReset(stream, code, endStream ? 0 : WINDOW_BYTES)
    this.#gaveUp()
  }

  onDataHead(stream: number, length: number): void {
    this.#needOpen()
    this.#window.begin(length)
    this.#receivingBytes = length
    let request = this.streams.find(stream)
    if (request === null) this.#needOld(stream, 'DATA')
    else {
      const code = request.onDataHead(length)
      if (code !== null) {
        request.fail(code)
        request = null
      }
    }
    this.#receiving = request
  }

  onData(piece: Buffer): void {
    const request = this.#receiving
    if (request === null) return
    request.onData(piece)
    if (!request.isMisdeclared(false)) return
    request.broke()
    this.#receiving = null
  }

  onDataEnd(size: number, endStream: boolean): void {
    const length = this.#receivingBytes
    const request = this.#receiving
    this.#receiving = null
    const credit = this.#window.end(length)
    if (credit > 0) this.#sender.control((to) => to.window(0, credit))
    this.#reader.controlBytes += this.#window.cost(length, size, request !== null)
    if (request === null || request.isClosed) return
    if (length > size) request.onPadding(length - size)
    if (!endStream) return
    if (request.isMisdeclared(true)) request.broke()
    else request.onEnd(NO_FIELDS)
  }

  onReset(stream: number): void {
    const request = this.streams.find(stream)
    if (request === null) this.#needOld(stream, 'RST_STREAM')
    else request.onReset()
  }

  onStreamFault(stream: number, code: number): void {
    const request = this.streams.find(stream)
    if (request !== null) request.fail(code)
    else if (stream <= this.#lastStream) this.#gaveUp()
    // A stream that was never opened can't be reset (section 5.1).
    else throw new Http2Fault(code, 'an invalid frame on an idle stream')
  }

  onSettings(values: readonly number[]): void {
    this.#needOpen()
    for (let i = 0; i < values.length; i += 2) {
      const value = values[i + 1] as number
      if (values[i] === SETTING.tableSize) this.#sender.encoder.setMaxTableBytes(value)
      else if (values[i] === SETTING.initialWindow) this.#changeWindows(value)
    }
    this.#sender.control((to) => to.settingsAck())
  }

  /** Section 6.9.2. */
  #changeWindows(size: number): void {
    const change = size - this.#sender.initialWindow
    this.#sender.initialWindow = size
    for (const { answer } of this.streams.all) {
      answer.window += change
      if (answer.window > MAX_WINDOW) throw new Http2Fault(CODE.flowControl, 'a window that is too large')
      if (change > 0) this.#sender.ready(answer)
    }
  }

  onSettingsAck(): void {
    this.isAcknowledged = true
  }

  onPing(data: Buffer, isAck: boolean): void {
    if (isAck) {
      this.#host.onPingAnswered()
      return
    }
    const copy = Buffer.from(data)
    this.#sender.control((to) => to.ping(copy, true))
  }

  onGoaway(): void {
    // The client sends no more requests, and closes when it has its answers.
  }

  onWindow(stream: number, increment: number): void {
    if (stream === 0) {
      if (!this.#sender.grow(increment)) throw new Http2Fault(CODE.flowControl, 'a window that is too large')
      return
    }
    const request = this.streams.find(stream)
    if (request === null) {
      this.#needOld(stream, 'WINDOW_UPDATE')
      return
    }
    const { answer } = request
    answer.window += increment
    if (answer.window > MAX_WINDOW) request.fail(CODE.flowControl)
    else this.#sender.ready(answer)
  }

  /** Ignores everything after a connection error. */
  #needOpen(): void {
    if (this.#host.isOver) throw new Http2Fault(CODE.none, 'over')
  }

  /** Allows a frame on a closed stream, but not on one that was never opened (section 5.1). */
  #needOld(stream: number, what: string): void {
    if (stream > this.#lastStream) throw new Http2Fault(CODE.protocol, `${what} on an idle stream`)
  }

  // RequestHost.

  sendReset(stream: number, code: number, unsent: number): void {
    this.#window.excuse(unsent)
    this.#sender.control((to) => to.reset(stream, code))
  }

  sendWindow(stream: number, increment: number): void {
    this.#sender.control((to) => to.window(stream, increment))
  }

  gather(request: Http2Request): void {
    this.#gathering.push(request)
  }

  forget(request: Http2Request): void {
    this.streams.remove(request)
    if (request.isGivenUp) this.#gaveUp()
    if (this.streams.count === 0) this.#host.onLastRequest()
  }

  #gaveUp(): void {
    if (!this.#allowance.giveUp(performance.now())) this.#host.fail(CODE.calm)
  }
}

const NO_FIELDS: readonly string[] = []
