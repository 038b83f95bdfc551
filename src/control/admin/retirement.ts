/**
 * /retirement and /routes/:id/retirement: what stands in the way of switching the old application off.
 */

import {
  type Obstacle,
  type OpenEndpoint,
  routeObstacles,
  shapeOf,
  tableObstacles,
} from '../../rules/progress/obstacles.ts'
import { isUnderWay, type RampStatus } from '../../rules/ramp/plan.ts'
import { hasEnded } from '../../rules/retirement/retirement.ts'
import { NO_UPSTREAM, type Route, type Table } from '../../rules/table/table.ts'
import type { Steps } from '../../rules/values/steps.ts'
import { type AdminContext, type AdminParts, type AdminRouter, answerJson, answerLarge } from '../context.ts'
import type { Discovered } from '../figures/discovery.ts'
import { pathsOf } from '../figures/evidence.ts'
import type { Figures } from '../figures/planes.ts'
import { ROUTE_DAYS } from '../figures/progress.ts'
import { QUIET_DAYS } from '../figures/progress-view.ts'
import { type Answered, noneAnswered } from '../figures/route-days.ts'
import { DAY_MS, dayOf } from '../figures/stored.ts'
import { AdminProblem } from '../http/problem.ts'
import { inTurns } from '../turns.ts'
import { callersState } from './discovered.ts'
import { noSuchRoute } from './write.ts'

/** What the checks of one request look at. */
interface Look {
  /** Status of each ramp. */
  readonly ramps: ReadonlyMap<string, RampStatus>
  /** Endpoints without a route by the shape of their path. */
  readonly open: ReadonlyMap<string, readonly Discovered[]>
  /** Requests of the last days, by their number. */
  readonly answered: Map<number, ReadonlyMap<string | null, Answered>>
  readonly table: Table
  readonly figures: Figures
  readonly endpoints: readonly Discovered[]
  readonly days: number
  readonly nowMs: number
}

/** Adds the resources. */
export function addRetirement(router: AdminRouter, parts: AdminParts): void {
  router.get('/retirement', async (ctx) => {
    const look = await lookOf(ctx, parts)
    const { table, days, endpoints, figures } = look
    const reasons = await inTurns(reasonsOf(look))
    const open = endpoints.filter(({ route }) => route === null)
    const { others } = await figures.discovery.found(table, look.nowMs - days * DAY_MS)
    const found = tableObstacles(table, {
      days,
      routes: reasons,
      open,
      others: others.refused + others.ambiguous + others.more,
    })
    const upstream = table.default === NO_UPSTREAM ? null : table.default
    await answerLarge(ctx, {
      route: null,
      from: upstream,
      days,
      ...resultOf(found),
      ...callersState({ callers: [], more: 0 }),
    })
  })

  router.get('/routes/:id/retirement', async (ctx) => {
    const { table } = parts.live.current
    const id = ctx.params.id as string
    const route = table.routes.find((one) => one.id === id)
    if (route === undefined) throw noSuchRoute(table, id)
    const look = await lookOf(ctx, parts)
    const callers = look.figures.progress.lateCallers(id)
    const since = {
      ...callers,
      callers: callers.callers.filter(({ lastMs }) => lastMs >= look.nowMs - look.days * DAY_MS),
    }
    answerJson(ctx, {
      route: id,
      from: route.from === NO_UPSTREAM ? null : route.from,
      ended: route.retire !== null && hasEnded(route.retire, look.nowMs),
      days: look.days,
      ...resultOf(obstaclesOf(route, look)),
      ...callersState(since),
    })
  })
}

async function lookOf(ctx: AdminContext, parts: AdminParts): Promise<Look> {
  const days = daysOf(ctx)
  const figures = await parts.planes.figures()
  const { progress, discovery, evidence } = figures
  await Promise.all([progress.ready(), discovery.ready(), evidence.ready()])
  const { table } = parts.live.current
  const nowMs = parts.now()
  const { endpoints } = await discovery.found(table, nowMs - days * DAY_MS)
  const ramps = new Map(
    parts.ramps.views().flatMap(({ route, record }) => (record === null ? [] : [[route, record.status]])),
  )
  const open = Map.groupBy(
    endpoints.filter(({ route }) => route === null),
    ({ path }) => shapeOf(path),
  )
  return { table, figures, endpoints, days, nowMs, ramps, open, answered: new Map() }
}

/** How many reasons each route has. */
function* reasonsOf(look: Look): Steps<ReadonlyMap<string, number>> {
  const reasons = new Map<string, number>()
  for (const route of look.table.routes) {
    reasons.set(route.id, obstaclesOf(route, look).filter(isBlocking).length)
    yield
  }
  return reasons
}

function answeredIn({ answered, figures }: Look, days: number): ReadonlyMap<string | null, Answered> {
  const known = answered.get(days) ?? figures.progress.lastDays(days)
  answered.set(days, known)
  return known
}

/** `days=30`. @throws {AdminProblem} malformed-query */
function daysOf(ctx: AdminContext): number {
  const said = new URLSearchParams(ctx.querystring)
  const unknown = [...said.keys()].find((name) => name !== 'days')
  if (unknown !== undefined) throw new AdminProblem('malformed-query', `Unknown parameter ${JSON.stringify(unknown)}.`)
  const text = said.get('days')
  if (text === null) return QUIET_DAYS
  const days = /^\d{1,2}$/.test(text) ? Number(text) : 0
  if (days < 1 || days > ROUTE_DAYS)
    throw new AdminProblem('malformed-query', `days must be a whole number from 1 to ${ROUTE_DAYS}.`)
  return days
}

function obstaclesOf(route: Route, look: Look): Obstacle[] {
  const { table, figures, days, nowMs, ramps } = look
  const { progress, evidence } = figures
  const standing = progress.standing(route.id)
  const movedSinceMs = route.movesAll ? (standing?.sinceMs ?? nowMs) : null
  // The day on which it has moved had requests before that.
  const since = Math.min(days, Math.max(0, dayOf(nowMs) - dayOf(movedSinceMs ?? nowMs)))
  const answered = (since === 0 ? null : answeredIn(look, since).get(route.id)) ?? noneAnswered()
  const used = answeredIn(look, days).get(route.id) ?? noneAnswered()
  const known = evidence.of(route.id)
  const status = ramps.get(route.id)
  return routeObstacles(route, table, {
    ...{ nowMs, days, movedSinceMs },
    old: answered.from - answered.fallback,
    fallbacks: used.fallback,
    forced: answered.forced,
    ramp: status !== undefined && isUnderWay(status) ? status : null,
    mismatches: known === null ? 0 : pathsOf(known).filter(({ verdict }) => verdict === 'mismatch').length,
    siblings: siblingsOf(route, look),
    isInMemory: progress.storage === 'memory',
  })
}

/** Endpoints without a route that have a path of this one. */
function siblingsOf({ claims }: Route, { open }: Look): OpenEndpoint[] {
  const shapes = new Set(claims.map(({ path }) => shapeOf(path.text)))
  return [...shapes].flatMap((shape) => open.get(shape) ?? [])
}

function isBlocking({ blocks }: Obstacle): boolean {
  return blocks
}

function resultOf(found: readonly Obstacle[]): object {
  return { ready: !found.some(isBlocking), obstacles: found }
}
