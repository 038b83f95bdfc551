/**
 * The interface of a public server to the process that runs it.
 */
import type { Socket } from 'node:net'
import type { Descriptors } from './descriptors.ts'
import type { Bound, ListenPlace } from './listen-at.ts'
import type { HandshakeTerms } from './tls/handshakes.ts'

/** Settings of the public server. Times in milliseconds. */
export interface ListenSettings {
  /** Where clients are accepted. */
  readonly places: readonly ListenPlace[]
  /** Clients may speak HTTP/2 without TLS. Default false. */
  readonly h2c?: boolean
  /** For places with TLS; null without any. */
  readonly tls: HandshakeTerms | null
  /** Maximum size of the request line and all headers, in bytes. */
  readonly maxHeaderBytes: number
  /** Maximum number of headers; the engine answers those beyond it. Default 256. */
  readonly maxHeaderFields?: number
  /** From the first byte of a request, or from the connection, to the end of the headers. */
  readonly headersTimeoutMs: number
  /** Idle connections are closed after this. */
  readonly keepAliveMs: number
  /** A connection whose client accepts nothing of what it is sent is closed after this. Default 60 s. */
  readonly sendTimeoutMs?: number
}

export const DEFAULT_SEND_TIMEOUT_MS = 60_000

/** How often a drain closes idle connections. */
export const DRAIN_TICK_MS = 50

/** Options of a drain. */
export interface DrainTerms {
  /** Remaining connections are cut after this, milliseconds. */
  readonly timeoutMs: number
  /**
   * Keeps idle connections until their next request, which gets `Connection: close`: closing them could hit a request in
   * flight. Default false.
   */
  readonly patient?: boolean
}

/** Accepts clients, and serves them until it is drained. */
export interface PublicServer {
  /** Called for each closed connection. */
  onClosed: () => void
  /** Decides whether a new connection may stay, and counts those that can't be accepted. */
  descriptors: Pick<Descriptors, 'mayKeep' | 'lost'> | null
  /** Open connections. */
  readonly connections: number
  /**
   * Starts accepting connections.
   * @returns the bound address of each place, with the actual port for port 0
   * @throws errors of node:net, such as EADDRINUSE
   */
  listen(): Promise<Bound[]>
  /** Starts serving connections that another process accepts, without listening on a port. */
  open(): void
  /** Serves a connection that was accepted at a place, by another part of this process. */
  take(socket: Socket, place: Pick<ListenPlace, 'tls'>): void
  /** Stops accepting, finishes requests in flight, and resolves when the last connection is closed. */
  drain(terms: DrainTerms): Promise<void>
  /** Ends a drain now: cuts the remaining connections. */
  hurry(): void
}

/** Share of a drain over which upgraded connections are ended; the rest is for them to close. */
const ENDING_SHARE = 0.8

/**
 * Ends upgraded connections one after the other, so that their clients do not all come back at once.
 * @param ends functions that end one each
 * @param timeoutMs of the drain
 * @returns stops it
 */
export function endSpread(ends: readonly (() => void)[], timeoutMs: number): () => void {
  const spanMs = timeoutMs * ENDING_SHARE
  const startMs = performance.now()
  let ended = 0
  const timer = setInterval(() => {
    const share = Math.min((performance.now() - startMs) / spanMs, 1)
    while (ended < Math.ceil(ends.length * share)) ends[ended++]!()
    if (ended === ends.length) clearInterval(timer)
  }, DRAIN_TICK_MS)
  return () => clearInterval(timer)
}
