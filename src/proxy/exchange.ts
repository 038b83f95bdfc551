/**
 * One exchange: the request, the decision and the result. Shared by the steps of the journey.
 */
import type { ShadowWord } from '../rules/evidence/copying.ts'
import type { FailureCode } from '../rules/failures/failure.ts'
import type { ClientField } from '../rules/http/client-field.ts'
import type { Decision, RequestView } from '../rules/http/exchange.ts'
import { type RequestFields, schemeOf } from '../rules/http/headers.ts'
import type { Match } from '../rules/routing/match.ts'
import type { CacheWord } from '../state/figures/cell.ts'
import type { Revision } from '../state/live-table.ts'
import { requestIds } from '../state/request-ids.ts'
import { type PrivateConnection, PrivateConnections } from '../state/upstreams/private-connections.ts'
import type { Answer } from './client/answer.ts'
import type { ClientRequest, Peer } from './client/request.ts'
import type { Recorder } from './recorder.ts'
import type { Trace } from './tracing/trace.ts'

/** A request as read by the listener, before its journey. */
export interface Received {
  readonly request: ClientRequest
  readonly said: RequestFields
  readonly view: RequestView
  /** What a trusted peer calls the request, or null. */
  readonly id: string | null
  /** The id is sent on, and to the client. */
  readonly tellsId: boolean
  /** The header with the subject of the client's certificate, which is in the view; null where it is not told. */
  readonly clientField: ClientField | null
}

/** The id of the next exchange. */
export const nextRequestId = requestIds()

/** One request and its response on their way through the proxy. */
export class Exchange {
  readonly request: ClientRequest
  readonly peer: Peer
  readonly said: RequestFields
  readonly view: RequestView
  /** Banyan's own cookies in the request: name, value, name, value. */
  readonly own: readonly string[]
  readonly answer: Answer
  readonly startedMs: number = performance.now()
  readonly revision: Revision
  readonly matched: Match
  decision: Decision
  cache: CacheWord = '-'
  /** Value of Cache-Status for a response that bypasses the cache, if it is exposed to clients; otherwise null. */
  cacheStatus: string | null = null
  /** Id of the last server that was used; null before the first. */
  server: string | null = null
  failure: FailureCode | null = null
  /** Cause of the failure, for the log only. */
  cause: Error | null = null
  /** The status that says how a gRPC call went, whose own is always 200; null for others. */
  outcome: number | null = null
  /** Body bytes received from the client. */
  requestBytes = 0
  /** Attempts after the first at an upstream. */
  retries = 0
  /** Cause of the fallback to `from`: a failure, or the status of the response from `to`; null without a fallback. */
  fallbackOn: string | null = null
  /** Id of the server of `to` that failed in a fallback, and the cause; null without one. */
  failedServer: string | null = null
  failedCause: Error | null = null
  /** Hears the response of the upstream for a comparison; null where it is not copied. */
  recorder: Recorder | null = null
  /** A stale response was sent since the upstream has failed. */
  staleOnError = false
  /**
   * From the last byte of the request to the first response headers of the decided side, or until the client left without them,
   * milliseconds; null before.
   */
  latencyMs: number | null = null
  /** What became of its copy for the other side; null where none was drawn. */
  shadow: ShadowWord | null = null
  /** Its spans; null where tracing is off. */
  trace: Trace | null = null
  readonly tellsId: boolean
  readonly clientField: ClientField | null
  #id: string | null

  /**
   * @param view the request as the rules see it: as received, without banyan's own cookies
   * @param own those cookies: name, value, name, value
   */
  constructor(
    received: Received,
    [view, own]: readonly [RequestView, readonly string[]],
    revision: Revision,
    ...[matched, decision]: [Match, Decision]
  ) {
    this.request = received.request
    this.peer = received.request.peer
    this.said = received.said
    this.tellsId = received.tellsId
    this.clientField = received.clientField
    this.#id = received.id
    this.view = view
    this.own = own
    this.answer = received.request.answer
    this.revision = revision
    this.matched = matched
    this.decision = decision
  }

  /** Falls back to `from`, for a failure or a status of `to`. @param server of `to` that was used, if any */
  fellBack(on: string, server: string | null, cause: Error | null): void {
    this.fallbackOn = on
    this.failedServer = server
    this.failedCause = cause
  }

  /**
   * The client's private connection to the upstream in use, or null. It has one once that upstream has offered NTLM or
   * Negotiate, or if the request uses them.
   */
  get privately(): PrivateConnection | null {
    const { peer, said, decision } = this
    const privates = PrivateConnections.of(peer, said.bindsConnection)
    if (privates === null) return null
    return said.bindsConnection ? privates.open(decision.upstream) : privates.find(decision.upstream)
  }

  /** The client uses TLS, here or at a trusted proxy. */
  get secure(): boolean {
    return schemeOf(this.peer, this.said) === 'https'
  }

  /** Created on first use: most exchanges do not need it. */
  get id(): string {
    this.#id ??= nextRequestId()
    return this.#id
  }
}
