/**
 * Sums over the reports of the data planes.
 */
import { type CacheFigures, newCounters } from '../../state/caching/figures.ts'
import type { PlaneReport } from '../../state/plane-port.ts'
import type { BreakerStanding, ServerStanding, UpstreamStanding } from '../../state/upstreams/figures.ts'

/** The parts of a report that are summed. */
export type Sums = Pick<PlaneReport, 'recentSkipped' | 'upstreams' | 'cache'>

const NO_MEMORY = { entries: 0, bytes: 0, maxBytes: 0 }

/** Without any report. */
export const NOTHING_REPORTED: Sums = {
  recentSkipped: 0,
  upstreams: [],
  cache: { memory: NO_MEMORY, remote: null, generation: 0, counters: newCounters() },
}

/** What is kept of a plane that is gone: its counters. */
export function countersOf({ recentSkipped, upstreams, cache }: Sums): Sums {
  const { remote, counters } = cache
  return {
    recentSkipped,
    upstreams: upstreams.map(({ name, servers }) => ({
      name,
      active: 0,
      queued: 0,
      breakers: [],
      servers: servers.map((server) => ({ ...server, state: 'up', connections: { open: 0, active: 0, idle: 0 } })),
    })),
    cache: {
      memory: NO_MEMORY,
      remote: remote === null ? null : { ...remote, state: 'up', why: null, breaker: 'closed' },
      generation: 0,
      counters,
    },
  }
}

/** The sums. Upstreams and servers are those of the last report that has any, in its order. @param reports of ended planes first */
export function sumReports(reports: readonly Sums[]): Sums {
  return reports.reduce((sum, more) => ({
    recentSkipped: sum.recentSkipped + more.recentSkipped,
    upstreams:
      more.upstreams.length === 0 ? sum.upstreams : more.upstreams.map((one) => sumUpstream(one, sum.upstreams)),
    cache: sumCache(sum.cache, more.cache),
  }))
}

function sumUpstream(one: UpstreamStanding, others: readonly UpstreamStanding[]): UpstreamStanding {
  const other = others.find(({ name }) => name === one.name)
  if (other === undefined) return one
  const servers = new Map(other.servers.map((server) => [server.id, server]))
  return {
    name: one.name,
    active: one.active + other.active,
    queued: one.queued + other.queued,
    breakers: sumBreakers(one.breakers, other.breakers),
    servers: one.servers.map((server) => {
      const known = servers.get(server.id)
      return known === undefined ? server : sumServer(server, known)
    }),
  }
}

/** The union: each plane knows only the routes that it has served. A breaker that is open in one plane is reported. */
function sumBreakers(some: readonly BreakerStanding[], others: readonly BreakerStanding[]): BreakerStanding[] {
  const sums = new Map(some.map((breaker) => [breaker.route, breaker]))
  for (const other of others) {
    const known = sums.get(other.route)
    if (known === undefined || known.state === 'closed') sums.set(other.route, other)
  }
  return [...sums.values()]
}

/** The weight is a setting, the same in all planes. A server that is out in one plane is reported. */
function sumServer(server: ServerStanding, other: ServerStanding): ServerStanding {
  const connections = added(server.connections, other.connections) as ServerStanding['connections']
  return { ...server, connections, state: server.state === 'up' ? other.state : server.state }
}

function sumCache(a: CacheFigures, b: CacheFigures): CacheFigures {
  return {
    memory: added(a.memory, b.memory) as CacheFigures['memory'],
    remote: sumRemote(a.remote, b.remote),
    generation: Math.max(a.generation, b.generation),
    counters: added(a.counters, b.counters) as CacheFigures['counters'],
  }
}

function sumRemote(a: CacheFigures['remote'], b: CacheFigures['remote']): CacheFigures['remote'] {
  if (a === null || b === null) return a ?? b
  const { state, why, breaker } = b.state === 'up' ? a : b
  return { ...(added(a, b) as typeof a), state, why, breaker }
}

/** Adds numbers by name; of anything else the first one is used. */
function added(a: unknown, b: unknown): unknown {
  if (typeof a === 'number' && typeof b === 'number') return a + b
  if (!isRecord(a) || !isRecord(b)) return a ?? b
  const names = new Set([...Object.keys(a), ...Object.keys(b)])
  return Object.fromEntries([...names].map((name) => [name, added(a[name], b[name])]))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
