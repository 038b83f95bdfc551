/**
 * The runtime state of upstreams for the control plane: plain data, sent between processes as JSON.
 */
import type { BreakerWord } from '../../rules/failures/breaker.ts'
import type { Route } from '../../rules/table/table.ts'
import type { BreakerCounts, ServerCounts, WholeCounts } from '../figures/upstream-counts.ts'

/**
 * How a server stands, in one word: `up`; `slow-start` takes less than its share for a while; `ejected` has failed too often in
 * a row; `unhealthy` by the health checks; `drained` takes no new exchange.
 */
export const SERVER_WORDS = ['up', 'slow-start', 'ejected', 'unhealthy', 'drained'] as const
export type ServerWord = (typeof SERVER_WORDS)[number]

/** A server of an upstream as it stands. */
export interface ServerStanding {
  readonly id: string
  readonly url: string
  readonly weight: number
  /** It has registered itself under a lease, beside the table. */
  readonly leased: boolean
  readonly state: ServerWord
  readonly connections: { readonly open: number; readonly active: number; readonly idle: number }
}

/** The breaker of a route's `to`. */
export interface BreakerStanding {
  readonly route: string
  readonly state: BreakerWord
}

/** An upstream as it stands. */
export interface UpstreamStanding {
  readonly name: string
  /** Exchanges that it has, and those that wait for their turn. */
  readonly active: number
  readonly queued: number
  /** Of the routes of the table whose `to` it is, once they have sent anything there. */
  readonly breakers: readonly BreakerStanding[]
  readonly servers: readonly ServerStanding[]
}

/** A server with its counters, from the start of the process. */
export type ServerFigures = ServerStanding & Readonly<ServerCounts>

/** A breaker with its counters. */
export type BreakerFigures = BreakerStanding & Readonly<BreakerCounts>

/** An upstream with its counters, from the start of the process. */
export interface UpstreamFigures extends UpstreamStanding, Readonly<WholeCounts> {
  readonly breakers: readonly BreakerFigures[]
  readonly servers: readonly ServerFigures[]
}

/** What the control plane asks of the upstreams of one data plane. */
export interface UpstreamsView {
  /** In the order of the table. */
  standing(): readonly UpstreamStanding[]
  /** Whether a request of the share of a route may go to its `to` now. */
  isAvailable(route: Route, method: string): boolean
  /** The server that would take an exchange now, or null where none would. */
  serverFor(upstream: string): string | null
}
