/**
 * Assembles the data plane of one process, from the current table to an engine.
 */
import { clientFieldOf } from '../rules/http/client-field.ts'
import { HttpsRedirect } from '../rules/http/https-redirect.ts'
import { CacheControl } from '../state/caching/figures.ts'
import type { RemoteStore } from '../state/caching/remote.ts'
import { MemoryStore } from '../state/caching/store.ts'
import { TableEdits } from '../state/caching/table-edits.ts'
import { CacheTiers } from '../state/caching/tiers.ts'
import { CookieKeySource } from '../state/cookie-key-source.ts'
import { UsageTally } from '../state/discovery/usage-tally.ts'
import { Comparer } from '../state/evidence/comparer.ts'
import { RampTally } from '../state/evidence/ramp-tally.ts'
import { PASSING, Tally } from '../state/evidence/tally.ts'
import { Measurements } from '../state/figures/measurements.ts'
import { Force } from '../state/force-token.ts'
import type { LiveTable } from '../state/live-table.ts'
import { LocalPlane } from '../state/local-plane.ts'
import { Pins } from '../state/pins.ts'
import type { PlanePort } from '../state/plane-port.ts'
import type { Fleet } from '../state/upstreams/fleet.ts'
import { Upstreams } from '../state/upstreams/upstreams.ts'
import { countException } from '../wire/exceptions.ts'
import { ResponseCache } from './caching/cache.ts'
import { HeldBodies } from './caching/held-bodies.ts'
import { trustedAddresses } from './client/trusted.ts'
import { Engine, type RequestLimits } from './engine.ts'
import { ForceLink } from './force-link.ts'
import { Journey } from './journey.ts'
import { type AccessSink, Observer } from './observe.ts'
import { Shadows } from './shadow/shadows.ts'
import type { Tracer } from './tracing/trace.ts'

/** What response bodies in transit may hold where the cache has less memory. */
const MIN_HELD_BYTES = 16 * 1024 * 1024

/** Dependencies and options of a data plane. */
export interface PlaneParts {
  readonly live: LiveTable
  readonly limits: RequestLimits
  /** Addresses and networks, such as `10.0.0.0/8`. */
  readonly trustedProxies: readonly string[]
  /** Scheme that clients use, for a TLS-terminating proxy in front; null: that of the connection. Default null. */
  readonly clientScheme?: 'http' | 'https' | null
  /** Header that tells upstreams the subject of a client's certificate; that of clients is removed. Default: none. */
  readonly clientField?: string | null
  /** The port that requests without TLS are redirected to; null where they are served. Default null. */
  readonly redirectPort?: number | null
  /** X-Request-Id is sent to upstreams and clients; that of trusted peers is kept. Default false. */
  readonly requestIds?: boolean
  readonly memoryCacheBytes: number
  /** The shared cache store; none by default. */
  readonly remoteCache?: RemoteStore | null
  /** Sends Cache-Status (RFC 9211) to clients. Default false. */
  readonly exposeCacheStatus?: boolean
  /** With the cache key. Default false. */
  readonly exposeCacheKey?: boolean
  readonly accessLog: AccessSink | null
  /** Makes spans; none by default. */
  readonly tracer?: Tracer | null
  /** Initial server state outside the table; empty by default. Updated by `upstreams.setFleet`. */
  readonly fleet?: Fleet
  /** Number of data planes that share the upstreams: each gets its part of `maxConcurrent`. Default 1. */
  readonly processes?: number
  /** Instance id, the same in all its processes; used to detect loops. */
  readonly instance: string
  /** Secret of force tokens; null disables them. */
  readonly forceSecret: string | null
  /** Links with force tokens are answered, and their cookies count. Default false. */
  readonly forceByLink?: boolean
  /** Keys of cookies. Default: none, so no table may need any. */
  readonly cookieKeys?: CookieKeySource
  /** Key of the hashes in samples. */
  readonly sampleKey: string
  /** Called with errors that middleware throws during a request. Default: none. */
  onFault?(error: unknown): void
  /** Number of open client connections, if known. */
  connections?(): number
}

/** One data plane. */
export interface Plane {
  readonly engine: Engine
  readonly observer: Observer
  readonly measurements: Measurements
  readonly upstreams: Upstreams
  readonly cache: CacheControl
  readonly shadows: Shadows
  /** Pins after writes, shared with other processes. */
  readonly pins: Pins
  /** Its interface for the control plane. */
  readonly port: PlanePort
}

/**
 * Builds the data plane.
 * @throws {Error} if something that the table needs is unavailable
 * @throws {RangeError} for a trusted proxy that is neither an address nor a network
 */
export function createPlane(parts: PlaneParts): Plane {
  const { live } = parts
  const measurements = new Measurements()
  const cookieKeys = parts.cookieKeys ?? new CookieKeySource([], null)
  live.onPrepare((table) => {
    cookieKeys.require(table)
    return () => {}
  })
  const upstreams = new Upstreams({ ...parts, cookieKeys, measurements })
  live.onPrepare((table, material) => upstreams.prepare(table, material))
  measurements.follow(live.current.table, Date.now())
  live.onApply(({ table }) => measurements.follow(table, Date.now()))
  const ramps = new RampTally()
  const usage = new UsageTally()
  const observer = new Observer(measurements, ramps, usage, parts.accessLog)
  const edits = new TableEdits(live.current.table, (target) => void control.purge(target, false))
  live.onApply(({ table }) => edits.apply(table))
  const tiers = new CacheTiers(new MemoryStore(parts.memoryCacheBytes), parts.remoteCache ?? null, edits)
  const cache = new ResponseCache({
    tiers,
    upstreams,
    held: new HeldBodies(Math.max(parts.memoryCacheBytes, MIN_HELD_BYTES)),
    exposeStatus: parts.exposeCacheStatus ?? false,
    exposeKey: parts.exposeCacheKey ?? false,
    over: (exchange) => journey.over(exchange),
  })
  const settingsOf = (id: string) => {
    const { routes, places } = live.current.table
    return routes[places.get(id) ?? -1]?.cache ?? null
  }
  const control = new CacheControl(tiers, cache.counters, Date.now, settingsOf)
  const { forceSecret, forceByLink: byLink = false } = parts
  const force = forceSecret === null ? null : new Force(forceSecret, () => measurements.forceRefused++)
  const pins = new Pins()
  let { table } = live.current
  live.onApply((revision) => {
    pins.edited(table, revision.table)
    table = revision.table
  })
  const tally = new Tally(PASSING)
  const shadows = new Shadows({
    ...{ upstreams, tally, comparer: new Comparer() },
    processes: parts.processes ?? 1,
    key: Buffer.from(parts.sampleKey),
  })
  const journey = new Journey({
    live,
    upstreams,
    measurements,
    cache,
    observer,
    shadows,
    force,
    forceByLink: byLink,
    pins,
    cookieKeys,
    tracer: parts.tracer ?? null,
  })
  const isTrusted = trustedAddresses(parts.trustedProxies)
  const onFault = (error: unknown): void => {
    countException()
    parts.onFault?.(error)
  }
  const { limits, instance, clientScheme = null, requestIds = false } = parts
  const { clientField = null, redirectPort = null } = parts
  const forceLink = force === null || !byLink ? null : new ForceLink(force, () => live.current.table)
  const engine = new Engine({
    forceLink,
    journey,
    observer,
    limits,
    instance,
    isTrusted,
    clientScheme,
    clientField: clientField === null ? null : clientFieldOf(clientField),
    redirect: redirectPort === null ? null : new HttpsRedirect(redirectPort),
    requestIds,
    onFault,
  })
  // Explain does not count invalid tokens.
  const asked = forceSecret === null ? null : new Force(forceSecret, () => {})
  const port = new LocalPlane({
    ...parts,
    measurements,
    tally,
    ramps,
    usage,
    upstreams,
    cache: control,
    force: asked,
    forceByLink: byLink,
    pins,
    cookieKeys,
  })
  return { engine, observer, measurements, upstreams, cache: control, shadows, pins, port }
}
