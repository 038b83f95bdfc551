/**
 * The progress of the migration as the API tells it: shares, routes, and what comes next.
 */
import type { Route, Table } from '../../rules/table/table.ts'
import type { Discovered } from './discovery.ts'
import { type Stage, stageOf } from './endpoint-count.ts'
import type { EndpointCount, Progress } from './progress.ts'
import { type Answered, addAnswered, noneAnswered, shareOf } from './route-days.ts'
import { DAY_MS } from './stored.ts'

/** Days that current shares are of. */
export const RECENT_DAYS = 7

/** A route has to be at 100 percent for so long before its old side goes: jobs that run once a month have come by. */
export const QUIET_DAYS = 30

/** Of the endpoints, those that are done; null without any. */
export function endpointShare({ moved, moving, waiting, ended, unclaimed }: EndpointCount): number | null {
  const all = moved + moving + waiting + ended + unclaimed
  return all === 0 ? null : (moved + ended) / all
}

/** Shares of the whole, 0 to 1; null where there is nothing. */
export function movedShares(progress: Progress): { requests: number | null; endpoints: number | null } {
  return { requests: shareOf(wholeOf(progress.lastDays(RECENT_DAYS))), endpoints: endpointShare(progress.endpoints) }
}

/** The sum of all routes, and of requests without one. */
export function wholeOf(routes: ReadonlyMap<string | null, Answered>): Answered {
  const whole = noneAnswered()
  for (const answered of routes.values()) addAnswered(whole, answered)
  return whole
}

/** What comes next, for a person. */
export interface NextStep {
  readonly kind: 'retire' | 'raise' | 'begin' | 'route'
  /** Route, or endpoint without one. */
  readonly what: string
  readonly why: string
  readonly command: string
}

/** Steps of one kind that are told. */
const MAX_NEXT = 3

/** What comes next: what can be retired, what is on its way, what waits, and the busiest endpoint without a route. */
export function nextSteps(
  { routes }: Pick<Table, 'routes'>,
  progress: Progress,
  endpoints: readonly Discovered[],
  nowMs: number,
): NextStep[] {
  const days = (route: Route): number => Math.floor((nowMs - (progress.standing(route.id)?.sinceMs ?? nowMs)) / DAY_MS)
  const of = (stage: Stage): Route[] => {
    const longest: { readonly route: Route; readonly days: number }[] = []
    for (const route of routes) {
      if (stageOf(route, nowMs) !== stage) continue
      longest.push({ route, days: days(route) })
      longest.sort((a, b) => b.days - a.days)
      longest.splice(MAX_NEXT)
    }
    return longest.map(({ route }) => route)
  }
  const quiet = of('moved').filter((route) => days(route) >= QUIET_DAYS)
  const open = endpoints.filter(({ route }) => route === null)
  return [
    ...quiet.map(
      (route): NextStep => ({
        ...{ kind: 'retire', what: route.id },
        why: `at 100 % for ${days(route)} days`,
        command: `banyan retire ${route.id} --check`,
      }),
    ),
    ...of('moving').map(
      (route): NextStep => ({
        ...{ kind: 'raise', what: route.id },
        why: `at ${route.percent} % for ${daysText(days(route))}`,
        command: route.ramp === null ? `banyan routes ${route.id}` : `banyan ramp status ${route.id}`,
      }),
    ),
    ...of('waiting').map(
      (route): NextStep => ({
        ...{ kind: 'begin', what: route.id },
        why: 'at 0 %',
        command: `banyan shadow ${route.shadow === null ? 'start' : 'show'} ${route.id}`,
      }),
    ),
    ...open.slice(0, 1).map(
      ({ method, path, requests, id }): NextStep => ({
        ...{ kind: 'route', what: `${method} ${path}` },
        why: `${requests} requests without a route`,
        command: `banyan routes add --endpoint ${id}`,
      }),
    ),
  ]
}

function daysText(days: number): string {
  return days === 1 ? '1 day' : `${days} days`
}
