/**
 * The public server in HTTP/1.1: its connections, their limits, and drain.
 */
import { createServer, type OnReadOpts, type Server, Socket, type SocketConstructorOpts } from 'node:net'
import type { Descriptors } from '../descriptors.ts'
import { type Bound, listenAt } from '../listen-at.ts'
import {
  DEFAULT_SEND_TIMEOUT_MS,
  DRAIN_TICK_MS,
  type DrainTerms,
  endSpread,
  type ListenSettings,
  type PublicServer,
} from '../listener.ts'
import type { ProxiedConnections } from '../proxied.ts'
import type { RequestHandler } from '../request.ts'
import { SendTimeout } from '../send-timeout.ts'
import { addressOf, endOther } from '../sockets.ts'
import { type ConnectionTerms, Http1Connection } from './connection.ts'

/** A server of banyan's own. */
export class Http1Server implements PublicServer {
  readonly #server: Server
  readonly #settings: ListenSettings
  readonly #engine: RequestHandler & { draining: boolean }
  readonly #terms: ConnectionTerms
  readonly #connections = new Map<Socket, Http1Connection>()
  readonly #sendTimeout: SendTimeout
  readonly #proxied: ProxiedConnections | null
  onClosed: () => void = () => {}
  descriptors: Pick<Descriptors, 'mayKeep' | 'lost'> | null = null
  #hurry: () => void = () => {}
  #oneClosed: () => void = () => {}

  /** @param proxied the peers that speak the PROXY protocol; null if there are none */
  constructor(
    settings: ListenSettings,
    engine: RequestHandler & { draining: boolean },
    proxied: ProxiedConnections | null = null,
  ) {
    this.#proxied = proxied
    this.#settings = settings
    this.#engine = engine
    const { maxHeaderBytes, headersTimeoutMs, keepAliveMs } = settings
    const hint = keepAliveMs < 1000 ? '' : `Keep-Alive: timeout=${Math.floor(keepAliveMs / 1000)}\r\n`
    this.#terms = {
      ...{ engine, maxHeaderBytes, headersTimeoutMs, keepAliveMs },
      keepAliveText: `Connection: keep-alive\r\n${hint}`,
      onClosed: (connection) => this.#forget(connection),
    }
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) =>
      this.take(socket),
    )
    const { sendTimeoutMs = DEFAULT_SEND_TIMEOUT_MS } = settings
    const isExempt = (socket: Socket): boolean => this.#connections.get(socket)?.limitsTime === true
    this.#sendTimeout = new SendTimeout(sendTimeoutMs, { [Symbol.iterator]: () => this.#connections.keys() }, isExempt)
  }

  async listen(): Promise<Bound> {
    return await listenAt(this.#server, this.#settings, ({ message }) => this.descriptors?.lost(1, message))
  }

  open(): void {}

  take(socket: Socket): void {
    if (socket.destroyed || this.descriptors?.mayKeep(socket) === false) {
      socket.destroy()
      this.onClosed()
      return
    }
    if (this.#proxied === null) this.#serve(socket, addressOf(socket))
    else {
      const lost = (): void => {
        this.onClosed()
        this.#oneClosed()
      }
      this.#proxied.open(socket, (opened, address) => this.#serve(opened, address), lost)
    }
  }

  #serve(socket: Socket, address: string | undefined): void {
    const connection = new Http1Connection(socket, this.#terms, wrapper(socket), address)
    this.#connections.set(connection.socket, connection)
    if (this.#engine.draining) connection.endSoon()
    connection.begin()
  }

  get connections(): number {
    return this.#connections.size + (this.#proxied?.waiting ?? 0)
  }

  async drain({ timeoutMs, patient = false }: DrainTerms): Promise<void> {
    this.#engine.draining = true
    if (this.#server.listening) this.#server.close()
    const connections = this.#connections
    for (const connection of connections.values()) connection.endSoon()
    const closeIdle = (): void => {
      for (const connection of connections.values()) connection.closeIdle()
    }
    const tick = patient ? undefined : setInterval(closeIdle, DRAIN_TICK_MS)
    const cut = (): void => {
      this.#proxied?.cut()
      for (const connection of connections.values()) connection.destroy()
    }
    this.#hurry = cut
    const deadline = setTimeout(cut, timeoutMs)
    const others = [...connections.values()].filter(({ isOther }) => isOther)
    const stopEnding = endSpread(
      others.map(
        ({ socket }) =>
          () =>
            endOther(socket),
      ),
      timeoutMs,
    )
    while (this.connections > 0) {
      await new Promise<void>((resolve) => {
        this.#oneClosed = resolve
      })
    }
    clearInterval(tick)
    stopEnding()
    clearTimeout(deadline)
    this.#sendTimeout.close()
  }

  hurry(): void {
    this.#hurry()
  }

  #forget(connection: Http1Connection): void {
    this.#connections.delete(connection.socket)
    this.onClosed()
    this.#oneClosed()
  }
}

/**
 * Gives a plain connection to a socket that reads into memory of ours: only one that is made by hand can (`onread`). `_handle` and
 * `handle` are node's own, and stable since 0.10; without them the connection is read as a stream.
 */
function wrapper(socket: Socket): ((onread: OnReadOpts) => Socket) | null {
  const from = socket as Socket & { _handle?: object | null; encrypted?: true }
  const { _handle: handle } = from
  if (handle === undefined || handle === null || from.encrypted === true) return null
  return (onread) => {
    from._handle = null
    const wrapped = new Socket({ handle, onread, allowHalfOpen: true } as unknown as SocketConstructorOpts)
    // It has nothing left to close; node's server counts it as gone.
    from.destroy()
    return wrapped
  }
}
