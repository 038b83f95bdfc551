/**
 * What the connections to a server are to those that use them, whatever is spoken on them.
 */
import type { Socket, TcpSocketConnectOpts } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import type { ReaderLimits } from './fields.ts'
import type { ResponseSink } from './http1.ts'
import type { ResponseHead } from './response-head.ts'

/** Where an attempt broke. */
export type WireFailure =
  | 'connect'
  | 'connect-timeout'
  /** No connection could be made, since this system has no more of something. */
  | 'overloaded'
  | 'response-head'
  | 'refused-stream'
  | 'headers-timeout'
  | 'response-malformed'
  | 'response-body'
  | 'idle-timeout'
  | 'internal'

/** Who asked: receives the answer to one request on one connection. After `onEnd` or `onFailure` nothing more comes. */
export interface ClientExchange extends ResponseSink {
  /** The connection stands; not called where it stood already when it was taken. */
  onReady(): void
  /** All bytes that had arrived so far have been reported: what was held back for a larger write can go on. */
  onPause(): void
  /** The server reads again: body bytes may follow. */
  onDrain(): void
  /** The request was answered with 101: the connection's `detach` gives the socket. */
  onUpgrade(head: ResponseHead): void
  onFailure(failure: WireFailure, cause: Error | null): void
}

/** Whom a connection belongs to that is not shared. */
export interface ConnectionOwner {
  /** Its exchange is over, and it can take the next one. */
  onIdle(): void
  /** It is gone. */
  onGone(): void
}

/** How to reach a server, and how long to wait for it. Times in milliseconds. */
export interface PoolSettings {
  readonly hostname: string
  readonly port: number
  /** The path of its Unix socket, which is connected to then; null for none. */
  readonly socketPath: string | null
  /** Options for node:tls, or null for plain TCP. */
  readonly tls: ConnectionOptions | null
  readonly connectTimeoutMs: number
  /** From the request's last byte, or the last interim head, to the end of the answer's head. */
  readonly headersTimeoutMs: number
  /** Without a byte in either direction. */
  readonly idleTimeoutMs: number
  /** An idle connection is closed after this; it must lie below the server's own limit. */
  readonly keepAliveMs: number
  /** Idle connections beyond this number are closed. */
  readonly maxIdle: number
  readonly limits: ReaderLimits
  readonly lenient: boolean
}

/** Connections made, and exchanges that found a kept-alive one. */
export interface PoolCounts {
  connects: number
  reuses: number
  /** Answers that broke a rule of RFC 9112, and were taken all the same. */
  repaired: number
}

/** How a server with several addresses is reached. */
export type Dial = Pick<TcpSocketConnectOpts, 'host' | 'lookup' | 'autoSelectFamily' | 'autoSelectFamilyAttemptTimeout'>

/** One exchange at a time: `send`, then body bytes, then `finish`; whoever asked hears the answer. */
export interface ServerConnection {
  /** Can take another exchange. */
  readonly usable: boolean
  /** The connection stands. */
  readonly ready: boolean
  /** It had served an exchange before this one. */
  readonly reused: boolean
  /** Some of the answer to the current exchange has come. */
  readonly answered: boolean
  /** From now on it is never shared: behind each exchange it is its owner's. */
  claim(owner: ConnectionOwner): void
  /** Begins another exchange on a connection that its owner has. It must be `usable`. */
  reuse(exchange: ClientExchange): void
  /** It serves nobody behind this exchange, whose final head has come. */
  retire(): void
  /** Other limits than the pool's for the current exchange, in milliseconds; null leaves the pool's. Before `send`. */
  limit(headersTimeoutMs: number | null, idleTimeoutMs: number | null): void
  /** @param head of HTTP/1.1, with its empty line, a Latin-1 string @param upgrade it asks for one */
  send(head: string, method: string, upgrade: boolean): void
  /**
   * Sends body bytes.
   * @param written called once they are on their way, or undefined; not called where that can't be told
   * @returns false where the server does not keep up: wait for `onDrain`
   */
  write(bytes: Buffer, written?: () => void): boolean
  /** The same, of a body whose length was not said. */
  writeChunk(bytes: Buffer, written?: () => void): boolean
  /** The request is complete. @param lastChunk of HTTP/1.1, with its trailers; null where the body is not chunked */
  finish(lastChunk: string | null): void
  /** The reader of the answer does not keep up. */
  pause(): void
  resume(): void
  /** Ends the exchange from our side; nothing more is reported. */
  abort(): void
  /** Hands the socket over after an upgrade. */
  detach(): { socket: Socket; rest: Buffer | null }
  destroy(): void
}

/** The connections to one server. */
export interface ConnectionPool {
  readonly settings: PoolSettings
  /** Null: at the host name of the settings. */
  dial: Dial | null
  /** Connections that stand or are being made. */
  readonly open: number
  /** Exchanges under way. */
  readonly active: number
  /** Connections without an exchange. */
  readonly idle: number
  /** Connections made, and exchanges that found one. */
  readonly connects: number
  readonly reuses: number
  /** A connection for one exchange. @param mostIdleMs one that has been idle for longer is left to others; 0: a new one */
  take(exchange: ClientExchange, mostIdleMs: number): ServerConnection
  /** An empty pool of its own kind, for others. @param maxIdle connections that are kept without an exchange */
  another(maxIdle: number): ConnectionPool
  /** Idle connections close now, the others when their exchange is over. */
  close(): void
}
