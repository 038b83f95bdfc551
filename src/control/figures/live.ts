/**
 * Live figures of a route or upstream: totals since the start of the process, and the last one and five minutes.
 */
import { isTarget } from '../../rules/routing/targets.ts'
import { NO_UPSTREAM, type Route } from '../../rules/table/table.ts'
import type { AttemptCell } from '../../state/figures/attempt-cell.ts'
import type { Cell } from '../../state/figures/cell.ts'
import { quantilesMs } from '../../state/figures/durations.ts'
import type { Measurements, RouteFigures } from '../../state/figures/measurements.ts'
import { UnitCounter } from '../../state/figures/unit-counter.ts'
import { sumWindows, type WindowSums } from '../../state/figures/windows.ts'

/** The figures of a window. */
export interface WindowFigures {
  /** Actual length of the window: shorter soon after the start, later up to some seconds longer. */
  readonly seconds: number
  readonly exchanges: number
  readonly perSecond: number
  /** Share of 5xx responses, 0 to 1; null without responses. */
  readonly errorRatio: number | null
  readonly fallbacks: number
  /** Share of cache hits in cache lookups; null without lookups. */
  readonly cacheHitRatio: number | null
  readonly meanMs: number | null
  readonly p50Ms: number | null
  readonly p95Ms: number | null
  readonly p99Ms: number | null
}

/** Configured and actual percent. Forced requests are left out. */
export interface ShareFigures {
  readonly requestedPercent: number
  /** Requests answered by `to`; null without requests. */
  readonly actualPercent: number | null
  /** Distinct sticky keys in the share over the last one to two minutes, estimated; null without keys. */
  readonly actualUnitPercent: number | null
  /** Requests that stayed on `from` because they had no sticky key, as a share of all. */
  readonly noKeyPercent: number | null
}

/** Since the start of the process: attempts at one side of a route, for requests that were decided for it. */
export interface SideTotals {
  readonly attempts: number
  /** Attempts that failed or got a 5xx response. */
  readonly failed: number
}

/**
 * One side of a route in a window, by decision, whichever upstream responded. Requests without a key and forced ones belong to
 * neither side, so that the two sides can be compared; those without a key have figures of their own.
 */
export interface SideFigures {
  /** Responses to clients. */
  readonly exchanges: number
  readonly errorRatio: number | null
  readonly p50Ms: number | null
  readonly p95Ms: number | null
  readonly p99Ms: number | null
  /** Attempts at its servers; durations are from the request to the response headers. */
  readonly attempts: number
  readonly failedRatio: number | null
  readonly attemptP50Ms: number | null
  readonly attemptP95Ms: number | null
  readonly attemptP99Ms: number | null
}

/** The figures of a route, or of unmatched requests. Totals count from the start of the process. */
export interface LiveRoute extends RouteFigures {
  /** By upstream. */
  readonly sides: Readonly<Record<string, SideTotals>>
  readonly lastMinute: RouteWindow
  readonly lastFiveMinutes: RouteWindow
}

/** A window of a route; `share` is null for unmatched requests. */
export interface RouteWindow extends WindowFigures {
  readonly share: ShareFigures | null
  /** By upstream. */
  readonly sides: Readonly<Record<string, SideFigures>>
  /** Requests without a key, which `noKey` decided, by upstream. */
  readonly withoutKey: Readonly<Record<string, SideFigures>>
}

const MINUTE_MS = 60_000

/** The figures of a route; null: of unmatched requests. */
export function liveRoute(measurements: Measurements, route: Route | null, nowMs: number): LiveRoute {
  const window = (lengthMs: number): RouteWindow => routeWindow(measurements, route, lengthMs, nowMs)
  const id = route === null ? null : route.id
  const attempted = bySide(measurements.attempts(id), (cell) => sideName(cell, route))
  const totals = [...attempted].map(([side, cells]) => {
    const attempts = cells.reduce((sum, { exchanges }) => sum + exchanges, 0)
    return [side, { attempts, failed: cells.reduce((sum, { failed }) => sum + failed, 0) }] as const
  })
  return {
    ...measurements.figures(id),
    sides: Object.fromEntries(totals),
    lastMinute: window(MINUTE_MS),
    lastFiveMinutes: window(5 * MINUTE_MS),
  }
}

/** The figures of the last minute of a route; null: of unmatched requests. */
export function lastMinute(measurements: Measurements, route: Route | null, nowMs: number): RouteWindow {
  return routeWindow(measurements, route, MINUTE_MS, nowMs)
}

/** What clients got from one side of a route in some time. */
export type SideOutcome = Pick<SideFigures, 'exchanges' | 'errorRatio' | 'p95Ms'>

/**
 * What clients got from each side of a route, by upstream; sides without requests are left out.
 * @param sumsOf what a series has counted in the time that is asked for
 */
export function sideOutcomes(
  measurements: Measurements,
  route: Route,
  sumsOf: (cell: Cell) => WindowSums,
): ReadonlyMap<string, SideOutcome> {
  const seen = measurements.cells(route.id).map((cell) => ({ cell, window: sumsOf(cell) }))
  const sides = bySide(
    seen.filter(({ window }) => window.exchanges > 0),
    ({ cell }) => sideName(cell, route),
  )
  return new Map([...sides].map(([name, own]) => [name, outcomeOf(sumOf(own))]))
}

function outcomeOf(sums: WindowSums): SideOutcome {
  return { exchanges: sums.exchanges, errorRatio: ratio(sums.errors, sums.exchanges), p95Ms: quantiles(sums)[1] }
}

/** Returns a function from an upstream's name to its figures over all routes in the last minute. */
export function liveUpstreams(measurements: Measurements, nowMs: number): (name: string) => WindowFigures {
  const span = measurements.windowOf(MINUTE_MS, nowMs)
  const cells = Map.groupBy(
    measurements.routeIds().flatMap((id) => measurements.cells(id)),
    (cell) => cell.upstream,
  )
  return (name) => windowFigures(seenIn(cells.get(name) ?? [], span), span)
}

interface Span {
  readonly ticksAgo: number
  readonly spanMs: number
}

/** A series with its sums in a window. */
interface Seen<One> {
  readonly cell: One
  readonly window: WindowSums
}

function seenIn<One extends Cell | AttemptCell>(cells: readonly One[], { ticksAgo }: Span): Seen<One>[] {
  return cells.map((cell) => ({ cell, window: cell.since(ticksAgo) }))
}

function routeWindow(measurements: Measurements, route: Route | null, lengthMs: number, nowMs: number): RouteWindow {
  const span = measurements.windowOf(lengthMs, nowMs)
  const id = route === null ? null : route.id
  const seen = seenIn(measurements.cells(id), span)
  const attempted = seenIn(measurements.attempts(id), span)
  const figuresBy = (nameOf: (cell: Cell | AttemptCell) => string | null): Record<string, SideFigures> => {
    const exchanges = bySide(seen, ({ cell }) => nameOf(cell))
    const attempts = bySide(attempted, ({ cell }) => nameOf(cell))
    const names = new Set([...exchanges.keys(), ...attempts.keys()])
    return Object.fromEntries(
      [...names].map((name) => [name, sideFigures(exchanges.get(name) ?? [], attempts.get(name) ?? [])]),
    )
  }
  return {
    ...windowFigures(seen, span),
    share: route === null ? null : shareFigures(route, seen),
    sides: figuresBy((cell) => sideName(cell, route)),
    withoutKey: figuresBy(({ reason, upstream }) => (reason === 'no-key' ? upstream : null)),
  }
}

/** Grouped by the side that they were decided for; those of no side are left out. */
function bySide<One>(all: readonly One[], nameOf: (one: One) => string | null): Map<string, One[]> {
  const sides = new Map<string, One[]>()
  for (const one of all) {
    const name = nameOf(one)
    if (name === null) continue
    const side = sides.get(name)
    if (side === undefined) sides.set(name, [one])
    else side.push(one)
  }
  return sides
}

/** Requests that fell back were decided for `to`; the resulting attempts at `from` belong to neither side. */
function sideName(cell: Cell | AttemptCell, route: Route | null): string | null {
  switch (cell.reason) {
    case 'no-key':
    case 'forced':
    case 'retired':
      return null
    case 'fallback':
    case 'unavailable':
      return 'side' in cell && route !== null ? targetsName(route) : null
    default:
      return cell.upstream === NO_UPSTREAM ? null : cell.upstream
  }
}

/** Of several targets the one that failed is not known any more: they have what fell back together. */
function targetsName({ targets }: Route): string {
  return targets.map(({ upstream }) => upstream).join(', ')
}

function windowFigures(seen: readonly Seen<Cell>[], span: Span): WindowFigures {
  const sums = sumOf(seen)
  const seconds = span.spanMs / 1000
  const [p50Ms, p95Ms, p99Ms] = quantiles(sums)
  return {
    seconds: round(seconds),
    exchanges: sums.exchanges,
    perSecond: round(sums.exchanges / seconds),
    errorRatio: ratio(sums.errors, sums.exchanges),
    fallbacks: exchangesOf(seen, 'fallback'),
    cacheHitRatio: ratio(sums.cacheHits, sums.cacheHits + sums.cacheMisses),
    meanMs: sums.timed === 0 ? null : readable(sums.durationMsSum / sums.timed),
    p50Ms,
    p95Ms,
    p99Ms,
  }
}

function sideFigures(seen: readonly Seen<Cell>[], attempted: readonly Seen<AttemptCell>[]): SideFigures {
  const [sums, attempts] = [sumOf(seen), sumOf(attempted)]
  const [p50Ms, p95Ms, p99Ms] = quantiles(sums)
  const [attemptP50Ms, attemptP95Ms, attemptP99Ms] = quantiles(attempts)
  return {
    exchanges: sums.exchanges,
    errorRatio: ratio(sums.errors, sums.exchanges),
    p50Ms,
    p95Ms,
    p99Ms,
    attempts: attempts.exchanges,
    failedRatio: ratio(attempts.errors, attempts.exchanges),
    attemptP50Ms,
    attemptP95Ms,
    attemptP99Ms,
  }
}

function shareFigures(route: Route, seen: readonly Seen<Cell>[]): ShareFigures {
  const drawn = seen.filter(({ cell }) => cell.reason !== 'forced')
  const inAll = sumOf(drawn).exchanges
  const answered = sumOf(drawn.filter(({ cell }) => isTarget(route, cell.upstream))).exchanges
  const units = UnitCounter.countAll(drawn.map(({ cell }) => cell.units))
  const inShare = UnitCounter.countAll(drawn.filter(({ cell }) => cell.side === 'to').map(({ cell }) => cell.units))
  return {
    requestedPercent: route.percent,
    actualPercent: percentOf(answered, inAll),
    actualUnitPercent: percentOf(Math.min(inShare, units), units),
    noKeyPercent: percentOf(exchangesOf(drawn, 'no-key'), inAll),
  }
}

function exchangesOf(seen: readonly Seen<Cell>[], wanted: Cell['reason']): number {
  return sumOf(seen.filter(({ cell }) => cell.reason === wanted)).exchanges
}

function sumOf(seen: readonly Seen<unknown>[]): WindowSums {
  return sumWindows(seen.map(({ window }) => window))
}

function percentOf(part: number, all: number): number | null {
  return all <= 0 ? null : round((part / all) * 100)
}

function ratio(part: number, all: number): number | null {
  return all <= 0 ? null : round(part / all)
}

/** p50, p95 and p99; null without durations. */
function quantiles({ fine }: WindowSums): readonly [number | null, number | null, number | null] {
  const found = quantilesMs(fine, [0.5, 0.95, 0.99]).map((ms) => (ms === null ? null : readable(ms)))
  return found as [number | null, number | null, number | null]
}

/** Three digits: buckets are no more precise. */
function readable(ms: number): number {
  return Number(ms.toPrecision(3))
}

/** Four decimals, as in a percent. */
function round(value: number): number {
  return Math.round(value * 10_000) / 10_000
}
