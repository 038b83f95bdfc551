/**
 * /progress: how far the migration is.
 */
import { type AdminContext, type AdminParts, type AdminRouter, answerLarge } from '../context.ts'
import { stageOf } from '../figures/endpoint-count.ts'
import type { ProgressStep } from '../figures/progress.ts'
import { endpointShare, nextSteps, RECENT_DAYS, wholeOf } from '../figures/progress-view.ts'
import { type Answered, noneAnswered, shareOf } from '../figures/route-days.ts'
import { AdminProblem } from '../http/problem.ts'

const STEPS = ['hour', 'day', 'week'] as const

/** Adds the resource. */
export function addProgress(router: AdminRouter, parts: AdminParts): void {
  router.get('/progress', async (ctx) => {
    const by = stepOf(ctx)
    const { progress, discovery } = await parts.planes.figures()
    await Promise.all([progress.ready(), discovery.ready()])
    const { table } = parts.live.current
    const { endpoints } = await discovery.found(table)
    const history = await progress.history(by)
    const recent = progress.lastDays(RECENT_DAYS)
    const unclaimed = recent.get(null) ?? noneAnswered()
    await answerLarge(ctx, {
      storage: progress.storage,
      problem: progress.problem,
      days: RECENT_DAYS,
      requests: requestsState(wholeOf(recent)),
      endpoints: { ...progress.endpoints, share: rounded(endpointShare(progress.endpoints)) },
      routes: table.routes.values().map((route) => {
        const standing = progress.standing(route.id)
        return {
          id: route.id,
          stage: stageOf(route, parts.now()),
          percent: route.percent,
          since: standing === null ? null : isoTime(standing.sinceMs),
          ...requestsState(recent.get(route.id) ?? noneAnswered()),
        }
      }),
      unclaimed: requestsState(unclaimed),
      next: nextSteps(table, progress, endpoints, parts.now()),
      by,
      history: history.map(stepState),
    })
  })
}

/** @throws {AdminProblem} malformed-query */
function stepOf(ctx: AdminContext): (typeof STEPS)[number] {
  const said = new URLSearchParams(ctx.querystring)
  const unknown = [...said.keys()].find((name) => name !== 'by')
  if (unknown !== undefined) throw new AdminProblem('malformed-query', `Unknown parameter ${JSON.stringify(unknown)}.`)
  const text = said.get('by') ?? 'week'
  const by = STEPS.find((step) => step === text)
  if (by === undefined) throw new AdminProblem('malformed-query', 'by must be hour, day or week.')
  return by
}

function requestsState(answered: Answered): object {
  return { ...answered, share: rounded(shareOf(answered)) }
}

function stepState({ atMs, answered, endpoints }: ProgressStep): object {
  return { at: isoTime(atMs), ...requestsState(answered), endpoints }
}

function rounded(share: number | null): number | null {
  return share === null ? null : Math.round(share * 1_000_000) / 1_000_000
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
