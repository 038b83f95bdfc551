/**
 * The attempts of one exchange at one upstream: concurrency limit, server selection, retries if rules/failures allows them; and
 * the outcome of each attempt for server and upstream.
 */
import type { Breaker, BreakerEntry } from '../../rules/failures/breaker.ts'
import { isServerFault } from '../../rules/failures/ejection.ts'
import { FAILURES, type FailureCode } from '../../rules/failures/failure.ts'
import type { FailedBefore } from '../../rules/failures/pick.ts'
import {
  type BrokenAttempt,
  isIdempotent,
  isStale,
  isWithinRetryBudget,
  mayHaveArrived,
  mayRetry,
  mostIdleMs,
} from '../../rules/failures/resilience.ts'
import type { Reason } from '../../rules/http/exchange.ts'
import { hasBody } from '../../rules/http/headers.ts'
import { isTarget } from '../../rules/routing/targets.ts'
import type { Route, RouteTimeouts } from '../../rules/table/table.ts'
import { type Outcome, outcomeOf } from '../../state/figures/attempt-cell.ts'
import type { AffineClient } from '../../state/upstreams/figures.ts'
import type { PrivateConnection } from '../../state/upstreams/private-connections.ts'
import type { ServerState } from '../../state/upstreams/server-state.ts'
import type { UpstreamState } from '../../state/upstreams/upstream.ts'
import type { Upstreams } from '../../state/upstreams/upstreams.ts'
import type { Waiter } from '../../state/upstreams/waiting-line.ts'
import type { ClientExchange } from '../../wire/client.ts'
import type { ServerConnection } from '../../wire/connections.ts'
import type { Exchange } from '../exchange.ts'
import type { AttemptSpan, Trace } from '../tracing/trace.ts'

/** The owner of attempts: receives the response, and is told when to send. */
export interface AttemptOwner extends ClientExchange {
  /** There is a connection for the next attempt, open or being opened: send the request on it. */
  onConnection(connection: ServerConnection, server: ServerState): void
  /** No attempt was possible. The attempts are over. */
  onRefused(failure: 'no-server' | 'overloaded' | 'queue-timeout'): void
  /** The breaker has opened since the decision. The attempts are over. */
  onUnavailable(): void
}

/** Upgrades are not timed. */
const SWITCHING_PROTOCOLS = 101

/** The attempts. They can begin again at another upstream once they are over. */
export class Attempts implements Waiter {
  readonly #upstreams: Upstreams
  readonly #owner: AttemptOwner
  #phase: 'over' | 'waiting' | 'in' = 'over'
  #chance = 0
  /** Null where the upstream has no affinity. */
  #client: AffineClient | null = null
  #method = ''
  #hasBody = false
  #guard: Route | null = null
  #timeouts: RouteTimeouts | null = null
  #privately: PrivateConnection | null = null
  #breaker: Breaker | null = null
  #entry: BreakerEntry = 'pass'
  #count = 0
  #budgeted = false
  /** This attempt is a probe of its server. */
  #probing = false
  /** Result for the breaker at the end of the exchange; null for none. */
  #good: boolean | null = null
  /** The response to the current attempt counts as a server failure. */
  #faulted = false
  /** Route id for the counters. */
  #routeId: string | null = null
  #reason: Reason = 'default'
  /** When the request had been sent, or until then when the attempt began; performance.now(). */
  #sentMs = 0
  /** Outcome of the current attempt; null before its response. */
  #outcome: Outcome | null = null
  /** From then to the response headers; null for an upgrade. */
  #headMs: number | null = null
  /** Of the exchange; null where tracing is off. */
  #trace: Trace | null = null
  /** Of the current attempt; null where it is not traced. */
  #span: AttemptSpan | null = null
  /** The current or last upstream. */
  upstream: UpstreamState | null = null
  /** The current or last server. */
  server: ServerState | null = null
  connection: ServerConnection | null = null

  constructor(upstreams: Upstreams, owner: AttemptOwner) {
    this.#upstreams = upstreams
    this.#owner = owner
  }

  /**
   * Sends to an upstream, at once or after waiting in its queue.
   * @param guard the route whose breaker applies, or null
   * @param exchange for its decision, method and random draw
   * @param privately the client's private connection, or null for the shared pool
   */
  begin(
    upstream: string,
    guard: Route | null,
    exchange: Pick<Exchange, 'decision' | 'view' | 'said' | 'matched' | 'own' | 'trace'>,
    privately: PrivateConnection | null = null,
  ): void {
    const { decision, view, said, matched, own } = exchange
    const { chance, method } = view
    const state = this.#upstreams.get(upstream)
    if (state === undefined) {
      this.#owner.onRefused('no-server')
      return
    }
    this.upstream = state
    this.#guard = guard
    this.#timeouts = matched.route === null ? null : matched.route.timeouts
    this.#routeId = decision.routeId
    this.#reason = decision.reason
    this.#privately = privately
    this.#trace = exchange.trace
    this.#chance = chance
    this.#client = state.settings.affinity === null ? null : { clientAddress: view.clientAddress, own }
    this.#method = method
    this.#hasBody = hasBody(said)
    this.#count = 0
    this.#good = null
    const admission = state.enter(this)
    if (admission === 'in') this.onTurn()
    else if (admission === 'waits') this.#phase = 'waiting'
    else this.#owner.onRefused('overloaded')
  }

  /** It is its turn in the queue. */
  onTurn(): void {
    this.#phase = 'in'
    const breaker = this.#guard === null ? null : this.#upstreams.breakers.of(this.#guard, this.upstream!.name)
    if (breaker !== null) {
      const entry = breaker.isClosed ? 'pass' : breaker.enter(isIdempotent(this.#method), this.upstream!.now())
      if (entry === 'refuse') {
        this.finish()
        this.#owner.onUnavailable()
        return
      }
      this.#breaker = breaker
      this.#entry = entry
    }
    this.#go(null)
  }

  onWaitedLong(): void {
    this.#phase = 'over'
    this.upstream!.counts.queueTimeouts++
    this.#owner.onRefused('queue-timeout')
  }

  #go(failed: FailedBefore<ServerState> | null): void {
    const upstream = this.upstream!
    const own = this.#privately?.take(upstream) ?? null
    const server = own?.server ?? upstream.pick(this.#chance, failed, isIdempotent(this.#method), this.#client)
    if (server === null) {
      this.finish()
      this.#owner.onRefused('no-server')
      return
    }
    this.server = server
    server.counts.exchanges++
    this.#faulted = false
    this.#outcome = null
    this.#headMs = null
    this.#sentMs = performance.now()
    if (this.#trace !== null) this.#span = this.#trace.attempt(server, upstream.name, this.#count)
    this.#count++
    if (server.standing === 'due' || server.standing === 'overdue') {
      server.ejection.probe()
      this.#probing = true
      upstream.refresh()
    }
    this.connection = this.#connectionTo(server, own?.connection ?? null)
    if (this.#timeouts !== null) this.connection.limit(this.#timeouts.headersMs, this.#timeouts.idleMs)
    this.#owner.onConnection(this.connection, server)
  }

  /** The request has been sent completely. Not called if that happened at once. */
  sent(): void {
    this.#sentMs = performance.now()
  }

  #connectionTo(server: ServerState, own: ServerConnection | null): ServerConnection {
    if (own !== null) {
      own.reuse(this.#owner)
      return own
    }
    const isFresh = this.#count > 1 || this.#privately !== null
    const { unsafeIsFresh } = this.upstream!.settings
    const idleMs = isFresh ? 0 : mostIdleMs(this.#method, this.#hasBody, unsafeIsFresh)
    const connection = server.pool.take(this.#owner, idleMs)
    this.#privately?.claim(connection, server)
    return connection
  }

  /** From the last byte of the request to the response headers of the current attempt, milliseconds; null before, and for an upgrade. */
  get headMs(): number | null {
    return this.#headMs
  }

  /** For how long the current attempt has been waiting for its response headers, milliseconds; null where none is. */
  get waitingMs(): number | null {
    return this.#phase === 'in' && this.connection !== null ? performance.now() - this.#sentMs : null
  }

  /**
   * Final response headers have arrived.
   * @param isOutcome false where the end of the response says how it went: `judged` follows then
   */
  answered(status: number, isOutcome = true): void {
    if (this.#span !== null) this.#span.answered(status)
    if (status !== SWITCHING_PROTOCOLS) {
      this.#headMs = performance.now() - this.#sentMs
      this.server!.latency.count(this.#headMs)
    }
    if (isOutcome) this.judged(status)
    else this.#outcome = outcomeOf(status)
  }

  /** The outcome of the attempt is known. @param status of the response, or the one that says the same */
  judged(status: number): void {
    this.#outcome = outcomeOf(status)
    const { ejection, counts } = this.server!
    if (status >= 400 && status < 500) counts.clientErrors++
    else if (status >= 300 && status < 400 && status !== 304) counts.redirects++
    this.#good = !isServerFault(status)
    if (!this.#good) this.#erred()
    else if (ejection.isOut) this.#returned()
    else ejection.answered()
    this.#probing = false
    // The probe has its result, however long the body takes.
    if (this.#entry === 'probe') this.#leaveBreaker()
  }

  #erred(): void {
    const upstream = this.upstream!
    const server = this.server!
    const { ejection } = upstream.settings
    server.counts.failures++
    this.#faulted = true
    if (ejection !== null && server.ejection.erred(ejection, upstream.now(), upstream.isLast(server)))
      this.#upstreams.suspect(server)
    upstream.refresh()
  }

  #returned(): void {
    const upstream = this.upstream!
    const nowMs = upstream.now()
    this.server!.ejection.returned(nowMs)
    this.server!.came(nowMs)
    upstream.refresh()
  }

  /** The response is complete. */
  completed(): void {
    this.connection = null
    this.#tell(this.#outcome!)
    this.server!.ejection.completed()
    this.finish()
  }

  /**
   * The attempt failed. If a retry is allowed, it starts before this returns.
   * @param bodyKept everything read of the request body can be sent again
   * @returns false if this was the last attempt; the attempts are over
   */
  broke(failure: FailureCode, bodyKept: boolean): boolean {
    const upstream = this.upstream!
    const server = this.server!
    const { connection } = this
    this.connection = null
    const attempt: BrokenAttempt = {
      failure,
      method: this.#method,
      attempts: this.#count,
      reused: connection?.reused ?? false,
      answered: connection?.answered ?? false,
      bodyKept,
      elsewhere: upstream.hasOther(server),
      bound: this.#privately !== null,
    }
    const stale = isStale(attempt)
    this.#blame(failure, stale)
    this.#broken(failure, stale)
    if (!mayRetry(attempt) || !this.#withinBudget(attempt)) {
      this.finish()
      return false
    }
    upstream.counts.retries++
    this.#go({ candidate: server, maySucceed: stale })
    return true
  }

  #withinBudget(attempt: BrokenAttempt): boolean {
    if (!mayHaveArrived(attempt)) return true
    const upstream = this.upstream!
    if (!isWithinRetryBudget(upstream.retrying, upstream.active)) {
      upstream.counts.retriesRefused++
      return false
    }
    upstream.retrying++
    this.#budgeted = true
    return true
  }

  /** Ends the attempts: the total timeout has expired. */
  expire(): void {
    if (this.connection !== null) {
      this.#blame('deadline', false)
      this.#broken('deadline', false)
      this.connection.abort()
      this.connection = null
    }
    this.abort()
  }

  /** Aborts the attempts; the current one does not count for or against the upstream. */
  abort(): void {
    if (this.connection !== null) this.#tell(this.#outcome ?? 'aborted')
    this.connection?.abort()
    this.connection = null
    if (this.#phase === 'waiting') {
      this.#phase = 'over'
      this.upstream!.giveUp(this)
    } else this.finish()
  }

  /** The attempts are over: releases queue place, probes and retry budget. */
  finish(): void {
    if (this.#phase !== 'in') return
    this.#phase = 'over'
    const upstream = this.upstream!
    if (this.#budgeted) upstream.retrying--
    this.#budgeted = false
    if (this.#probing) this.#probeLost()
    if (this.#breaker !== null) this.#leaveBreaker()
    upstream.leave()
  }

  /** The attempt ended without a complete response. */
  #broken(failure: FailureCode, stale: boolean): void {
    if (FAILURES[failure].culprit !== 'upstream') this.#tell(this.#outcome ?? 'aborted')
    else if (stale) this.#tell('stale')
    else {
      this.#headMs ??= performance.now() - this.#sentMs
      this.#tell(failure)
    }
  }

  #tell(outcome: Outcome): void {
    if (this.#span !== null) {
      this.#span.end(outcome)
      this.#span = null
    }
    this.#upstreams.measurements.attempted(this.#routeId, this.upstream!.name, this.#reason, outcome, this.#headMs)
  }

  #leaveBreaker(): void {
    this.#breaker?.leave(this.#entry, this.#good, this.upstream!.now())
    this.#breaker = null
    this.#entry = 'pass'
  }

  #probeLost(): void {
    this.#probing = false
    this.server!.ejection.probeLost()
    this.upstream!.refresh()
  }

  #blame(failure: FailureCode, stale: boolean): void {
    if (FAILURES[failure].culprit !== 'upstream') return
    // A failure response that also broke counts once.
    if (!stale && !this.#faulted) this.server!.counts.failures++
    this.#good = false
    const upstream = this.upstream!
    if (failure === 'connect' || failure === 'connect-timeout') this.#upstreams.suspect(this.server!)
    const { ejection } = upstream.settings
    if (stale || ejection === null || upstream.servers.length === 1) {
      if (this.#probing) this.#probeLost()
      return
    }
    this.#probing = false
    if (!this.server!.ejection.failed(ejection, upstream.now())) return
    upstream.refresh()
    this.#upstreams.suspect(this.server!)
  }
}

/** The route whose breaker applies to an exchange, or null. */
export function guardOf({ matched, decision }: Exchange): Route | null {
  const { route } = matched
  const { reason, upstream } = decision
  return route !== null && (reason === 'percent' || reason === 'no-key') && isTarget(route, upstream) ? route : null
}
