/**
 * The interface of connections to a server, whichever protocol they speak.
 */
import type { Socket, TcpSocketConnectOpts } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import type { ReaderLimits } from './fields.ts'
import type { ResponseSink } from './http1.ts'
import type { ResponseHead } from './response-head.ts'

/** How an attempt failed. */
export type WireFailure =
  | 'connect'
  | 'connect-timeout'
  /** No connection could be opened, because this system ran out of file descriptors, ports or memory. */
  | 'overloaded'
  | 'response-head'
  | 'refused-stream'
  | 'headers-timeout'
  | 'response-malformed'
  | 'response-body'
  | 'idle-timeout'
  | 'internal'

/** Receives the answer to one request on one connection. Nothing is called after `onEnd` or `onFailure`. */
export interface ClientExchange extends ResponseSink {
  /** The connection is open; not called if it was open already when it was taken. */
  onReady(): void
  /** All bytes that have arrived so far are reported: what was held back for a larger write can be sent on. */
  onPause(): void
  /** The server reads again: more body bytes may be sent. */
  onDrain(): void
  /** The request was answered with 101: call the connection's `detach` for the socket. */
  onUpgrade(head: ResponseHead): void
  onFailure(failure: WireFailure, cause: Error | null): void
}

/** The owner of a connection that is not shared. */
export interface ConnectionOwner {
  /** Its exchange is over, and it can take the next one. */
  onIdle(): void
  /** The connection is closed. */
  onGone(): void
}

/** How to reach a server, and how long to wait for it. Times in milliseconds. */
export interface PoolSettings {
  readonly hostname: string
  readonly port: number
  /** The path of its Unix socket, used instead of host and port; null for none. */
  readonly socketPath: string | null
  /** Options for node:tls, or null for plain TCP. */
  readonly tls: ConnectionOptions | null
  readonly connectTimeoutMs: number
  /** From the request's last byte, or the last interim head, to the end of the answer's head. */
  readonly headersTimeoutMs: number
  /** Without a byte in either direction. */
  readonly idleTimeoutMs: number
  /** An idle connection is closed after this; it must be below the server's own limit. */
  readonly keepAliveMs: number
  /** Idle connections beyond this number are closed. */
  readonly maxIdle: number
  readonly limits: ReaderLimits
  readonly lenient: boolean
}

/** Connections opened, and exchanges that reused one. */
export interface PoolCounts {
  connects: number
  reuses: number
  /** Answers that broke a rule of RFC 9112 and were accepted all the same. */
  repaired: number
}

/** How a server with several addresses is reached. */
export type Dial = Pick<TcpSocketConnectOpts, 'host' | 'lookup' | 'autoSelectFamily' | 'autoSelectFamilyAttemptTimeout'>

/** One exchange at a time: `send`, then body bytes, then `finish`; the exchange receives the answer. */
export interface ServerConnection {
  /** Can take another exchange. */
  readonly usable: boolean
  /** The connection is open. */
  readonly ready: boolean
  /** It has served another exchange before this one. */
  readonly reused: boolean
  /** At least one byte of the answer to the current exchange has arrived. */
  readonly answered: boolean
  /** From now on the connection is never shared: after each exchange it goes back to its owner. */
  claim(owner: ConnectionOwner): void
  /** Begins another exchange on an owned connection, which must be `usable`. */
  reuse(exchange: ClientExchange): void
  /** Close the connection after this exchange, whose final head has arrived. */
  retire(): void
  /** Other limits than the pool's for the current exchange, in milliseconds; null leaves the pool's. Before `send`. */
  limit(headersTimeoutMs: number | null, idleTimeoutMs: number | null): void
  /** @param head of HTTP/1.1, with its empty line, a Latin-1 string @param upgrade it asks for one */
  send(head: string, method: string, upgrade: boolean): void
  /**
   * Sends body bytes.
   * @param written called once they have been written to the socket, or undefined; over HTTP/2 it is not called
   * @returns false where the server does not keep up: wait for `onDrain`
   */
  write(bytes: Buffer, written?: () => void): boolean
  /** The same, for a body of undeclared length. */
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
  /** Null: connect to the host name of the settings. */
  dial: Dial | null
  /** Connections that are open or being opened. */
  readonly open: number
  /** Exchanges under way. */
  readonly active: number
  /** Connections without an exchange. */
  readonly idle: number
  /** Connections opened, and exchanges that reused one. */
  readonly connects: number
  readonly reuses: number
  /** A connection for one exchange. @param mostIdleMs connections idle for longer are not taken; 0: open a new one */
  take(exchange: ClientExchange, mostIdleMs: number): ServerConnection
  /** A separate, empty pool for the same server. @param maxIdle idle connections that it keeps */
  another(maxIdle: number): ConnectionPool
  /** Closes idle connections now, the others when their exchange is over. */
  close(): void
}
