/**
 * One exchange with a server on an HTTP/2 stream (RFC 9113 section 8.1), behind the interface of a connection.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2'
import type { Socket } from 'node:net'
import type { ClientExchange, ConnectionOwner, PoolSettings, ServerConnection, WireFailure } from '../connections.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../deadlines.ts'
import { type Breakable, contain } from '../exceptions.ts'
import { type Held, sendLater } from '../turn.ts'
import { requestFields, responseHeadOf, trailersOf } from './head.ts'
import { resetStream } from './reset.ts'

/** The connection that a stream is on. */
export interface StreamHost {
  readonly settings: PoolSettings
  /** Null until it is open. */
  readonly session: ClientHttp2Session | null
  /** The last error of the connection. */
  readonly lastError: Error | null
  /** An exchange has timed out: the connection may be dead. */
  doubt(): void
  /** A stream was reset because of a protocol error. */
  breached(): void
  begun(exchange: Http2Exchange): void
  ended(exchange: Http2Exchange): void
}

type Phase = 'connecting' | 'sending' | 'awaiting' | 'receiving' | 'closed'

/** One exchange. */
export class Http2Exchange implements Breakable, ServerConnection, Held, Watched {
  readonly #host: StreamHost
  readonly reused: boolean
  readonly usable = false
  #exchange: ClientExchange | null
  #owner: ConnectionOwner | null = null
  #phase: Phase
  #stream: ClientHttp2Stream | null = null
  #head = ''
  #method = ''
  #requestDone = false
  /** Body pieces of a retried request, held while the connection is being opened. */
  #early: Buffer[] = []
  /** The last chunk, if the body had no declared length. */
  #lastChunk: string | null = null
  #headersTimeoutMs: number
  #idleTimeoutMs: number
  #trailers: string[] = []
  /** END_STREAM has arrived. */
  #isEnded = false
  /** The server says that it has not processed the request. */
  #isRefused = false
  #pauseIsDue = false
  /** The size of all interim heads so far. */
  #interimBytes = 0
  /** The stream's error from node:http2. */
  #streamError: (Error & { code?: string }) | null = null
  answered = false
  deadlineMs = Number.POSITIVE_INFINITY

  constructor(host: StreamHost, exchange: ClientExchange, reused: boolean) {
    this.#host = host
    this.#exchange = exchange
    this.reused = reused
    this.#headersTimeoutMs = host.settings.headersTimeoutMs
    this.#idleTimeoutMs = host.settings.idleTimeoutMs
    this.#phase = host.session === null ? 'connecting' : 'sending'
    host.begun(this)
    watch(this)
  }

  get ready(): boolean {
    return this.#host.session !== null
  }

  claim(owner: ConnectionOwner): void {
    this.#owner = owner
  }

  reuse(): void {
    throw new Error('a stream has one exchange')
  }

  retire(): void {}

  limit(headersTimeoutMs: number | null, idleTimeoutMs: number | null): void {
    this.#headersTimeoutMs = headersTimeoutMs ?? this.#headersTimeoutMs
    this.#idleTimeoutMs = idleTimeoutMs ?? this.#idleTimeoutMs
  }

  /** Never called with an upgrade: HTTP/2 would need CONNECT for it (RFC 8441). */
  send(head: string, method: string): void {
    this.#head = head
    this.#method = method
    this.#touch()
    // By the end of the turn it is known whether a body follows.
    if (this.#phase !== 'connecting') sendLater(this)
  }

  sendNow(): void {
    if (this.#phase !== 'closed' && this.#stream === null && this.#host.session !== null) this.#open()
  }

  /** The connection is open. */
  onSession(): void {
    if (this.#phase !== 'connecting') return
    this.#phase = 'sending'
    this.#open()
    this.#touch()
    contain(this, () => this.#exchange?.onReady())
  }

  #open(): void {
    const { session, settings } = this.#host
    const fields = requestFields(this.#head, settings.tls === null ? 'http' : 'https')
    const early = this.#early
    this.#early = []
    const ends = this.#requestDone && this.#lastChunk === null && early.length === 0
    const hasTrailers = /\r\ntransfer-encoding:/i.test(this.#head)
    try {
      const stream = session!.request(fields as never, { endStream: ends, waitForTrailers: hasTrailers && !ends })
      this.#stream = stream
      if (hasTrailers && !ends) {
        stream.once('wantTrailers', () => {
          if (!stream.destroyed && !stream.closed) stream.sendTrailers(trailersOf(this.#lastChunk ?? ''))
        })
      }
      this.#listen(stream)
      for (const piece of early) stream.write(piece)
      if (this.#requestDone) {
        if (!ends) stream.end()
        this.#await()
      }
    } catch (error) {
      this.#fail('response-head', error as Error)
    }
  }

  #listen(stream: ClientHttp2Stream): void {
    // Only END_STREAM completes a message, but node also ends a stream that was reset without an error.
    const push = stream.push.bind(stream)
    stream.push = (piece, encoding) => {
      if (piece === null && !stream.closed) this.#isEnded = true
      return push(piece, encoding)
    }
    stream.on('error', (error) => {
      this.#streamError = error
    })
    stream.on('headers', (_, _flags, raw) => contain(this, () => this.#onInformation(raw as unknown as string[])))
    stream.on('response', (_, flags, raw) => contain(this, () => this.#onHead(flags, raw as unknown as string[])))
    stream.on('data', (piece: Buffer) => contain(this, () => this.#onData(piece)))
    stream.on('trailers', (_, _flags, raw) => {
      this.answered = true
      this.#trailers = [...(raw as unknown as string[])]
    })
    stream.on('end', () => contain(this, () => this.#onEnd()))
    stream.on('drain', () => {
      this.#touch()
      contain(this, () => this.#exchange?.onDrain())
    })
    stream.on('close', () => contain(this, () => this.#onClose(stream)))
  }

  write(bytes: Buffer): boolean {
    this.#touch()
    if (this.#phase === 'connecting') {
      this.#early.push(bytes)
      return true
    }
    if (this.#stream === null) this.sendNow()
    const stream = this.#stream
    // What is still to be sent is discarded, and must not block the sender.
    if (stream === null || stream.destroyed || stream.closed) return true
    return stream.write(bytes)
  }

  writeChunk(bytes: Buffer): boolean {
    return this.write(bytes)
  }

  finish(lastChunk: string | null): void {
    this.#requestDone = true
    this.#lastChunk = lastChunk
    const stream = this.#stream
    if (stream === null) return
    if (!stream.destroyed && !stream.closed) stream.end()
    this.#await()
  }

  #await(): void {
    if (this.#phase !== 'sending') return
    this.#phase = 'awaiting'
    this.deadlineMs = coarseNowMs() + this.#headersTimeoutMs
  }

  pause(): void {
    this.#stream?.pause()
  }

  resume(): void {
    this.#touch()
    this.#stream?.resume()
  }

  abort(): void {
    this.#exchange = null
    // The client has given up before the timeout.
    if (this.#phase === 'awaiting' && this.deadlineMs - this.#headersTimeoutMs + DOUBT_MS <= coarseNowMs()) {
      this.#host.doubt()
    }
    this.destroy()
  }

  destroy(): void {
    const stream = this.#stream
    this.#gone()
    if (stream !== null) resetStream(stream, constants.NGHTTP2_CANCEL)
  }

  detach(): { socket: Socket; rest: Buffer | null } {
    throw new Error('a stream has no socket')
  }

  expire(): void {
    this.#host.doubt()
    if (this.#phase === 'awaiting') this.#fail('headers-timeout', null)
    else this.#fail('idle-timeout', null)
  }

  /** The server processes no stream above `lastStreamId` (RFC 9113 section 6.8). */
  onGoaway(lastStreamId: number): void {
    const id = this.#stream?.id
    if (id !== undefined && id > lastStreamId) this.#isRefused = true
  }

  /** The connection is closed. @param failure null if it had been open */
  onLost(failure: WireFailure | null, cause: Error | null): void {
    if (this.#phase === 'closed') return
    contain(this, () => this.#fail(failure ?? this.#lostAs(), cause))
  }

  #lostAs(): WireFailure {
    if (this.#phase === 'receiving') return 'response-body'
    return this.#isRefused && !this.answered ? 'refused-stream' : 'response-head'
  }

  #onInformation(raw: string[]): void {
    this.answered = true
    if (this.#phase === 'awaiting') this.deadlineMs = coarseNowMs() + this.#headersTimeoutMs
    this.#interimBytes += raw.reduce((sum, part) => sum + part.length, FIELD_BYTES)
    if (this.#interimBytes > this.#host.settings.limits.maxHeadBytes) {
      this.#fail('response-malformed', new Error('interim responses too large'))
      return
    }
    const head = responseHeadOf(raw, true)
    if (head.status !== 101) this.#exchange?.onInformation(head)
  }

  #onHead(flags: number, raw: string[]): void {
    if (this.#phase === 'closed') return
    this.answered = true
    this.#phase = 'receiving'
    this.#touch()
    const isBodiless = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0 || this.#method === 'HEAD'
    this.#exchange?.onHead(responseHeadOf(raw, isBodiless))
    this.#pauseSoon()
  }

  #onData(piece: Buffer): void {
    this.#touch()
    this.#exchange?.onBody(piece)
    this.#pauseSoon()
  }

  /** Calls `onPause` once everything that arrived in this turn has been reported. */
  #pauseSoon(): void {
    if (this.#pauseIsDue) return
    this.#pauseIsDue = true
    setImmediate(() => {
      this.#pauseIsDue = false
      if (this.#phase === 'receiving') contain(this, () => this.#exchange?.onPause())
    })
  }

  #onEnd(): void {
    if (this.#phase === 'closed' || !this.#isEnded) return
    const exchange = this.#exchange
    const stream = this.#stream as ClientHttp2Stream
    const isWhole = this.#phase === 'receiving'
    if (!isWhole) return
    this.#exchange = null
    this.#gone()
    // The server has no use for the rest of the request.
    if (!this.#requestDone) resetStream(stream, constants.NGHTTP2_CANCEL)
    exchange?.onEnd(this.#trailers)
  }

  #onClose(stream: ClientHttp2Stream): void {
    const { rstCode } = stream
    if (rstCode === constants.NGHTTP2_PROTOCOL_ERROR) this.#host.breached()
    if (this.#phase === 'closed') return
    if (rstCode === constants.NGHTTP2_REFUSED_STREAM) this.#isRefused = true
    this.#fail(this.#lostAs(), this.#host.lastError ?? this.#endedBy(rstCode ?? 0))
  }

  #endedBy(code: number): Error {
    const error = this.#streamError
    // Any other error is the connection's: the server breaks the rules of HTTP/2.
    if (error !== null && error.code !== 'ERR_HTTP2_STREAM_ERROR') return new Error(`HTTP/2: ${error.message}`)
    const name = nameOf(code)
    const reset = `the stream was reset (${name})`
    return new Error(
      BREACHES.has(name)
        ? `${reset}: by the server, or because its response breaks the rules of HTTP/2`
        : `${reset} by the server`,
    )
  }

  #touch(): void {
    if (this.#phase === 'sending' || this.#phase === 'receiving') this.deadlineMs = coarseNowMs() + this.#idleTimeoutMs
  }

  /** @internal */
  breakOff(error: unknown): void {
    this.#fail('internal', error as Error)
  }

  #fail(failure: WireFailure, cause: Error | null): void {
    const exchange = this.#exchange
    this.#exchange = null
    this.destroy()
    exchange?.onFailure(failure, cause)
  }

  #gone(): void {
    if (this.#phase === 'closed') return
    this.#phase = 'closed'
    this.deadlineMs = Number.POSITIVE_INFINITY
    unwatch(this)
    this.#host.ended(this)
    const owner = this.#owner
    this.#owner = null
    owner?.onGone()
  }
}

/** After waiting this long for a response, a request that the client aborts casts doubt on the connection. */
const DOUBT_MS = 1000

/** The overhead counted for each interim head, as for a field in RFC 9113 section 6.5.2. */
const FIELD_BYTES = 32

/** Codes with which node:http2 itself resets a stream. */
const BREACHES: ReadonlySet<string> = new Set(['PROTOCOL_ERROR', 'ENHANCE_YOUR_CALM'])

/** The name of an error code of RFC 9113 section 7. */
export function nameOf(code: number): string {
  const name = Object.entries(constants).find(
    ([key, value]) => value === code && /^NGHTTP2_[A-Z0-9_]+$/.test(key) && NAMES.has(key),
  )
  return name === undefined ? String(code) : name[0].replace('NGHTTP2_', '')
}

const NAMES: ReadonlySet<string> = new Set(
  ...[
    [
      ...['NO_ERROR', 'PROTOCOL_ERROR', 'INTERNAL_ERROR', 'FLOW_CONTROL_ERROR', 'STREAM_CLOSED', 'FRAME_SIZE_ERROR'],
      ...['REFUSED_STREAM', 'CANCEL', 'COMPRESSION_ERROR', 'CONNECT_ERROR', 'ENHANCE_YOUR_CALM', 'INADEQUATE_SECURITY'],
      'HTTP_1_1_REQUIRED',
    ].map((name) => `NGHTTP2_${name}`),
  ],
)
