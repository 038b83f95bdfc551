/**
 * All data planes as one: sums their figures and forwards queries and commands. Whether there is one in this process or one per
 * worker is up to the code that adds and removes them.
 */
import { randomUUID } from 'node:crypto'
import type { PurgeTarget } from '../../rules/caching/purge.ts'
import type { RequestView } from '../../rules/http/exchange.ts'
import type { Route, Table } from '../../rules/table/table.ts'
import { replaced } from '../../rules/values/replaced.ts'
import { allOf, type Steps } from '../../rules/values/steps.ts'
import type { CacheFigures, PurgeResult } from '../../state/caching/figures.ts'
import type { RampDelta } from '../../state/evidence/ramp-tally.ts'
import { Measurements } from '../../state/figures/measurements.ts'
import type { RecentExchange } from '../../state/figures/recent-exchanges.ts'
import type { Pin } from '../../state/pins.ts'
import type { Explained, PlaneLink, PlaneReport, ProcessFigures } from '../../state/plane-port.ts'
import type { UpstreamFigures, UpstreamStanding } from '../../state/upstreams/figures.ts'
import { EMPTY_FLEET, type Fleet } from '../../state/upstreams/fleet.ts'
import { inTurns } from '../turns.ts'
import { Discovery } from './discovery.ts'
import { countEndpoints } from './endpoint-count.ts'
import { Evidence } from './evidence.ts'
import { countersOf, NOTHING_REPORTED, sumReports } from './plane-sums.ts'
import { Progress } from './progress.ts'
import { RouteHistory } from './route-history.ts'

/** Counters and state of all data planes together. */
export interface Figures {
  readonly measurements: Measurements
  readonly evidence: Evidence
  readonly discovery: Discovery
  readonly progress: Progress
  readonly history: RouteHistory
  /** Requests that were not recorded because they came too fast. */
  readonly recentSkipped: number
  readonly upstreams: readonly UpstreamFigures[]
  readonly cache: CacheFigures
  /** By plane number. */
  readonly processes: readonly (ProcessFigures & { readonly plane: number })[]
}

/** For a plane that has not reported by then, its last report is used; a late report is taken into account when it comes. */
const PATIENCE_MS = 500
/** Longer than Redis and its replicas may take to confirm a purge. */
const PURGE_PATIENCE_MS = 4000

/** So many are followed at once. */
const FEW_ROUTES = 100

interface Known {
  readonly link: PlaneLink
  report: PlaneReport | null
}

/** The data planes of one instance. */
export class Planes {
  /** Sums over all planes, ended ones included, so they never decrease. */
  readonly #measurements: Measurements
  /** What comparisons have found. */
  readonly evidence = new Evidence()
  /** Endpoints that no route claims. */
  readonly discovery = new Discovery()
  /** How far the migration is. */
  readonly progress = new Progress(() => countEndpoints(this.#table, this.discovery.open, Date.now()))
  /** Errors and latency of each route over the last day. */
  readonly history: RouteHistory
  /** Called with what was counted of a route with a ramp. */
  onRamp: (delta: RampDelta) => void = () => {}
  readonly #planes = new Map<number, Known>()
  /** Counters of ended planes. */
  #ended = NOTHING_REPORTED
  #fleet: Fleet = EMPTY_FLEET
  #judged: readonly string[] = []
  #table: Table | null = null
  #followed: readonly Route[] = []
  #isFollowing = false

  constructor(measurements = new Measurements()) {
    this.#measurements = measurements
    this.history = new RouteHistory(measurements)
  }

  get fleet(): Fleet {
    return this.#fleet
  }

  /** Adds a plane. */
  add(plane: number, link: PlaneLink): void {
    this.#planes.set(plane, { link, report: null })
    if (this.#fleet !== EMPTY_FLEET) void link.setFleet(this.#fleet).catch(ignore)
    if (this.#judged.length > 0) void link.setJudged(this.#judged).catch(ignore)
  }

  /** Takes the last report of a plane that is about to end. */
  take(plane: number, report: PlaneReport): void {
    const known = this.#planes.get(plane)
    if (known !== undefined) this.#take(known, report)
  }

  /**
   * Removes a plane that has ended. Its counters are kept.
   * @returns its last process figures
   */
  remove(plane: number): ProcessFigures | null {
    const known = this.#planes.get(plane)
    if (known === undefined) return null
    this.#planes.delete(plane)
    if (known.report !== null) this.#ended = sumReports([this.#ended, countersOf(known.report)])
    this.#sumGauges()
    return known.report?.process ?? null
  }

  /** The current figures. Never rejects. */
  async figures(): Promise<Figures> {
    await this.#all((known) => known.link.report().then((report) => this.#take(known, report)))
    return this.lastFigures()
  }

  /** The figures as of the last reports, which no plane is asked for. */
  lastFigures(): Figures {
    const told = this.#reports()
    const { recentSkipped, cache, upstreams } = sumReports([this.#ended, ...told.map(([, report]) => report)])
    // Normally all planes have the same generation; otherwise the oldest counts.
    const generation = told.length === 0 ? 0 : Math.min(...told.map(([, report]) => report.cache.generation))
    return {
      measurements: this.#measurements,
      evidence: this.evidence,
      discovery: this.discovery,
      progress: this.progress,
      history: this.history,
      recentSkipped,
      upstreams: upstreams.map((one) => this.#withCounters(one)),
      cache: { ...cache, generation },
      processes: told.map(([plane, { process }]) => ({ plane, ...process })),
    }
  }

  /** Ends a step of the windows. Call it every WINDOW_TICK_MS. Never rejects. @param nowMs epoch milliseconds */
  async tick(nowMs: number): Promise<void> {
    await this.figures()
    this.#measurements.tick(nowMs)
    if (this.#table !== null) void this.history.tick(this.#table, nowMs)
    void this.evidence.tick()
    void this.#tickProgress()
  }

  async #tickProgress(): Promise<void> {
    await this.discovery.tick()
    if (this.#table !== null) await this.discovery.found(this.#table)
    await this.progress.tick()
  }

  /** Sets the current table: figures are kept for its routes and upstreams. @param nowMs epoch milliseconds */
  follow(table: Table, nowMs: number): void {
    this.#measurements.follow(table, nowMs)
    this.#table = table
    void this.#followRoutes()
  }

  /** A few routes are followed at once, and thousands in turns: no request waits for that. */
  async #followRoutes(): Promise<void> {
    if (this.#isFollowing) return
    this.#isFollowing = true
    try {
      while (this.#table !== null && this.#followed !== this.#table.routes) {
        const { routes } = this.#table
        const { gone, come } = replaced(this.#followed, routes)
        this.#followed = routes
        const steps = this.#followSteps(routes)
        if (gone.length + come.length <= FEW_ROUTES) allOf(steps)
        else await inTurns(steps)
      }
    } finally {
      this.#isFollowing = false
    }
  }

  *#followSteps(routes: readonly Route[]): Steps<void> {
    yield* this.evidence.followSteps(routes)
    yield* this.progress.followSteps(routes)
  }

  /** Why the cache is degraded, by the last reports; null if it is not. */
  get cacheDegraded(): string | null {
    return this.#reports().find(([, report]) => report.cacheDegraded !== null)?.[1].cacheDegraded ?? null
  }

  /** Recent requests, newest first. @param route only those of a route, and of each plane at most `MAX_OF_ROUTE` */
  async recent(route: string | null = null): Promise<readonly RecentExchange[]> {
    const lists = await this.#all(({ link }) => link.recent(route))
    return lists.length === 1 ? (lists[0] as RecentExchange[]) : lists.flat().sort((a, b) => b.atMs - a.atMs)
  }

  async findRecent(id: string): Promise<RecentExchange | null> {
    const found = await this.#all(({ link }) => link.findRecent(id))
    return found.find((exchange) => exchange !== null) ?? null
  }

  /** How a request would be handled, according to the first plane; null if there is none. */
  async explain(request: RequestView): Promise<Explained | null> {
    for (const { link } of this.#planes.values()) {
      const explained = await soon(link.explain(request))
      if (explained !== null) return explained
    }
    return null
  }

  /** Purges in every plane. One of them shares it with other instances. */
  async purge(target: PurgeTarget, soft: boolean): Promise<PurgeResult> {
    const purge = { id: randomUUID(), target, soft, atMs: Date.now() }
    const planes = [...this.#planes.values()]
    const results = await Promise.all(planes.map(({ link }, i) => soon(link.purge(purge, i === 0), PURGE_PATIENCE_MS)))
    if (results.length === 0) return { shared: false, why: 'no worker is there', entries: 0 }
    const told = results.filter((result) => result !== null)
    if (told.length < results.length) return { shared: false, why: 'a worker does not answer in time', entries: null }
    const counts = told.map((result) => result.entries)
    const entries = counts.includes(null) ? null : counts.reduce((sum: number, count) => sum + (count ?? 0), 0)
    return { ...(told.find(({ shared }) => !shared) ?? { shared: true }), entries }
  }

  /** Tells all planes, and later ones, which routes are judged besides those with a ramp in the table. Never rejects. */
  async setJudged(routes: readonly string[]): Promise<void> {
    if (routes.join('\n') === this.#judged.join('\n')) return
    this.#judged = routes
    await this.#all(({ link }) => link.setJudged(routes))
  }

  /** Passes the server state outside the table to all planes, and to later ones. Never rejects. */
  async setFleet(fleet: Fleet): Promise<void> {
    this.#fleet = fleet
    await this.#all(({ link }) => link.setFleet(fleet))
  }

  /** Tells all planes of pins of other instances. */
  pinned(pins: readonly Pin[]): void {
    for (const { link } of this.#planes.values()) link.pinned(pins).catch(ignore)
  }

  /** The answers of the planes; a plane that fails to answer is left out. */
  async #all<T>(ask: (known: Known) => Promise<T>): Promise<T[]> {
    const answers = await Promise.all(
      [...this.#planes.values()].map((known) => soon(ask(known).then((told) => ({ told })))),
    )
    return answers.filter((answer) => answer !== null).map(({ told }) => told)
  }

  #take(known: Known, report: PlaneReport): void {
    known.report = report
    this.#measurements.add(report.measured, Date.now())
    this.evidence.add(report.evidence)
    this.discovery.add(report.usage)
    this.progress.add(report.measured, report.usage.routes)
    for (const delta of report.ramps) this.onRamp(delta)
    this.#sumGauges()
  }

  /** The state of an upstream with the counters of all planes, ended ones included. */
  #withCounters(standing: UpstreamStanding): UpstreamFigures {
    const counts = this.#measurements.upstream(standing.name)
    return {
      ...standing,
      ...counts.whole,
      breakers: standing.breakers.map((breaker) => ({ ...breaker, ...counts.breakers.of(breaker.route) })),
      servers: standing.servers.map((server) => ({ ...server, ...counts.servers.of(server.id) })),
    }
  }

  #sumGauges(): void {
    const reports = this.#reports().map(([, report]) => report)
    this.#measurements.active = reports.reduce((sum, { active }) => sum + active, 0)
    this.#measurements.tunnels = reports.reduce((sum, { tunnels }) => sum + tunnels, 0)
  }

  #reports(): [plane: number, report: PlaneReport][] {
    return [...this.#planes].flatMap(([plane, { report }]) => (report === null ? [] : [[plane, report]]))
  }
}

/** The answer if it comes in time, otherwise null. */
function soon<T>(answer: Promise<T>, patienceMs = PATIENCE_MS): Promise<T | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), patienceMs)
    answer.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      () => {
        clearTimeout(timer)
        resolve(null)
      },
    )
  })
}

function ignore(): void {
  // A plane that is gone needs no message.
}
