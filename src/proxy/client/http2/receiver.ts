/**
 * What a client sends on a connection of HTTP/2: its requests on their streams (RFC 9113 sections 5 and 6), and what it may cost.
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

/** What the connections of one server share. */
export interface ReceiverTerms {
  readonly engine: RequestHandler
  readonly section: SectionLimits
  readonly maxHeaderBytes: number
}

/** The connection that is read. */
export interface ReceiverHost {
  /** Nothing more is read. */
  readonly isOver: boolean
  /** New requests are not answered. */
  readonly isFinal: boolean
  /** A request begins. */
  onRequest(): void
  /** The last one that was under way is over. */
  onLastRequest(): void
  onPingAnswered(): void
  /** Tells the client why, and closes. */
  fail(code: number): void
}

/** A request that is given to the engine once all that came with it has been looked at. */
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
  /** Null where there is no certificate. */
  readonly #authorities: Authorities | null
  /** Of the connection; null where that of requests does not count. */
  readonly #scheme: 'http' | 'https' | null
  readonly #reader = new FrameReader(this)
  readonly #decoder = new FieldDecoder({ maxTableBytes: TABLE_BYTES })
  readonly streams = new Streams()
  readonly #window = new ReceiveWindow()
  readonly #allowance = new Allowance(performance.now())
  #fresh: Fresh[] = []
  isWaiting = false
  /** Requests with data of this read that has not been told of. */
  #gathering: Http2Request[] = []
  /** The stream whose DATA is being read; null where it is dropped. */
  #receiving: Http2Request | null = null
  #receivingBytes = 0
  /** The highest stream of a request, and the highest that is answered. */
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
    // RFC 9110 section 7.4 exempts gateways that are trusted.
    this.#scheme = peer.trusted || proxied ? null : peer.tls ? 'https' : 'http'
  }

  /** Takes what has come. @throws {Http2Fault} or a {CompressionError}: what ends the connection */
  push(bytes: Buffer): void {
    this.#reader.push(bytes)
    this.#tell()
    if (this.#isFlooding()) throw new Http2Fault(CODE.calm, 'a flood')
  }

  /** Nobody hears of the requests any more. */
  leaveAll(): void {
    this.#fresh = []
    for (const request of [...this.streams.all]) request.onReset()
  }

  /** Tells of what came together: a request that was reset at once is not asked. */
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
    // What has ended the connection has emptied it.
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
    // Always, since the table is that of the connection.
    const fields = this.#decoder.decode(block, maxListBytes, maxFields)
    const request = this.streams.find(stream)
    if (request !== null) this.#onTrailers(request, endStream, fields)
    else if ((stream & 1) === 0) throw new Http2Fault(CODE.protocol, 'an even stream')
    else if (stream <= this.#lastStream || this.#host.isFinal) {
      // A stream that was reset, or one that GOAWAY says is not answered.
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
      // Each stream stands by itself: after a request that was refused the next one is as good as any.
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

  /** A stream that no request begins on. */
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
    // Nothing can be reset that was never opened (section 5.1).
    else throw new Http2Fault(code, 'a wrong frame on an idle stream')
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
    // The client asks nothing more, and closes when it has its answers.
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

  /** Nothing behind what has ended the connection is looked at. */
  #needOpen(): void {
    if (this.#host.isOver) throw new Http2Fault(CODE.none, 'over')
  }

  /** A frame came on a stream that is closed, or else on one that was never opened (section 5.1). */
  #needOld(stream: number, what: string): void {
    if (stream > this.#lastStream) throw new Http2Fault(CODE.protocol, `${what} on an idle stream`)
  }

  // What a request asks of its connection.

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
