/**
 * /ramps and /routes/:id/ramp: where the ramps stand, what their guards say, and what a person does with them.
 */
import { z } from 'zod'
import { isUnderWay, percentOf, type RampPlan, type RampStep, stepAfter } from '../../rules/ramp/plan.ts'
import { printRequirement } from '../../rules/ramp/requirement.ts'
import { rampPlan } from '../../rules/table/schema.ts'
import type { Route } from '../../rules/table/table.ts'
import { formatDuration } from '../../rules/values/units.ts'
import { StateError } from '../../state/store/store.ts'
import { type AdminContext, type AdminParts, type AdminRouter, answerJson } from '../context.ts'
import { parseBody } from '../http/body-schema.ts'
import { AdminProblem } from '../http/problem.ts'
import type { Ramps } from '../ramps/ramps.ts'
import { RampRefusal } from '../ramps/steps.ts'
import type { RampView } from '../ramps/views.ts'
import { keylessSteps } from '../table/simulation.ts'
import { inTurns } from '../turns.ts'
import { readJson, readNothing } from './body.ts'
import { claimRamps, mustOwn, noSuchRoute, rampsUnavailable, reasonOf, tellInForce } from './write.ts'

/** Longest reason of a step. */
const MAX_REASON_LENGTH = 400

/** Body of `start`. */
export const startBody = z.strictObject({
  plan: rampPlan.optional().describe('A plan in the place of that of the table.'),
})
/** Body of `step`. */
export const stepBody = z.strictObject({
  reason: z.string().trim().min(1).max(MAX_REASON_LENGTH).describe('Why, for the revision.'),
})
/** Body of `abort`. */
export const abortBody = z.strictObject({
  back: z.boolean().optional().describe('Set percent back to what it was before the start. Default false.'),
})

/** Adds the resources. */
export function addRamps(router: AdminRouter, parts: AdminParts): void {
  const { ramps } = parts
  router.get('/ramps', (ctx) => answerJson(ctx, { ramps: ramps.views().map((view) => rampState(view, ramps)) }))
  router.get('/routes/:id/ramp', (ctx) => answerRamp(ctx, parts))

  const act = (
    name: string,
    action: (ctx: AdminContext, id: string, by: string, reason: string | null) => Promise<void>,
  ): void => {
    router.post(`/routes/:id/ramp/${name}`, async (ctx) => {
      const id = ctx.params.id as string
      mustOwn(parts)
      routeOf(id, parts)
      await claimRamps(parts)
      try {
        await action(ctx, id, ctx.state.author ?? 'anonymous', reasonOf(ctx))
      } catch (error) {
        if (error instanceof RampRefusal) throw new AdminProblem('ramp-refused', `${error.message}.`)
        if (error instanceof StateError) throw rampsUnavailable(error.message)
        throw error
      }
      if (parts.cluster !== undefined) tellInForce(ctx, await parts.cluster.rampsInForce())
      const withoutKey = name === 'start' ? { withoutKey: await keylessOf(viewOf(id, parts), parts) } : {}
      answerJson(ctx, { ...rampState(viewOf(id, parts), ramps), ...withoutKey })
    })
  }
  for (const [name, action] of Object.entries({
    pause: (id: string, by: string, reason: string | null) => ramps.pause(id, by, reason),
    resume: (id: string, by: string, reason: string | null) => ramps.resume(id, by, reason),
    approve: (id: string, by: string, reason: string | null) => ramps.approve(id, by, reason),
  })) {
    act(name, async (ctx, id, by, reason) => {
      await readNothing(ctx.req)
      await action(id, by, reason)
    })
  }
  act('start', async (ctx, id, by, reason) => {
    const { plan = null } = parseBody(startBody, await bodyOf(ctx))
    if (plan === null) viewOf(id, parts)
    await ramps.begin(id, by, plan, reason)
  })
  act('step', async (ctx, id, by) => ramps.step(id, by, parseBody(stepBody, await bodyOf(ctx)).reason))
  act('abort', async (ctx, id, by, reason) =>
    ramps.abort(id, by, parseBody(abortBody, await bodyOf(ctx)).back === true, reason),
  )
}

async function bodyOf({ req }: AdminContext): Promise<unknown> {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = req.headers
  return length === '0' && coding === undefined ? {} : await readJson(req, ['application/json'])
}

function answerRamp(ctx: AdminContext, parts: AdminParts): void {
  answerJson(ctx, rampState(viewOf(ctx.params.id as string, parts), parts.ramps))
}

/** @throws {AdminProblem} no-such-route */
function routeOf(id: string, { live }: AdminParts): Route {
  const { table } = live.current
  const route = table.routes.find((one) => one.id === id)
  if (route === undefined) throw noSuchRoute(table, id)
  return route
}

/**
 * The requests without a key in a sample of the recent ones, and the step at which they move all at once; null where they move
 * with the others, or never.
 */
async function keylessOf({ routes, plan, record }: RampView, { live, planes }: AdminParts): Promise<object> {
  const { table } = live.current
  let [exchanges, withoutKey] = [0, 0]
  let moveAt: RampStep | null = null
  const recent = await planes.recent()
  for (const id of routes) {
    const route = table.routes.find((one) => one.id === id)
    if (route === undefined || route.sticky.length === 0) continue
    const sample = await inTurns(keylessSteps({ before: table, after: table }, id, recent))
    exchanges += sample.exchanges
    withoutKey += sample.withoutKey
    const { noKey = null, percent = 0 } = record?.routes.find((one) => one.route === id)?.before ?? {}
    if (noKey === 'to' && percent === 0) moveAt = plan.steps[0] ?? null
    else if (noKey !== 'random' && noKey !== 'to' && plan.steps.includes('all')) moveAt ??= 'all'
  }
  return { exchanges, withoutKey, moveAt }
}

/** @throws {AdminProblem} no-such-route, no-ramp */
function viewOf(id: string, parts: AdminParts): RampView {
  routeOf(id, parts)
  const view = parts.ramps.view(id)
  if (view === null) throw new AdminProblem('no-ramp', `Route ${JSON.stringify(id)} has no ramp: add "ramp: {}" to it.`)
  return view
}

/** A ramp as the API answers it. */
export function rampState(
  { route, routes, plan, record, before, verdict, evidence, isFull, problem }: RampView,
  { storage }: Pick<Ramps, 'storage'>,
): object {
  return {
    route,
    routes,
    ...planOf(plan),
    storage,
    status: record?.status ?? 'not-started',
    why: record?.why ?? null,
    step: record?.step ?? null,
    percent: record?.percent ?? null,
    next: nextOf(plan, record),
    heldSeconds: record === null ? null : Math.floor(record.heldMs / 1000),
    isApproved: record?.isApproved ?? false,
    startedAt: record === null ? null : new Date(record.startedAtMs).toISOString(),
    startedBy: record?.startedBy ?? null,
    before,
    verdict,
    isFull,
    problem,
    evidence: evidence.map(({ share, keys, failed, withoutKey }) => ({
      percent: Number((share * 100).toPrecision(12)),
      keys,
      failed,
      withoutKey,
    })),
    events: (record?.events ?? []).map(({ atMs, by, what }) => ({ at: new Date(atMs).toISOString(), by, what })),
  }
}

/** The next step; null where there is none, and where the ramp is over. */
function nextOf(plan: RampPlan, record: RampView['record']): RampStep | null {
  if (record === null) return plan.steps[0] ?? null
  return isUnderWay(record.status) ? stepAfter(plan, record) : null
}

function planOf({ steps, holdMs, approve, window, requires }: RampPlan): object {
  return {
    steps: [...steps],
    hold: formatDuration(holdMs),
    approve: [...approve],
    window: window?.text ?? null,
    requires: requires.map(printRequirement),
    target: percentOf(steps.at(-1) ?? 'all'),
  }
}
