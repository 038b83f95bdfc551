/**
 * GET /live: the routes and their figures as they change, a line of JSON a second.
 */
import type { AdminParts, AdminRouter } from '../context.ts'
import { Feed, MAX_WATCHERS } from '../figures/feed.ts'
import { AdminProblem } from '../http/problem.ts'

/** Adds the resource. */
export function addLive(router: AdminRouter, { live, planes, ramps, now, gate }: AdminParts): void {
  const feed = new Feed({
    live,
    planes,
    ramps: () =>
      new Map(
        ramps.views().map(({ route, record, plan: { steps } }) => {
          const { status = 'not-started', step = null, why = null } = record ?? {}
          return [route, { status, step, steps, why }]
        }),
      ),
    now,
  })
  router.get('/live', (ctx) => {
    // The stream of a token that is taken away ends with it.
    const stream = feed.watch(() => {
      try {
        gate.senderOf(ctx.req)
        return true
      } catch {
        return false
      }
    })
    if (stream === null) {
      throw new AdminProblem('too-many-watchers', `${MAX_WATCHERS} clients read /live already. Try again later.`)
    }
    ctx.set('Content-Type', 'application/x-ndjson')
    ctx.body = stream
  })
}
