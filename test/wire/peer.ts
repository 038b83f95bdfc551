/**
 * A server of raw connections and a client exchange that records, for the tests of the connection pool.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { afterEach, expect } from 'vitest'
import { type ClientExchange, type PoolSettings, ServerPool, type WireFailure } from '../../src/wire/client.ts'
import { DEFAULT_LIMITS } from '../../src/wire/http1.ts'
import type { Connection } from '../../src/wire/http1-connection.ts'
import type { ResponseHead } from '../../src/wire/response-head.ts'

/** One connection as the server sees it. */
export interface ServerSide {
  readonly socket: Socket
  /** All bytes received, Latin-1. */
  received: string
  readonly closed: Promise<void>
}

/** Gives connections to a test in the order in which they came. */
export class Peer {
  readonly #server: Server
  readonly #event: 'connection' | 'secureConnection'
  readonly #sockets = new Set<Socket>()
  readonly connections: ServerSide[] = []
  /** Called for each request head (as all requests here, without a body) with its connection and that one's number, from 0. */
  answer: (side: ServerSide, number: number) => void = (side) =>
    side.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')

  constructor(tls: TlsOptions | null = null) {
    this.#event = tls === null ? 'connection' : 'secureConnection'
    const take = (socket: Socket): void => this.#take(socket)
    this.#server = tls === null ? createServer({ allowHalfOpen: true }, take) : createTlsServer(tls, take)
    // A client that breaks off a handshake, as some tests make it do.
    this.#server.on('tlsClientError', () => {})
  }

  #take(socket: Socket): void {
    this.#sockets.add(socket)
    const number = this.connections.length
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    const side: ServerSide = { socket, received: '', closed }
    this.connections.push(side)
    let rest = ''
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('data', (bytes: Buffer) => {
      side.received += bytes.toString('latin1')
      rest += bytes.toString('latin1')
      for (let end = rest.indexOf('\r\n\r\n'); end !== -1; end = rest.indexOf('\r\n\r\n')) {
        rest = rest.slice(end + 4)
        this.answer(side, number)
      }
    })
  }

  /** The connection of that number, once it has come. */
  async connection(number: number): Promise<ServerSide> {
    for (;;) {
      const side = this.connections[number]
      if (side !== undefined) return side
      await once(this.#server, this.#event)
    }
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** Settings with which nothing expires while a test runs; `over` replaces some. */
export function poolFor(port: number, over: Partial<PoolSettings> = {}): ServerPool {
  return new ServerPool({
    hostname: '127.0.0.1',
    port,
    socketPath: null,
    tls: null,
    connectTimeoutMs: 120_000,
    headersTimeoutMs: 120_000,
    idleTimeoutMs: 120_000,
    keepAliveMs: 120_000,
    maxIdle: 8,
    limits: DEFAULT_LIMITS,
    lenient: false,
    ...over,
  })
}

/**
 * What a test file sets up a peer and a pool to it with, in each test. They are closed after the test, in which no exchange of a
 * pool may have been left.
 */
export function setUpPools(): (
  over?: Partial<PoolSettings>,
  tls?: TlsOptions,
) => Promise<{ peer: Peer; pool: ServerPool }> {
  const peers: Peer[] = []
  const pools: ServerPool[] = []
  afterEach(async () => {
    for (const pool of pools.splice(0)) {
      pool.close()
      expect(pool.active).toBe(0)
    }
    for (const peer of peers.splice(0)) await peer.close()
  })
  return async (over = {}, tls) => {
    const peer = new Peer(tls)
    const pool = poolFor(await peer.listen(), over)
    peers.push(peer)
    pools.push(pool)
    return { peer, pool }
  }
}

/** One exchange, recorded. */
export class Recording implements ClientExchange {
  connection: Connection | null = null
  readonly interim: number[] = []
  status = 0
  body = ''
  trailers: string[] = []
  failure: WireFailure | null = null
  cause: Error | null = null
  upgraded = false
  /** Calls of onEnd and onFailure together: never more than one. */
  ends = 0
  readonly drained: Promise<void>
  readonly over: Promise<void>
  readonly ready: Promise<void>
  #overNow!: () => void
  #readyNow!: () => void
  #drainedNow!: () => void
  onHeadDo: (() => void) | null = null
  onInformationDo: (() => void) | null = null

  constructor() {
    this.over = new Promise((resolve) => {
      this.#overNow = resolve
    })
    this.ready = new Promise((resolve) => {
      this.#readyNow = resolve
    })
    this.drained = new Promise((resolve) => {
      this.#drainedNow = resolve
    })
  }

  onReady(): void {
    this.#readyNow()
  }

  onPause(): void {}

  onDrain(): void {
    this.#drainedNow()
  }

  onInformation(head: ResponseHead): void {
    this.interim.push(head.status)
    this.onInformationDo?.()
  }

  onHead(head: ResponseHead): void {
    this.status = head.status
    this.onHeadDo?.()
  }

  onBody(piece: Buffer): void {
    this.body += piece.toString('latin1')
  }

  onEnd(rawTrailers: string[]): void {
    this.trailers = rawTrailers
    this.ends++
    this.#overNow()
  }

  onUpgrade(head: ResponseHead): void {
    this.status = head.status
    this.upgraded = true
    this.#overNow()
  }

  onFailure(failure: WireFailure, cause: Error | null): void {
    this.failure = failure
    this.cause = cause
    this.ends++
    this.#overNow()
  }
}

/** Starts a request without a body. */
export function ask(
  pool: ServerPool,
  over: { method?: string; mostIdleMs?: number; upgrade?: boolean } = {},
): Recording {
  const { method = 'GET', mostIdleMs = Number.POSITIVE_INFINITY, upgrade = false } = over
  const recording = new Recording()
  recording.connection = pool.take(recording, mostIdleMs)
  recording.connection.send(`${method} / HTTP/1.1\r\nHost: x.test\r\n\r\n`, method, upgrade)
  recording.connection.finish(null)
  return recording
}

/** The same, to its end. */
export async function exchange(
  pool: ServerPool,
  over: { method?: string; mostIdleMs?: number } = {},
): Promise<Recording> {
  const recording = ask(pool, over)
  await recording.over
  return recording
}
