/**
 * What stands in the way of switching the old side of a route off. Pure: what was seen comes as an argument.
 */
import { EXACT } from '../patterns/path.ts'
import { hasEnded } from '../retirement/retirement.ts'
import { targetsText } from '../routing/targets.ts'
import { NO_UPSTREAM, type Route, type Table } from '../table/table.ts'

/** What an obstacle is about. */
export const OBSTACLES = [
  ...(['percent', 'no-key', 'since', 'ramp', 'fallback', 'breaker', 'pin', 'traffic', 'forced'] as const),
  ...(['shadow', 'mismatch', 'method', 'route', 'to', 'unclaimed', 'reading', 'rewrite', 'storage'] as const),
] as const
export type ObstacleKind = (typeof OBSTACLES)[number]

/** One reason. */
export interface Obstacle {
  readonly kind: ObstacleKind
  /** In words. */
  readonly why: string
  /** False for what is only to be known. */
  readonly blocks: boolean
  /** A command that shows more, or helps; null where there is none. */
  readonly command: string | null
}

/** An endpoint without a route. */
export interface OpenEndpoint {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly requests: number
}

/** What was seen of a route. */
export interface RouteSeen {
  readonly nowMs: number
  /** It has to be quiet for so many days. */
  readonly days: number
  /** Since when everybody is on the new side, epoch milliseconds; null where that is not so. */
  readonly movedSinceMs: number | null
  /** Requests that it has answered since everybody has moved, in these days, besides fallbacks. */
  readonly old: number
  readonly fallbacks: number
  readonly forced: number
  /** Status of its ramp if one is under way, else null. */
  readonly ramp: string | null
  /** Fields that differ between the two sides. */
  readonly mismatches: number
  /** Endpoints of the same path without a route. */
  readonly siblings: readonly OpenEndpoint[]
  /** Figures are lost at a restart. */
  readonly isInMemory: boolean
}

const DAY_MS = 86_400_000

/** Endpoints and routes that are named one by one. */
const MAX_NAMED = 10

/** What stands in the way of switching off `from` for a route. Empty where it has none, or has ended. */
export function routeObstacles(route: Route, table: Pick<Table, 'routes'>, seen: RouteSeen): Obstacle[] {
  const { id, from } = route
  if (from === NO_UPSTREAM || (route.retire !== null && hasEnded(route.retire, seen.nowMs))) return []
  const to = targetsText(route.document.to)
  const found: Obstacle[] = []
  const add = (kind: ObstacleKind, why: string, command: string | null = null, blocks = true): void => {
    found.push({ kind, why, blocks, command })
  }
  if (route.percent < 100)
    add('percent', `${route.percent} % of the requests go to ${to}, not 100`, `banyan set ${id} 100`)
  else if (!route.movesAll) add('no-key', `noKey: from keeps requests without a key on ${from}`)
  if (seen.ramp !== null) add('ramp', `its ramp is ${seen.ramp}`, `banyan ramp status ${id}`)
  if (route.movesAll) addMoved(route, seen, add)
  if (route.fallback !== null)
    add(
      'fallback',
      `${from} answers where ${to} fails: ${times(seen.fallbacks)} in the last ${days(seen.days)}. Remove fallback`,
    )
  if (route.breaker !== null)
    add('breaker', `${from} gets the requests while the breaker of ${to} is open. Remove it, or write breaker: false`)
  if (route.pinAfterWriteMs !== null) add('pin', `pinAfterWrite may keep reads on ${from}`)
  if (route.shadow !== null && route.shadow.share > 0)
    add('shadow', `shadow asks ${from}, too`, `banyan shadow stop ${id}`)
  if (seen.mismatches > 0)
    add(
      'mismatch',
      `comparisons have found ${plural(seen.mismatches, 'field')} that differ`,
      `banyan shadow show ${id}`,
    )
  for (const { method, path, requests, id: endpoint } of seen.siblings.slice(0, MAX_NAMED))
    add(
      'method',
      `${method} ${path} has no route: ${plural(requests, 'request')}`,
      `banyan routes add --endpoint ${endpoint}`,
    )
  for (const other of sharers(route, table).slice(0, MAX_NAMED))
    add('route', `route ${other.id} has the same path, and sends requests to ${from}`, `banyan routes ${other.id}`)
  if (readsAsOld(route))
    add(
      'reading',
      `its paths are read as ${from} reads them. Write caseInsensitivePaths, pathParameters and trailingSlash on the route`,
    )
  if (route.rewrite !== null)
    add(
      'rewrite',
      `${to} gets rewritten requests: clients that shall ask it without banyan have to change`,
      null,
      false,
    )
  if (seen.isInMemory)
    add('storage', 'figures are kept in memory only: what was before the last restart is not known', null, false)
  return found
}

function addMoved(
  { from }: Route,
  { movedSinceMs, nowMs, days: asked, old, forced }: RouteSeen,
  add: (kind: ObstacleKind, why: string) => void,
): void {
  const quiet = Math.floor((nowMs - (movedSinceMs ?? nowMs)) / DAY_MS)
  if (quiet < asked)
    add('since', `at 100 % for ${days(quiet)}, not ${asked}: a job that runs once a month may come by yet`)
  if (old > 0) add('traffic', `${from} has still answered ${plural(old, 'request')} in the last ${days(asked)}`)
  if (forced > 0)
    add('forced', `${times(forced)} somebody with a force token has chosen ${from} in the last ${days(asked)}`)
}

/** Other routes of the same paths that send requests to the same old side. */
function sharers(route: Route, { routes }: Pick<Table, 'routes'>): Route[] {
  const known = routesByShape.get(routes) ?? byShape(routes)
  routesByShape.set(routes, known)
  const others = new Set(route.claims.flatMap(({ path }) => known.get(shapeOf(path.text)) ?? []))
  return [...others].filter((other) => other !== route && other.from === route.from)
}

/** Made once for a table: each of its routes is asked for its own. */
const routesByShape = new WeakMap<readonly Route[], ReadonlyMap<string, readonly Route[]>>()

/** Routes that still send requests to their old side, by the shapes of their paths. */
function byShape(routes: readonly Route[]): ReadonlyMap<string, readonly Route[]> {
  const found = new Map<string, Route[]>()
  for (const route of routes) {
    if (route.movesAll) continue
    for (const { path } of route.claims) {
      const shape = shapeOf(path.text)
      const known = found.get(shape)
      if (known === undefined) found.set(shape, [route])
      else known.push(route)
    }
  }
  return found
}

/** A path whatever its parameters are called. */
export function shapeOf(path: string): string {
  return path.replaceAll(/:[^/]+/g, ':')
}

function readsAsOld({ reading, document }: Route): boolean {
  const { caseInsensitivePaths, pathParameters, trailingSlash } = document
  const { ignoresCase, ignoresParameters, ignoresFinalSlash } = reading
  if (reading === EXACT) return false
  return (
    (ignoresCase && caseInsensitivePaths === undefined) ||
    (ignoresParameters && pathParameters === undefined) ||
    (ignoresFinalSlash && trailingSlash === undefined)
  )
}

/** What was seen of a whole table. */
export interface TableSeen {
  readonly days: number
  /** Reasons of each route that has any. */
  readonly routes: ReadonlyMap<string, number>
  /** Endpoints without a route that were asked for in these days, the busiest first. */
  readonly open: readonly OpenEndpoint[]
  /** Requests without a route that are at no endpoint. */
  readonly others: number
}

/** What stands in the way of switching the default upstream off. Empty where there is none. */
export function tableObstacles(table: Pick<Table, 'routes' | 'default'>, seen: TableSeen): Obstacle[] {
  const old = table.default
  if (old === NO_UPSTREAM) return []
  const found: Obstacle[] = []
  for (const route of table.routes) {
    const reasons = seen.routes.get(route.id) ?? 0
    if (route.from === old && reasons > 0) {
      const command = `banyan retire ${route.id} --check`
      found.push({ kind: 'route', why: `route ${route.id}: ${plural(reasons, 'reason')}`, blocks: true, command })
    }
    if (route.targets.some(({ upstream }) => upstream === old) && route.percent > 0)
      found.push({ kind: 'to', why: `route ${route.id} sends its share to ${old}`, blocks: true, command: null })
  }
  for (const { method, path, requests, id } of seen.open.slice(0, MAX_NAMED)) {
    const command = `banyan routes add --endpoint ${id}`
    found.push({ kind: 'unclaimed', why: `${method} ${path}: ${plural(requests, 'request')}`, blocks: true, command })
  }
  const more = seen.open.length - MAX_NAMED
  if (more > 0)
    found.push({
      kind: 'unclaimed',
      why: `and ${plural(more, 'endpoint')} without a route`,
      blocks: true,
      command: 'banyan discover --all',
    })
  if (seen.others > 0) {
    const why = `${plural(seen.others, 'request')} without a route that ${old} has refused, or not answered, will be answered by banyan`
    found.push({ kind: 'traffic', why, blocks: false, command: null })
  }
  return found
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`
}

function days(count: number): string {
  return count === 1 ? '1 day' : `${count} days`
}
