/**
 * Assembles the data plane of one process, from the current table to an engine.
 */
import { BlockList } from 'node:net'
import { purgedByEdit } from '../rules/caching/purge.ts'
import { familyOf, readNetwork } from '../rules/patterns/address.ts'
import { CacheControl } from '../state/caching/figures.ts'
import type { RemoteStore } from '../state/caching/remote.ts'
import { MemoryStore } from '../state/caching/store.ts'
import { CacheTiers } from '../state/caching/tiers.ts'
import { Measurements } from '../state/figures/measurements.ts'
import { Force } from '../state/force-token.ts'
import type { LiveTable } from '../state/live-table.ts'
import { LocalPlane } from '../state/local-plane.ts'
import type { PlanePort } from '../state/plane-port.ts'
import type { Fleet } from '../state/upstreams/fleet.ts'
import { Upstreams } from '../state/upstreams/upstreams.ts'
import { countException } from '../wire/exceptions.ts'
import { ResponseCache } from './caching/cache.ts'
import { Engine, type RequestLimits } from './engine.ts'
import { Journey } from './journey.ts'
import { type AccessSink, Observer } from './observe.ts'

/** What a data plane is made of. */
export interface PlaneParts {
  readonly live: LiveTable
  readonly limits: RequestLimits
  /** Addresses and networks, `10.0.0.0/8`. */
  readonly trustedProxies: readonly string[]
  /** What clients speak, whatever the connection is; null: as the connection is. Default null. */
  readonly clientScheme?: 'http' | 'https' | null
  readonly memoryCacheBytes: number
  /** The store that processes share; none by default. */
  readonly remoteCache?: RemoteStore | null
  /** Clients are told in Cache-Status (RFC 9211) what the cache did. Default false. */
  readonly exposeCacheStatus?: boolean
  /** And under which key. Default false. */
  readonly exposeCacheKey?: boolean
  readonly accessLog: AccessSink | null
  /** What is known of servers beyond the table at the start; nothing by default. Later: `upstreams.setFleet`. */
  readonly fleet?: Fleet
  /** Data planes that share the upstreams: each lets in its part of `maxConcurrent`. Default 1. */
  readonly processes?: number
  /** Id of the instance, the same in all of its processes: loops are told by it. */
  readonly instance: string
  /** What force tokens are made with; null takes none. */
  readonly forceSecret: string | null
  /** Told of what middleware throws while its request is here. Default: nobody. */
  onFault?(error: unknown): void
  /** Connections of clients that stand, where that is known. */
  connections?(): number
}

/** One data plane. */
export interface Plane {
  readonly engine: Engine
  readonly observer: Observer
  readonly measurements: Measurements
  readonly upstreams: Upstreams
  readonly cache: CacheControl
  /** What the control plane may ask of it and tell it. */
  readonly port: PlanePort
}

/**
 * Builds the data plane.
 * @throws {Error} what the table in force needs and can't have
 * @throws {RangeError} a trusted proxy that is no address and no network
 */
export function createPlane(parts: PlaneParts): Plane {
  const { live } = parts
  const measurements = new Measurements()
  const upstreams = new Upstreams({ ...parts, measurements })
  live.onPrepare((table, material) => upstreams.prepare(table, material))
  measurements.follow(live.current.table, Date.now())
  live.onApply(({ table }) => measurements.follow(table, Date.now()))
  const observer = new Observer(measurements, parts.accessLog)
  const tiers = new CacheTiers(new MemoryStore(parts.memoryCacheBytes), parts.remoteCache ?? null)
  const cache = new ResponseCache({
    tiers,
    upstreams,
    exposeStatus: parts.exposeCacheStatus ?? false,
    exposeKey: parts.exposeCacheKey ?? false,
    over: (exchange) => observer.over(exchange),
  })
  const control = new CacheControl(tiers, cache.counters, Date.now)
  let { table } = live.current
  live.onApply((revision) => {
    // What a share that was taken back, or other settings, have answered must not outlive them.
    for (const side of purgedByEdit(table, revision.table)) void control.purge(side, false)
    table = revision.table
  })
  const { forceSecret } = parts
  const force = forceSecret === null ? null : new Force(forceSecret, () => measurements.forceRefused++)
  const journey = new Journey({ live, upstreams, measurements, cache, observer, force })
  const trusted = trustedList(parts.trustedProxies)
  const isTrusted = (address: string): boolean => trusted?.check(address, familyOf(address)) === true
  const onFault = (error: unknown): void => {
    countException()
    parts.onFault?.(error)
  }
  const { limits, instance, clientScheme = null } = parts
  const engine = new Engine({ journey, observer, limits, instance, isTrusted, clientScheme, onFault })
  // Explaining a token counts for nothing.
  const asked = forceSecret === null ? null : new Force(forceSecret, () => {})
  const port = new LocalPlane({ ...parts, measurements, upstreams, cache: control, force: asked })
  return { engine, observer, measurements, upstreams, cache: control, port }
}

/** @throws {RangeError} an entry that is no address and no network */
function trustedList(entries: readonly string[]): BlockList | null {
  if (entries.length === 0) return null
  const list = new BlockList()
  for (const entry of entries) {
    const network = readNetwork(entry)
    if (network === null) throw new RangeError(`invalid address or network '${entry}' (such as 10.0.0.0/8, ::1)`)
    list.addSubnet(network.address, network.prefix, network.family)
  }
  return list
}
