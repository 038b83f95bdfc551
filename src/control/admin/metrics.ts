/**
 * GET /metrics: metrics in the Prometheus text format.
 */
import { type AdminParts, type AdminRouter, answerChunks } from '../context.ts'
import { metricsLines } from '../metrics/exposition.ts'
import { inTurns, linesSteps } from '../turns.ts'

/** Adds the resource. */
export function addMetrics(router: AdminRouter, parts: AdminParts): void {
  router.get('/metrics', async (ctx) => {
    const lines = metricsLines(parts, await parts.planes.figures())
    answerChunks(ctx, await inTurns(linesSteps(lines)), 'text/plain; version=0.0.4; charset=utf-8')
  })
}
