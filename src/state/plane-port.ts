/**
 * The interface of a data plane for the control plane. Everything is plain data, so that they may run in different processes; the
 * data plane does not know whether they do, or how many data planes there are.
 */
import type { Purge } from '../rules/caching/purge.ts'
import type { CacheExplanation, Explanation } from '../rules/explain.ts'
import type { RequestView } from '../rules/http/exchange.ts'
import type { CacheFigures, PurgeResult } from './caching/figures.ts'
import type { UsageDelta } from './discovery/usage-tally.ts'
import type { RampDelta } from './evidence/ramp-tally.ts'
import type { EvidenceDelta } from './evidence/tally.ts'
import type { MeasuredDelta } from './figures/measurements.ts'
import type { RecentExchange } from './figures/recent-exchanges.ts'
import type { Pin } from './pins.ts'
import type { UpstreamStanding } from './upstreams/figures.ts'
import type { Fleet } from './upstreams/fleet.ts'

/** The process that a data plane runs in. */
export interface ProcessFigures {
  readonly pid: number
  /** Number of the revision that its new exchanges are decided by. */
  readonly revision: number
  /** Connections of clients that stand. */
  readonly connections: number
  readonly cpuSeconds: number
  readonly residentBytes: number
  readonly heapUsedBytes: number
  /** Delay of the event loop, 99th percentile since the start. */
  readonly eventLoopDelayP99Seconds: number
}

/** What a data plane tells of itself: what was counted since it last told, and all else as it stands. */
export interface PlaneReport {
  readonly measured: MeasuredDelta
  readonly evidence: EvidenceDelta
  /** Exchanges of routes with a ramp. */
  readonly ramps: readonly RampDelta[]
  /** What is left of the old application. */
  readonly usage: UsageDelta
  /** Exchanges under way. */
  readonly active: number
  /** Upgraded connections that stand. */
  readonly tunnels: number
  /** Exchanges that came too fast to be kept, since the start. */
  readonly recentSkipped: number
  readonly upstreams: readonly UpstreamStanding[]
  readonly cache: CacheFigures
  /** Why the cache is not all it should be; null where it is. */
  readonly cacheDegraded: string | null
  readonly process: ProcessFigures
}

/** What would be done with a request. */
export interface Explained extends Explanation {
  /** The server that would be asked first; null where there is none. */
  readonly server: string | null
  /** What the cache would do; null where it is not asked. */
  readonly cache: CacheExplanation | null
}

/** What a data plane can be asked and told. */
export interface PlanePort {
  report(): PlaneReport
  /** The last exchanges, the newest first. @param route only those of a route, and at most `MAX_OF_ROUTE`: an edit must not wait for more */
  recent(route: string | null): readonly RecentExchange[]
  findRecent(id: string): RecentExchange | null
  /** Explains a request by the revision in force here and by how this plane finds the upstreams and its cache. */
  explain(request: RequestView): Promise<Explained>
  /** @param leads whether it falls to this plane to share the purge with other instances */
  purge(purge: Purge, leads: boolean): Promise<PurgeResult>
  /** Takes in what unsafe requests to another plane have made untrue. */
  invalidated(purges: readonly Purge[]): void
  /** Writes in another process have pinned these. */
  pinned(pins: readonly Pin[]): void
  /** These routes are judged, besides those with a ramp in the table. */
  setJudged(routes: readonly string[]): void
  /** Obeys what is known of servers beyond the table, until it is told anew. */
  setFleet(fleet: Fleet): void
}

/** A data plane over a distance. Each answer may fail to come: its process may be gone. */
export type PlaneLink = {
  readonly [Name in keyof PlanePort]: (
    ...args: Parameters<PlanePort[Name]>
  ) => Promise<Awaited<ReturnType<PlanePort[Name]>>>
}
