/**
 * /discovered: the endpoints that no route claims.
 */
import type { CallersDelta } from '../../state/discovery/callers.ts'
import { type AdminParts, type AdminRouter, answerJson, answerLarge } from '../context.ts'
import type { Discovered } from '../figures/discovery.ts'
import { AdminProblem } from '../http/problem.ts'
import { sinceOf } from './since.ts'

/** Adds the resources. */
export function addDiscovered(router: AdminRouter, parts: AdminParts): void {
  router.get('/discovered', async (ctx) => {
    const sinceMs = sinceOf(ctx, parts.now())
    const { discovery } = await parts.planes.figures()
    await discovery.ready()
    const { endpoints, others, sinceMs: firstMs } = await discovery.found(parts.live.current.table, sinceMs)
    const at = endpoints.reduce((sum, { requests }) => sum + requests, 0)
    const requests = at + others.more + others.ambiguous + others.refused
    await answerLarge(ctx, {
      storage: discovery.storage,
      problem: discovery.problem,
      since: isoTime(firstMs),
      requests,
      others,
      endpoints: endpoints.map((one) => endpointState(one, requests)).values(),
    })
  })

  router.get('/discovered/:id', async (ctx) => {
    const { discovery } = await parts.planes.figures()
    await discovery.ready()
    const { endpoints, others } = await discovery.found(parts.live.current.table)
    const found = endpoints.find(({ id }) => id === ctx.params.id)
    if (found === undefined) {
      const why = '"banyan discover" lists those of the last 30 days'
      throw new AdminProblem('no-such-endpoint', `Unknown endpoint ${JSON.stringify(ctx.params.id)}: ${why}.`)
    }
    const at = endpoints.reduce((sum, { requests }) => sum + requests, 0)
    answerJson(ctx, endpointState(found, at + others.more + others.ambiguous + others.refused))
  })
}

function endpointState(found: Discovered, all: number): object {
  const { id, method, path, requests, statuses, durationMs, firstMs, lastMs, callers, route } = found
  return {
    ...{ id, method, path, route, requests },
    share: all === 0 ? 0 : rounded(requests / all),
    statuses: Object.fromEntries(statuses.map((count, at) => [`${at + 1}xx`, count])),
    meanMs: requests === 0 ? null : rounded(durationMs / requests),
    first: isoTime(firstMs),
    last: isoTime(lastMs),
    ...callersState(callers),
  }
}

/** Callers, as the API answers them. */
export function callersState({ callers, more }: CallersDelta): object {
  return {
    callers: callers.map(({ agent, network, requests, lastMs }) => ({
      agent,
      network,
      requests,
      last: isoTime(lastMs),
    })),
    otherCallers: more,
  }
}

function rounded(value: number): number {
  return Math.round(value * 10_000) / 10_000
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
