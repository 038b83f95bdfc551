/**
 * What the control plane may know of the upstreams while they run: plain data, which crosses to other processes as JSON.
 */

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
  /** Times that it was left out because it failed too often in a row. */
  readonly ejections: number
}

/** An upstream. */
export interface UpstreamFigures {
  readonly name: string
  readonly servers: readonly ServerFigures[]
}

/** What the control plane asks of the upstreams of one data plane. */
export interface UpstreamsView {
  /** In the order of the table. */
  figures(): readonly UpstreamFigures[]
  /** The server that would take an exchange now, or null where none would. @param chance in [0, 1) */
  serverFor(upstream: string, chance: number): string | null
}
