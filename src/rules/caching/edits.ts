/**
 * What a table says of its stored answers, and what must not be served any more where another one takes its place: by an edit,
 * or between two runs.
 */
import { z } from 'zod'
import { shareOf } from '../routing/targets.ts'
import type { Route, Table, Target } from '../table/table.ts'
import type { PurgeTarget } from './purge.ts'

/** Of each route that caches, what its stored answers depend on. */
export interface CachingSummary {
  readonly routes: readonly RouteSummary[]
}

export interface RouteSummary {
  readonly id: string
  readonly to: string
  readonly percent: number
  /** Where there are several targets: the percent of each. */
  readonly shares?: readonly (readonly [upstream: string, percent: number])[] | undefined
  /** The upstreams that its stored answers lie under ('' where the sides share them), each with a print of what makes them. */
  readonly sides: readonly (readonly [upstream: string, print: string])[]
}

const FORMAT = 1
const summaryRecord = z.object({
  format: z.literal(FORMAT),
  routes: z.array(
    z.object({
      id: z.string(),
      to: z.string(),
      percent: z.number(),
      /** Where there are several targets: the percent of each. */
      shares: z.array(z.tuple([z.string(), z.number()])).optional(),
      sides: z.array(z.tuple([z.string(), z.string()])),
    }),
  ),
})

/**
 * @param all routes of the table: all of them, or those that matter
 * @param printOf equal where the settings of a route and upstream are
 */
export function summaryOf(
  table: Table,
  all: readonly Route[],
  printOf: (table: Table, route: Route, upstream: string) => string,
): CachingSummary {
  const routes = all.filter((route) => route.cache !== null)
  return {
    routes: routes.map((route) => {
      const { id, percent, targets } = route
      const sides = sidesOf(route).map((upstream): [string, string] => [upstream, printOf(table, route, upstream)])
      const shares = targets.map(({ upstream }): [string, number] => [upstream, shareOf(route, upstream) ?? 0])
      const { upstream: to } = targets[0] as Target
      return { id, to, percent, sides, ...(targets.length === 1 ? {} : { shares }) }
    }),
  }
}

/** A summary as the next process reads it. @param routes each as `writeRoute` writes it, sorted by id */
export function writeSummary(routes: readonly string[]): string {
  return `{"format":${FORMAT},"routes":[${routes.join(',')}]}`
}

/** A route of a summary as the next process reads it. */
export function writeRoute(route: RouteSummary): string {
  return JSON.stringify(route)
}

/** @returns null where the text is none of this form */
export function readSummary(json: string): CachingSummary | null {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    return null
  }
  const record = summaryRecord.safeParse(value)
  return record.success ? { routes: record.data.routes } : null
}

/** More purges than this at once become one of everything. */
const MAX_SIDES = 100

/**
 * What must not be served any more after an edit, even if it is taken back later: what the sides have answered that lost
 * requests (the share was lowered, and what the new side has answered so far may be why), and what settings of a route or
 * upstream have made that are no longer in force. Routes that cache only.
 * @param before null where it is not known
 */
export function purgedByEdit(before: CachingSummary | null, after: CachingSummary): PurgeTarget[] {
  if (before === null) return [{ what: 'everything' }]
  const next = new Map(after.routes.map((route) => [route.id, route]))
  const lost: PurgeTarget[] = []
  for (const was of before.routes) {
    const is = next.get(was.id)
    const prints = new Map(is?.sides)
    for (const [upstream, print] of was.sides) {
      const stays = is !== undefined && prints.get(upstream) === print
      const lowered = stays && losers(was, is).find((name) => upstream === '' || upstream === name)
      if (stays && lowered === undefined) continue
      const side = upstream === '' ? (was.shares === undefined && lowered) || null : upstream
      lost.push({ what: 'route', route: was.id, upstream: side })
    }
  }
  return lost.length > MAX_SIDES ? [{ what: 'everything' }] : lost
}

/** The targets that a route had and has, and that get less of its requests now. */
function losers(was: RouteSummary, is: RouteSummary): string[] {
  const sharesOf = ({ to, percent, shares }: RouteSummary) => shares ?? [[to, percent] as const]
  const now = new Map<string, number>(sharesOf(is))
  return sharesOf(was).flatMap(([name, share]) => ((now.get(name) ?? share) < share ? [name] : []))
}

/** The upstreams that a caching route's stored answers lie under. */
function sidesOf({ cache, from, targets }: Route): readonly string[] {
  if (cache?.shareAcrossUpstreams) return ['']
  return [...new Set([from, ...targets.map(({ upstream }) => upstream)])]
}
