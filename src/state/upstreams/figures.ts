/**
 * The runtime state of upstreams for the control plane: plain data, sent between processes as JSON.
 */
import type { BreakerWord } from '../../rules/failures/breaker.ts'
import type { Route } from '../../rules/table/table.ts'
import type { BreakerCounts, ServerCounts, WholeCounts } from '../figures/upstream-counts.ts'

/** What of a client decides which server it stays with. */
export interface AffineClient {
  readonly clientAddress: string
  /** Banyan's own cookies in its request: name, value, name, value. */
  readonly own: readonly string[]
}

/**
 * State of a server: `up`; `slow-start` gets less than its share for a while; `ejected` after too many consecutive failures;
 * `unhealthy` by health checks; `drained` gets no new requests.
 */
export const SERVER_WORDS = ['up', 'slow-start', 'ejected', 'unhealthy', 'drained'] as const
export type ServerWord = (typeof SERVER_WORDS)[number]

/** State of a server. */
export interface ServerStanding {
  readonly id: string
  readonly url: string
  readonly weight: number
  /** Self-registered with a lease, not in the table. */
  readonly leased: boolean
  readonly state: ServerWord
  readonly connections: { readonly open: number; readonly active: number; readonly idle: number }
}

/** State of the breaker of a route. */
export interface BreakerStanding {
  readonly route: string
  readonly state: BreakerWord
}

/** State of an upstream. */
export interface UpstreamStanding {
  readonly name: string
  /** Requests in flight, and queued requests. */
  readonly active: number
  readonly queued: number
  /** Breakers of the routes whose `to` it is, if they have sent requests. */
  readonly breakers: readonly BreakerStanding[]
  readonly servers: readonly ServerStanding[]
}

/** State and counters of a server, since the start of the process. */
export type ServerFigures = ServerStanding & Readonly<ServerCounts>

/** State and counters of a breaker. */
export type BreakerFigures = BreakerStanding & Readonly<BreakerCounts>

/** State and counters of an upstream, since the start of the process. */
export interface UpstreamFigures extends UpstreamStanding, Readonly<WholeCounts> {
  readonly breakers: readonly BreakerFigures[]
  readonly servers: readonly ServerFigures[]
}

/** The upstreams of one data plane, for the control plane. */
export interface UpstreamsView {
  /** Their states, in the order of the table. */
  standing(): readonly UpstreamStanding[]
  /** Whether the breaker of a route allows a request to a target now. */
  isAvailable(route: Route, method: string, target: string): boolean
  /** The server that would get a request now, or null if there is none. */
  serverFor(upstream: string, client: AffineClient): string | null
}
