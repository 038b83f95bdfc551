/**
 * What the control plane may know of the upstreams while they run: plain data, which crosses to other processes as JSON.
 */
import type { BreakerWord } from '../../rules/failures/breaker.ts'
import type { Route } from '../../rules/table/table.ts'

/**
 * How a server stands, in one word: `up`; `slow-start` takes less than its share for a while; `ejected` has failed too often in
 * a row; `unhealthy` by the health checks; `drained` takes no new exchange.
 */
export const SERVER_WORDS = ['up', 'slow-start', 'ejected', 'unhealthy', 'drained'] as const
export type ServerWord = (typeof SERVER_WORDS)[number]

/** A server of an upstream. Numbers are counters, from the start of the process; but for `weight`, and those nested. */
export interface ServerFigures {
  readonly id: string
  readonly url: string
  readonly weight: number
  /** It has registered itself under a lease, beside the table. */
  readonly leased: boolean
  readonly state: ServerWord
  readonly connections: { readonly open: number; readonly active: number; readonly idle: number }
  /** Connections made, and exchanges that found a kept-alive one. */
  readonly connects: number
  readonly reuses: number
  /** Answers that broke a rule of HTTP and were taken all the same, since they can be read in one way only. */
  readonly repaired: number
  /** Exchanges that it was asked for, second attempts and forced ones too; and those that broke there or got a 5xx. */
  readonly exchanges: number
  readonly failures: number
  /** Times that it was left out because it failed too often in a row. */
  readonly ejections: number
}

/** The breaker of a route's `to`. */
export interface BreakerFigures {
  readonly route: string
  readonly state: BreakerWord
  /** Times that it opened. */
  readonly opened: number
}

/** An upstream. Counters count from the start of the process. */
export interface UpstreamFigures {
  readonly name: string
  /** Exchanges that it has, and those that wait for their turn. */
  readonly active: number
  readonly queued: number
  /** Second attempts, and those that would have gone beyond the budget. */
  readonly retries: number
  readonly retriesRefused: number
  /** Exchanges that found no place, and those that waited in vain for one. */
  readonly shed: number
  readonly queueTimeouts: number
  /** Of the routes whose `to` it is, once they have sent anything there. */
  readonly breakers: readonly BreakerFigures[]
  readonly servers: readonly ServerFigures[]
}

/** What the control plane asks of the upstreams of one data plane. */
export interface UpstreamsView {
  /** In the order of the table. */
  figures(): readonly UpstreamFigures[]
  /** Whether a request of the share of a route may go to its `to` now. */
  isAvailable(route: Route, method: string): boolean
  /** The server that would take an exchange now, or null where none would. @param chance in [0, 1) */
  serverFor(upstream: string, chance: number): string | null
}
