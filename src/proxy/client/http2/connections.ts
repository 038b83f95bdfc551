/**
 * Client connections that speak HTTP/2: their limits, and drain. They come from a plain listener (by prior knowledge) or from a TLS
 * listener (ALPN `h2`).
 */
import type { Socket } from 'node:net'
import { CODE } from '../../../wire/http2/protocol.ts'
import { DEFAULT_SEND_TIMEOUT_MS, type ListenSettings } from '../listener.ts'
import type { Client, RequestHandler } from '../request.ts'
import { SendTimeout } from '../send-timeout.ts'
import { endOther } from '../sockets.ts'
import { Http2Connection, type Http2Terms } from './connection.ts'
import { MAX_HELD_BYTES, sectionLimits } from './limits.ts'

/** How often all connections are checked. */
const MAX_CHECK_MS = 1000
const MIN_CHECK_MS = 20

/** All HTTP/2 connections of one server. */
export class Http2Connections {
  readonly #terms: Http2Terms
  readonly #connections = new Map<Socket, Http2Connection>()
  readonly #sendTimeout: SendTimeout
  readonly #tick: ReturnType<typeof setInterval>

  /** @param onClosed called for each closed connection */
  constructor(settings: ListenSettings, engine: RequestHandler, onClosed: () => void) {
    const { maxHeaderBytes, maxHeaderFields = 256, headersTimeoutMs, keepAliveMs } = settings
    const { sendTimeoutMs = DEFAULT_SEND_TIMEOUT_MS } = settings
    this.#terms = {
      ...{ engine, maxHeaderBytes, headersTimeoutMs, keepAliveMs, sendTimeoutMs },
      section: sectionLimits(maxHeaderBytes, maxHeaderFields),
      onClosed: (connection) => {
        this.#connections.delete(connection.socket)
        onClosed()
      },
    }
    const isExempt = (socket: Socket): boolean => this.#connections.get(socket)?.limitsTime === true
    this.#sendTimeout = new SendTimeout(sendTimeoutMs, { [Symbol.iterator]: () => this.#connections.keys() }, isExempt)
    const shortestMs = Math.min(sendTimeoutMs, headersTimeoutMs, keepAliveMs)
    const everyMs = Math.min(Math.max(shortestMs / 4, MIN_CHECK_MS), MAX_CHECK_MS)
    this.#tick = setInterval(this.#checkSoon, everyMs)
    this.#tick.unref()
  }

  /** Open connections. */
  get size(): number {
    return this.#connections.size
  }

  /** Serves a connection whose client speaks HTTP/2. Any bytes read from it have been put back (`unshift`). */
  take(socket: Socket, client: Client): void {
    const connection = new Http2Connection(socket, this.#terms, client)
    if (!socket.destroyed) this.#connections.set(socket, connection)
  }

  /** Accepts no more requests on any connection; each closes after its last one. */
  endSoon(): void {
    for (const connection of [...this.#connections.values()]) connection.endSoon()
  }

  /** One function for each tunnel, which ends it. */
  get endings(): (() => void)[] {
    return [...this.#connections.values()].flatMap(({ others }) =>
      others.map(
        ({ tunnel }) =>
          () =>
            endOther(tunnel!),
      ),
    )
  }

  cut(): void {
    for (const connection of [...this.#connections.values()]) connection.destroy()
  }

  close(): void {
    clearInterval(this.#tick)
    this.#sendTimeout.close()
  }

  /** Lets the sockets be read first: if this process was stalled, what a timeout waits for may have arrived meanwhile. */
  readonly #checkSoon = (): void => {
    const nowMs = performance.now()
    setImmediate(() => this.check(nowMs))
  }

  /** @param nowMs of a monotonic clock */
  check(nowMs: number): void {
    for (const connection of [...this.#connections.values()]) connection.check(nowMs)
    let held = 0
    const holders: { readonly connection: Http2Connection; readonly bytes: number }[] = []
    for (const connection of this.#connections.values()) {
      const bytes = connection.heldBytes
      held += bytes
      holders.push({ connection, bytes })
    }
    if (held <= MAX_HELD_BYTES) return
    holders.sort((a, b) => b.bytes - a.bytes)
    for (const { connection, bytes } of holders) {
      if (held <= MAX_HELD_BYTES) return
      connection.destroy(CODE.calm)
      held -= bytes
    }
  }
}
