/**
 * GET /openapi.json: what the admin API takes and answers, for tools.
 */
import { type AdminRouter, answerJson } from '../context.ts'
import { OPENAPI } from './openapi.ts'

/** Adds the resource. */
export function addOpenApi(router: AdminRouter): void {
  router.get('/openapi.json', (ctx) => answerJson(ctx, OPENAPI))
}
