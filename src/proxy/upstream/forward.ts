/**
 * Step 5: one attempt at a server, then retry or fallback if rules/failures allows it. Streams in both directions.
 */

import { FAILURES, type FailureCode } from '../../rules/failures/failure.ts'
import { type Failed, isUnsent, mayFallBack, replayableBytes } from '../../rules/failures/resilience.ts'
import type { Decision } from '../../rules/http/exchange.ts'
import { grpcOutcome, isGrpc } from '../../rules/http/grpc.ts'
import { trailerFields } from '../../rules/http/headers.ts'
import { answeringSide } from '../../rules/routing/decide.ts'
import {
  type PrivateConnection,
  PrivateConnections,
  type PrivateUser,
} from '../../state/upstreams/private-connections.ts'
import type { ServerState } from '../../state/upstreams/server-state.ts'
import type { Upstreams } from '../../state/upstreams/upstreams.ts'
import type { WireFailure } from '../../wire/client.ts'
import type { ServerConnection } from '../../wire/connections.ts'
import { unwatch, type Watched, watch } from '../../wire/deadlines.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import type { RequestOwner } from '../client/request.ts'
import { Tunnel } from '../client/tunnel.ts'
import type { Exchange } from '../exchange.ts'
import type { Recorder } from '../recorder.ts'
import { type AttemptOwner, Attempts, guardOf } from './attempts.ts'
import { clientFields, clientInterimFields, isUnsafe, mappedHead, requestHeadOf } from './heads.ts'
import { type BodyOwner, RequestBody } from './request-body.ts'

/** After an early response the rest of the request is read and dropped for this long, like nginx's lingering close. */
const LINGER_MS = 30_000

/** Of a request's body that is kept until an HTTP/2 server has answered. */
const REFUSED_BYTES = 64 * 1024

/** Dependencies of the forwarder. */
export interface ForwardParts {
  readonly upstreams: Upstreams
  /** Called once when the exchange has ended in any way. */
  over(exchange: Exchange): void
  /** An upgraded connection was opened (+1) or closed (-1). */
  tunnels(change: 1 | -1): void
}

/** Forwards one exchange and relays the upstream's response. */
export class Forward implements AttemptOwner, BodyOwner, PrivateUser, RequestOwner, Watched {
  readonly #parts: ForwardParts
  readonly #exchange: Exchange
  readonly #recorder: Recorder | null
  readonly #attempts: Attempts
  /** Null if the request has none. */
  #body: RequestBody | null = null
  /** The client's private connection to the upstream, or null for the shared pool. */
  #privately: PrivateConnection | null = null
  #upstreamPaused = false
  #settled = false
  /** A gRPC call: its trailers say how it went. */
  #awaitsOutcome = false
  /** Upstreams have time-outs. */
  readonly limitsTime = true
  /** Deadline for response headers. */
  deadlineMs = Number.POSITIVE_INFINITY

  /** @param recorder receives a copy of the response for the cache, or null */
  constructor(parts: ForwardParts, exchange: Exchange, recorder: Recorder | null) {
    this.#parts = parts
    this.#exchange = exchange
    this.#recorder = recorder
    this.#attempts = new Attempts(parts.upstreams, this)
  }

  start(): void {
    const exchange = this.#exchange
    const { request, said, matched, decision } = exchange
    request.owner = this
    if (said.contentLength !== null || said.transferEncoding !== null) {
      const length = said.contentLength === null ? null : Number(said.contentLength)
      const settings = this.#parts.upstreams.get(decision.upstream)?.settings
      const replayable = replayableBytes(matched.route, decision, exchange.view.method, length)
      // What HTTP/2 has not taken is sent again whatever the method: for that its beginning is kept.
      const keepBytes = settings?.protocol === 'http1' ? replayable : Math.max(replayable, REFUSED_BYTES)
      this.#body = new RequestBody(exchange, keepBytes, this.#attempts)
    }
    const totalMs = this.#parts.upstreams.get(decision.upstream)?.settings.totalTimeoutMs ?? null
    if (totalMs !== null) {
      this.deadlineMs = exchange.startedMs + totalMs
      watch(this)
    }
    if (request.gone) this.#clientGone()
    else if (said.bindsConnection && request.askForHttp1 !== null) this.#failed('needs-http1', null)
    else if (matched.ambiguous && isUnsafe(exchange, answeringSide(decision, matched.route)))
      this.#failed('unsafe-path', null)
    else this.#begin()
  }

  /** Sends to the decided upstream, after earlier exchanges on the client's private connection are over. */
  #begin(): void {
    const exchange = this.#exchange
    if (this.#body !== null && this.#gathers(this.#body)) return
    this.#privately?.leave(this)
    this.#privately = exchange.privately
    const turn = this.#privately?.enter(this) ?? 'in'
    if (turn === 'in') this.onPrivateTurn()
    else if (turn === 'full') this.#failed('overloaded', null)
  }

  /** Reads a chunked body before it is sent, where the upstream must know its length. @returns whether that is under way */
  #gathers(body: RequestBody): boolean {
    const { said, decision, matched, answer } = this.#exchange
    const settings = this.#parts.upstreams.get(decision.upstream)?.settings
    const most = settings?.bufferRequestBytes ?? null
    body.sized = most !== null && said.transferEncoding !== null
    if (settings === undefined || most === null || !body.sized || body.done) return false
    if (said.expect !== null) answer.information(100, 'Continue', [])
    body.gather(most, matched.route?.timeouts?.idleMs ?? settings.idleTimeoutMs, this)
    return true
  }

  onGathered(): void {
    this.#begin()
  }

  onNotGathered(failure: FailureCode): void {
    this.#failed(failure, null)
  }

  onPrivateTurn(): void {
    const exchange = this.#exchange
    const { matched, decision, peer } = exchange
    if (this.#privately !== null) peer.privates?.stay(matched.route, decision.upstream)
    this.#attempts.begin(decision.upstream, guardOf(exchange), exchange, this.#privately)
  }

  onConnection(connection: ServerConnection, server: ServerState): void {
    const exchange = this.#exchange
    const { view, request } = exchange
    const { upgrade } = request
    exchange.server = server.server.id
    const body = this.#body
    const asked = body?.sized ? { ...view, bodyLength: body.length } : view
    const head = requestHeadOf(exchange, asked, upgrade, this.#attempts.upstream!, server)
    connection.send(head, view.method, upgrade !== null)
    if (this.#body === null) connection.finish(null)
    else this.#body.sendOn(connection)
  }

  onRefused(failure: FailureCode): void {
    this.#failed(failure, null)
  }

  onUnavailable(): void {
    this.#turnTo('unavailable')
  }

  onReady(): void {
    this.#body?.read()
  }

  onDrain(): void {
    this.#body?.drained()
  }

  onInformation(head: ResponseHead): void {
    const exchange = this.#exchange
    const fields = clientInterimFields(exchange, head, this.#attempts.upstream!)
    exchange.answer.information(head.status, head.reason, fields)
  }

  onHead(head: ResponseHead): void {
    const exchange = this.#exchange
    const isCall = head.status === 200 && isGrpc(head.rawHeaders)
    const outcome = isCall ? grpcOutcome(head.rawHeaders) : null
    this.#awaitsOutcome = isCall && outcome === null
    exchange.outcome = outcome
    this.#attempts.answered(outcome ?? head.status, !this.#awaitsOutcome)
    exchange.latencyMs ??= this.#attempts.headMs
    if (this.#mayFallBack(head)) {
      this.#attempts.abort()
      exchange.fellBack(String(head.status), exchange.server, null)
      this.#turnTo('fallback')
      return
    }
    this.#inTime()
    this.#body?.release()
    if (head.bindsConnection) {
      if (exchange.request.askForHttp1 !== null) {
        this.#attempts.abort()
        this.#failed('needs-http1', null)
        return
      }
      this.#bind()
    }
    // The login ends with the connection, and the client must notice.
    if (this.#privately !== null && !head.keepAlive) exchange.answer.closes()
    const fields = clientFields(exchange, head, this.#attempts.upstream!)
    this.#recorder?.head(head, fields)
    if (exchange.cacheStatus !== null) fields.push('Cache-Status', exchange.cacheStatus)
    if (exchange.request.upgrade !== null) exchange.answer.closes()
    exchange.answer.begin(head.status, head.reason, fields)
  }

  /** Makes the connection private to this client: it is being authenticated, or has been. */
  #bind(): void {
    if (this.#privately !== null) return
    const { peer, matched, decision } = this.#exchange
    const { connection, server } = this.#attempts
    const privates = PrivateConnections.of(peer, true)
    if (privates.find(decision.upstream) !== null) {
      // The client got one there while this request was in flight.
      connection!.retire()
      return
    }
    const own = privates.open(decision.upstream)
    own.enter(this)
    own.claim(connection!, server!)
    privates.stay(matched.route, decision.upstream)
    this.#privately = own
  }

  onBody(piece: Buffer): void {
    this.#recorder?.body(piece)
    if (this.#exchange.answer.body(piece, this.#exchange.request.exclusive)) return
    this.#pauseUpstream()
  }

  onPause(): void {
    if (!this.#exchange.answer.flush()) this.#pauseUpstream()
  }

  onEnd(rawTrailers: string[]): void {
    if (this.#awaitsOutcome) {
      // Without one the call has failed (UNKNOWN).
      this.#exchange.outcome = grpcOutcome(rawTrailers) ?? 500
      this.#attempts.judged(this.#exchange.outcome)
    }
    this.#attempts.completed()
    this.#recorder?.end()
    this.#exchange.answer.end(rawTrailers.length === 0 ? rawTrailers : trailerFields(rawTrailers))
    this.#dropRest()
    this.#settle()
  }

  onUpgrade(head: ResponseHead): void {
    if (this.#exchange.answer.isTaken) {
      this.#attempts.abort()
      this.#failed('internal', null)
      return
    }
    if (this.#body !== null && !this.#body.done) {
      // RFC 9110 section 7.8: a server must not switch before it has the whole request. The framing is unknown now.
      this.#attempts.abort()
      this.#failed('response-malformed', null)
      return
    }
    this.#attempts.answered(head.status)
    this.#inTime()
    const { socket, rest } = this.#attempts.connection!.detach()
    const own = this.#exchange.matched.route?.timeouts
    const { idleTimeoutMs, upgradedTimeoutMs } = this.#attempts.upstream!.settings
    const idleMs = own?.upgradedMs ?? upgradedTimeoutMs ?? own?.idleMs ?? idleTimeoutMs
    const mapped = mappedHead(this.#exchange, head, this.#attempts.upstream!)
    this.#attempts.completed()
    this.#parts.tunnels(1)
    const tunnel = new Tunnel(this.#exchange, mapped, idleMs, () => {
      this.#parts.tunnels(-1)
      this.#settle()
    })
    tunnel.open(socket, rest)
  }

  onFailure(failure: WireFailure, cause: Error | null): void {
    const exchange = this.#exchange
    const code = this.#blame(failure)
    this.#body?.stop()
    const kept = this.#body === null || this.#body.isKept
    // The next attempt may start, and end, before `broke` returns.
    exchange.retries++
    if (this.#attempts.broke(code, kept && !exchange.answer.begun)) return
    exchange.retries--
    this.#failed(code, cause)
  }

  /** A timeout while waiting for the request body is the client's fault. */
  #blame(failure: WireFailure): FailureCode {
    if (failure !== 'idle-timeout') return failure
    if (this.#upstreamPaused) return 'client-stalled'
    return this.#body?.isAwaited ? 'request-timeout' : 'idle-timeout'
  }

  /** The total timeout has expired without response headers. */
  expire(): void {
    const code = this.#body?.isAwaited ? 'request-timeout' : 'deadline'
    this.#attempts.expire()
    this.#failed(code, null)
  }

  #inTime(): void {
    if (this.deadlineMs === Number.POSITIVE_INFINITY) return
    this.deadlineMs = Number.POSITIVE_INFINITY
    unwatch(this)
  }

  #mayFallBack(failed: Failed): boolean {
    const { matched, decision, view, answer } = this.#exchange
    const kept = this.#body === null || this.#body.isKept
    // An authentication can only continue at the same server.
    if (this.#privately !== null && !isUnsent(failed)) return false
    return !answer.left && mayFallBack(matched.route, decision, view.method, failed, kept)
  }

  #failed(failure: FailureCode, cause: Error | null): void {
    const exchange = this.#exchange
    if (this.#mayFallBack({ failure })) {
      exchange.fellBack(failure, exchange.server, cause)
      this.#turnTo('fallback')
      return
    }
    exchange.failure = failure
    exchange.cause = cause
    this.#recorder?.abandon()
    if (this.#privately !== null) exchange.answer.closes()
    if (failure === 'needs-http1') exchange.request.askForHttp1?.()
    exchange.answer.problem(failure, exchange.id)
    if (FAILURES[failure].status === 0) exchange.request.destroy()
    else this.#dropRest()
    this.#settle()
  }

  /** Switches to the other side of the route. The attempts at this one are over. */
  #turnTo(reason: 'fallback' | 'unavailable'): void {
    const exchange = this.#exchange
    this.#body?.stop()
    this.#recorder?.abandon()
    exchange.answer.withdraw()
    const decision: Decision = { ...exchange.decision, upstream: exchange.matched.route!.from, reason }
    exchange.decision = decision
    this.#begin()
  }

  #pauseUpstream(): void {
    const { connection } = this.#attempts
    if (this.#upstreamPaused || connection === null) return
    this.#upstreamPaused = true
    connection.pause()
    this.#exchange.answer.whenDrained(() => {
      this.#upstreamPaused = false
      this.#attempts.connection?.resume()
    })
  }

  /** The request body is malformed: the upstream must notice that it is incomplete. */
  onMalformed(): void {
    if (this.#settled) {
      this.#exchange.request.destroy()
      return
    }
    this.#attempts.abort()
    this.#exchange.failure = 'request-body'
    this.#recorder?.abandon()
    this.#exchange.answer.problem('request-body', this.#exchange.id)
    this.#settle()
  }

  onGone(): void {
    if (!this.#settled) this.#clientGone()
  }

  #clientGone(): void {
    if (this.#body === null || this.#body.done) this.#exchange.latencyMs ??= this.#attempts.waitingMs
    this.#attempts.abort()
    this.#recorder?.abandon()
    this.#exchange.failure = 'client-gone'
    this.#exchange.answer.break()
    this.#settle()
  }

  /** The response is complete but the request is not: reads and drops the rest for a while. */
  #dropRest(): void {
    if (this.#body !== null && !this.#body.done) this.#exchange.request.discard(LINGER_MS)
  }

  #settle(): void {
    if (this.#settled) return
    this.#settled = true
    this.#inTime()
    this.#body?.drop()
    this.#privately?.leave(this)
    this.#parts.over(this.#exchange)
  }
}
