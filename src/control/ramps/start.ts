/**
 * Whether a ramp can be started, with what plan, and for which routes.
 */
import { isUnderWay, type RampPlan, stepAfter } from '../../rules/ramp/plan.ts'
import type { Route, Table } from '../../rules/table/table.ts'
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
export function startable(
  table: Pick<Table, 'routes'>,
  id: string,
  ownPlan: RampPlan | null,
  runs: readonly Run[],
): Startable {
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

/** The plans of the table by group: of a group, that of its first route with one. */
export function plansOf({ routes }: Pick<Table, 'routes'>): ReadonlyMap<string, RampPlan> {
  const plans = new Map<string, RampPlan>()
  for (const { salt, ramp } of routes) if (ramp !== null && !plans.has(salt)) plans.set(salt, ramp)
  return plans
}

/** The ramp as the table has it. */
export function planIn({ document }: Route): Plain {
  return (document.ramp ?? null) as Plain
}

/** @throws {RampRefusal} */
export function mustHave({ routes }: Pick<Table, 'routes'>, id: string): Route {
  const route = routes.find((one) => one.id === id)
  if (route === undefined) throw new RampRefusal(`unknown route ${id}`)
  return route
}

/** The refusal for a route that has no plan. */
export function noRamp(id: string): RampRefusal {
  return new RampRefusal(`route ${id} has no ramp: add "ramp: {}" to it`)
}
