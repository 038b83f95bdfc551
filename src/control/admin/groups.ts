/**
 * /groups/:group: sets the percent of all routes of a group in one revision.
 */
import { z } from 'zod'
import { flawOfPercent } from '../../rules/values/units.ts'
import { type AdminParts, type AdminRouter, answerJson } from '../context.ts'
import { parseBody } from '../http/body-schema.ts'
import { AdminProblem } from '../http/problem.ts'
import { patchRoutes } from '../table/edits.ts'
import { keylessSteps } from '../table/simulation.ts'
import { inTurns } from '../turns.ts'
import { readJson } from './body.ts'
import { makeEdit } from './write.ts'

/** Body of PATCH. */
export const groupPatch = z.strictObject({
  percent: z
    .number()
    .min(0)
    .max(100)
    .refine((percent) => flawOfPercent(percent) === null, { message: 'at most 4 decimals' })
    .describe('Of each route of the group.'),
})

/** Adds the resource. */
export function addGroups(router: AdminRouter, parts: AdminParts): void {
  router.patch('/groups/:group', async (ctx) => {
    const group = ctx.params.group as string
    const { percent } = parseBody(
      groupPatch,
      await readJson(ctx.req, ['application/merge-patch+json', 'application/json']),
    )
    const done = await makeEdit(ctx, parts, async (revision) => {
      const routes = revision.table.routes.filter(({ document }) => document.group === group)
      if (routes.length === 0)
        throw new AdminProblem('no-such-group', `No route has the group ${JSON.stringify(group)}.`)
      return patchRoutes(routes.map(({ id }) => ({ id, patch: { percent } })))(revision)
    })
    if (done === null) return
    const { revision, before, changed } = done
    const routes = revision.table.routes.filter(({ document }) => document.group === group)
    const recent = await parts.planes.recent()
    const withoutKey = { exchanges: 0, withoutKey: 0, moved: 0 }
    for (const { id, sticky } of routes) {
      if (sticky.length === 0) continue
      const sample = await inTurns(keylessSteps({ before: before.table, after: revision.table }, id, recent))
      withoutKey.exchanges += sample.exchanges
      withoutKey.withoutKey += sample.withoutKey
      withoutKey.moved += sample.moved
    }
    answerJson(ctx, {
      ...{ revision: revision.number, etag: revision.etag, changed, group, percent },
      routes: routes.map(({ id }) => ({
        id,
        before: before.table.routes.find((one) => one.id === id)?.percent ?? null,
      })),
      withoutKey,
    })
  })
}
