/**
 * A client's connection in HTTP/2: the session of node:http2, its streams as requests, and what it may cost.
 */
import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerSessionOptions,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { fieldValue } from '../../../rules/http/exchange.ts'
import { tellException } from '../../../wire/exceptions.ts'
import type { Arrival, Client, Peer, RequestHandler } from '../request.ts'
import { Http2Answer } from './answer.ts'
import { Authorities } from './authorities.ts'
import { headBytes, readHead } from './fields.ts'
import { CONTROL_BYTES_PER_SECOND, RESET_BURST, RESETS_PER_SECOND } from './limits.ts'
import { Http2Request } from './request.ts'

/** What the connections of one server share. Times in milliseconds. */
export interface Http2Terms {
  readonly engine: RequestHandler
  readonly options: ServerSessionOptions
  readonly maxHeaderBytes: number
  readonly headersTimeoutMs: number
  readonly keepAliveMs: number
  readonly sendTimeoutMs: number
  /** The connection is gone. */
  onClosed(connection: Http2Connection): void
}

/** What a request may cost beside its fields: heads of frames, and the reset of its stream. */
const REQUEST_BYTES = 256

/** A byte of a body may have come in a frame of its own. */
const BYTES_PER_BODY_BYTE = 12

/** Behind so many bytes sent, a client sends one that says that it has read them. */
const BYTES_PER_UPDATE_BYTE = 64

/** How long a connection may take to close once it has nothing more to do. */
const CLOSING_MS = 2000

/** One connection. */
export class Http2Connection implements Arrival {
  readonly #terms: Http2Terms
  readonly #session: ServerHttp2Session
  readonly socket: Socket
  readonly remoteAddress: string | undefined
  readonly subject: string | null
  readonly encrypted: boolean
  readonly #peer: Peer
  /** Null where there is no certificate. */
  readonly #authorities: Authorities | null
  /** In no order: a Map that requests come to and leave keeps many of them, in tables that it has outgrown, until the next full collection. */
  readonly #requests: Http2Request[] = []
  #closeListeners: (() => void)[] = []
  #isClosed = false
  /** Since when it has had no request; Infinity where it has one. */
  #idleSinceMs = performance.now()
  /** Since when it is closing; Infinity where it is not. */
  #closingSinceMs = Number.POSITIVE_INFINITY
  #hadRequest = false
  // For the control bytes of a second.
  #checkedMs = performance.now()
  #read = 0
  #written = 0
  /** What may have come since: heads and bodies of requests. */
  #explained = 0
  /** Requests that may still be given up. */
  #resets = RESET_BURST
  #resetsAtMs = performance.now()

  /** @param socket of a client that speaks HTTP/2; what was read of it has been put back */
  constructor(socket: Socket, terms: Http2Terms, { remoteAddress, subject }: Client) {
    this.#terms = terms
    this.socket = socket
    this.remoteAddress = remoteAddress
    this.subject = subject
    this.encrypted = (socket as Partial<TLSSocket>).encrypted === true
    this.#authorities = this.encrypted ? new Authorities(socket as TLSSocket) : null
    this.#peer = terms.engine.peerOf(this)
    const session = performServerHandshake(socket, terms.options)
    this.#session = session
    session.on('error', ignore)
    session.on('stream', (stream, _headers, _flags, raw) => this.#onStream(stream, raw))
    session.on('close', () => this.#onClosed())
    socket.once('close', () => this.#onClosed())
    // Half a connection is none: whoever has ended its side can't even take an answer that is larger than its windows.
    socket.once('end', () => this.destroy())
    if (socket.destroyed) this.#onClosed()
    else socket.resume()
  }

  /** Requests under way. */
  get streams(): number {
    return this.#requests.length
  }

  /** Something is sent that the time-outs of an upstream apply to, or those of another protocol. */
  get limitsTime(): boolean {
    for (const request of this.#requests) {
      if (request.isOther || (!request.answer.written && request.owner?.limitsTime === true)) return true
    }
    return false
  }

  /** Requests that speak another protocol now. */
  get others(): Http2Request[] {
    return this.#requests.filter(({ isOther }) => isOther)
  }

  /** Bytes that nobody reads: of bodies, and of answers. */
  get heldBytes(): number {
    let held = 0
    for (const { stream } of this.#requests) held += stream.readableLength + pendingBytes(stream)
    return held
  }

  whenClosed(listener: () => void): void {
    if (this.#isClosed) listener()
    else this.#closeListeners.push(listener)
  }

  /**
   * No more requests: GOAWAY says which were taken. It closes behind the last one (RFC 9113 section 6.8).
   */
  endSoon(): void {
    if (this.#session.closed || this.#session.destroyed) return
    this.#closingSinceMs = performance.now()
    this.#session.close()
  }

  /** @param code the reason, or 0 */
  destroy(code: number = constants.NGHTTP2_NO_ERROR): void {
    this.#end(code)
    this.socket.destroy()
  }

  /** Tells the client why, and closes. */
  #end(code: number): void {
    // Without an error node:http2 ignores the code.
    if (code === constants.NGHTTP2_NO_ERROR) this.#session.destroy()
    else this.#session.destroy(new Error(`HTTP/2 error ${code}`), code)
  }

  /** Looks for what takes too long or costs too much. @param nowMs of a monotonic clock */
  check(nowMs: number): void {
    if (this.#isFlooding(nowMs)) {
      this.#end(constants.NGHTTP2_ENHANCE_YOUR_CALM)
      return
    }
    for (const request of [...this.#requests]) this.#checkSending(request, nowMs)
    if (this.#requests.length > 0) return
    const { keepAliveMs, headersTimeoutMs } = this.#terms
    const idleMs = this.#hadRequest ? keepAliveMs : Math.min(keepAliveMs, headersTimeoutMs)
    if (nowMs - this.#closingSinceMs > CLOSING_MS) this.destroy()
    else if (nowMs - this.#idleSinceMs > idleMs) this.endSoon()
  }

  /** More comes than requests, their bodies and the updates of windows: frames that only cost (CVE-2019-9512 to 9518). */
  #isFlooding(nowMs: number): boolean {
    const { bytesRead, bytesWritten } = this.socket
    let explained = this.#explained
    this.#explained = 0
    for (const request of this.#requests) explained += request.takeReceived() * BYTES_PER_BODY_BYTE
    explained += (bytesWritten - this.#written) / BYTES_PER_UPDATE_BYTE
    const unexplained = bytesRead - this.#read - explained
    const seconds = Math.max((nowMs - this.#checkedMs) / 1000, 1)
    this.#read = bytesRead
    this.#written = bytesWritten
    this.#checkedMs = nowMs
    return unexplained > CONTROL_BYTES_PER_SECOND * seconds
  }

  /** A client that takes nothing of an answer is left, as `SendTimeout` does with connections. */
  #checkSending(request: Http2Request, nowMs: number): void {
    const pending = pendingBytes(request.stream)
    const isExempt = request.isOther || (!request.answer.written && request.owner?.limitsTime === true)
    if (pending === 0 || pending !== request.pending || isExempt) {
      request.pending = pending
      request.pendingSinceMs = nowMs
    } else if (nowMs - request.pendingSinceMs >= this.#terms.sendTimeoutMs) request.stalled()
  }

  #onStream(stream: ServerHttp2Stream, raw: unknown): void {
    try {
      const rawHeaders = raw as readonly string[]
      const bytes = headBytes(rawHeaders)
      this.#explained += 2 * bytes + REQUEST_BYTES
      // Reset in the same turn: nobody waits for an answer, and no upstream learns of it.
      if (stream.destroyed || stream.closed) {
        stream.on('error', ignore)
        this.#gaveUp()
        return
      }
      this.#begin(stream, rawHeaders, bytes)
    } catch (error) {
      stream.on('error', ignore)
      stream.destroy()
      tellException(error)
    }
  }

  #begin(stream: ServerHttp2Stream, raw: readonly string[], bytes: number): void {
    const { engine, maxHeaderBytes } = this.#terms
    const head = readHead(raw, !stream.endAfterHeaders, this.#peer.tls ? 'https' : 'http')
    const isRefused = 'failure' in head
    const answer = new Http2Answer(stream, head.method === 'HEAD')
    const known = isRefused ? { ...head, webSocketKey: null } : head
    // Each stream stands by itself: after a request that was refused the next one is as good as any.
    const peer = { ...this.#peer, refused: false }
    const request = new Http2Request(stream, known, peer, answer, stream.endAfterHeaders, this.#forget)
    request.place = this.#requests.push(request) - 1
    this.#idleSinceMs = Number.POSITIVE_INFINITY
    this.#hadRequest = true
    if (bytes > maxHeaderBytes) engine.refuse(request, 'head-too-large')
    else if (isRefused) engine.refuse(request, head.failure)
    else if (this.#authorities?.has(fieldValue(head.rawHeaders, 'host') ?? '') === false)
      engine.refuse(request, 'misdirected')
    else engine.handle(request)
  }

  /**
   * A request came to nothing that was reset by its client, or that its client has made us reset (CVE-2023-44487, CVE-2025-8671):
   * each can cost an upstream a connection.
   */
  #gaveUp(): void {
    const nowMs = performance.now()
    const regained = ((nowMs - this.#resetsAtMs) / 1000) * RESETS_PER_SECOND
    this.#resets = Math.min(this.#resets + regained, RESET_BURST) - 1
    this.#resetsAtMs = nowMs
    if (this.#resets < 0) this.#end(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  readonly #forget = (request: Http2Request): void => {
    if (request.isGivenUp) this.#gaveUp()
    this.#explained += request.takeReceived() * BYTES_PER_BODY_BYTE
    const last = this.#requests.pop() as Http2Request
    if (last !== request) {
      this.#requests[request.place] = last
      last.place = request.place
    }
    if (this.#requests.length > 0) return
    this.#idleSinceMs = performance.now()
    if (this.#session.closed) this.#closingSinceMs = performance.now()
  }

  #onClosed(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#terms.onClosed(this)
    const listeners = this.#closeListeners
    this.#closeListeners = []
    for (const listener of listeners) listener()
  }
}

/** Bytes of an answer that wait for the client. */
function pendingBytes(stream: ServerHttp2Stream): number {
  return stream.destroyed ? 0 : stream.bufferSize
}

function ignore(): void {
  // 'close' follows and handles it.
}
