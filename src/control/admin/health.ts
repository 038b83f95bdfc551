/**
 * /livez and /readyz: liveness and readiness, with the reasons for not being ready.
 */
import type { IncomingMessage } from 'node:http'
import type { Refusal } from '../../state/live-table.ts'
import { type AdminParts, type AdminRouter, answerJson, type WorkerState } from '../context.ts'

/** Paths that need no token, as probes seldom can send one. Without a token their responses name no route and no host. */
export const OPEN_PATHS: ReadonlySet<string> = new Set(['/livez', '/readyz'])

/** Adds the resources. */
export function addHealth(router: AdminRouter, parts: AdminParts): void {
  router.get('/livez', (ctx) => answerJson(ctx, { alive: true }))

  router.get('/readyz', async (ctx) => {
    await parts.planes.figures()
    const { ready, reasons } = parts.isReady()
    ctx.status = ready ? 200 : 503
    const table = tableState(parts, mayReadTable(ctx.req, parts))
    answerJson(ctx, { ready, reasons, table, workers: (parts.workers?.() ?? []).map(workerState) })
  })
}

function tableState({ live, now }: AdminParts, withProblems: boolean): object {
  const { number, etag, appliedAtMs } = live.current
  return {
    revision: number,
    etag,
    appliedAt: new Date(appliedAtMs).toISOString(),
    ageSeconds: Math.max(0, Math.round((now() - appliedAtMs) / 1000)),
    refused: live.refusal === null ? null : refusalState(live.refusal, withProblems),
  }
}

/** Where it stands and which revision its new exchanges are decided by. */
function workerState({ worker, state, pid, revision, connections, starts }: WorkerState): object {
  return { worker, state, pid, revision, connections, starts }
}

function refusalState({ problems, more, atMs }: Refusal, withProblems: boolean): object {
  const at = new Date(atMs).toISOString()
  return withProblems ? { at, problems, more } : { at, problemCount: problems.length + more }
}

/** Problems quote the table, so they are shown only to those who may read it. */
function mayReadTable(req: IncomingMessage, parts: AdminParts): boolean {
  try {
    parts.gate.senderOf(req)
    return true
  } catch {
    return false
  }
}
