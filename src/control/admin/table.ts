/**
 * /routes.yaml: the current table as text, and replacing it as a whole.
 */

import type { AdminParts, AdminRouter } from '../context.ts'
import { replaceButPercents, replaceText } from '../table/edits.ts'
import { readText } from './body.ts'
import { answerDone, makeEdit } from './write.ts'

const YAML_TYPES = ['application/yaml', 'application/x-yaml', 'text/yaml']

/** Adds the resource. */
export function addTable(router: AdminRouter, parts: AdminParts): void {
  router.get('/routes.yaml', (ctx) => {
    const revision = parts.live.current
    ctx.set('ETag', revision.etag)
    ctx.set('Cache-Control', 'no-cache')
    // Status first: freshness (RFC 9110 section 13.1.2) is a question about a 200.
    ctx.status = 200
    if (ctx.fresh) {
      ctx.status = 304
      return
    }
    ctx.body = revision.text
    ctx.set('Content-Type', 'application/yaml')
  })

  router.put('/routes.yaml', async (ctx) => {
    const text = await readText(ctx.req, YAML_TYPES)
    const takesLive = new URLSearchParams(ctx.querystring).get('percents') === 'live'
    const done = await makeEdit(ctx, parts, takesLive ? replaceButPercents(text) : replaceText(text))
    if (done !== null) await answerDone(ctx, done)
  })
}
