/**
 * /upstreams/:name/servers: adds and removes servers at run time. Without `ttl` they are written to the table; with it they are
 * leased, outside the table. Draining changes neither: it only controls whether a server is used.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { compileServer } from '../../rules/language/compile.ts'
import type { Server, Upstream } from '../../rules/table/table.ts'
import { parseDurationMs } from '../../rules/values/units.ts'
import { type AdminContext, type AdminParts, type AdminRouter, answerJson, clientAddressOf } from '../context.ts'
import { fitsId, serverBody, serverId } from '../fleet/server-body.ts'
import { patchServer, putServer, removeServer } from '../fleet/server-edits.ts'
import { activeAt, figuresOf, serverState, serversOf } from '../fleet/server-state.ts'
import { ServersUnavailable } from '../fleet/shared-servers.ts'
import { parseBody } from '../http/body-schema.ts'
import { isJsonObject } from '../http/merge-patch.ts'
import { AdminProblem, invalidBody } from '../http/problem.ts'
import type { Change } from '../table/edit-outcome.ts'
import { readJson, readNothing } from './body.ts'
import { makeEdit, mustOwn, noSuchServer, noSuchUpstream, reasonOf, tellInForce } from './write.ts'

const JSON_TYPES = ['application/json']
const PATCH_TYPES = ['application/merge-patch+json', 'application/json']
const ONE = '/upstreams/:name/servers/:id'

/** Nobody waits longer for a server to have nothing to do. */
const MAX_WAIT_MS = 600_000
/** So often it is looked at; nothing tells when the last exchange ends. */
const LOOK_MS = 50

/** Adds the resources. */
export function addServers(router: AdminRouter, parts: AdminParts): void {
  router.get('/upstreams/:name/servers', async (ctx) => {
    const upstream = upstreamOf(ctx, parts)
    const figures = await parts.planes.figures()
    const others = await elsewhere(ctx, parts, upstream)
    const servers = serversOf(upstream, parts.fleet).map((one) => ({
      ...serverState(upstream, one, parts.fleet, figures),
      ...(others !== null && { elsewhere: others(one) }),
    }))
    ctx.set('ETag', parts.live.current.etag)
    answerJson(ctx, { revision: parts.live.current.number, upstream: upstream.name, servers })
  })
  router.get(ONE, (ctx) => answerServer(ctx, parts))
  router.put(ONE, (ctx) => put(ctx, parts))
  router.patch(ONE, (ctx) => patch(ctx, parts))
  router.delete(ONE, (ctx) => remove(ctx, parts))
  router.post(`${ONE}/drain`, (ctx) => drain(ctx, parts))
  router.post(`${ONE}/undrain`, (ctx) => undrain(ctx, parts))
}

/** With `instances=all`: servers as the other instances of the cluster see them. Null where that was not asked for. */
async function elsewhere(ctx: AdminContext, { cluster }: AdminParts, { name }: Upstream) {
  const said = new URLSearchParams(ctx.querystring)
  const unknown = [...said.keys()].find((key) => key !== 'instances')
  if (unknown !== undefined) throw new AdminProblem('malformed-query', `Unknown parameter ${JSON.stringify(unknown)}.`)
  const whose = said.get('instances')
  if (whose === null) return null
  if (whose !== 'all') throw new AdminProblem('malformed-query', 'instances must be all.')
  const seen = cluster === undefined ? [] : [...(await cluster.elsewhere.ask(name))]
  return ({ id }: Server) => seen.map(([instance, servers]) => ({ instance, live: servers[id] ?? [] }))
}

async function put(ctx: AdminContext, parts: AdminParts): Promise<void> {
  const upstream = upstreamOf(ctx, parts)
  const id = idOf(ctx)
  const said = parseBody(serverBody, await readJson(ctx.req, JSON_TYPES))
  if (!serverId.safeParse(id).success) throw invalidBody([{ pointer: '/id', detail: 'expected an id or host:port' }])
  if (said.id !== undefined && said.id !== id) {
    throw invalidBody([{ pointer: '/id', detail: `the id must be ${JSON.stringify(id)}, as in the path` }])
  }
  if (!fitsId(id, said.url)) {
    const hint = 'choose an id that is not host:port'
    throw invalidBody([{ pointer: '/url', detail: `the id ${id} does not match the URL ${said.url}`, hint }])
  }
  if (said.ttl !== undefined) return register(ctx, parts, upstream, { ...said, id, ttl: said.ttl })
  await editTable(ctx, parts, putServer(upstream.name, id, said))
}

async function register(
  ctx: AdminContext,
  parts: AdminParts,
  upstream: Upstream,
  said: { readonly id: string; readonly url: string; readonly weight?: number | undefined; readonly ttl: string },
): Promise<void> {
  noQuery(ctx)
  if (upstream.servers.some(({ id }) => id === said.id)) {
    throw new AdminProblem('server-in-table', `The server ${said.id} is in the table and can't have a lease.`)
  }
  const { id, url, weight } = said
  const server = compileServer({ id, url, ...(weight === undefined ? {} : { weight }) })
  const twin = serversOf(upstream, parts.fleet).find((one) => one.url === server.url && one.id !== server.id)
  if (twin !== undefined)
    throw invalidBody([{ pointer: '/url', detail: `duplicate URL: already used by server ${twin.id}` }])
  const ttlMs = parseDurationMs(said.ttl) as number
  mustOwn(parts)
  const outcome = await shared(parts, parts.fleet.register(upstream.name, server, ttlMs))
  if (outcome !== 'renewed') await awaitOthers(ctx, parts)
  // A heartbeat every few seconds is no event.
  if (outcome !== 'renewed') audit(ctx, parts, `${outcome === 'new' ? 'registered' : 'changed'}`, { url: server.url })
  if (outcome === 'new') {
    ctx.status = 201
    ctx.set('Location', `/upstreams/${upstream.name}/servers/${encodeURIComponent(id)}`)
  }
  await answerServer(ctx, parts)
}

async function patch(ctx: AdminContext, parts: AdminParts): Promise<void> {
  const upstream = upstreamOf(ctx, parts)
  const said = await readJson(ctx.req, PATCH_TYPES)
  if (!isJsonObject(said)) throw invalidBody([{ pointer: '', detail: 'expected an object such as {"weight": 2}' }])
  if (said.id !== undefined) throw invalidBody([{ pointer: '/id', detail: "the id can't be changed" }])
  if (parts.fleet.lease(upstream.name, idOf(ctx)) !== null) {
    throw new AdminProblem('server-leased', 'The server has a lease: change it with PUT and ttl.')
  }
  await editTable(ctx, parts, patchServer(upstream.name, idOf(ctx), said))
}

/** A server of the table: the edit is a commit as any other. */
async function editTable(ctx: AdminContext, parts: AdminParts, change: Change): Promise<void> {
  const done = await makeEdit(ctx, parts, change)
  if (done === null) return
  const [name, id] = [ctx.params.name as string, idOf(ctx)]
  if (!done.before.table.upstreams.get(name)?.servers.some((server) => server.id === id)) {
    ctx.status = 201
    ctx.set('Location', `/upstreams/${name}/servers/${encodeURIComponent(id)}`)
  }
  await answerServer(ctx, parts)
}

async function remove(ctx: AdminContext, parts: AdminParts): Promise<void> {
  const upstream = upstreamOf(ctx, parts)
  const id = idOf(ctx)
  const { number, etag } = parts.live.current
  if (parts.fleet.lease(upstream.name, id) !== null) {
    noQuery(ctx)
    mustOwn(parts)
    await shared(parts, parts.fleet.release(upstream.name, id))
    await awaitOthers(ctx, parts)
    audit(ctx, parts, 'released', {})
    answerJson(ctx, { revision: number, etag, removed: id, note: noteOf(upstream.name, parts) })
    return
  }
  const done = await makeEdit(ctx, parts, removeServer(upstream.name, id))
  if (done === null) return
  const { revision } = done
  answerJson(ctx, { revision: revision.number, etag: revision.etag, removed: id, note: noteOf(upstream.name, parts) })
}

/** Answers at once, or with `wait` when nothing runs there any more or the time is over. */
async function drain(ctx: AdminContext, parts: AdminParts): Promise<void> {
  const { upstream, server } = serverOf(ctx, parts)
  const [waitMs, reason] = [waitOf(ctx), reasonOf(ctx)]
  await readNothing(ctx.req)
  mustOwn(parts)
  if (await shared(parts, parts.fleet.setDrained(upstream.name, server.id, true)))
    audit(ctx, parts, 'drained', { reason })
  await awaitOthers(ctx, parts)
  const untilMs = parts.now() + waitMs
  const active = async () =>
    activeAt(figuresOf(upstream.name, server.id, await parts.planes.figures())) ||
    ((await parts.cluster?.activeElsewhere(upstream.name, server.id)) ?? 0)
  while (waitMs > 0 && (await active()) > 0 && parts.now() < untilMs && !ctx.req.socket.destroyed) await wait(LOOK_MS)
  await answerServer(ctx, parts, { note: noteOf(upstream.name, parts) })
}

async function undrain(ctx: AdminContext, parts: AdminParts): Promise<void> {
  const { upstream, server } = serverOf(ctx, parts)
  noQuery(ctx)
  const reason = reasonOf(ctx)
  await readNothing(ctx.req)
  mustOwn(parts)
  if (await shared(parts, parts.fleet.setDrained(upstream.name, server.id, false)))
    audit(ctx, parts, 'undrained', { reason })
  await awaitOthers(ctx, parts)
  await answerServer(ctx, parts)
}

/** @throws {AdminProblem} cluster-unavailable */
async function shared<T>({ cluster }: AdminParts, change: Promise<T>): Promise<T> {
  try {
    return await change
  } catch (error) {
    if (!(error instanceof ServersUnavailable)) throw error
    throw new AdminProblem(
      'cluster-unavailable',
      `Servers of cluster ${cluster?.name} can't be drained or leased: ${error.message}; nothing was changed.`,
    )
  }
}

/** In a cluster: a server is out of use when no instance uses it. */
async function awaitOthers(ctx: AdminContext, { cluster }: AdminParts): Promise<void> {
  if (cluster !== undefined) tellInForce(ctx, await cluster.serversInForce())
}

async function answerServer(ctx: AdminContext, parts: AdminParts, more: object = {}): Promise<void> {
  const { upstream, server } = serverOf(ctx, parts)
  const { number, etag } = parts.live.current
  ctx.set('ETag', etag)
  const state = serverState(upstream, server, parts.fleet, await parts.planes.figures())
  if (parts.cluster !== undefined && state.drained)
    state.active += await parts.cluster.activeElsewhere(upstream.name, server.id)
  answerJson(ctx, { revision: number, ...state, ...more })
}

/** What it means for the upstream that a server takes nothing new any more; null where others do. */
function noteOf(name: string, parts: AdminParts): string | null {
  const upstream = parts.live.current.table.upstreams.get(name)
  if (upstream === undefined) return null
  const others = serversOf(upstream, parts.fleet).filter(({ id }) => !parts.fleet.isDrained(name, id))
  if (others.length > 0) return null
  return `no server of ${name} is in use: routes with a fallback use their other upstream, all other requests get 503`
}

function upstreamOf(ctx: AdminContext, parts: AdminParts): Upstream {
  const { table } = parts.live.current
  const name = ctx.params.name as string
  const upstream = table.upstreams.get(name)
  if (upstream === undefined) throw noSuchUpstream(table, name)
  return upstream
}

function serverOf(ctx: AdminContext, parts: AdminParts): { upstream: Upstream; server: Server } {
  const upstream = upstreamOf(ctx, parts)
  const servers = serversOf(upstream, parts.fleet)
  const server = servers.find(({ id }) => id === idOf(ctx))
  if (server !== undefined) return { upstream, server }
  const leased = parts.fleet.leases(upstream.name).map(({ server: { id } }) => id)
  throw noSuchServer(parts.live.current.table, upstream.name, idOf(ctx), leased)
}

function idOf(ctx: AdminContext): string {
  return ctx.params.id as string
}

/** A dry run that is none would be a surprise. */
function noQuery(ctx: AdminContext): void {
  if (ctx.querystring === '') return
  throw new AdminProblem('malformed-query', 'dryRun and force apply only to edits of the table.')
}

function waitOf(ctx: AdminContext): number {
  const said = new URLSearchParams(ctx.querystring)
  const unknown = [...said.keys()].find((name) => name !== 'wait')
  if (unknown !== undefined) throw new AdminProblem('malformed-query', `Unknown parameter ${JSON.stringify(unknown)}.`)
  const text = said.get('wait')
  const ms = text === null ? 0 : parseDurationMs(text)
  if (ms === null || ms > MAX_WAIT_MS)
    throw new AdminProblem('malformed-query', 'wait must be a duration such as 30s, at most 10m.')
  return ms
}

function audit(ctx: AdminContext, parts: AdminParts, what: string, more: object): void {
  const { requestId, author } = ctx.state
  const { name: upstream, id: server } = ctx.params
  const asked = { method: ctx.method, path: ctx.path, client: clientAddressOf(ctx.req) }
  parts.log.info(
    { event: 'admin-fleet', requestId, author, ...asked, upstream, server, what, ...more },
    `${author} ${what} server ${server} of ${upstream}`,
  )
}
