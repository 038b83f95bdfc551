/**
 * What is happening on a route or upstream: totals since the start of the process, and the last one and five minutes.
 */
import type { Route } from '../../rules/table/table.ts'
import { type Cell, DURATION_BOUNDS_MS, noSums } from '../../state/figures/cell.ts'
import type { Measurements, RouteFigures } from '../../state/figures/measurements.ts'
import { addedSince, addSums, quantileMs, type Sums } from '../../state/figures/windows.ts'

/** The figures of a window. */
export interface WindowFigures {
  /** How long the window is by now: less than it says soon after the start, some seconds more later on. */
  readonly seconds: number
  readonly exchanges: number
  readonly perSecond: number
  /** Answers of class 5 as a share of all, 0 to 1; null where there were none. */
  readonly errorRatio: number | null
  readonly fallbacks: number
  /** Reused answers as a share of the requests that the cache was asked for; null where it was asked for none. */
  readonly cacheHitRatio: number | null
  readonly meanMs: number | null
  readonly p50Ms: number | null
  readonly p99Ms: number | null
}

/** What was asked for and what has come of it, in per cent. Forced exchanges are left out. */
export interface ShareFigures {
  readonly requestedPercent: number
  /** Exchanges that `to` answered; null where there were none. */
  readonly actualPercent: number | null
  /** Distinct sticky keys in the share, of the last one to two minutes, estimated; null where there were none. */
  readonly actualUnitPercent: number | null
  /** Exchanges that stayed on `from` because they had no sticky key, as a share of all. */
  readonly noKeyPercent: number | null
}

/** One side of a route in a window. */
export interface SideFigures {
  readonly exchanges: number
  readonly errorRatio: number | null
  readonly p50Ms: number | null
  readonly p99Ms: number | null
}

/** The figures of a route, or of what no route claims. Totals count from the start of the process. */
export interface LiveRoute extends RouteFigures {
  readonly lastMinute: RouteWindow | null
  readonly lastFiveMinutes: RouteWindow | null
}

/** A window of a route; `share` is null for what no route claims. */
export interface RouteWindow extends WindowFigures {
  readonly share: ShareFigures | null
  /** By upstream. */
  readonly sides: Readonly<Record<string, SideFigures>>
}

const MINUTE_MS = 60_000
const NOTHING = noSums()

/** The figures of a route; with null of what no route claims. Windows are null until the first tick of the measurements. */
export function liveRoute(measurements: Measurements, route: Route | null, nowMs: number): LiveRoute {
  const window = (lengthMs: number): RouteWindow | null => routeWindow(measurements, route, lengthMs, nowMs)
  return {
    ...measurements.figures(route === null ? null : route.id),
    lastMinute: window(MINUTE_MS),
    lastFiveMinutes: window(5 * MINUTE_MS),
  }
}

/** Tells of an upstream, by its name, the figures over all routes in the last minute; null until the first tick. */
export function liveUpstreams(measurements: Measurements, nowMs: number): (name: string) => WindowFigures | null {
  const span = measurements.windowOf(MINUTE_MS, nowMs)
  const cells = Map.groupBy(
    measurements.routeIds().flatMap((id) => measurements.cells(id)),
    (cell) => cell.upstream,
  )
  return (name) => {
    if (span === null) return null
    const sums = (cells.get(name) ?? []).map((cell) => sumsOf(cell, span.ticksAgo))
    return windowFigures(sums.reduce(addSums, NOTHING), span.spanMs)
  }
}

function routeWindow(
  measurements: Measurements,
  route: Route | null,
  lengthMs: number,
  nowMs: number,
): RouteWindow | null {
  const span = measurements.windowOf(lengthMs, nowMs)
  if (span === null) return null
  const cells = measurements.cells(route === null ? null : route.id)
  const sums = new Map(cells.map((cell) => [cell.upstream, sumsOf(cell, span.ticksAgo)]))
  const total = [...sums.values()].reduce(addSums, NOTHING)
  const sides = [...sums].map(([name, side]) => [name, sideFigures(side)] as const)
  return {
    ...windowFigures(total, span.spanMs),
    share: route === null ? null : shareFigures(route, cells, sums, total),
    sides: Object.fromEntries(sides),
  }
}

function sumsOf(cell: Cell, ticksAgo: number): Sums {
  return addedSince(cell.ring.ago(ticksAgo), cell.sums())
}

function windowFigures(sums: Sums, spanMs: number): WindowFigures {
  const seconds = spanMs / 1000
  return {
    seconds: round(seconds),
    exchanges: sums.exchanges,
    perSecond: round(sums.exchanges / seconds),
    errorRatio: ratio(sums.errors, sums.exchanges),
    fallbacks: sums.fallbacks,
    cacheHitRatio: ratio(sums.cacheHits, sums.cacheHits + sums.cacheMisses),
    meanMs: ratio(
      sums.durationMsSum,
      sums.buckets.reduce((sum, count) => sum + count, 0),
    ),
    p50Ms: roundOrNull(quantileMs(sums.buckets, DURATION_BOUNDS_MS, 0.5)),
    p99Ms: roundOrNull(quantileMs(sums.buckets, DURATION_BOUNDS_MS, 0.99)),
  }
}

function sideFigures(sums: Sums): SideFigures {
  return {
    exchanges: sums.exchanges,
    errorRatio: ratio(sums.errors, sums.exchanges),
    p50Ms: roundOrNull(quantileMs(sums.buckets, DURATION_BOUNDS_MS, 0.5)),
    p99Ms: roundOrNull(quantileMs(sums.buckets, DURATION_BOUNDS_MS, 0.99)),
  }
}

function shareFigures(
  route: Route,
  cells: readonly Cell[],
  sums: ReadonlyMap<string, Sums>,
  total: Sums,
): ShareFigures {
  const to = sums.get(route.to) ?? NOTHING
  const units = cells.map((cell) => ({ isTo: cell.upstream === route.to, count: cell.units.count() }))
  const unitsInAll = units.reduce((sum, { count }) => sum + count, 0)
  const unitsInShare = units.filter(({ isTo }) => isTo).reduce((sum, { count }) => sum + count, 0)
  const drawn = total.exchanges - total.forced
  return {
    requestedPercent: route.percent,
    actualPercent: percentOf(to.exchanges - to.forced, drawn),
    actualUnitPercent: percentOf(unitsInShare, unitsInAll),
    noKeyPercent: percentOf(total.noKey, drawn),
  }
}

function percentOf(part: number, all: number): number | null {
  return all <= 0 ? null : round((part / all) * 100)
}

function ratio(part: number, all: number): number | null {
  return all <= 0 ? null : round(part / all)
}

function roundOrNull(value: number | null): number | null {
  return value === null ? null : round(value)
}

/** Four decimals: as many as a percent has. */
function round(value: number): number {
  return Math.round(value * 10_000) / 10_000
}
