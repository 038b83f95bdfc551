/**
 * Simulates a proposed table on recent requests: how many would have been routed differently.
 */

import type { Decision, RequestView } from '../../rules/http/exchange.ts'
import { decide } from '../../rules/routing/decide.ts'
import { matchRoute } from '../../rules/routing/match.ts'
import type { Route, Table } from '../../rules/table/table.ts'
import { type Plain, sameValue } from '../../rules/values/plain.ts'
import type { Steps } from '../../rules/values/steps.ts'
import type { RecentExchange } from '../../state/figures/recent-exchanges.ts'

/** What would become of the exchanges of one route, or with null of what no route claims now. */
export interface RouteSimulation {
  readonly route: string | null
  readonly exchanges: number
  /** Exchanges that would go to another upstream. */
  readonly moved: number
  /** Exchanges that another route would claim, or none. */
  readonly reclaimed: number
}

/** What would become of the last exchanges. */
export interface Simulation {
  /** Exchanges that were tried; forced ones are not. */
  readonly exchanges: number
  /** Epoch milliseconds of the oldest of them, or null. */
  readonly since: string | null
  readonly moved: number
  readonly movedPercent: number | null
  /** Distinct sticky keys among them, and those of which an exchange would move. */
  readonly units: { readonly seen: number; readonly moved: number }
  readonly routes: readonly RouteSimulation[]
  /** Routes that have claimed exchanges and would claim none any more. */
  readonly silenced: readonly string[]
  /** What would not be reused any more of what is cached. */
  readonly caches: readonly { readonly route: string; readonly upstream: string; readonly why: CacheLoss }[]
}

/**
 * Why stored answers would be lost.
 *
 * - `route-removed`: nothing looks them up any more
 * - `cache-changed`: they were stored by other settings
 * - `upstream-left`: the route does not go there any more
 * - `share-lowered`: what the side that loses requests has answered is purged
 */
export type CacheLoss = 'route-removed' | 'cache-changed' | 'upstream-left' | 'share-lowered'

/** Replays the decisions of exchanges on two tables, with the keys and the draw that each had; one at a time. */
export function* simulationSteps(before: Table, after: Table, recent: Iterable<RecentExchange>): Steps<Simulation> {
  const routes = new Map<string | null, { exchanges: number; moved: number; reclaimed: number }>()
  const claimed = { before: new Set<string | null>(), after: new Set<string | null>() }
  const units = { seen: new Set<string>(), moved: new Set<string>() }
  let [exchanges, moved, oldestMs] = [0, 0, Number.POSITIVE_INFINITY]
  for (const { view, decision: was, atMs } of recent) {
    yield
    if (was.reason === 'forced') continue
    const [old, now] = [decideOn(before, view), decideOn(after, view)]
    const isMoved = old.upstream !== now.upstream
    const route = routes.get(old.routeId) ?? { exchanges: 0, moved: 0, reclaimed: 0 }
    routes.set(old.routeId, route)
    route.exchanges++
    if (isMoved) route.moved++
    if (old.routeId !== now.routeId) route.reclaimed++
    claimed.before.add(old.routeId)
    claimed.after.add(now.routeId)
    countUnit(units, isMoved, old, now)
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
    routes: [...routes].map(([route, figures]) => ({ route, ...figures })),
    silenced: [...claimed.before].filter((id): id is string => id !== null && !claimed.after.has(id)),
    caches: cacheLosses(before, after),
  }
}

/** As if every upstream were available: what is asked is what the table says, not how its servers are. */
function decideOn(table: Table, view: RequestView): Decision {
  return decide(table, matchRoute(table, view), view, () => true)
}

/** A unit is known by its place in the draw, never by its key. */
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
    return [...new Set([old.from, old.to])].flatMap((upstream) => {
      const why = whyLost(old, now, upstream)
      return why === null ? [] : [{ route: old.id, upstream, why }]
    })
  })
}

function whyLost(old: Route, now: Route | undefined, upstream: string): CacheLoss | null {
  if (now === undefined) return 'route-removed'
  if (now.from !== upstream && now.to !== upstream) return 'upstream-left'
  if (!sameValue(old.document.cache as Plain, now.document.cache as Plain)) return 'cache-changed'
  return now.to === upstream && now.to === old.to && now.percent < old.percent ? 'share-lowered' : null
}
