/**
 * One exchange: the request, the decision and the result. Shared by the steps of the journey.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ShadowWord } from '../rules/evidence/copying.ts'
import type { FailureCode } from '../rules/failures/failure.ts'
import type { Decision, RequestView } from '../rules/http/exchange.ts'
import type { RequestFields } from '../rules/http/headers.ts'
import type { Match } from '../rules/routing/match.ts'
import type { CacheWord } from '../state/figures/cell.ts'
import type { Revision } from '../state/live-table.ts'
import { requestIds } from '../state/request-ids.ts'
import {
  type ClientConnection,
  type PrivateConnection,
  PrivateConnections,
} from '../state/upstreams/private-connections.ts'
import { Answer } from './client/answer.ts'
import { SharedAnswer } from './client/shared-answer.ts'
import type { UpgradeClient } from './client/tunnel.ts'

/** The peer of a client connection. */
export interface Peer extends ClientConnection {
  /** Canonical IP address; empty if the socket has none. */
  readonly address: string
  /** Its X-Forwarded-* headers are trusted. */
  readonly trusted: boolean
  /** The client uses https: on this connection, or according to `--client-scheme`. */
  readonly tls: boolean
  /** A request on this connection was refused, so the start of the next one is unreliable. */
  refused: boolean
}

/** A request as read by the listener, before its journey. */
export interface Received {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly peer: Peer
  readonly said: RequestFields
  readonly view: RequestView
  readonly upgrade: UpgradeClient | null
  /** Only banyan sees the buffers of this exchange, so they can be reused early. */
  readonly exclusive: boolean
  /** Called with errors of other code that uses the response. */
  readonly onFault: (error: unknown) => void
}

/** The id of the next exchange. */
export const nextRequestId = requestIds()

/** One request and its response on their way through the proxy. */
export class Exchange {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly peer: Peer
  readonly said: RequestFields
  readonly view: RequestView
  readonly upgrade: UpgradeClient | null
  readonly exclusive: boolean
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
  /** Body bytes received from the client. */
  requestBytes = 0
  /** Attempts after the first at an upstream. */
  retries = 0
  /** Cause of the fallback to `from`: a failure, or the status of the response from `to`; null without a fallback. */
  fallbackOn: string | null = null
  /** Id of the server of `to` that failed in a fallback, and the cause; null without one. */
  failedServer: string | null = null
  failedCause: Error | null = null
  /** What became of its copy for the other side; null where none was drawn. */
  shadow: ShadowWord | null = null
  #id: string | null = null

  constructor(received: Received, revision: Revision, matched: Match, decision: Decision) {
    this.req = received.req
    this.res = received.res
    this.peer = received.peer
    this.said = received.said
    this.view = received.view
    this.upgrade = received.upgrade
    this.exclusive = received.exclusive
    this.answer = received.exclusive
      ? new Answer(received.res, received.said.expect === null)
      : new SharedAnswer(received.res, received.onFault)
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

  /** Created on first use: most exchanges do not need it. */
  get id(): string {
    this.#id ??= nextRequestId()
    return this.#id
  }
}
