/**
 * GET /openapi.json, the OpenAPI document of the admin API, and GET /routes.schema.json, the JSON Schema of the table.
 */
import { routesJsonSchema } from '../../rules/table/schema.ts'
import type { AdminRouter } from '../context.ts'
import { openApi } from './openapi.ts'

/** Adds the resources. */
export function addDescriptions(router: AdminRouter): void {
  addConstant(router, '/openapi.json', openApi)
  addConstant(router, '/routes.schema.json', routesJsonSchema)
}

/** Adds a document that never changes. It is made when it is first asked for, and once: that takes longer than any other answer. */
function addConstant(router: AdminRouter, path: string, make: () => object): void {
  let body: Buffer | null = null
  router.get(path, (ctx) => {
    body ??= Buffer.from(`${JSON.stringify(make(), null, 2)}\n`)
    ctx.body = body
    ctx.set('Content-Type', 'application/json')
  })
}
