/**
 * A request of the cache to an upstream, with its one retry. It belongs to no client, so that any number may read the response.
 */
import type { FailureCode } from '../../rules/failures/failure.ts'
import type { Side } from '../../rules/http/exchange.ts'
import type { ServerState } from '../../state/upstreams/server-state.ts'
import type { UpstreamState } from '../../state/upstreams/upstream.ts'
import type { Upstreams } from '../../state/upstreams/upstreams.ts'
import type { WireFailure } from '../../wire/client.ts'
import type { ServerConnection } from '../../wire/connections.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../../wire/deadlines.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import type { Exchange } from '../exchange.ts'
import { type AttemptOwner, Attempts, guardOf } from '../upstream/attempts.ts'
import { requestHeadOf } from '../upstream/heads.ts'

/** What is asked for. */
export interface Order {
  /** The exchange that it is asked for; it need not live on. */
  readonly exchange: Exchange
  readonly upstream: string
  /** Of the route, or null. */
  readonly side: Side | null
  readonly method: 'GET' | 'HEAD'
  readonly target: string
  /** Fields that are known to select answers, lower case. */
  readonly vary: readonly string[]
  /** Fields in the place of the request's own If-None-Match and If-Modified-Since; null leaves those. */
  readonly conditions: readonly string[] | null
  /** The whole is asked for, whatever part the request wants. */
  readonly whole: boolean
}

/** Who hears the head of the answer, or that there is none. */
export interface UpstreamRequestOwner {
  onInformation(head: ResponseHead, upstream: UpstreamState): void
  onHead(head: ResponseHead, upstream: UpstreamState): void
  onFailed(failure: FailureCode, cause: Error | null): void
}

/** Who hears what comes behind the head. After `onEnd` or `onBroken` nothing more comes. */
export interface ResponseReader {
  onBody(piece: Buffer): void
  /** All that had arrived has been reported. */
  onPause(): void
  onEnd(rawTrailers: string[]): void
  onBroken(failure: FailureCode, cause: Error | null): void
}

/** A request on its way to an upstream, with the one retry that is allowed. */
export class UpstreamRequest implements AttemptOwner, Watched {
  readonly #order: Order
  readonly #owner: UpstreamRequestOwner
  readonly #attempts: Attempts
  #paused = false
  /** Set when the head is there. */
  reader: ResponseReader | null = null
  /** Attempts made beyond the first. */
  retries = 0
  /** Until when the head of an answer must have come. */
  deadlineMs = Number.POSITIVE_INFINITY

  constructor(upstreams: Upstreams, order: Order, owner: UpstreamRequestOwner) {
    this.#order = order
    this.#owner = owner
    this.#attempts = new Attempts(upstreams, this)
  }

  /** The server that answers, or was asked last; null before. */
  get server(): ServerState | null {
    return this.#attempts.server
  }

  /** Its reader does not keep up. */
  get paused(): boolean {
    return this.#paused
  }

  /** @param totalMs until the head of the answer must have come, or null */
  start(totalMs: number | null): void {
    const { exchange, upstream } = this.#order
    if (totalMs !== null) {
      watch(this)
      this.deadlineMs = coarseNowMs() + totalMs
    }
    this.#attempts.begin(upstream, guardOf(exchange), exchange)
  }

  /** Gives it up; nothing more is reported. */
  abort(): void {
    this.#inTime()
    this.#attempts.abort()
  }

  /** No head has come in time. */
  expire(): void {
    this.#inTime()
    this.#attempts.expire()
    this.#owner.onFailed('deadline', null)
  }

  #inTime(): void {
    if (this.deadlineMs === Number.POSITIVE_INFINITY) return
    this.deadlineMs = Number.POSITIVE_INFINITY
    unwatch(this)
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#attempts.connection?.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#attempts.connection?.resume()
  }

  onConnection(connection: ServerConnection, server: ServerState): void {
    const { exchange, side, method, target, conditions, whole, vary } = this.#order
    const { rawHeaders } = exchange.view
    const asked = conditions === null ? rawHeaders : withConditions(rawHeaders, conditions, whole)
    const request = { method, target, rawHeaders: asked, side }
    const head = requestHeadOf(exchange, request, null, this.#attempts.upstream!, server, vary)
    connection.send(head, method, false)
    connection.finish(null)
  }

  onRefused(failure: FailureCode): void {
    this.#inTime()
    this.#owner.onFailed(failure, null)
  }

  /** Others wait for this answer already, so that it is asked for all the same: the next ones go elsewhere. */
  onUnavailable(): void {
    this.#attempts.begin(this.#order.upstream, null, this.#order.exchange)
  }

  onReady(): void {}
  onDrain(): void {}

  onInformation(head: ResponseHead): void {
    this.#owner.onInformation(head, this.#attempts.upstream!)
  }

  onHead(head: ResponseHead): void {
    this.#inTime()
    this.#attempts.answered(head.status)
    this.#order.exchange.latencyMs ??= this.#attempts.headMs
    // It is nobody's in particular, and must not become everybody's.
    if (head.bindsConnection) this.#attempts.connection?.retire()
    this.#owner.onHead(head, this.#attempts.upstream!)
  }

  onBody(piece: Buffer): void {
    this.reader?.onBody(piece)
  }

  onPause(): void {
    this.reader?.onPause()
  }

  onEnd(rawTrailers: string[]): void {
    this.#attempts.completed()
    this.reader?.onEnd(rawTrailers)
  }

  /** A 101 that nobody asked for is malformed, and the reader says so: this is never called. */
  onUpgrade(): void {}

  onFailure(failure: WireFailure, cause: Error | null): void {
    this.retries++
    if (this.#attempts.broke(failure, true)) return
    this.retries--
    this.#inTime()
    if (this.reader === null) this.#owner.onFailed(failure, cause)
    else this.reader.onBroken(failure, cause)
  }
}

/** Fields that ours may take the place of. */
export const CONDITIONS: ReadonlySet<string> = new Set(['if-none-match', 'if-modified-since'])
export const RANGES: ReadonlySet<string> = new Set(['range', 'if-range'])

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
