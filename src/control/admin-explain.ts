/**
 * /explain and /exchanges: what banyan would do with a request and why, and what it has done with the last ones.
 */

import type { RequestView } from '../rules/exchange.ts'
import { explain } from '../rules/explain.ts'
import type { RecentExchange } from '../state/recent-exchanges.ts'
import { readJson } from './admin-body.ts'
import { type AdminParts, type AdminRouter, answerJson } from './admin-context.ts'
import { AdminProblem } from './admin-problem.ts'
import { readRequest } from './explain.ts'

/** Exchanges that the list tells. */
const MAX_LISTED = 100
/** Fields whose values are for the application and its client alone. */
const PRIVATE_FIELDS: ReadonlySet<string> = new Set(['cookie', 'authorization', 'proxy-authorization', 'banyan-force'])

/** Adds the resources. */
export function addExplain(router: AdminRouter, parts: AdminParts): void {
  router.post('/explain', async (ctx) => {
    const body = await readJson(ctx.req, ['application/json'])
    // Without an address the request is explained as if whoever asks had sent it.
    const clientAddress = (ctx.req.socket.remoteAddress ?? '127.0.0.1').replace(/^::ffff:(?=[0-9.]+$)/, '')
    const request = readRequest(body, { clientAddress, chance: parts.chance?.() ?? Math.random() })
    const revision = parts.live.current
    ctx.set('ETag', revision.etag)
    answerJson(ctx, { revision: revision.number, ...explained(parts, request) })
  })

  router.get('/exchanges', (ctx) => {
    const { recent } = parts.measurements
    const exchanges = [...recent.all()].slice(0, MAX_LISTED).map(stateOf)
    answerJson(ctx, { exchanges, skipped: recent.skipped })
  })

  router.get('/exchanges/:id', (ctx) => {
    const exchange = parts.measurements.recent.find(ctx.params.id as string)
    if (exchange === undefined) throw noSuchExchange()
    const { route, candidates, otherRoutes, decision } = explained(parts, exchange.view)
    answerJson(ctx, {
      ...stateOf(exchange),
      request: { ...exchange.view, rawHeaders: masked(exchange.view.rawHeaders) },
      // What is said of the routes is true of the revision in force, which may be a later one.
      now: { revision: parts.live.current.number, decision, route, candidates, otherRoutes },
    })
  })
}

/** The explanation, and the servers of the upstream that it ends at. */
function explained(parts: AdminParts, request: RequestView) {
  const explanation = explain(parts.live.current.table, request, (name) => parts.isAvailable?.(name) ?? true)
  return { ...explanation, server: parts.upstreams.serverFor(explanation.decision.upstream, request.chance) }
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

function noSuchExchange(): AdminProblem {
  return new AdminProblem('no-such-exchange', 'Only the last ones are kept; of a busy proxy, a sample of them.')
}
