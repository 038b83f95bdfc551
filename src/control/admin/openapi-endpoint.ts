/**
 * GET /openapi.json: the OpenAPI document of the admin API.
 */
import type { AdminRouter } from '../context.ts'
import { OPENAPI } from './openapi.ts'

/** Made once: it never changes, and writing it takes longer than anything else that the API answers. */
let body: Buffer | null = null

/** Adds the resource. */
export function addOpenApi(router: AdminRouter): void {
  router.get('/openapi.json', (ctx) => {
    body ??= Buffer.from(`${JSON.stringify(OPENAPI, null, 2)}\n`)
    ctx.body = body
    ctx.set('Content-Type', 'application/json')
  })
}
