/**
 * One exchange: the request, the decision and the result. Shared by the steps of the journey.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FailureCode } from '../rules/failures/failure.ts'
import type { Decision, RequestView } from '../rules/http/exchange.ts'
import type { RequestFields } from '../rules/http/headers.ts'
import type { Match } from '../rules/routing/match.ts'
import type { CacheWord } from '../state/figures/cell.ts'
import type { Revision } from '../state/live-table.ts'
import {
  type ClientConnection,
  type PrivateConnection,
  PrivateConnections,
} from '../state/upstreams/private-connections.ts'
import { Answer } from './client/answer.ts'
import { SharedAnswer } from './client/shared-answer.ts'
import type { UpgradeClient } from './client/tunnel.ts'

/** Who is at the other end of a client connection. */
export interface Peer extends ClientConnection {
  /** IP address in its canonical form; empty where the socket has none. */
  readonly address: string
  /** Its X-Forwarded-* fields are believed. */
  readonly trusted: boolean
  /** It speaks https: over this connection, or before it, as `--client-scheme` says. */
  readonly tls: boolean
  /** A request on this connection was refused: where the next one begins can't be relied on any more. */
  refused: boolean
}

/** What the listener has read of a request before its journey begins. */
export interface Received {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly peer: Peer
  readonly said: RequestFields
  readonly view: RequestView
  readonly upgrade: UpgradeClient | null
  /** Nobody but banyan sees the buffers of this exchange: they may be given back early. */
  readonly exclusive: boolean
  /** Told of what others throw who have the response in hand as well. */
  readonly onFault: (error: unknown) => void
}

let counter = 0
const boot = Math.floor(Math.random() * 36 ** 6)
  .toString(36)
  .padStart(6, '0')

/** Unique in this process, and most likely among all; short enough to read out at the telephone. */
export function nextRequestId(): string {
  counter = (counter + 1) % Number.MAX_SAFE_INTEGER
  return `${boot}-${counter.toString(36)}`
}

/** One request and its response on their way through. */
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
  /** The value of Cache-Status for an answer that passes the cache by, where clients are told; else null. */
  cacheStatus: string | null = null
  /** Id of the server that answered, or was asked last; null before. */
  server: string | null = null
  failure: FailureCode | null = null
  /** What lies behind the failure, for the log only. */
  cause: Error | null = null
  /** Body bytes received from the client. */
  requestBytes = 0
  /** Attempts made beyond the first at an upstream. */
  retries = 0
  /** Why `from` answered for `to`: the failure, or the status that `to` gave; null where it did not. */
  fallbackOn: string | null = null
  /** Id of the server of `to` that failed then, and what lay behind it; null where there was none. */
  failedServer: string | null = null
  failedCause: Error | null = null
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

  /** `from` is to answer, for a failure or a status of `to`. @param server of `to` that was asked, where one was */
  fellBack(on: string, server: string | null, cause: Error | null): void {
    this.fallbackOn = on
    this.failedServer = server
    this.failedCause = cause
  }

  /**
   * The client's own way to the upstream that is to answer, or null. It has one once that upstream has offered NTLM or
   * Negotiate, or the request carries them.
   */
  get privately(): PrivateConnection | null {
    const { peer, said, decision } = this
    const privates = PrivateConnections.of(peer, said.bindsConnection)
    if (privates === null) return null
    return said.bindsConnection ? privates.open(decision.upstream) : privates.find(decision.upstream)
  }

  /** Made when first asked for: most exchanges are not logged by it. */
  get id(): string {
    this.#id ??= nextRequestId()
    return this.#id
  }
}
