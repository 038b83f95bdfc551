/**
 * A client's connection in HTTP/2 (RFC 9113): its streams as requests, and what it may cost.
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { FailureCode } from '../../../rules/failures/failure.ts'
import { fieldValue } from '../../../rules/http/exchange.ts'
import { tellException } from '../../../wire/exceptions.ts'
import { endGently, endOnceWritten } from '../../../wire/gentle-end.ts'
import { FrameReader, type FrameSink } from '../../../wire/http2/frames.ts'
import { CompressionError, FieldDecoder } from '../../../wire/http2/hpack-decoder.ts'
import { CODE, FRAME_HEAD_BYTES, Http2Fault, MAX_WINDOW, SETTING } from '../../../wire/http2/protocol.ts'
import { flawOfRequest, isTrailerSection } from '../../../wire/http2/section.ts'
import { lend, readBuffer, takeBack } from '../../../wire/read-memory.ts'
import { type Reading, readInto } from '../reading.ts'
import type { Arrival, Client, Peer, RequestHandler } from '../request.ts'
import { Allowance } from './allowance.ts'
import { Http2Answer } from './answer.ts'
import { Authorities } from './authorities.ts'
import { headBytes, readHead } from './fields.ts'
import {
  CONNECTION_WINDOW_BYTES,
  CONNECTION_WINDOW_GROWTH,
  MAX_STREAMS,
  MAX_WAITING_CONTROLS,
  ownSettings,
  SETTINGS_MS,
  type SectionLimits,
  TABLE_BYTES,
  WINDOW_BYTES,
} from './limits.ts'
import { Http2Request, type RequestHost } from './request.ts'
import { Http2Sender } from './sender.ts'
import { Streams } from './streams.ts'

/** What the connections of one server share. Times in milliseconds. */
export interface Http2Terms {
  readonly engine: RequestHandler
  readonly section: SectionLimits
  readonly maxHeaderBytes: number
  readonly headersTimeoutMs: number
  readonly keepAliveMs: number
  readonly sendTimeoutMs: number
  /** The connection is gone. */
  onClosed(connection: Http2Connection): void
}

/** A byte of a body may have come in a frame of its own. */
const BYTES_PER_BODY_BYTE = 12

/** How long a drain waits for a client to say that it has read all. */
const DRAIN_PATIENCE_MS = 5000

/** More than any stream. */
const ANY_STREAM = MAX_WINDOW

/** The data of our PINGs. */
const PING = Buffer.from('banyan  ', 'latin1')

/** The pause behind each PING to a client that has ended its side. */
const PROBE_AFTER_MS = [2, 50, 100, 500, 1000, 2000, 5000, 10_000]

/** A request that is given to the engine once all that came with it has been looked at. */
interface Fresh {
  readonly request: Http2Request
  readonly failure: FailureCode | null
}

/** One connection. */
export class Http2Connection implements Arrival, FrameSink, RequestHost {
  readonly #terms: Http2Terms
  readonly #reader = new FrameReader(this)
  readonly #decoder = new FieldDecoder({ maxTableBytes: TABLE_BYTES })
  readonly #sender: Http2Sender
  readonly socket: Socket
  readonly remoteAddress: string | undefined
  readonly subject: string | null
  readonly encrypted: boolean
  readonly #peer: Peer
  /** Null where there is no certificate. */
  readonly #authorities: Authorities | null
  readonly #streams = new Streams()
  readonly #allowance = new Allowance(performance.now())
  #fresh: Fresh[] = []
  /** Requests with data of this read that has not been told of. */
  #gathering: Http2Request[] = []
  /** The stream whose DATA is being read; null where it is dropped. */
  #receiving: Http2Request | null = null
  #receivingBytes = 0
  #closeListeners: (() => void)[] = []
  /** Nothing more is read. */
  #isOver = false
  #isClosed = false
  /** The highest stream of a request, and the highest that is answered. */
  #lastStream = 0
  #lastAnswered = 0
  /**
   * - told: a GOAWAY says that there will be another one; what is on its way is still answered
   * - final: that other one says what is answered
   */
  #ending: 'no' | 'told' | 'final' = 'no'
  /** How long it may be silent while it has not answered a PING. */
  #patienceMs = Number.POSITIVE_INFINITY
  /** PINGs that it has not answered, when the last one was sent, and when something has come since the end began. */
  #unanswered = 0
  #askedMs = 0
  #heardMs = 0
  /** Of bodies that may still come of streams that were reset or refused here: their client may not know yet, so they are no flood. */
  #excusedBytes = 0
  /** What has been received since the client was told. */
  #credit = 0
  #window = CONNECTION_WINDOW_BYTES
  #settingsMs = performance.now()
  #isAcknowledged = false
  /** Since when it has had no request; Infinity where it has one. */
  #idleSinceMs = performance.now()
  #hadRequest = false

  /** @param socket of a client that speaks HTTP/2; paused, and what was read of it has been put back */
  constructor(socket: Socket, terms: Http2Terms, { remoteAddress, subject }: Client) {
    this.#terms = terms
    this.socket = socket
    this.#sender = new Http2Sender(socket)
    this.remoteAddress = remoteAddress
    this.subject = subject
    this.encrypted = (socket as Partial<TLSSocket>).encrypted === true
    this.#authorities = this.encrypted ? new Authorities(socket as TLSSocket) : null
    this.#peer = terms.engine.peerOf(this)
    const isRead = readInto(socket, this.#reading())
    const early = isRead && socket.readableLength > 0 ? (socket.read() as Buffer | null) : null
    if (!isRead) socket.on('data', this.#onData)
    socket.on('drain', () => this.#contain(this.#onDrain))
    socket.on('end', () => this.#contain(this.#onEnd))
    socket.on('error', ignore)
    socket.on('close', () => this.#contain(this.#onClosed))
    this.#sender.control((to) => {
      to.settings(ownSettings(terms.section))
      to.window(0, CONNECTION_WINDOW_GROWTH)
    })
    if (early !== null) this.#arrived(early)
    if (socket.destroyed) this.#onClosed()
    else socket.resume()
  }

  /** Requests under way. */
  get streams(): number {
    return this.#streams.count
  }

  /** Something is sent that the time-outs of an upstream apply to, or those of another protocol. */
  get limitsTime(): boolean {
    for (const request of this.#streams.all) {
      if (request.isOther || (!request.answer.written && request.owner?.limitsTime === true)) return true
    }
    return false
  }

  /** Requests that speak another protocol now. */
  get others(): Http2Request[] {
    return this.#streams.all.filter(({ isOther }) => isOther)
  }

  /** Bytes that nobody reads: of bodies, and of answers. */
  get heldBytes(): number {
    let held = 0
    for (const { heldBytes, answer } of this.#streams.all) held += heldBytes + answer.waiting
    return held
  }

  whenClosed(listener: () => void): void {
    if (this.#isClosed) listener()
    else this.#closeListeners.push(listener)
  }

  /** No more requests, since the process ends. */
  endSoon(): void {
    this.#tellEnd(DRAIN_PATIENCE_MS)
  }

  /**
   * No more requests (RFC 9113 section 6.8). A first GOAWAY tells the client to ask no more, a second one, a round trip later, which requests
   * are answered. The connection closes behind the last one.
   */
  #tellEnd(patienceMs: number): void {
    this.#patienceMs = Math.min(this.#patienceMs, patienceMs)
    if (this.#ending !== 'no' || this.#isOver) return
    this.#ending = 'told'
    this.#sender.control((to) => to.goaway(ANY_STREAM))
    this.#askWhetherRead()
  }

  /** Sends a PING: the client answers once it has read what was sent before. */
  #askWhetherRead(): void {
    this.#unanswered++
    this.#askedMs = performance.now()
    this.#sender.control((to) => to.ping(PING, false))
  }

  /** What comes from now on is not answered. */
  #endForGood(): void {
    if (this.#ending === 'final' || this.#isOver) return
    this.#ending = 'final'
    const last = this.#lastAnswered
    this.#sender.control((to) => to.goaway(last))
    if (this.#streams.count === 0 && this.#unanswered === 0) this.#end()
  }

  /** Ends what is not over because the client has not answered a PING in time. */
  #checkEnding(nowMs: number): void {
    const sinceMs = nowMs - this.#patienceMs
    if (this.#ending === 'told' && this.#askedMs < sinceMs) this.#endForGood()
    // One that is still sending something would get a reset for it, and lose what it has not read.
    const isSilent = Math.max(this.#askedMs, this.#heardMs) < sinceMs
    if (this.#ending === 'final' && this.#streams.count === 0 && isSilent) this.#end()
  }

  /** @param code the reason, or 0 */
  destroy(code: number = CODE.none): void {
    if (code !== CODE.none) this.#fail(code)
    this.socket.destroy()
  }

  /** Tells the client why, and closes. */
  #fail(code: number): void {
    if (this.#isOver) return
    const last = this.#lastAnswered
    this.#leaveAll()
    this.#sender.control((to) => to.goaway(last, code))
    this.#sender.finish(() => endGently(this.socket))
    // A flood is not read to its end.
    if (code === CODE.calm) this.socket.pause()
  }

  /** Sends what waits, and ends our side. */
  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#sender.finish(() => endOnceWritten(this.socket))
  }

  /** Looks for what takes too long. @param nowMs of a monotonic clock */
  check(nowMs: number): void {
    if (this.#isOver) return
    for (const request of [...this.#streams.all]) {
      request.checkRest(nowMs)
      this.#checkSending(request, nowMs)
    }
    if (!this.#isAcknowledged && nowMs - this.#settingsMs > SETTINGS_MS) {
      this.#fail(CODE.settingsTimeout)
      return
    }
    if (this.#ending !== 'no') {
      this.#checkEnding(nowMs)
      return
    }
    // A client that is still being sent something is not idle.
    if (this.#streams.count === 0 && this.socket.writableLength > 0) this.#idleSinceMs = nowMs
    const { keepAliveMs, headersTimeoutMs, sendTimeoutMs } = this.#terms
    const idleMs = this.#hadRequest ? keepAliveMs : Math.min(keepAliveMs, headersTimeoutMs)
    if (nowMs - this.#idleSinceMs > idleMs) this.#tellEnd(sendTimeoutMs)
  }

  /** A client that takes nothing of an answer is left, as `SendTimeout` does with connections. */
  #checkSending(request: Http2Request, nowMs: number): void {
    const { waiting, written } = request.answer
    const isExempt = request.isOther || (!written && request.owner?.limitsTime === true)
    if (waiting === 0 || waiting !== request.pending || isExempt) {
      request.pending = waiting
      request.pendingSinceMs = nowMs
    } else if (nowMs - request.pendingSinceMs >= this.#terms.sendTimeoutMs) request.stalled()
  }

  // What comes.

  /** How node:net reads: into memory that all connections share. */
  #reading(): Reading {
    return {
      buffer: () => readBuffer(false),
      callback: (count, buffer) => {
        this.#arrived(lend(buffer as Buffer, count))
        takeBack()
        return true
      },
    }
  }

  readonly #onData = (bytes: Buffer): void => this.#arrived(bytes)

  #arrived(bytes: Buffer): void {
    try {
      if (this.#isOver) return
      if (this.#ending !== 'no') this.#heardMs = performance.now()
      this.#reader.push(bytes)
      this.#tell()
      if (this.#isFlooding()) this.#fail(CODE.calm)
    } catch (error) {
      if (error instanceof Http2Fault) this.#fail(error.code)
      else if (error instanceof CompressionError) this.#fail(CODE.compression)
      else this.#broke(error)
    }
  }

  /** Tells of what came together: a request that was reset at once is not asked. */
  #tell(): void {
    const gathering = this.#gathering
    const fresh = this.#fresh
    if (fresh.length > 0) {
      this.#fresh = []
      for (const one of fresh) if (!one.request.isClosed) this.#handle(one)
    }
    if (gathering.length > 0) {
      this.#gathering = []
      for (const request of gathering) request.deliver()
    }
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
    const request = this.#streams.find(stream)
    if (request !== null) this.#onTrailers(request, endStream, fields)
    else if ((stream & 1) === 0) throw new Http2Fault(CODE.protocol, 'an even stream')
    else if (stream <= this.#lastStream || this.#ending === 'final') {
      // A stream that was reset, or one that GOAWAY says is not answered.
      this.#reader.controlBytes += FRAME_HEAD_BYTES + block.length
      if (stream > this.#lastStream && !endStream) this.#excuse(WINDOW_BYTES)
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
    if (this.#streams.count >= MAX_STREAMS) this.#refuse(stream, CODE.refused, endStream)
    else if (fields === null) this.#refuse(stream, CODE.calm, endStream)
    else if (flaw === 'reset') this.#refuse(stream, CODE.protocol, endStream)
    else {
      const { trusted, tls } = this.#peer
      const head = readHead(fields, !endStream, trusted ? null : tls ? 'https' : 'http', flaw !== null)
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
      this.#streams.add(request)
      this.#lastAnswered = stream
      this.#idleSinceMs = Number.POSITIVE_INFINITY
      this.#hadRequest = true
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
    if (length > this.#window) throw new Http2Fault(CODE.flowControl, 'more than the window of the connection')
    this.#window -= length
    this.#receivingBytes = length
    let request = this.#streams.find(stream)
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
    this.#credit += length
    if (this.#credit >= CONNECTION_WINDOW_BYTES / 2) {
      const credit = this.#credit
      this.#credit = 0
      this.#window += credit
      this.#sender.control((to) => to.window(0, credit))
    }
    const free = request === null ? Math.min(size, this.#excusedBytes) : size
    if (request === null) this.#excusedBytes -= free
    const cost = length + FRAME_HEAD_BYTES - BYTES_PER_BODY_BYTE * free
    if (size > 0 && cost > 0) this.#reader.controlBytes += cost
    if (request === null || request.isClosed) return
    if (length > size) request.onPadding(length - size)
    if (!endStream) return
    if (request.isMisdeclared(true)) request.broke()
    else request.onEnd(NO_FIELDS)
  }

  onReset(stream: number): void {
    const request = this.#streams.find(stream)
    if (request === null) this.#needOld(stream, 'RST_STREAM')
    else request.onReset()
  }

  onStreamFault(stream: number, code: number): void {
    const request = this.#streams.find(stream)
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
    for (const { answer } of this.#streams.all) {
      answer.window += change
      if (answer.window > MAX_WINDOW) throw new Http2Fault(CODE.flowControl, 'a window that is too large')
      if (change > 0) this.#sender.ready(answer)
    }
  }

  onSettingsAck(): void {
    this.#isAcknowledged = true
  }

  onPing(data: Buffer, isAck: boolean): void {
    if (isAck) {
      this.#onAnswered()
      return
    }
    const copy = Buffer.from(data)
    this.#sender.control((to) => to.ping(copy, true))
  }

  /** The client has read all that was sent before a PING. */
  #onAnswered(): void {
    if (this.#unanswered > 0) this.#unanswered--
    if (this.#unanswered > 0) return
    if (this.#ending === 'told') this.#endForGood()
    else if (this.#ending === 'final' && this.#streams.count === 0) this.#end()
  }

  onGoaway(): void {
    // The client asks nothing more, and closes when it has its answers.
  }

  onWindow(stream: number, increment: number): void {
    if (stream === 0) {
      if (!this.#sender.grow(increment)) throw new Http2Fault(CODE.flowControl, 'a window that is too large')
      return
    }
    const request = this.#streams.find(stream)
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
    if (this.#isOver) throw new Http2Fault(CODE.none, 'over')
  }

  /** A frame came on a stream that is closed, or else on one that was never opened (section 5.1). */
  #needOld(stream: number, what: string): void {
    if (stream > this.#lastStream) throw new Http2Fault(CODE.protocol, `${what} on an idle stream`)
  }

  // What a request asks of its connection.

  sendReset(stream: number, code: number, unsent: number): void {
    this.#excuse(unsent)
    this.#sender.control((to) => to.reset(stream, code))
  }

  /** The window of the connection bounds what is on its way. */
  #excuse(bytes: number): void {
    this.#excusedBytes = Math.min(this.#excusedBytes + bytes, CONNECTION_WINDOW_BYTES)
  }

  sendWindow(stream: number, increment: number): void {
    this.#sender.control((to) => to.window(stream, increment))
  }

  gather(request: Http2Request): void {
    this.#gathering.push(request)
  }

  forget(request: Http2Request): void {
    this.#streams.remove(request)
    if (request.isGivenUp) this.#gaveUp()
    if (this.#streams.count > 0) return
    this.#idleSinceMs = performance.now()
    if (this.#ending !== 'final' || this.#isOver) return
    // One that has ended its side sends nothing that could make the end a reset.
    if (this.socket.readableEnded) this.#end()
    else this.#askWhetherRead()
  }

  #gaveUp(): void {
    if (!this.#allowance.giveUp(performance.now())) this.#fail(CODE.calm)
  }

  /** The client has ended its side: nothing more can be asked, and no window grows. */
  #onEnd(): void {
    if (this.#isOver) return
    for (const request of [...this.#streams.all]) if (!request.ended || request.isOther) request.onReset()
    if (this.#streams.count === 0) this.#end()
    else {
      this.#endForGood()
      this.#probe(0)
    }
  }

  /** A client that has half-closed may have left: one that has is found by what it is sent. */
  #probe(nth: number): void {
    if (this.#isOver) return
    this.#sender.control((to) => to.ping(PING, false))
    this.#sender.send()
    // No window grows any more: what waits for one is never sent.
    for (const request of [...this.#streams.all]) {
      const { waiting, window } = request.answer
      if (waiting > 0 && (window <= 0 || this.#sender.window <= 0)) request.onReset()
    }
    const afterMs = PROBE_AFTER_MS[nth] ?? (PROBE_AFTER_MS.at(-1) as number)
    setTimeout(() => this.#contain(() => this.#probe(nth + 1)), afterMs).unref()
  }

  #onDrain(): void {
    this.#sender.send()
  }

  /** Nobody hears of its requests any more. */
  #leaveAll(): void {
    this.#isOver = true
    for (const request of [...this.#streams.all]) request.onReset()
  }

  #onClosed(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#leaveAll()
    this.#terms.onClosed(this)
    const listeners = this.#closeListeners
    this.#closeListeners = []
    for (const listener of listeners) listener()
    // Node's object for TLS keeps the socket, and what listens to it, until the next full collection.
    if (this.encrypted) this.socket.removeAllListeners()
  }

  /** Runs what is done with an event of the socket: what it throws breaks this connection, and no other. */
  #contain(act: () => void): void {
    try {
      act.call(this)
    } catch (error) {
      this.#broke(error)
    }
  }

  #broke(error: unknown): void {
    this.socket.destroy()
    tellException(error)
  }
}

const NO_FIELDS: readonly string[] = []

function ignore(): void {
  // 'close' follows and handles it.
}
