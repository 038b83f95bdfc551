/**
 * The fleet: server state outside the table, published by the control plane and applied by all data planes.
 */
import type { Server, Upstream } from '../../rules/table/table.ts'

/** State of the servers of one upstream. */
export interface UpstreamFleet {
  /** Self-registered servers, in addition to those of the table. */
  readonly leased: readonly Server[]
  /** Ids of drained servers: they get no new requests and finish those in flight. */
  readonly drained: readonly string[]
  /** Health check results by `placeOf` the server. Absent without a result: `health.start` applies. */
  readonly health?: Readonly<Record<string, boolean>>
  /** Addresses by id, for servers whose URL has a host name. Absent: the system resolves it. */
  readonly addresses?: Readonly<Record<string, readonly string[]>>
  /** By id: addresses of the other family, tried if a connection to one of `addresses` fails. */
  readonly alternatives?: Readonly<Record<string, readonly string[]>>
}

/** By upstream name; upstreams without state are left out. Plain data, sent to other processes as JSON. */
export type Fleet = Readonly<Record<string, UpstreamFleet>>

/** The location of a server, regardless of its id: health check results belong to a location. */
export function placeOf({ url, address }: Server): string {
  return address === null ? url : `${url} ${address}`
}

/**
 * Whether a server counts as unhealthy. The settings take precedence, since results may be older: without health checks a
 * server is never unhealthy, and without a result `health.start` applies.
 */
export function isUnhealthy({ health }: Upstream, server: Server, known: UpstreamFleet | undefined): boolean {
  if (health === null) return false
  const healthy = known?.health?.[placeOf(server)] ?? health.start === 'healthy'
  return !healthy
}

/** Without state outside the table. */
export const EMPTY_FLEET: Fleet = {}

/**
 * All servers of an upstream: those of the table and the leased ones, one entry per address of a name. With several addresses
 * the ids are `ID@ADDRESS`. A leased server whose id is also in the table is left out.
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
