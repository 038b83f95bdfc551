/**
 * The admin API: a Koa application on top of the operations and the current table; all errors are problem+json.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import Koa, { type Next } from 'koa'
import Router from 'koa-router'
import { checkHost, checkOrigin, checkScope } from '../access/security.ts'
import { type AdminContext, type AdminParts, type AdminState, answerLarge, clientAddressOf } from '../context.ts'
import { AdminProblem, nextRequestId } from '../http/problem.ts'
import { addCache } from './cache.ts'
import { addComparisons } from './comparisons.ts'
import { addDescriptions } from './descriptions.ts'
import { addDiscovered } from './discovered.ts'
import { addExplain } from './explain.ts'
import { addGroups } from './groups.ts'
import { addHealth, OPEN_PATHS } from './health.ts'
import { addLive } from './live.ts'
import { addMetrics } from './metrics.ts'
import { addPage, isOfPage } from './page.ts'
import { addProgress } from './progress.ts'
import { addRamps } from './ramps.ts'
import { addRetirement } from './retirement.ts'
import { addRevisions } from './revisions.ts'
import { addRoutes } from './routes.ts'
import { addServers } from './servers.ts'
import { addStatus } from './status.ts'
import { addTable } from './table.ts'
import { addUpstreams } from './upstreams.ts'

/** The admin API as a request listener of a node:http server. */
export interface Admin {
  readonly handler: (req: IncomingMessage, res: ServerResponse) => void
}

const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** What is asked by POST only because a request does not fit into a URL. Reading is enough for these. */
const QUESTIONS: ReadonlySet<string> = new Set(['/explain'])

/** What may show what clients got is read with the write scope only. */
const SAMPLES = '/samples/'

/** Longest part of a path that is logged. */
const MAX_LOGGED_PATH = 200

/** Builds the admin API. The caller listens, on loopback or where `whyNotBind` allows it. */
export function createAdmin(parts: AdminParts): Admin {
  const router = new Router<AdminState>({ sensitive: true, strict: true })
  addHealth(router, parts)
  addMetrics(router, parts)
  addStatus(router, parts)
  addTable(router, parts)
  addRoutes(router, parts)
  addGroups(router, parts)
  addComparisons(router, parts)
  addDiscovered(router, parts)
  addProgress(router, parts)
  addRetirement(router, parts)
  addRamps(router, parts)
  addUpstreams(router, parts)
  addServers(router, parts)
  addRevisions(router, parts)
  addCache(router, parts)
  addExplain(router, parts)
  addDescriptions(router)
  addLive(router, parts)
  addPage(router)
  const app = new Koa<AdminState>()
  app.on('error', (error: Error & { code?: string }, ctx?: AdminContext) => {
    // That is how readers of the stream leave.
    if (ctx?.path === '/live' && error.code === 'ERR_STREAM_PREMATURE_CLOSE') return
    parts.log.warn({ event: 'admin-broken', err: error }, 'an admin response was aborted')
  })
  app.use((ctx, next) => answerErrors(ctx, next, parts))
  app.use((ctx, next) => letIn(ctx, next, parts))
  app.use((ctx, next) => answerUnmatched(ctx, next))
  app.use(router.routes())
  app.use(router.allowedMethods())
  const callback = app.callback()
  return { handler: (req, res) => void callback(req, res) }
}

/** Assigns the request id, and turns exceptions into responses and log lines. */
async function answerErrors(ctx: AdminContext, next: Next, parts: AdminParts): Promise<void> {
  ctx.state = { requestId: nextRequestId(), author: null }
  ctx.set('Banyan-Request-Id', ctx.state.requestId)
  ctx.set('Cache-Control', 'no-store')
  ctx.set('X-Content-Type-Options', 'nosniff')
  ctx.set('Cross-Origin-Resource-Policy', 'same-origin')
  try {
    await next()
  } catch (error) {
    const problem = error instanceof AdminProblem ? error : internal(error, ctx, parts)
    audit(problem, ctx, parts)
    ctx.status = problem.status
    ctx.set({ ...problem.extras.fields })
    // A difference of two tables is a level deeper than elsewhere.
    await answerLarge(ctx, problem.document(ctx.state.requestId), 'application/problem+json', 1)
  }
}

function internal(error: unknown, ctx: AdminContext, parts: AdminParts): AdminProblem {
  parts.log.error({ event: 'admin-failed', requestId: ctx.state.requestId, err: error }, 'an admin request failed')
  return new AdminProblem('internal', 'See the log for this request id.')
}

/** Logs each refused write and each rejected request. Without query and headers, which may contain secrets. */
function audit(problem: AdminProblem, ctx: AdminContext, parts: AdminParts): void {
  const isWrite = !SAFE_METHODS.has(ctx.method) && !QUESTIONS.has(ctx.path)
  if (!isWrite && ![401, 403, 429].includes(problem.status)) return
  const { requestId, author } = ctx.state
  const { code, status } = problem
  const asked = { method: ctx.method, path: ctx.path.slice(0, MAX_LOGGED_PATH), client: clientAddressOf(ctx.req) }
  parts.log.warn(
    { event: 'admin-refused', requestId, author, ...asked, status, code },
    `admin request refused: ${code}`,
  )
}

/** Checks host, origin and, if there are tokens, the token. */
async function letIn(ctx: AdminContext, next: Next, parts: AdminParts): Promise<void> {
  // A target with its own host (RFC 9112 section 3.2.2) would bypass the check of Host.
  if (!ctx.url.startsWith('/'))
    throw new AdminProblem('malformed-target', 'The request target must be a path, such as /routes.')
  checkHost(hostOf(ctx.req), parts.hostNames?.() ?? [])
  const isSafe = SAFE_METHODS.has(ctx.method)
  if (!isSafe) checkOrigin(ctx.req.headers)
  if (isSafe && (OPEN_PATHS.has(ctx.path) || isOfPage(ctx.path))) return next()
  const reads = (isSafe && !ctx.path.startsWith(SAMPLES)) || QUESTIONS.has(ctx.path)
  const scope = reads ? 'read' : 'write'
  const sender = parts.gate.senderOf(ctx.req)
  // Set before anything is refused, so that the log names the sender.
  ctx.state.author = sender.author
  checkScope(sender, scope)
  return next()
}

/**
 * The value of Host; undefined where HTTP/1.0 has none.
 * @throws {AdminProblem} malformed-field: there are several, or HTTP/1.1 has none (RFC 9112 section 3.2)
 */
function hostOf({ headers, rawHeaders, httpVersion }: IncomingMessage): string | undefined {
  const lines = rawHeaders.filter((name, at) => at % 2 === 0 && name.toLowerCase() === 'host')
  if (lines.length > 1) throw new AdminProblem('malformed-field', 'There must be one Host header only.')
  if (lines.length === 0 && httpVersion === '1.1') throw new AdminProblem('malformed-field', 'There is no Host header.')
  return headers.host
}

/** The router leaves a bare status if no resource responded. */
async function answerUnmatched(ctx: AdminContext, next: Next): Promise<void> {
  await next()
  if (ctx.body !== undefined && ctx.body !== null) return
  const allowed = ctx.response.get('Allow')
  if (ctx.status === 404) throw new AdminProblem('not-found', 'See GET /openapi.json for the available paths.')
  if (ctx.status === 405) throw new AdminProblem('method-not-allowed', `Allowed methods: ${allowed}.`)
  if (ctx.status === 501) throw new AdminProblem('not-implemented', `Unknown method ${ctx.method}.`)
}
