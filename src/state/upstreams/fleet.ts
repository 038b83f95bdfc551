/**
 * The fleet: server state outside the table, published by the control plane and applied by all data planes.
 */
import type { Server, Upstream } from '../../rules/table/table.ts'

/** What is known of the servers of one upstream. */
export interface UpstreamFleet {
  /** Servers that have registered themselves under a lease; they stand beside those of the table. */
  readonly leased: readonly Server[]
  /** Ids of servers that take no new exchange; what runs there finishes. */
  readonly drained: readonly string[]
  /** By `placeOf` a server: whether its health checks find it healthy. Absent: none has told yet, and `health.start` says. */
  readonly health?: Readonly<Record<string, boolean>>
  /** By id of a server whose URL has a host name: the addresses that it stands for. Absent: the system resolves it. */
  readonly addresses?: Readonly<Record<string, readonly string[]>>
  /** By id: addresses of the other family, tried where a connection to one of `addresses` does not come about. */
  readonly alternatives?: Readonly<Record<string, readonly string[]>>
}

/** By name of upstream; one of which nothing is known is left out. Plain data: it crosses to other processes as JSON. */
export type Fleet = Readonly<Record<string, UpstreamFleet>>

/** Where a server is, whatever its id: what the health checks know holds for the place that they have asked. */
export function placeOf({ url, address }: Server): string {
  return address === null ? url : `${url} ${address}`
}

/**
 * Whether a server counts as unhealthy. The settings have the last word: what was told may be older than they are, so a server
 * without health checks is never unhealthy, and one that nobody has asked yet is what `health.start` says.
 */
export function isUnhealthy({ health }: Upstream, server: Server, known: UpstreamFleet | undefined): boolean {
  if (health === null) return false
  const healthy = known?.health?.[placeOf(server)] ?? health.start === 'healthy'
  return !healthy
}

/** Nothing is known but the table. */
export const EMPTY_FLEET: Fleet = {}

/**
 * All servers of an upstream: those of the table and the leased ones, each as often as its name has addresses. One of
 * several addresses has the id `ID@ADDRESS`. A leased server whose id the table has too is left out.
 */
export function membersOf(upstream: Upstream, fleet: Fleet): readonly Server[] {
  const known = Object.hasOwn(fleet, upstream.name) ? fleet[upstream.name] : undefined
  if (known === undefined) return upstream.servers
  const ids = new Set(upstream.servers.map(({ id }) => id))
  const servers = [...upstream.servers, ...known.leased.filter(({ id }) => !ids.has(id))]
  return servers.flatMap((server) => {
    const alternatives = known.alternatives?.[server.id]
    const named = alternatives === undefined ? server : { ...server, alternatives }
    return atAddresses(named, known.addresses?.[server.id] ?? [])
  })
}

function atAddresses(server: Server, addresses: readonly string[]): Server[] {
  const [first, ...more] = addresses
  if (first === undefined) return [server]
  if (more.length === 0) return [{ ...server, address: first }]
  return addresses.map((address) => ({ ...server, id: `${server.id}@${address}`, address }))
}
