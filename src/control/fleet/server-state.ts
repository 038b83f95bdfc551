/**
 * A server in responses of the admin API: table or lease, health and live figures.
 */

import type { Server, Upstream } from '../../rules/table/table.ts'
import { fineByMs } from '../../rules/values/duration-buckets.ts'
import { formatDuration } from '../../rules/values/units.ts'
import type { ServerFigures } from '../../state/upstreams/figures.ts'
import type { Figures } from '../figures/planes.ts'
import type { ServerHealth } from './health-checks.ts'
import type { FleetView } from './keeper.ts'

/** The servers of an upstream in the table, then those with a lease. */
export function serversOf(upstream: Upstream, fleet: FleetView): readonly Server[] {
  const inTable = new Set(upstream.servers.map(({ id }) => id))
  const leased = fleet.leases(upstream.name).map(({ server }) => server)
  return [...upstream.servers, ...leased.filter(({ id }) => !inTable.has(id))]
}

/** A server in a response. */
interface ServerState {
  readonly drained: boolean
  /** Requests in flight there. */
  active: number
}

/** One server, with all addresses of its name. */
export function serverState(upstream: Upstream, server: Server, fleet: FleetView, figures: Figures): ServerState {
  const lease = fleet.lease(upstream.name, server.id)
  const live = figuresOf(upstream.name, server.id, figures)
  const facts = {
    upstream: upstream.name,
    id: server.id,
    url: server.url,
    weight: server.weight,
    drained: fleet.isDrained(upstream.name, server.id),
    lease: lease === null ? null : { ttl: formatDuration(lease.ttlMs), endsAt: new Date(lease.endsMs).toISOString() },
    active: activeAt(live),
    live: live.map((one) => timedServer(upstream.name, one, fleet, figures)),
  }
  return facts
}

/** What this instance sees of the servers of an upstream, for the others of its cluster: by id, one for each address. */
export function seenServersOf(upstream: Upstream, fleet: FleetView, figures: Figures): Record<string, TimedServer[]> {
  const liveOf = ({ id }: Server): TimedServer[] =>
    figuresOf(upstream.name, id, figures).map((one) => timedServer(upstream.name, one, fleet, figures))
  return Object.fromEntries(serversOf(upstream, fleet).map((server) => [server.id, liveOf(server)]))
}

/** One address of a server. */
type LiveServer = ServerFigures & { readonly health: ReturnType<typeof healthState> | null }

/** With its response times, by milliseconds. */
type TimedServer = LiveServer & { readonly responseMs: Record<string, number> }

function timedServer(upstream: string, one: ServerFigures, fleet: FleetView, { measurements }: Figures): TimedServer {
  const fine = measurements.upstream(upstream).latencies.of(one.id).counts()
  return { ...liveServer(upstream, one, fleet), responseMs: fineByMs(fine) }
}

/** The figures of a server with its health check state. */
export function liveServer(upstream: string, figures: ServerFigures, fleet: FleetView): LiveServer {
  const health = fleet.health(upstream, figures.id)
  return { ...figures, health: health === null ? null : healthState(health) }
}

/** The figures of a server, one for each of its addresses. */
export function figuresOf(upstream: string, id: string, { upstreams }: Figures): readonly ServerFigures[] {
  const servers = upstreams.find(({ name }) => name === upstream)?.servers ?? []
  return servers.filter((server) => server.id === id || server.id.startsWith(`${id}@`))
}

/** Requests in flight there. */
export function activeAt(figures: readonly ServerFigures[]): number {
  return figures.reduce((sum, { connections }) => sum + connections.active, 0)
}

function healthState({ healthy, sinceMs, good, failed, last }: ServerHealth) {
  const since = new Date(sinceMs).toISOString()
  if (last === null) return { healthy, since, probes: { good, failed }, last }
  const { atMs, durationMs, ...result } = last
  const rounded = Math.round(durationMs * 10) / 10
  return {
    healthy,
    since,
    probes: { good, failed },
    last: { ...result, at: new Date(atMs).toISOString(), durationMs: rounded },
  }
}
