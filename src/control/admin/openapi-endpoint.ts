/**
 * GET /openapi.json: the OpenAPI document of the admin API.
 */
import { type AdminRouter, answerJson } from '../context.ts'
import { OPENAPI } from './openapi.ts'

/** Adds the resource. */
export function addOpenApi(router: AdminRouter): void {
  router.get('/openapi.json', (ctx) => answerJson(ctx, OPENAPI))
}
