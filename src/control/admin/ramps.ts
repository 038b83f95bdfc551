/**
 * /ramps and /routes/:id/ramp: where the ramps stand, what their guards say, and what a person does with them.
 */
import { z } from 'zod'
import { percentOf, type RampPlan, stepAfter } from '../../rules/ramp/plan.ts'
import { formatDuration } from '../../rules/values/units.ts'
import { type AdminContext, type AdminParts, type AdminRouter, answerJson } from '../context.ts'
import { parseBody } from '../http/body-schema.ts'
import { AdminProblem } from '../http/problem.ts'
import { RampRefusal, type Ramps, type RampView } from '../ramps/ramps.ts'
import { readJson, readNothing } from './body.ts'
import { mustOwn, noSuchRoute } from './write.ts'

/** Longest reason of a step. */
const MAX_REASON_LENGTH = 400

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

  const act = (name: string, action: (ctx: AdminContext, id: string, by: string) => Promise<void>): void => {
    router.post(`/routes/:id/ramp/${name}`, async (ctx) => {
      const id = ctx.params.id as string
      mustOwn(parts)
      viewOf(id, parts)
      try {
        await action(ctx, id, ctx.state.author ?? 'anonymous')
      } catch (error) {
        if (error instanceof RampRefusal) throw new AdminProblem('ramp-refused', `${error.message}.`)
        throw error
      }
      answerRamp(ctx, parts)
    })
  }
  for (const [name, action] of Object.entries({
    start: (id: string, by: string) => ramps.begin(id, by),
    pause: (id: string, by: string) => ramps.pause(id, by),
    resume: (id: string, by: string) => ramps.resume(id, by),
    approve: (id: string, by: string) => ramps.approve(id, by),
  })) {
    act(name, async (ctx, id, by) => {
      await readNothing(ctx.req)
      await action(id, by)
    })
  }
  act('step', async (ctx, id, by) => ramps.step(id, by, parseBody(stepBody, await bodyOf(ctx)).reason))
  act('abort', async (ctx, id, by) => ramps.abort(id, by, parseBody(abortBody, await bodyOf(ctx)).back === true))
}

async function bodyOf({ req }: AdminContext): Promise<unknown> {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = req.headers
  return length === '0' && coding === undefined ? {} : await readJson(req, ['application/json'])
}

function answerRamp(ctx: AdminContext, parts: AdminParts): void {
  answerJson(ctx, rampState(viewOf(ctx.params.id as string, parts), parts.ramps))
}

/** @throws {AdminProblem} no-such-route, no-ramp */
function viewOf(id: string, { live, ramps }: AdminParts): RampView {
  const { table } = live.current
  if (!table.routes.some((route) => route.id === id)) throw noSuchRoute(table, id)
  const view = ramps.view(id)
  if (view === null) throw new AdminProblem('no-ramp', `Route ${JSON.stringify(id)} has no ramp: add "ramp: {}" to it.`)
  return view
}

/** A ramp as the API answers it. */
export function rampState(
  { route, plan, record, verdict, evidence, isFull, problem }: RampView,
  { storage }: Pick<Ramps, 'storage'>,
): object {
  return {
    route,
    ...planOf(plan),
    storage,
    status: record?.status ?? 'not-started',
    why: record?.why ?? null,
    step: record?.step ?? null,
    percent: record?.percent ?? null,
    next: record === null ? (plan.steps[0] ?? null) : stepAfter(plan, record),
    heldSeconds: record === null ? null : Math.floor(record.heldMs / 1000),
    isApproved: record?.isApproved ?? false,
    startedAt: record === null ? null : new Date(record.startedAtMs).toISOString(),
    startedBy: record?.startedBy ?? null,
    before: record?.before ?? null,
    verdict,
    isFull,
    problem,
    evidence: evidence.map(({ share, keys, failed }) => ({
      percent: Number((share * 100).toPrecision(12)),
      keys,
      failed,
    })),
    events: (record?.events ?? []).map(({ atMs, by, what }) => ({ at: new Date(atMs).toISOString(), by, what })),
  }
}

function planOf({ steps, holdMs, approve }: RampPlan): object {
  return {
    steps: [...steps],
    hold: formatDuration(holdMs),
    approve: [...approve],
    target: percentOf(steps.at(-1) ?? 'all'),
  }
}
