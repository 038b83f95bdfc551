/**
 * POST /explain: what banyan would do with a request, and why.
 */
import { readJson } from './admin-body.ts'
import { type AdminParts, type AdminRouter, answerJson } from './admin-context.ts'
import { explain, readRequest } from './explain.ts'

/** Adds the resource. */
export function addExplain(router: AdminRouter, parts: AdminParts): void {
  router.post('/explain', async (ctx) => {
    const body = await readJson(ctx.req, ['application/json'])
    // Without an address the request is explained as if whoever asks had sent it.
    const clientAddress = (ctx.req.socket.remoteAddress ?? '127.0.0.1').replace(/^::ffff:(?=[0-9.]+$)/, '')
    const request = readRequest(body, { clientAddress, chance: parts.chance?.() ?? Math.random() })
    const revision = parts.live.current
    const explanation = explain(revision.table, request, (name) => parts.isAvailable?.(name) ?? true)
    ctx.set('ETag', revision.etag)
    answerJson(ctx, { revision: revision.number, ...explanation })
  })
}
