/**
 * Simulates a proposed table on recent requests: how many would have been routed differently.
 */

import { type Decision, fieldValue, type RequestView } from '../../rules/http/exchange.ts'
import { keyOf } from '../../rules/patterns/sticky.ts'
import { decide } from '../../rules/routing/decide.ts'
import { type Match, matchRoute } from '../../rules/routing/match.ts'
import { isTarget, shareOf } from '../../rules/routing/targets.ts'
import type { Route, Table } from '../../rules/table/table.ts'
import { type Plain, sameValue } from '../../rules/values/plain.ts'
import type { Steps } from '../../rules/values/steps.ts'
import type { RecentExchange } from '../../state/figures/recent-exchanges.ts'

/** Simulation for the requests of one route, or with null for unmatched ones. */
export interface RouteSimulation {
  readonly route: string | null
  readonly exchanges: number
  /** Requests that would go to another upstream. */
  readonly moved: number
  /** Requests that another route would match, or none. */
  readonly reclaimed: number
}

/** Simulation of the recent requests. */
export interface Simulation {
  /** Simulated requests; forced ones are left out. */
  readonly exchanges: number
  /** Time of the oldest of them, or null. */
  readonly since: string | null
  readonly moved: number
  readonly movedPercent: number | null
  /** Distinct sticky keys among them, and those with a request that would move. */
  readonly units: { readonly seen: number; readonly moved: number }
  /** Requests of sticky routes that have none of their keys, and those of them that would move: all at once. */
  readonly withoutKey: { readonly seen: number; readonly moved: number }
  readonly routes: readonly RouteSimulation[]
  /** Routes that matched requests and would match none. */
  readonly silenced: readonly string[]
  /** Cached responses that would not be used any more. */
  readonly caches: readonly { readonly route: string; readonly upstream: string; readonly why: CacheLoss }[]
}

/**
 * Why stored responses would be lost.
 *
 * - `route-removed`: there is no route to look them up
 * - `cache-changed`: they were stored with other settings
 * - `upstream-left`: the route does not use the upstream any more
 * - `share-lowered`: responses of the side that loses requests are purged
 */
export type CacheLoss = 'route-removed' | 'cache-changed' | 'upstream-left' | 'share-lowered'

/** Repeats the decisions of requests on two tables, with their original keys and draws, one at a time. */
export function* simulationSteps(before: Table, after: Table, recent: Iterable<RecentExchange>): Steps<Simulation> {
  const routes = new Map<string | null, { exchanges: number; moved: number; reclaimed: number }>()
  const claimed = { before: new Set<string | null>(), after: new Set<string | null>() }
  const units = { seen: new Set<string>(), moved: new Set<string>() }
  const withoutKey = { seen: 0, moved: 0 }
  let [exchanges, moved, oldestMs] = [0, 0, Number.POSITIVE_INFINITY]
  for (const { view, decision: was, atMs } of recent) {
    yield
    if (was.reason === 'forced') continue
    const match = matchRoute(before, view)
    const [old, now] = [decide(before, match, view, isUp), decide(after, matchRoute(after, view), view, isUp)]
    const isMoved = old.upstream !== now.upstream
    const route = routes.get(old.routeId) ?? { exchanges: 0, moved: 0, reclaimed: 0 }
    routes.set(old.routeId, route)
    route.exchanges++
    if (isMoved) route.moved++
    if (old.routeId !== now.routeId) route.reclaimed++
    claimed.before.add(old.routeId)
    claimed.after.add(now.routeId)
    countUnit(units, isMoved, old, now)
    if (lacksKey(match, view)) {
      withoutKey.seen++
      if (isMoved) withoutKey.moved++
    }
    exchanges++
    if (isMoved) moved++
    oldestMs = Math.min(oldestMs, atMs)
  }
  return {
    exchanges,
    since: exchanges === 0 ? null : new Date(oldestMs).toISOString(),
    moved,
    movedPercent: exchanges === 0 ? null : Math.round((moved / exchanges) * 1_000_000) / 10_000,
    units: { seen: units.seen.size, moved: units.moved.size },
    withoutKey,
    routes: [...routes].map(([route, figures]) => ({ route, ...figures })),
    silenced: [...claimed.before].filter((id): id is string => id !== null && !claimed.after.has(id)),
    caches: cacheLosses(before, after),
  }
}

/** All upstreams are available: the simulation is about the table, not the state of servers. */
const isUp = (): boolean => true

/** The requests of one route without a sticky key, in a sample of the recent ones. */
export interface KeylessSample {
  /** Requests of the route in the sample. */
  readonly exchanges: number
  /** Those that have none of the route's keys. */
  readonly withoutKey: number
  /** Those of them that an edit has moved to another upstream. */
  readonly moved: number
}

/** What an edit does to the requests of a route that have none of its keys: they move all at once. */
export function* keylessSteps(
  tables: { readonly before: Table; readonly after: Table },
  id: string,
  recent: Iterable<RecentExchange>,
): Steps<KeylessSample> {
  let [exchanges, withoutKey, moved] = [0, 0, 0]
  for (const { view, decision } of recent) {
    yield
    const match = matchRoute(tables.after, view)
    if (match.route?.id !== id || decision.reason === 'forced') continue
    exchanges++
    if (!lacksKey(match, view)) continue
    withoutKey++
    const was = decide(tables.before, matchRoute(tables.before, view), view, isUp)
    if (was.upstream !== decide(tables.after, match, view, isUp).upstream) moved++
  }
  return { exchanges, withoutKey, moved }
}

/** Whether a request has none of the keys of its route. */
function lacksKey({ route, params }: Match, view: RequestView): boolean {
  if (route === null || route.sticky.length === 0) return false
  return route.sticky.every(({ text, kind, ...source }) => {
    if (kind === 'request') return true
    // The value of Authorization is not kept with recent requests: where there is one, so was the key.
    const isHidden = kind === 'jwt' || /^header:(?:proxy-)?authorization$/i.test(text)
    if (isHidden && fieldValue(view.rawHeaders, 'authorization') !== undefined) return false
    return keyOf({ text, kind, ...source }, view, params) === undefined
  })
}

/** A unit is identified by its bucket, never by its key. */
function countUnit(
  units: { seen: Set<string>; moved: Set<string> },
  isMoved: boolean,
  ...decisions: readonly Decision[]
): void {
  const drawn = decisions.find(({ bucket, sticky }) => bucket !== null && sticky !== 'request')
  if (drawn === undefined) return
  const unit = `${drawn.routeId} ${drawn.bucket}`
  units.seen.add(unit)
  if (isMoved) units.moved.add(unit)
}

function cacheLosses(before: Table, after: Table): Simulation['caches'] {
  const routes = new Map(after.routes.map((route) => [route.id, route]))
  return before.routes.flatMap((old) => {
    if (old.cache === null) return []
    const now = routes.get(old.id)
    return [...new Set([old.from, ...old.targets.map(({ upstream }) => upstream)])].flatMap((upstream) => {
      const why = whyLost(old, now, upstream)
      return why === null ? [] : [{ route: old.id, upstream, why }]
    })
  })
}

function whyLost(old: Route, now: Route | undefined, upstream: string): CacheLoss | null {
  if (now === undefined) return 'route-removed'
  if (now.from !== upstream && !isTarget(now, upstream)) return 'upstream-left'
  if (!sameValue(old.document.cache as Plain, now.document.cache as Plain)) return 'cache-changed'
  const [was, is] = [shareOf(old, upstream), shareOf(now, upstream)]
  return was !== null && is !== null && is < was ? 'share-lowered' : null
}
