/**
 * The fleet: what is known of servers beyond the table. The control plane says it, every data plane obeys it.
 */
import type { Server } from '../rules/table.ts'

/** What is known of the servers of one upstream. */
export interface UpstreamFleet {
  /** Servers that have registered themselves under a lease; they stand beside those of the table. */
  readonly leased: readonly Server[]
  /** Ids of servers that take no new exchange; what runs there finishes. */
  readonly drained: readonly string[]
  /** Ids of servers that the health checks have found unhealthy. */
  readonly unhealthy: readonly string[]
}

/** By name of upstream; one of which nothing is known is left out. Plain data: it crosses to other processes as JSON. */
export type Fleet = Readonly<Record<string, UpstreamFleet>>

/** Nothing is known but the table. */
export const EMPTY_FLEET: Fleet = {}
