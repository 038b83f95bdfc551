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
} from '../../rules/failures/resilience.ts'
import type { Reason } from '../../rules/http/exchange.ts'
import type { Route } from '../../rules/table/table.ts'
import { type Outcome, outcomeOf } from '../../state/figures/attempt-cell.ts'
import type { PrivateConnection } from '../../state/upstreams/private-connections.ts'
import type { ServerState } from '../../state/upstreams/server-state.ts'
import type { UpstreamState } from '../../state/upstreams/upstream.ts'
import type { Upstreams } from '../../state/upstreams/upstreams.ts'
import type { Waiter } from '../../state/upstreams/waiting-line.ts'
import type { ClientExchange, Connection } from '../../wire/client.ts'
import type { Exchange } from '../exchange.ts'

/** Whose attempts they are: hears the answer, and is told when to send. */
export interface AttemptOwner extends ClientExchange {
  /** A connection for the next attempt, which stands or is being made: the request is to be sent on it. */
  onConnection(connection: Connection, server: ServerState): void
  /** No attempt could be made. The attempts are over. */
  onRefused(failure: 'no-server' | 'overloaded' | 'queue-timeout'): void
  /** The breaker has opened since the decision. The attempts are over. */
  onUnavailable(): void
}

/** An upgraded connection is as quick as its client. */
const SWITCHING_PROTOCOLS = 101

/** May begin again for another upstream once they are over. */
export class Attempts implements Waiter {
  readonly #upstreams: Upstreams
  readonly #owner: AttemptOwner
  #phase: 'over' | 'waiting' | 'in' = 'over'
  #chance = 0
  #method = ''
  #guard: Route | null = null
  #privately: PrivateConnection | null = null
  #breaker: Breaker | null = null
  #entry: BreakerEntry = 'pass'
  #count = 0
  #budgeted = false
  /** This attempt finds out how its server is. */
  #probing = false
  /** What the end of the exchange will say of the upstream; null for nothing. */
  #good: boolean | null = null
  /** The attempt that is under way was answered with a fault of the server's. */
  #faulted = false
  /** What it is counted by. */
  #routeId: string | null = null
  #reason: Reason = 'default'
  /** When the request of the attempt had been sent, or before that when the attempt began; of performance.now. */
  #sentMs = 0
  /** The attempt that is under way was answered so; null before. */
  #outcome: Outcome | null = null
  /** From then to the head of the answer; null for an upgrade. */
  #headMs: number | null = null
  /** The upstream that is asked, or was asked last. */
  upstream: UpstreamState | null = null
  /** The server that is asked, or was asked last. */
  server: ServerState | null = null
  connection: Connection | null = null

  constructor(upstreams: Upstreams, owner: AttemptOwner) {
    this.#upstreams = upstreams
    this.#owner = owner
  }

  /**
   * Asks an upstream: at once, or when there is a place.
   * @param guard the route whose breaker may say no, or null
   * @param exchange for its decision, its method and the one random draw
   * @param privately the client's own way to the upstream, or null for the connections that all share
   */
  begin(
    upstream: string,
    guard: Route | null,
    { decision, view }: Pick<Exchange, 'decision' | 'view'>,
    privately: PrivateConnection | null = null,
  ): void {
    const { chance, method } = view
    const state = this.#upstreams.get(upstream)
    if (state === undefined) {
      this.#owner.onRefused('no-server')
      return
    }
    this.upstream = state
    this.#guard = guard
    this.#routeId = decision.routeId
    this.#reason = decision.reason
    this.#privately = privately
    this.#chance = chance
    this.#method = method
    this.#count = 0
    this.#good = null
    const admission = state.enter(this)
    if (admission === 'in') this.onTurn()
    else if (admission === 'waits') this.#phase = 'waiting'
    else this.#owner.onRefused('overloaded')
  }

  /** There is a place at the upstream. */
  onTurn(): void {
    this.#phase = 'in'
    const breaker = this.#guard === null ? null : this.#upstreams.breakers.of(this.#guard)
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
    const server = own?.server ?? upstream.pick(this.#chance, failed, isIdempotent(this.#method))
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
    this.#count++
    if (server.standing === 'due' || server.standing === 'overdue') {
      server.ejection.probe()
      this.#probing = true
      upstream.refresh()
    }
    this.connection = this.#connectionTo(server, own?.connection ?? null)
    this.#owner.onConnection(this.connection, server)
  }

  /** All of the request has been sent. Not told where that was at once. */
  sent(): void {
    this.#sentMs = performance.now()
  }

  #connectionTo(server: ServerState, own: Connection | null): Connection {
    if (own !== null) {
      own.reuse(this.#owner)
      return own
    }
    const fresh = this.#count > 1 || this.#privately !== null
    const connection = server.pool.take(this.#owner, fresh)
    this.#privately?.claim(connection, server)
    return connection
  }

  /** The final head of an answer has come. */
  answered(status: number): void {
    this.#outcome = outcomeOf(status)
    if (status !== SWITCHING_PROTOCOLS) this.#headMs = performance.now() - this.#sentMs
    const { ejection } = this.server!
    this.#good = !isServerFault(status)
    if (!this.#good) this.#erred()
    else if (ejection.isOut) this.#returned()
    else ejection.answered()
    this.#probing = false
    // The probe has found out what it was sent for, however long the body takes.
    if (this.#entry === 'probe') this.#leaveBreaker()
  }

  #erred(): void {
    const upstream = this.upstream!
    const server = this.server!
    const { ejection } = upstream.settings
    server.counts.failures++
    this.#faulted = true
    if (ejection !== null) server.ejection.erred(ejection, upstream.now(), upstream.isLast(server))
    upstream.refresh()
  }

  #returned(): void {
    const upstream = this.upstream!
    const nowMs = upstream.now()
    this.server!.ejection.returned(nowMs)
    this.server!.came(nowMs)
    upstream.refresh()
  }

  /** The answer has come to its end. */
  completed(): void {
    this.connection = null
    this.#tell(this.#outcome!)
    this.server!.ejection.completed()
    this.finish()
  }

  /**
   * The attempt broke. Where it may be made again it is, before this returns.
   * @param bodyKept all that was read of the request's body can be sent again
   * @returns false where this was the last one; the attempts are over
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

  /** Ends the attempts because the time of the whole exchange is over. */
  expire(): void {
    if (this.connection !== null) {
      this.#blame('deadline', false)
      this.#broken('deadline', false)
      this.connection.abort()
      this.connection = null
    }
    this.abort()
  }

  /** Ends the attempts; what is under way is broken off, and says nothing of the upstream. */
  abort(): void {
    if (this.connection !== null) this.#tell(this.#outcome ?? 'aborted')
    this.connection?.abort()
    this.connection = null
    if (this.#phase === 'waiting') {
      this.#phase = 'over'
      this.upstream!.giveUp(this)
    } else this.finish()
  }

  /** The attempts are over: place, probes and budget are given back. */
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

  /** The attempt is over without a whole answer. */
  #broken(failure: FailureCode, stale: boolean): void {
    if (FAILURES[failure].culprit !== 'upstream') this.#tell(this.#outcome ?? 'aborted')
    else if (stale) this.#tell('stale')
    else {
      this.#headMs ??= performance.now() - this.#sentMs
      this.#tell(failure)
    }
  }

  #tell(outcome: Outcome): void {
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
    // What was answered with a fault and then broke has failed once.
    if (!stale && !this.#faulted) this.server!.counts.failures++
    this.#good = false
    const upstream = this.upstream!
    const { ejection } = upstream.settings
    if (stale || ejection === null || upstream.servers.length === 1) {
      if (this.#probing) this.#probeLost()
      return
    }
    this.#probing = false
    if (this.server!.ejection.failed(ejection, upstream.now())) upstream.refresh()
  }
}

/** The route whose breaker guards where an exchange goes, or null. */
export function guardOf({ matched, decision }: Exchange): Route | null {
  return decision.reason === 'percent' ? matched.route : null
}
