/**
 * The port of the data plane in this process.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Purge } from '../rules/caching/purge.ts'
import { explain, type ReadVisitor, type WrittenSide } from '../rules/explain.ts'
import { withRequestId } from '../rules/explain-sent.ts'
import type { RequestView } from '../rules/http/exchange.ts'
import { takeOwnCookies } from '../rules/http/own-cookies.ts'
import type { IsAvailable } from '../rules/routing/decide.ts'
import type { CacheControl, PurgeResult } from './caching/figures.ts'
import type { CookieKeySource } from './cookie-key-source.ts'
import { readVisitor } from './cookie-keys.ts'
import type { UsageTally } from './discovery/usage-tally.ts'
import type { RampTally } from './evidence/ramp-tally.ts'
import type { Tally } from './evidence/tally.ts'
import type { Measurements } from './figures/measurements.ts'
import type { RecentExchange } from './figures/recent-exchanges.ts'
import type { Force } from './force-token.ts'
import type { LiveTable } from './live-table.ts'
import type { Pin, Pins } from './pins.ts'
import type { Explained, PlaneLink, PlanePort, PlaneReport, ProcessFigures } from './plane-port.ts'
import type { Fleet } from './upstreams/fleet.ts'
import type { Upstreams } from './upstreams/upstreams.ts'

/** What a data plane is asked about. */
export interface LocalPlaneParts {
  readonly live: LiveTable
  readonly measurements: Measurements
  readonly tally: Tally
  readonly ramps: RampTally
  readonly usage: UsageTally
  readonly upstreams: Pick<Upstreams, 'standing' | 'serverFor' | 'setFleet' | 'isAvailable'>
  readonly cache: Pick<CacheControl, 'figures' | 'apply' | 'degraded' | 'explain' | 'invalidated'>
  /** Reads force tokens of requests that are explained; null takes none. It must not count them. */
  readonly force?: Force | null
  /** Cookies of links may force, too. Default false. */
  readonly forceByLink?: boolean
  /** Pins after writes. Default: none. */
  readonly pins?: Pins
  /** The keys of banyan's own cookies. Default: none. */
  readonly cookieKeys?: Pick<CookieKeySource, 'keys'>
  /** X-Request-Id is sent. Default false. */
  readonly requestIds?: boolean
  /** Connections of clients that stand. Default: none are known of. */
  connections?(): number
}

const eventLoop = monitorEventLoopDelay({ resolution: 20 })
eventLoop.enable()

/** Answers from what is in memory. */
export class LocalPlane implements PlanePort {
  readonly #parts: LocalPlaneParts

  constructor(parts: LocalPlaneParts) {
    this.#parts = parts
  }

  report(): PlaneReport {
    const { measurements, tally, ramps, usage, upstreams, cache, live } = this.#parts
    const { active, tunnels, recent } = measurements
    return {
      measured: measurements.take(),
      evidence: tally.take(),
      ramps: ramps.take(),
      usage: usage.take(),
      active,
      tunnels,
      recentSkipped: recent.skipped,
      upstreams: upstreams.standing(),
      cache: cache.figures(),
      cacheDegraded: cache.degraded,
      process: processFigures(live.current.number, this.#parts.connections?.() ?? 0),
    }
  }

  recent(route: string | null): RecentExchange[] {
    const { recent } = this.#parts.measurements
    return route === null ? [...recent.all()] : recent.ofRoute(route)
  }

  findRecent(id: string): RecentExchange | null {
    return this.#parts.measurements.recent.find(id) ?? null
  }

  async explain(request: RequestView): Promise<Explained> {
    const { live, upstreams, cache, force, forceByLink } = this.#parts
    const { table } = live.current
    const { own } = takeOwnCookies(request.rawHeaders)
    const nowMs = Date.now()
    const forced =
      force?.upstreamFor(request, table, nowMs) ??
      (forceByLink === true ? (force?.cookieUpstream(own, table, nowMs) ?? null) : null)
    const isAvailable: IsAvailable = (...asked) => upstreams.isAvailable(...asked)
    const keys = this.#parts.cookieKeys?.keys ?? null
    const readId: ReadVisitor = (values) => (keys === null ? null : (readVisitor(keys, values)?.text ?? null))
    const written: WrittenSide = (match, view) => this.#parts.pins?.sideFor(match, view) ?? null
    const explanation = explain(table, request, isAvailable, forced, readId, written, nowMs)
    const { decision } = explanation
    const route = table.routes.find(({ id }) => id === decision.routeId) ?? null
    return {
      ...explanation,
      sent: this.#parts.requestIds ? explanation.sent.map(withRequestId) : explanation.sent,
      server: upstreams.serverFor(decision.upstream, { clientAddress: request.clientAddress, own }),
      cache: await cache.explain(table, route, explanation.request, decision),
    }
  }

  purge(purge: Purge, leads: boolean): Promise<PurgeResult> {
    return this.#parts.cache.apply(purge, leads)
  }

  invalidated(purges: readonly Purge[]): void {
    this.#parts.cache.invalidated(purges)
  }

  pinned(pins: readonly Pin[]): void {
    for (const pin of pins) this.#parts.pins?.take(pin)
  }

  setJudged(routes: readonly string[]): void {
    this.#parts.ramps.judged = new Set(routes)
  }

  setFleet(fleet: Fleet): void {
    this.#parts.upstreams.setFleet(fleet)
  }
}

/** A plane of this process as a link. */
export function linkTo(plane: PlanePort): PlaneLink {
  return {
    report: async () => plane.report(),
    recent: async (route) => plane.recent(route),
    findRecent: async (id) => plane.findRecent(id),
    explain: (request) => plane.explain(request),
    purge: (purge, leads) => plane.purge(purge, leads),
    invalidated: async (purges) => plane.invalidated(purges),
    pinned: async (pins) => plane.pinned(pins),
    setJudged: async (routes) => plane.setJudged(routes),
    setFleet: async (fleet) => plane.setFleet(fleet),
  }
}

function processFigures(revision: number, connections: number): ProcessFigures {
  const { rss, heapUsed } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  return {
    pid: process.pid,
    revision,
    connections,
    cpuSeconds: (user + system) / 1e6,
    residentBytes: rss,
    heapUsedBytes: heapUsed,
    eventLoopDelayP99Seconds: eventLoop.percentile(99) / 1e9,
  }
}
