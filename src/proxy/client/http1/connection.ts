/**
 * A client's HTTP/1.1 or 1.0 connection (RFC 9112): requests one after the other, each with its answer.
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { FailureCode } from '../../../rules/failures/failure.ts'
import { fieldValue, fieldValues } from '../../../rules/http/exchange.ts'
import { coarseNowMs, TICK_MS, unwatch, type Watched, watch } from '../../../wire/deadlines.ts'
import { type Breakable, breakOff, contain } from '../../../wire/exceptions.ts'
import { LINGER_MS } from '../../../wire/gentle-end.ts'
import { isBulk, keep, lend, readBuffer, takeBack } from '../../../wire/read-memory.ts'
import { mayReadOn } from '../../../wire/read-turns.ts'
import type { RefusedRequest, RequestHead } from '../../../wire/requests.ts'
import { sendAll } from '../../../wire/turn.ts'
import { type Reading, readInto } from '../reading.ts'
import {
  type Arrival,
  type Client,
  type HandedOver,
  type Peer,
  type RequestHandler,
  type SwitchingHead,
  switchingText,
} from '../request.ts'
import { isStalled } from '../send-timeout.ts'
import { reset, whenEnding } from '../sockets.ts'
import { type AnswerHost, Http1Answer } from './answer.ts'
import { Http1Input, type InputHost, type Use } from './input.ts'
import { Http1Request, type RequestHost } from './request.ts'

/** Settings shared by the connections of one server. Times in milliseconds. */
export interface ConnectionTerms {
  readonly engine: RequestHandler
  /** Limit for a request line with its fields, in bytes. */
  readonly maxHeaderBytes: number
  readonly headersTimeoutMs: number
  readonly keepAliveMs: number
  /** The lines Connection and Keep-Alive for a persistent connection. */
  readonly keepAliveText: string
  /** The connection is closed. */
  onClosed(connection: Http1Connection): void
  /** Serves a client that begins with the HTTP/2 preface, which has been put back. Null if HTTP/2 is refused. */
  readonly onHttp2: ((connection: Http1Connection) => void) | null
}

/** How long the rest of a body is read and dropped after an early answer that keeps the connection open. */
const REST_MS = 30_000

/** How often to check a half-closed client that is being sent something. */
const SENDING_MS = 1000

/**
 * - idle: no byte of a request has arrived
 * - head: part of a head has arrived
 * - exchange: the engine has a request whose answer isn't written yet, or whose body isn't read yet
 * - refused: what arrived is not a valid request; the error is being sent
 * - lingering: the final answer is written; what still arrives is dropped
 * - other: the connection has switched to another protocol
 * - given: the connection was handed to HTTP/2
 */
type Phase = 'idle' | 'head' | 'exchange' | 'refused' | 'lingering' | 'other' | 'given' | 'closed'

/** One connection. */
export class Http1Connection implements Arrival, AnswerHost, Breakable, InputHost, RequestHost, Watched {
  readonly #terms: ConnectionTerms
  readonly #socket: Socket
  readonly #input: Http1Input
  readonly remoteAddress: string | undefined
  readonly subject: string | null
  readonly proxied: boolean
  /** Bytes that were read before and put back. */
  #early: Buffer | null
  readonly peer: Peer
  readonly encrypted: boolean
  #phase: Phase = 'idle'
  #request: Http1Request | null = null
  /** The answer to the request has been written. */
  #answered = false
  /** The body of the request is malformed. */
  #broken = false
  /** Part of the body has arrived, or the client was told to send it. */
  #bodyBegun = false
  /** The client has half-closed. */
  #ended = false
  /** The last read was large: part of a large body. */
  #bulk = false
  #whenDrained: (() => void) | null = null
  #closeListeners: (() => void)[] = []
  #persistent = true
  deadlineMs: number

  /** @param socket paused, with any bytes read from it put back */
  constructor(socket: Socket, terms: ConnectionTerms, { remoteAddress, subject, proxied }: Client) {
    this.#terms = terms
    this.remoteAddress = remoteAddress
    this.subject = subject
    this.proxied = proxied
    this.#input = new Http1Input(this, terms.maxHeaderBytes, terms.onHttp2 !== null)
    this.#socket = socket
    const isRead = readInto(socket, this.#reading())
    this.#early = isRead && socket.readableLength > 0 ? (socket.read() as Buffer | null) : null
    this.encrypted = (socket as Partial<TLSSocket>).encrypted === true
    this.peer = terms.engine.peerOf(this)
    if (!isRead) socket.on('data', this.#onData)
    socket.on('drain', () => contain(this, this.#onDrain))
    socket.on('end', () => contain(this, this.#onEnd))
    socket.on('finish', () => contain(this, this.#onFinish))
    socket.on('error', ignore)
    socket.on('close', () => contain(this, this.#onClosed))
    watch(this)
    this.deadlineMs = coarseNowMs() + terms.headersTimeoutMs
  }

  /** Starts reading. */
  begin(): void {
    const early = this.#early
    this.#early = null
    if (early !== null) this.#arrived(early)
    // After a handover to HTTP/2 the new owner reads.
    if (!this.dead && this.#phase !== 'given') this.#socket.resume()
  }

  get socket(): Socket {
    return this.#socket
  }

  /** False while the client may or may not send its body: the next bytes would be ambiguous (RFC 9110 section 10.1.1). */
  get persistent(): boolean {
    return this.#persistent && !this.#mayLackBody
  }

  set persistent(is: boolean) {
    this.#persistent = is
  }

  /** The client waits for a 100 before it sends its body, and none was sent. */
  get #mayLackBody(): boolean {
    const request = this.#request
    if (request === null || request.complete || this.#bodyBegun) return false
    return fieldValue(request.rawHeaders, 'expect') !== undefined
  }

  get keepAliveText(): string {
    return this.#terms.keepAliveText
  }

  get dead(): boolean {
    return this.#socket.destroyed
  }

  /** Upstream or tunnel timeouts apply to what is being sent. */
  get limitsTime(): boolean {
    return this.#phase === 'other' || (!this.#answered && this.#request?.owner?.limitsTime === true)
  }

  /** No request is in flight, and all answers have been sent. */
  get isIdle(): boolean {
    return this.#phase === 'idle' && this.#socket.writableLength === 0
  }

  whenClosed(listener: () => void): void {
    if (this.dead) listener()
    else this.#closeListeners.push(listener)
  }

  /** The process is about to exit: the current answer closes the connection. */
  endSoon(): void {
    this.persistent = false
  }

  /** Closes the connection if it is idle. */
  closeIdle(): void {
    if (this.isIdle) this.#linger()
  }

  /** The connection has switched to another protocol. */
  get isOther(): boolean {
    return this.#phase === 'other'
  }

  destroy(): void {
    this.#socket.destroy()
  }

  // RequestSink: what the reader finds.

  onHead(head: RequestHead): void {
    const { method, minor, rawHeaders, offersUpgrade } = head
    this.#phase = 'exchange'
    this.deadlineMs = Number.POSITIVE_INFINITY
    this.persistent = head.keepAlive
    this.#answered = false
    this.#bodyBegun = false
    // Upgrade to h2c is obsolete (RFC 9113 section 3.1); clients that offer it continue with HTTP/1.1.
    const offered = offersUpgrade && method !== 'CONNECT' ? fieldValues(rawHeaders, 'upgrade').join(', ') : null
    const upgrade = offered === null || /^h2c\b/i.test(offered) ? null : offered
    const request = new Http1Request(this, head, upgrade, new Http1Answer(this, minor, method === 'HEAD'))
    this.#request = request
    if (head.framing === 'none') request.complete = true
    this.#terms.engine.handle(request)
    // The request decides when to read the body.
    this.#input.stop()
  }

  onBody(piece: Buffer): void {
    this.#bodyBegun = true
    this.#request!.onBody(piece)
  }

  onEnd(rawTrailers: readonly string[]): void {
    const request = this.#request!
    if (!request.complete) request.onEnd(rawTrailers)
    if (this.#answered) this.#over()
  }

  // RequestHost.

  readOn(): void {
    if (!this.#input.busy) this.#readOn()
  }

  pauseReading(): void {
    this.#socket.pause()
  }

  limitBody(limitMs: number): void {
    this.deadlineMs = coarseNowMs() + limitMs
  }

  handOver(head: SwitchingHead): HandedOver {
    const stream = this.#socket
    const switching = this.#request!.answer.withoutProbe(switchingText(head))
    this.#phase = 'other'
    this.#request = null
    this.deadlineMs = Number.POSITIVE_INFINITY
    unwatch(this)
    stream.pause()
    stream.removeListener('data', this.#onData)
    stream.removeAllListeners('drain')
    stream.write(switching, 'latin1')
    return {
      stream,
      early: this.#input.take(),
      exclusive: true,
      whenEnding: (listener) => whenEnding(stream, listener),
    }
  }

  // AnswerHost.

  continued(): void {
    this.#bodyBegun = true
  }

  write(bytes: Buffer | string, done?: () => void): boolean {
    return typeof bytes === 'string' ? this.#socket.write(bytes, 'latin1', done) : this.#socket.write(bytes, done)
  }

  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }

  whenDrained(listener: () => void): void {
    this.#whenDrained = listener
  }

  answered(): void {
    this.#answered = true
    const request = this.#request
    if (request === null || !this.persistent) this.#linger()
    else if (request.complete) this.#over()
    else if (!request.wanted) request.discard(REST_MS)
  }

  cut(silently: boolean): void {
    if (silently) reset(this.#socket)
    else this.#socket.destroy()
  }

  expire(): void {
    if (this.#phase === 'head') this.#refuse('request-timeout', null)
    else if (this.#phase === 'exchange' && this.#ended) this.#seeWhetherThere()
    else if (this.#phase !== 'idle') this.destroy()
    else if (this.#socket.writableLength > 0) this.#idleOnceWritten()
    else this.#linger()
  }

  /** Starts the keep-alive limit only once the answer has been sent. A client that doesn't accept it is left to the send timeout. */
  #idleOnceWritten(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY
    this.#socket.write('', () => {
      if (this.#phase === 'idle') this.deadlineMs = coarseNowMs() + this.#terms.keepAliveMs
    })
  }

  /** Options for node:net: which buffer it reads into, and what is called with the bytes. */
  #reading(): Reading {
    return {
      buffer: () => readBuffer(this.#bulk && (this.#phase === 'other' || this.#request?.wanted === true)),
      callback: (count, buffer) => this.#onRead(count, buffer as Buffer),
    }
  }

  /** @returns false to stop reading for now */
  #onRead(count: number, buffer: Buffer): boolean {
    const bytes = lend(buffer, count)
    this.#bulk = isBulk(count)
    if (this.#phase === 'other') {
      const more = this.#socket.push(keep(bytes))
      takeBack()
      return more
    }
    this.#arrived(bytes)
    takeBack()
    return (!this.#bulk && !this.encrypted) || mayReadOn(this.#socket, count)
  }

  readonly #onData = (bytes: Buffer): void => this.#arrived(bytes)

  #arrived(bytes: Buffer): void {
    try {
      if (this.use !== 'never') this.#input.push(bytes)
    } catch (error) {
      breakOff(this, error)
    }
  }

  // InputHost.

  get use(): Use {
    switch (this.#phase) {
      case 'idle':
      case 'head':
        return this.#socket.writableNeedDrain ? 'later' : 'now'
      case 'exchange':
        if (this.#broken) return 'never'
        return !this.#request!.complete && this.#request!.wanted ? 'now' : 'later'
      case 'other':
      case 'given':
        return 'later'
      default:
        return 'never'
    }
  }

  onUse(): void {
    if (this.#phase !== 'idle') return
    this.#phase = 'head'
    this.deadlineMs = coarseNowMs() + this.#terms.headersTimeoutMs
  }

  /** Hands the connection over to HTTP/2. */
  onPreface(bytes: Buffer): void {
    const socket = this.#socket
    this.#phase = 'given'
    unwatch(this)
    socket.pause()
    socket.removeListener('data', this.#onData)
    socket.unshift(bytes)
    // Not from within a read callback.
    setImmediate(() => contain(this, () => this.#terms.onHttp2!(this)))
  }

  onMalformed({ fault, method, target }: RefusedRequest): void {
    const request = this.#request
    if (request === null || this.#phase !== 'exchange') {
      this.#refuse(fault, method === '' ? null : { method, target })
      return
    }
    this.#broken = true
    this.persistent = false
    if (this.#answered) this.#linger()
    // A complete answer is sent and closes the connection; otherwise the client gets an error.
    else if (request.answer.over) sendAll()
    else if (request.owner === null) this.destroy()
    else request.owner.onMalformed()
  }

  /** Uses the bytes held back, then reads on. */
  #readOn(): void {
    this.#input.goOn()
    if (this.#phase === 'closed' || this.#input.isFull) return
    if (this.#ended) this.#endOfInput()
    else if (!this.#request?.paused && this.#socket.isPaused()) this.#socket.resume()
  }

  /** Answers an invalid request. */
  #refuse(failure: FailureCode, line: { readonly method: string; readonly target: string } | null): void {
    this.#phase = 'refused'
    this.#request = null
    this.deadlineMs = Number.POSITIVE_INFINITY
    const id = this.#terms.engine.refused(this.peer, line, failure)
    const answer = new Http1Answer(this, 1, false)
    answer.closes()
    answer.problem(failure, id)
  }

  /** The request and its answer are complete. */
  #over(): void {
    this.#request = null
    if (!this.persistent) {
      this.#linger()
      return
    }
    this.#phase = 'idle'
    this.deadlineMs = coarseNowMs() + this.#terms.keepAliveMs
    if (this.#input.busy) return
    if (!this.#input.isEmpty || this.#ended || this.#socket.isPaused()) this.#readOn()
  }

  /** Half-closes, and reads on for a moment: otherwise the kernel would send an RST, and the client could lose the answer. */
  #linger(): void {
    if (this.#phase === 'closed' || this.#phase === 'lingering') return
    this.#phase = 'lingering'
    this.#input.drop()
    // The limit starts once everything is written (#onFinish).
    this.deadlineMs = Number.POSITIVE_INFINITY
    this.#socket.end()
    this.#socket.resume()
  }

  #onFinish(): void {
    if (this.#phase === 'lingering') this.deadlineMs = coarseNowMs() + LINGER_MS
  }

  #onDrain(): void {
    const listener = this.#whenDrained
    this.#whenDrained = null
    listener?.()
    if (this.#phase === 'idle') this.#readOn()
  }

  /** The client has half-closed. */
  #onEnd(): void {
    this.#ended = true
    this.#endOfInput()
  }

  /** No more input follows what has been read. */
  #endOfInput(): void {
    switch (this.#phase) {
      case 'idle':
        if (this.#input.isEmpty) this.#linger()
        // Part of the HTTP/2 preface.
        else if (this.#input.isOpen) this.destroy()
        break
      case 'head':
        if (this.#input.isEmpty) this.destroy()
        break
      case 'exchange':
        // A half-closed client can't use an upgrade.
        if (this.#request!.complete && this.#request!.upgrade === null) this.#seeWhetherThere()
        else if (this.#request!.complete || (this.#input.isEmpty && !this.#answered)) this.destroy()
        else if (this.#input.isEmpty) this.#linger()
    }
  }

  /** A half-closed client may have left, which only sending to it can show. */
  #seeWhetherThere(): void {
    const { answer } = this.#request!
    // Data being sent already serves as the probe.
    const afterMs = this.#socket.writableLength > 0 ? SENDING_MS : answer.probe()
    this.deadlineMs = coarseNowMs() + afterMs
    if (afterMs < TICK_MS) setTimeout(() => contain(this, this.#seeAgain), afterMs)
  }

  #seeAgain(): void {
    if (this.#phase === 'exchange' && this.#ended) this.#seeWhetherThere()
  }

  #onClosed(): void {
    if (this.#phase === 'given') return
    const request = this.#request
    const answered = this.#answered
    this.#phase = 'closed'
    this.#request = null
    this.#input.drop()
    unwatch(this)
    this.#terms.onClosed(this)
    if (request !== null && !answered) request.owner?.onGone(isStalled(this.#socket))
    const listeners = this.#closeListeners
    this.#closeListeners = []
    for (const listener of listeners) listener()
    // Node's TLS object keeps the socket and its listeners alive until the next full garbage collection.
    if (this.encrypted) this.#socket.removeAllListeners()
  }

  breakOff(): void {
    this.destroy()
  }
}

function ignore(): void {
  // 'close' follows and handles it.
}
