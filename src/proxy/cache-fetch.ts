/**
 * One request of the cache to an upstream, without a body: it belongs to no client, so that any number may hear its answer.
 */
import type { FailureCode } from '../rules/failure.ts'
import { requestHead } from '../rules/headers.ts'
import { mayRetry } from '../rules/resilience.ts'
import type { ServerState } from '../state/server-state.ts'
import type { UpstreamState, Upstreams } from '../state/upstreams.ts'
import type { ClientExchange, Connection, WireFailure } from '../wire/client.ts'
import type { ResponseHead } from '../wire/http1.ts'
import type { Exchange } from './exchange.ts'

/** What is asked for. */
export interface Order {
  /** The exchange that it is asked for; it need not live on. */
  readonly exchange: Exchange
  readonly upstream: string
  readonly method: 'GET' | 'HEAD'
  /** Fields in the place of the request's own If-None-Match and If-Modified-Since; null leaves those. */
  readonly conditions: readonly string[] | null
  /** The whole is asked for, whatever part the request wants. */
  readonly whole: boolean
}

/** Who hears the answer. After `onFetchEnd` or `onFetchFailed` nothing more comes. */
export interface FetchOwner {
  onFetchInformation(head: ResponseHead): void
  onFetchHead(head: ResponseHead, upstream: UpstreamState): void
  onFetchBody(piece: Buffer): void
  /** All that had arrived has been reported. */
  onFetchPause(): void
  onFetchEnd(rawTrailers: string[]): void
  onFetchFailed(failure: FailureCode, cause: Error | null): void
}

/** A request on its way to an upstream, with the one retry that is allowed. */
export class Fetch implements ClientExchange {
  readonly #upstreams: Upstreams
  readonly #order: Order
  readonly #owner: FetchOwner
  #upstream: UpstreamState | null = null
  #connection: Connection | null = null
  #attempts = 0
  #paused = false
  /** The server that answers, or was asked last; null before. */
  server: ServerState | null = null

  constructor(upstreams: Upstreams, order: Order, owner: FetchOwner) {
    this.#upstreams = upstreams
    this.#order = order
    this.#owner = owner
  }

  /** Attempts made beyond the first. */
  get retries(): number {
    return Math.max(0, this.#attempts - 1)
  }

  /** Its reader does not keep up. */
  get paused(): boolean {
    return this.#paused
  }

  start(): void {
    this.#attempt(null)
  }

  /** Gives it up; nothing more is reported. */
  abort(): void {
    this.#connection?.abort()
    this.#connection = null
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#connection?.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#connection?.resume()
  }

  #attempt(except: ServerState | null): void {
    const { exchange, method } = this.#order
    const upstream = this.#upstreams.get(this.#order.upstream)
    const failed = except === null ? null : { candidate: except, maySucceed: false }
    const server = upstream?.pick(exchange.view.chance, failed) ?? null
    if (upstream === undefined || server === null) {
      this.#owner.onFetchFailed('no-server', null)
      return
    }
    this.#upstream = upstream
    this.server = server
    this.#attempts++
    const connection = server.pool.take(this, this.#attempts > 1)
    this.#connection = connection
    connection.send(this.#head(upstream, server), method, false)
    connection.finish(null)
  }

  #head(upstream: UpstreamState, server: ServerState): string {
    const { exchange, method, conditions, whole } = this.#order
    const { view, said, peer, req } = exchange
    const { host } = upstream.settings
    const own = host === 'preserve' ? null : host === 'upstream' ? server.authority : host.literal
    const replaced = conditions === null ? view.rawHeaders : withConditions(view.rawHeaders, conditions, whole)
    return requestHead(`${method} ${view.target} HTTP/1.1\r\n`, replaced, said, {
      host: own ?? (said.hostCount === 0 ? server.authority : null),
      peerAddress: peer.address,
      peerTrusted: peer.trusted,
      proto: peer.tls ? 'https' : 'http',
      minor: req.httpVersionMinor,
      upgrade: null,
    })
  }

  onReady(): void {}
  onDrain(): void {}

  onInformation(head: ResponseHead): void {
    this.#owner.onFetchInformation(head)
  }

  onHead(head: ResponseHead): void {
    this.#owner.onFetchHead(head, this.#upstream as UpstreamState)
  }

  onBody(piece: Buffer): void {
    this.#owner.onFetchBody(piece)
  }

  onPause(): void {
    this.#owner.onFetchPause()
  }

  onEnd(rawTrailers: string[]): void {
    this.#connection = null
    this.#owner.onFetchEnd(rawTrailers)
  }

  /** A 101 that nobody asked for is malformed, and the reader says so: this is never called. */
  onUpgrade(): void {}

  onFailure(failure: WireFailure, cause: Error | null): void {
    const connection = this.#connection
    this.#connection = null
    const attempt = {
      failure,
      method: this.#order.method,
      attempts: this.#attempts,
      reused: connection?.reused ?? false,
      answered: connection?.answered ?? false,
      bodyConsumed: false,
    }
    if (mayRetry(attempt)) this.#attempt(this.server)
    else this.#owner.onFetchFailed(failure, cause)
  }
}

const CONDITIONS: ReadonlySet<string> = new Set(['if-none-match', 'if-modified-since'])
const RANGES: ReadonlySet<string> = new Set(['range', 'if-range'])

function withConditions(rawHeaders: readonly string[], conditions: readonly string[], whole: boolean): string[] {
  const fields: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const lower = (rawHeaders[i] as string).toLowerCase()
    if (CONDITIONS.has(lower) || (whole && RANGES.has(lower))) continue
    fields.push(rawHeaders[i] as string, rawHeaders[i + 1] as string)
  }
  fields.push(...conditions)
  return fields
}
