/**
 * The public server: its connections, their limits, and drain. An accepted connection passes through the PROXY protocol header and the TLS
 * handshake, where configured, and is then served as HTTP/1.1 or HTTP/2.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Descriptors } from '../descriptors.ts'
import { type ConnectionTerms, Http1Connection } from '../http1/connection.ts'
import { Http2Connections } from '../http2/connections.ts'
import { acceptWaiting, type Bound, type ListenPlace, listenAt } from '../listen-at.ts'
import {
  DEFAULT_SEND_TIMEOUT_MS,
  DRAIN_TICK_MS,
  type DrainTerms,
  endSpread,
  type ListenSettings,
  type PublicServer,
} from '../listener.ts'
import type { ProxiedConnections } from '../proxied.ts'
import type { Client, RequestHandler } from '../request.ts'
import { SendTimeout } from '../send-timeout.ts'
import { addressOf, endOther } from '../sockets.ts'
import { Handshakes } from '../tls/handshakes.ts'

/** A server on plain sockets: all protocols except TLS are banyan's own code. */
export class SocketServer implements PublicServer {
  readonly #servers: Server[] = []
  #accepted = 0
  readonly #settings: ListenSettings
  readonly #engine: RequestHandler & { draining: boolean }
  readonly #terms: ConnectionTerms
  readonly #connections = new Map<Socket, Http1Connection>()
  readonly #http2: Http2Connections | null
  readonly #sendTimeout: SendTimeout
  readonly #proxied: ProxiedConnections | null
  readonly #handshakes: Handshakes | null
  onClosed: () => void = () => {}
  descriptors: Pick<Descriptors, 'mayKeep' | 'lost'> | null = null
  #hurry: () => void = () => {}
  #oneClosed: () => void = () => {}

  /** @param proxied the peers that send PROXY protocol headers; null for none */
  constructor(
    settings: ListenSettings,
    engine: RequestHandler & { draining: boolean },
    proxied: ProxiedConnections | null = null,
  ) {
    this.#proxied = proxied
    this.#settings = settings
    this.#engine = engine
    this.#http2 = settings.h2c || settings.tls !== null ? new Http2Connections(settings, engine, this.#lost) : null
    const { maxHeaderBytes, headersTimeoutMs, keepAliveMs } = settings
    const hint = keepAliveMs < 1000 ? '' : `Keep-Alive: timeout=${Math.floor(keepAliveMs / 1000)}\r\n`
    this.#terms = {
      ...{ engine, maxHeaderBytes, headersTimeoutMs, keepAliveMs },
      keepAliveText: `Connection: keep-alive\r\n${hint}`,
      onClosed: (connection) => this.#forget(connection),
      onHttp2: settings.h2c ? (connection) => this.#give(connection) : null,
    }
    this.#handshakes = settings.tls === null ? null : new Handshakes(settings.tls, PROTOCOLS)
    const { sendTimeoutMs = DEFAULT_SEND_TIMEOUT_MS } = settings
    const isExempt = (socket: Socket): boolean => this.#connections.get(socket)?.limitsTime === true
    this.#sendTimeout = new SendTimeout(sendTimeoutMs, { [Symbol.iterator]: () => this.#connections.keys() }, isExempt)
  }

  async listen(): Promise<Bound[]> {
    const bound: Bound[] = []
    for (const place of this.#settings.places) {
      const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
        this.#accepted++
        this.take(socket, place)
      })
      bound.push(await listenAt(server, place, ({ message }) => this.descriptors?.lost(1, message)))
      this.#servers.push(server)
    }
    return bound
  }

  open(): void {}

  take(socket: Socket, { tls = false }: Pick<ListenPlace, 'tls'>): void {
    if (socket.destroyed || this.descriptors?.mayKeep(socket) === false) {
      socket.destroy()
      this.onClosed()
      return
    }
    const serve = tls ? this.#secure : this.#serve
    if (this.#proxied === null) serve(socket, { remoteAddress: addressOf(socket), subject: null, proxied: false })
    else this.#proxied.open(socket, serve, this.#lost)
  }

  /** Does the TLS handshake, then serves the connection in the protocol that the client has chosen by ALPN. */
  readonly #secure = (socket: Socket, client: Client): void => {
    const serve = (secured: TLSSocket, subject: string | null): void => {
      switch (secured.alpnProtocol) {
        case 'h2':
          this.#serveHttp2(secured, { ...client, subject })
          break
        default:
          this.#serve(secured, { ...client, subject })
      }
    }
    this.#handshakes!.begin(socket, client.remoteAddress, serve, this.#lost)
  }

  readonly #serve = (socket: Socket, client: Client): void => {
    const connection = new Http1Connection(socket, this.#terms, client)
    this.#connections.set(connection.socket, connection)
    if (this.#engine.draining) connection.endSoon()
    connection.begin()
  }

  get connections(): number {
    return (
      this.#connections.size + (this.#http2?.size ?? 0) + (this.#proxied?.waiting ?? 0) + (this.#handshakes?.count ?? 0)
    )
  }

  async drain({ timeoutMs, patient = false }: DrainTerms): Promise<void> {
    this.#engine.draining = true
    const connections = this.#connections
    for (const connection of connections.values()) connection.endSoon()
    this.#http2?.endSoon()
    const closeIdle = (): void => {
      this.#handshakes?.closeIdle()
      for (const connection of connections.values()) connection.closeIdle()
    }
    let tick: NodeJS.Timeout | undefined
    const closed = acceptWaiting(() => this.#accepted).then(() => {
      for (const server of this.#servers) server.close()
      // Requests that arrived with the last connections have been read.
      if (!patient) tick = setInterval(closeIdle, DRAIN_TICK_MS)
    })
    const cut = (): void => {
      this.#proxied?.cut()
      this.#handshakes?.cut()
      for (const connection of connections.values()) connection.destroy()
      this.#http2?.cut()
    }
    this.#hurry = cut
    const deadline = setTimeout(cut, timeoutMs)
    const others = [...connections.values()].filter(({ isOther }) => isOther)
    const endings = others.map(
      ({ socket }) =>
        () =>
          endOther(socket),
    )
    const stopEnding = endSpread([...endings, ...(this.#http2?.endings ?? [])], timeoutMs)
    await closed
    while (this.connections > 0) {
      await new Promise<void>((resolve) => {
        this.#oneClosed = resolve
      })
    }
    clearInterval(tick)
    stopEnding()
    clearTimeout(deadline)
    this.#sendTimeout.close()
    this.#http2?.close()
  }

  hurry(): void {
    this.#hurry()
  }

  /** Hands a connection over to HTTP/2 (prior knowledge). */
  #give(connection: Http1Connection): void {
    this.#connections.delete(connection.socket)
    if (connection.dead) this.#lost()
    else this.#serveHttp2(connection.socket, connection)
  }

  #serveHttp2(socket: Socket, client: Client): void {
    this.#http2!.take(socket, client)
    if (this.#engine.draining) this.#http2!.endSoon()
  }

  #forget(connection: Http1Connection): void {
    this.#connections.delete(connection.socket)
    this.#lost()
  }

  /** A connection is closed. */
  readonly #lost = (): void => {
    this.onClosed()
    this.#oneClosed()
  }
}

/** Protocols offered by ALPN (RFC 7301), by preference. */
const PROTOCOLS = ['h2', 'http/1.1']
