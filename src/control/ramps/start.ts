/**
 * Whether a ramp can be started, with what plan, and for which routes.
 */
import { isUnderWay, type RampPlan, stepAfter } from '../../rules/ramp/plan.ts'
import { type Route, routeWith, type Table } from '../../rules/table/table.ts'
import { type Plain, sameValue } from '../../rules/values/plain.ts'
import { nameOf } from './record.ts'
import { groupOf, type Run } from './run.ts'
import { RampRefusal } from './steps.ts'

/** What is started. */
export interface Startable {
  readonly plan: RampPlan
  readonly route: Route
  /** Those of its group, which move together. */
  readonly routes: readonly Route[]
}

/**
 * What a start of a route's ramp starts.
 * @param ownPlan the plan of the start; null for that of the table
 * @throws {RampRefusal} if it can't be started now
 */
export function startable(table: Table, id: string, ownPlan: RampPlan | null, runs: readonly Run[]): Startable {
  const route = mustHave(table, id)
  const plan = ownPlan ?? plansOf(table).get(route.salt) ?? null
  if (plan === null) throw noRamp(id)
  const routes = groupOf(table, route)
  const known = runs.find(({ record, counts }) => isUnderWay(record.status) && routes.some((one) => counts.has(one.id)))
  if (known !== undefined)
    throw new RampRefusal(`the ramp of ${nameOf(known.record)} is ${known.record.status} already`)
  const planned = routes.find(({ ramp }) => ramp !== null) ?? route
  for (const one of routes) {
    checkPercent(one, route)
    if (ownPlan === null) checkPlan(one, planned)
  }
  const { percent, movesAll } = route
  if (stepAfter(plan, { step: movesAll ? 'all' : percent, percent }) === null)
    throw new RampRefusal(`${id} is at ${percent} % already: no step of its ramp is above that`)
  return { plan, route, routes }
}

function checkPercent(one: Route, { id, salt, percent }: Route): void {
  if (one.percent === percent) return
  throw new RampRefusal(
    `the routes of group ${salt} ramp together: ${one.id} is at ${one.percent} %, ${id} at ${percent} %`,
  )
}

function checkPlan(one: Route, planned: Route): void {
  if (one.ramp === null || sameValue(planIn(one), planIn(planned))) return
  throw new RampRefusal(
    `the routes of group ${one.salt} ramp together: ${planned.id} and ${one.id} have different plans`,
  )
}

/** What the table plans. */
interface Planned {
  /** By group: of a group, the plan of its first route with one. */
  readonly plans: ReadonlyMap<string, RampPlan>
  /** The places of all routes of these groups. */
  readonly places: readonly number[]
}

/** By the routes of a table, which ramps are asked for each second. */
const PLANNED = new WeakMap<readonly Route[], Planned>()

/** What a table plans: looked for once. */
export function plannedIn({ routes }: Pick<Table, 'routes'>): Planned {
  const known = PLANNED.get(routes)
  if (known !== undefined) return known
  const plans = new Map<string, RampPlan>()
  for (const { salt, ramp } of routes) if (ramp !== null && !plans.has(salt)) plans.set(salt, ramp)
  const places = plans.size === 0 ? [] : routes.flatMap(({ salt }, place) => (plans.has(salt) ? [place] : []))
  PLANNED.set(routes, { plans, places })
  return { plans, places }
}

/** The plans of the table by group. */
export function plansOf(table: Pick<Table, 'routes'>): ReadonlyMap<string, RampPlan> {
  return plannedIn(table).plans
}

/** The ramp as the table has it. */
export function planIn({ document }: Route): Plain {
  return (document.ramp ?? null) as Plain
}

/** @throws {RampRefusal} */
export function mustHave(table: Table, id: string): Route {
  const route = routeWith(table, id)
  if (route === null) throw new RampRefusal(`unknown route ${id}`)
  return route
}

/** The refusal for a route that has no plan. */
export function noRamp(id: string): RampRefusal {
  return new RampRefusal(`route ${id} has no ramp: add "ramp: {}" to it`)
}
