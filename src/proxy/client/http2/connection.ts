/**
 * A client's HTTP/2 connection (RFC 9113): its socket, its timeouts, and its end.
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type Breakable, breakOff, contain } from '../../../wire/exceptions.ts'
import { endGently, endOnceWritten } from '../../../wire/gentle-end.ts'
import { CompressionError } from '../../../wire/http2/hpack-decoder.ts'
import { CODE, Http2Fault } from '../../../wire/http2/protocol.ts'
import { lend, readBuffer, takeBack } from '../../../wire/read-memory.ts'
import { PROBE_AFTER_MS } from '../probe-pauses.ts'
import { type Reading, readInto } from '../reading.ts'
import type { Arrival, Client } from '../request.ts'
import { Authorities } from './authorities.ts'
import { Ending, type EndingHost } from './ending.ts'
import { CONNECTION_WINDOW_GROWTH, ownSettings, SETTINGS_MS } from './limits.ts'
import { Http2Receiver, type ReceiverHost, type ReceiverTerms } from './receiver.ts'
import type { Http2Request } from './request.ts'
import { Http2Sender } from './sender.ts'

/** Settings shared by the connections of one server. Times in milliseconds. */
export interface Http2Terms extends ReceiverTerms {
  readonly headersTimeoutMs: number
  readonly keepAliveMs: number
  readonly sendTimeoutMs: number
  /** The connection is closed. */
  onClosed(connection: Http2Connection): void
}

/** How long a drain waits for a client to confirm, by answering a PING, that it has read everything. */
const DRAIN_PATIENCE_MS = 5000

/** One connection. */
export class Http2Connection implements Arrival, Breakable, ReceiverHost, EndingHost {
  readonly #terms: Http2Terms
  readonly #sender: Http2Sender
  readonly #receiver: Http2Receiver
  readonly #ending: Ending
  readonly socket: Socket
  readonly remoteAddress: string | undefined
  readonly subject: string | null
  readonly proxied: boolean
  readonly encrypted: boolean
  #closeListeners: (() => void)[] = []
  /** Nothing more is read. */
  isOver = false
  #isClosed = false
  #settingsMs = performance.now()
  /** Since when there has been no request in flight; Infinity while there is one. */
  #idleSinceMs = performance.now()
  #hadRequest = false

  /** @param socket of a client that speaks HTTP/2; paused, with any bytes read from it put back */
  constructor(socket: Socket, terms: Http2Terms, { remoteAddress, subject, proxied }: Client) {
    this.#terms = terms
    this.socket = socket
    this.#sender = new Http2Sender(socket)
    this.remoteAddress = remoteAddress
    this.subject = subject
    this.proxied = proxied
    this.encrypted = (socket as Partial<TLSSocket>).encrypted === true
    const authorities = this.encrypted ? new Authorities(socket as TLSSocket) : null
    const peer = terms.engine.peerOf(this)
    this.#receiver = new Http2Receiver(this, terms, this.#sender, { peer, proxied, authorities })
    this.#ending = new Ending(this, this.#sender)
    const isRead = readInto(socket, this.#reading())
    const early = isRead && socket.readableLength > 0 ? (socket.read() as Buffer | null) : null
    if (!isRead) socket.on('data', this.#onData)
    socket.on('drain', () => contain(this, this.#onDrain))
    socket.on('end', () => contain(this, this.#onEnd))
    socket.on('error', ignore)
    socket.on('close', () => contain(this, this.#onClosed))
    this.#sender.control((to) => {
      to.settings(ownSettings(terms.section))
      to.window(0, CONNECTION_WINDOW_GROWTH)
    })
    if (early !== null) this.#arrived(early)
    if (socket.destroyed) this.#onClosed()
    else socket.resume()
  }

  /** Requests in flight. */
  get streams(): number {
    return this.#receiver.streams.count
  }

  /** Upstream or tunnel timeouts apply to something that is being sent. */
  get limitsTime(): boolean {
    for (const request of this.#receiver.streams.all) {
      if (request.isOther || (!request.answer.written && request.owner?.limitsTime === true)) return true
    }
    return false
  }

  /** Requests that have become tunnels. */
  get others(): Http2Request[] {
    return this.#receiver.streams.all.filter(({ isOther }) => isOther)
  }

  /** Buffered bytes of bodies and answers. */
  get heldBytes(): number {
    let held = 0
    for (const { heldBytes, answer } of this.#receiver.streams.all) held += heldBytes + answer.waiting
    return held
  }

  whenClosed(listener: () => void): void {
    if (this.#isClosed) listener()
    else this.#closeListeners.push(listener)
  }

  /** The highest stream that has been or will be answered. */
  get lastAnswered(): number {
    return this.#receiver.lastAnswered
  }

  get isFinal(): boolean {
    return this.#ending.isFinal
  }

  /** Accepts no more requests: the process is about to exit. */
  endSoon(): void {
    if (!this.isOver) this.#ending.begin(DRAIN_PATIENCE_MS)
  }

  /** @param code the reason for GOAWAY, or 0 for none */
  destroy(code: number = CODE.none): void {
    if (code !== CODE.none) this.fail(code)
    this.socket.destroy()
  }

  /** Sends GOAWAY with a code, and closes. */
  fail(code: number): void {
    if (this.isOver) return
    const last = this.lastAnswered
    this.#leaveAll()
    this.#sender.control((to) => to.goaway(last, code))
    this.#sender.finish(() => endGently(this.socket))
    // Don't read a flood to its end.
    if (code === CODE.calm) this.socket.pause()
  }

  /** Sends what is queued, and half-closes. */
  end(): void {
    if (this.isOver) return
    this.isOver = true
    this.#sender.finish(() => endOnceWritten(this.socket))
  }

  /** Checks all timeouts. @param nowMs of a monotonic clock */
  check(nowMs: number): void {
    if (this.isOver) return
    for (const request of [...this.#receiver.streams.all]) {
      request.checkRest(nowMs)
      this.#checkSending(request, nowMs)
    }
    if (!this.#receiver.isAcknowledged && nowMs - this.#settingsMs > SETTINGS_MS) {
      this.fail(CODE.settingsTimeout)
      return
    }
    if (this.#ending.hasBegun) {
      this.#ending.check(nowMs)
      return
    }
    // A client that is still being sent something is not idle.
    if (this.streams === 0 && this.socket.writableLength > 0) this.#idleSinceMs = nowMs
    const { keepAliveMs, headersTimeoutMs, sendTimeoutMs } = this.#terms
    const idleMs = this.#hadRequest ? keepAliveMs : Math.min(keepAliveMs, headersTimeoutMs)
    if (nowMs - this.#idleSinceMs > idleMs) this.#ending.begin(sendTimeoutMs)
  }

  /** Gives up on an answer of which the client accepts nothing, as `SendTimeout` does with connections. */
  #checkSending(request: Http2Request, nowMs: number): void {
    const { waiting, written } = request.answer
    const isExempt = request.isOther || (!written && request.owner?.limitsTime === true)
    if (waiting === 0 || waiting !== request.pending || isExempt) {
      request.pending = waiting
      request.pendingSinceMs = nowMs
    } else if (nowMs - request.pendingSinceMs >= this.#terms.sendTimeoutMs) request.stalled()
  }

  // Input.

  /** Options for node:net: it reads into the buffer that all connections share. */
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
      if (this.isOver) return
      this.#ending.heard()
      this.#receiver.push(bytes)
    } catch (error) {
      if (error instanceof Http2Fault) this.fail(error.code)
      else if (error instanceof CompressionError) this.fail(CODE.compression)
      else breakOff(this, error)
    }
  }

  onRequest(): void {
    this.#idleSinceMs = Number.POSITIVE_INFINITY
    this.#hadRequest = true
  }

  onLastRequest(): void {
    this.#idleSinceMs = performance.now()
    if (!this.isFinal || this.isOver) return
    // A client that has half-closed can't send anything that would turn our close into a reset.
    if (this.socket.readableEnded) this.end()
    else this.#ending.askWhetherRead()
  }

  onPingAnswered(): void {
    this.#ending.answered()
  }

  /** The client has half-closed: no more requests can come, and no window grows. */
  #onEnd(): void {
    if (this.isOver) return
    for (const request of [...this.#receiver.streams.all]) if (!request.ended || request.isOther) request.onReset()
    if (this.streams === 0) this.end()
    else {
      this.#ending.finish()
      this.#probe(0)
    }
  }

  /** A half-closed client may have left, which only sending to it can show. */
  #probe(nth: number): void {
    if (this.isOver) return
    this.#ending.ping()
    this.#sender.send()
    // Windows no longer grow: what waits for one will never be sent.
    for (const request of [...this.#receiver.streams.all]) {
      const { waiting, window } = request.answer
      if (waiting > 0 && (window <= 0 || this.#sender.window <= 0)) request.onReset()
    }
    const afterMs = PROBE_AFTER_MS[nth] ?? (PROBE_AFTER_MS.at(-1) as number)
    setTimeout(() => contain(this, () => this.#probe(nth + 1)), afterMs).unref()
  }

  #onDrain(): void {
    this.#sender.send()
  }

  /** Drops all requests. */
  #leaveAll(): void {
    this.isOver = true
    this.#receiver.leaveAll()
  }

  #onClosed(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#leaveAll()
    this.#terms.onClosed(this)
    const listeners = this.#closeListeners
    this.#closeListeners = []
    for (const listener of listeners) listener()
    // Node's TLS object keeps the socket and its listeners alive until the next full garbage collection.
    if (this.encrypted) this.socket.removeAllListeners()
  }

  breakOff(): void {
    this.socket.destroy()
  }
}

function ignore(): void {
  // 'close' follows and handles it.
}
