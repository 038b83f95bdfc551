/**
 * /explain and /exchanges: where a request would go and why, and recent requests.
 */

import type { ExplainedSide } from '../../rules/explain-sent.ts'
import type { RequestView } from '../../rules/http/exchange.ts'
import type { RecentExchange } from '../../state/figures/recent-exchanges.ts'
import type { Explained } from '../../state/plane-port.ts'
import { type AdminParts, type AdminRouter, answerJson, clientAddressOf } from '../context.ts'
import { readRequest } from '../explain.ts'
import { AdminProblem } from '../http/problem.ts'
import { readJson } from './body.ts'

/** Exchanges that the list tells. */
const MAX_LISTED = 100
/** Fields whose values are for the application and its client alone. */
const PRIVATE_FIELDS: ReadonlySet<string> = new Set(['cookie', 'authorization', 'proxy-authorization', 'banyan-force'])

/** Adds the resources. */
export function addExplain(router: AdminRouter, parts: AdminParts): void {
  router.post('/explain', async (ctx) => {
    const body = await readJson(ctx.req, ['application/json'])
    // Without an address the request is explained as if whoever asks had sent it.
    const clientAddress = clientAddressOf(ctx.req)
    const request = readRequest(body, { clientAddress, chance: parts.chance?.() ?? Math.random() })
    const revision = parts.live.current
    ctx.set('ETag', revision.etag)
    answerJson(ctx, { revision: revision.number, ...(await explained(parts, request)) })
  })

  router.get('/exchanges', async (ctx) => {
    const [recent, { recentSkipped }] = await Promise.all([parts.planes.recent(), parts.planes.figures()])
    answerJson(ctx, { exchanges: recent.slice(0, MAX_LISTED).map(stateOf), skipped: recentSkipped })
  })

  router.get('/exchanges/:id', async (ctx) => {
    const exchange = await parts.planes.findRecent(ctx.params.id as string)
    if (exchange === null) throw noSuchExchange(ctx.params.id as string)
    const { route, candidates, otherRoutes, sent, decision, cache } = await explained(parts, exchange.view)
    const { visitor: _, ...view } = exchange.view
    answerJson(ctx, {
      ...stateOf(exchange),
      request: { ...view, rawHeaders: masked(view.rawHeaders) },
      // What is said of the routes is true of the revision in force, which may be a later one.
      now: {
        revision: parts.live.current.number,
        decision,
        route,
        candidates,
        otherRoutes,
        cache,
        sent: sent.map(withoutSecrets),
      },
    })
  })
}

/** @throws {AdminProblem} no-data-plane: none is there to be asked */
async function explained({ planes }: AdminParts, request: RequestView): Promise<Explained> {
  const explained = await planes.explain(request)
  if (explained !== null) return explained
  throw new AdminProblem('no-data-plane', 'No worker is available at the moment, see /readyz.')
}

function stateOf(exchange: RecentExchange): object {
  const { id, atMs, view, decision, revision, status, cache, server, failure, retries, durationMs } = exchange
  const { method, host, target } = view
  const at = new Date(atMs).toISOString()
  return { id, at, method, host, target, status, durationMs, decision, revision, server, cache, failure, retries }
}

function masked(rawHeaders: readonly string[]): string[] {
  return rawHeaders.map((text, at) =>
    at % 2 === 1 && PRIVATE_FIELDS.has((rawHeaders[at - 1] as string).toLowerCase()) ? '…' : text,
  )
}

function withoutSecrets(side: ExplainedSide): ExplainedSide {
  const headers = side.headers.map(([name, value]): [string, string] => [
    name,
    PRIVATE_FIELDS.has(name.toLowerCase()) ? '…' : value,
  ])
  return { ...side, headers }
}

function noSuchExchange(id: string): AdminProblem {
  const why = 'only recent requests are kept, and under load only a sample of them'
  return new AdminProblem('no-such-exchange', `Unknown request ${JSON.stringify(id)}: ${why}.`)
}
