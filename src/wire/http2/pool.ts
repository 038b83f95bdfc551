/**
 * An HTTP/2 client for one server, with node:http2: few connections, each with many exchanges at a time (RFC 9113 section 9.1).
 */
import { type ClientHttp2Session, connect as connectHttp2, constants } from 'node:http2'
import { connect as connectTcp, Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { ClientExchange, ConnectionPool, Dial, PoolCounts, PoolSettings, WireFailure } from '../connections.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../deadlines.ts'
import { Shortages } from '../shortages.ts'
import { Http2Exchange, nameOf, type StreamHost } from './exchange.ts'

/** Most exchanges on one connection at a time; the server may allow fewer. */
const MAX_STREAMS = 100

/** The window of each stream: how much of an answer is buffered while the client doesn't read. */
const WINDOW_BYTES = 256 * 1024

/** The window of a connection. */
const CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024

const MAX_INVALID_FRAMES = 100

/** After this many invalid responses, a connection takes no more exchanges, before node:http2 would cut it at MAX_INVALID_FRAMES. */
const MAX_BREACHES = MAX_INVALID_FRAMES / 2

/** NGHTTP2_ERR_PROTO, for which node:http2 has no constant. */
const BREACH_ERRNO = -505

/** The connections to one server. */
export class Http2Pool implements ConnectionPool {
  readonly settings: PoolSettings
  dial: Dial | null = null
  /** @internal */
  readonly shortages = new Shortages()
  readonly #counted: PoolCounts
  readonly #sessions = new Set<Session>()
  #closed = false

  /** @param counted where connections are counted; it may live longer than the pool */
  constructor(settings: PoolSettings, counted: PoolCounts = { connects: 0, reuses: 0, repaired: 0 }) {
    this.settings = settings
    this.#counted = counted
  }

  get connects(): number {
    return this.#counted.connects
  }

  get reuses(): number {
    return this.#counted.reuses
  }

  get open(): number {
    return this.#sessions.size
  }

  get active(): number {
    let active = 0
    for (const session of this.#sessions) active += session.active
    return active
  }

  get idle(): number {
    let idle = 0
    for (const session of this.#sessions) if (session.active === 0) idle++
    return idle
  }

  /** An exchange on a connection that has room, else on a new one. No connection is too old: GOAWAY says which requests were not processed. */
  take(exchange: ClientExchange, _mostIdleMs: number): Http2Exchange {
    for (const session of this.#sessions) {
      if (!session.hasRoom) continue
      this.#counted.reuses++
      return new Http2Exchange(session, exchange, true)
    }
    this.#counted.connects++
    const session = new Session(this)
    this.#sessions.add(session)
    return new Http2Exchange(session, exchange, false)
  }

  another(maxIdle: number): Http2Pool {
    return new Http2Pool({ ...this.settings, maxIdle })
  }

  close(): void {
    this.#closed = true
    for (const session of [...this.#sessions]) session.endSoon()
  }

  /** @internal */
  get closed(): boolean {
    return this.#closed
  }

  /** @internal */
  forget(session: Session): void {
    this.#sessions.delete(session)
  }
}

/** One connection. */
class Session implements StreamHost, Watched {
  readonly #pool: Http2Pool
  readonly #socket: Socket
  readonly #exchanges = new Set<Http2Exchange>()
  #session: ClientHttp2Session | null = null
  #isOver = false
  #isDoubted = false
  #breaches = 0
  #lastError: Error | null = null
  deadlineMs: number

  constructor(pool: Http2Pool) {
    this.#pool = pool
    const { settings } = pool
    this.#socket = this.#connect()
    this.#socket.on('error', (error) => {
      this.#lastError = error
    })
    this.#socket.on('close', () => {
      this.#over(this.#session === null ? pool.shortages.unmade(this.#lastError) : 'connect')
    })
    this.#socket.once(settings.tls === null ? 'connect' : 'secureConnect', () => this.#onConnected())
    watch(this)
    this.deadlineMs = coarseNowMs() + settings.connectTimeoutMs
  }

  get settings(): PoolSettings {
    return this.#pool.settings
  }

  get session(): ClientHttp2Session | null {
    return this.#session
  }

  get active(): number {
    return this.#exchanges.size
  }

  get hasRoom(): boolean {
    if (this.#isOver || this.#isDoubted || this.#pool.closed) return false
    const session = this.#session
    if (session === null) return this.active < MAX_STREAMS
    if (session.closed || session.destroyed) return false
    return this.active < Math.min(session.remoteSettings.maxConcurrentStreams ?? MAX_STREAMS, MAX_STREAMS)
  }

  get lastError(): Error | null {
    return this.#lastError
  }

  breached(): void {
    if (++this.#breaches === MAX_BREACHES) this.endSoon()
  }

  begun(exchange: Http2Exchange): void {
    this.#exchanges.add(exchange)
    if (this.#session !== null) this.deadlineMs = Number.POSITIVE_INFINITY
  }

  ended(exchange: Http2Exchange): void {
    this.#exchanges.delete(exchange)
    if (this.active > 0 || this.#session === null) return
    if (this.#isDoubted) this.#session.destroy()
    else if (this.#pool.closed || this.settings.keepAliveMs === 0) this.endSoon()
    else this.deadlineMs = coarseNowMs() + this.settings.keepAliveMs
  }

  /**
   * Sends SETTINGS; until they are acknowledged, new exchanges use other connections. TCP would notice a vanished peer only after a quarter of
   * an hour. Not a PING: servers of gRPC close a connection, with all streams on it, on which a fourth one comes within five minutes.
   */
  doubt(): void {
    const session = this.#session
    if (this.#isDoubted || session === null || session.destroyed) return
    this.#isDoubted = true
    session.settings({}, (error) => {
      this.#isDoubted = error !== null
    })
  }

  /** Takes no more exchanges, and closes after the last one. */
  endSoon(): void {
    if (this.#session === null) {
      if (this.active === 0) this.#socket.destroy()
    } else this.#session.close()
  }

  /** The connect timeout or the keep-alive limit has passed. */
  expire(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY
    if (this.#session === null) {
      this.#over('connect-timeout')
      this.#socket.destroy()
    } else if (this.active === 0) this.#session.close()
  }

  #connect(): Socket {
    const { hostname, port, socketPath, tls } = this.settings
    const where = this.#pool.dial ?? { host: hostname }
    const address = socketPath === null ? { ...where, port, noDelay: true } : { path: socketPath }
    const shortage = this.#pool.shortages.refusal()
    if (shortage !== null) return new Socket().destroy(shortage)
    try {
      return tls === null ? connectTcp(address) : connectTls({ ...tls, ...address, ALPNProtocols: ['h2'] })
    } catch (error) {
      // Arguments that node rejects count as a failed connection.
      return new Socket().destroy(error as Error)
    }
  }

  #onConnected(): void {
    if (this.#isOver) return
    const { tls, limits, hostname } = this.settings
    const socket = this.#socket
    this.#pool.shortages.hasStood = true
    if (tls !== null && (socket as TLSSocket).alpnProtocol !== 'h2') {
      this.#lastError = new Error('the server does not offer HTTP/2 (ALPN h2)')
      socket.destroy()
      return
    }
    const session = connectHttp2(
      `${tls === null ? 'http' : 'https'}://${hostname.includes(':') ? 'server' : hostname}`,
      {
        createConnection: () => socket,
        settings: {
          enablePush: false,
          initialWindowSize: WINDOW_BYTES,
          maxHeaderListSize: limits.maxHeadBytes + 32 * limits.maxFields,
        },
        maxHeaderListPairs: limits.maxFields,
        maxSessionInvalidFrames: MAX_INVALID_FRAMES,
        strictSingleValueFields: false,
      } as object,
    )
    this.#session = session
    this.#keepOthers(session)
    this.deadlineMs = this.active === 0 ? coarseNowMs() + this.settings.keepAliveMs : Number.POSITIVE_INFINITY
    session.on('error', (error) => {
      this.#lastError ??= new Error(`HTTP/2: ${error.message}`)
    })
    session.on('goaway', (code, lastStreamId) => {
      if (code !== constants.NGHTTP2_NO_ERROR) {
        this.#lastError = new Error(`the server has ended the connection (${nameOf(code)})`)
      }
      for (const exchange of this.#exchanges) exchange.onGoaway(lastStreamId)
    })
    session.on('close', () => this.#over('response-head'))
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES)
    for (const exchange of [...this.#exchanges]) exchange.onSession()
  }

  /**
   * On a body that is longer than its Content-Length, or not allowed at all, nghttp2 resets the stream, as RFC 9113 section 8.1.1 requires.
   * node:http2 treats it as a connection error and would end all streams. This lets it do so only if no stream was reset.
   */
  #keepOthers(session: ClientHttp2Session): void {
    const destroy = session.destroy.bind(session)
    session.destroy = (error, code) => {
      if (session.destroyed || (error as NodeJS.ErrnoException | undefined)?.errno !== BREACH_ERRNO)
        return destroy(error, code)
      const before = this.#breaches
      setImmediate(() => {
        if (this.#breaches === before) destroy(error, code)
      })
    }
  }

  #over(failure: WireFailure): void {
    if (this.#isOver) return
    this.#isOver = true
    this.deadlineMs = Number.POSITIVE_INFINITY
    unwatch(this)
    this.#pool.forget(this)
    const isUnmade = this.#session === null
    for (const exchange of [...this.#exchanges]) exchange.onLost(isUnmade ? failure : null, this.#lastError)
  }
}
