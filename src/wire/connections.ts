/**
 * What the connections to a server are to those that use them, whatever is spoken on them.
 */
import type { Socket } from 'node:net'
import type { ClientExchange, ConnectionOwner, Dial, PoolSettings } from './client.ts'

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
