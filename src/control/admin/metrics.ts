/**
 * GET /metrics: metrics in the Prometheus text format.
 */
import type { AdminParts, AdminRouter } from '../context.ts'
import { metricsText } from '../metrics/exposition.ts'

/** Adds the resource. */
export function addMetrics(router: AdminRouter, parts: AdminParts): void {
  router.get('/metrics', async (ctx) => {
    ctx.body = metricsText(parts, await parts.planes.figures())
    ctx.set('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
  })
}
