/**
 * /routes: lists routes with live figures and their last day; adds, replaces, patches and removes single routes.
 */
import type { BreakerWord } from '../../rules/failures/breaker.ts'
import type { Route, Table } from '../../rules/table/table.ts'
import type { Revision } from '../../state/live-table.ts'
import type { UpstreamFigures } from '../../state/upstreams/figures.ts'
import { type AdminContext, type AdminParts, type AdminRouter, answerJson, answerLarge } from '../context.ts'
import { type LiveRoute, liveRoute } from '../figures/live.ts'
import type { Figures } from '../figures/planes.ts'
import { HISTORY_STEP_MS, HISTORY_STEPS } from '../figures/route-history.ts'
import { isJsonObject, type JsonObject } from '../http/merge-patch.ts'
import { existenceOf } from '../http/preconditions.ts'
import { invalidBody } from '../http/problem.ts'
import type { Change } from '../table/edit-outcome.ts'
import { addRoute, patchRoute, putRoute, removeRoute } from '../table/edits.ts'
import { type KeylessSample, keylessSteps } from '../table/simulation.ts'
import { inTurns } from '../turns.ts'
import { readJson } from './body.ts'
import { defaultState } from './default-state.ts'
import { makeEdit, noSuchRoute } from './write.ts'

const PATCH_TYPES = ['application/merge-patch+json', 'application/json']
const JSON_TYPES = ['application/json']

/** What GET adds to the table's keys; accepted and ignored in a PUT. */
const ADDED = ['order', 'live', 'revision', 'withoutKey']

/** Adds the resources. */
export function addRoutes(router: AdminRouter, parts: AdminParts): void {
  router.get('/routes', async (ctx) => {
    const { measurements, upstreams } = await parts.planes.figures()
    const words = breakerWords(upstreams)
    const revision = parts.live.current
    const { table } = revision
    ctx.set('ETag', revision.etag)
    await answerLarge(ctx, {
      revision: revision.number,
      ...defaultState(table),
      routes: table.routes
        .values()
        .map((route, index) => routeState(route, index, words, liveRoute(measurements, route, parts.now()))),
      live: { unclaimed: liveRoute(measurements, null, parts.now()) },
    })
  })

  router.post('/routes', async (ctx) => {
    const said = await readRoute(ctx)
    if (typeof said.id !== 'string') throw invalidBody([{ pointer: '/id', detail: 'expected an id' }])
    await writeRoute(ctx, parts, said.id, addRoute(said))
  })

  router.get('/routes/:id', async (ctx) => {
    const figures = await parts.planes.figures()
    const revision = parts.live.current
    answerRoute(ctx, { revision, route: routeOf(revision.table, idOf(ctx)), figures }, parts)
  })

  router.get('/routes/:id/history', async (ctx) => {
    const route = routeOf(parts.live.current.table, idOf(ctx))
    const { history } = await parts.planes.figures()
    const steps = history.of(route, parts.now()).map(({ atMs, sides }) => ({ at: new Date(atMs).toISOString(), sides }))
    answerJson(ctx, { route: route.id, stepSeconds: HISTORY_STEP_MS / 1000, keptSteps: HISTORY_STEPS, steps })
  })

  router.put('/routes/:id', async (ctx) => {
    const said = sameId(await readRoute(ctx), idOf(ctx))
    const existence = existenceOf(ctx.get('If-Match'), ctx.get('If-None-Match'))
    await writeRoute(ctx, parts, idOf(ctx), putRoute(idOf(ctx), { id: idOf(ctx), ...said }, existence))
  })

  router.patch('/routes/:id', async (ctx) => {
    const patch = sameId(await readObject(ctx, PATCH_TYPES), idOf(ctx))
    await writeRoute(ctx, parts, idOf(ctx), patchRoute(idOf(ctx), patch))
  })

  router.delete('/routes/:id', async (ctx) => {
    const done = await makeEdit(ctx, parts, removeRoute(idOf(ctx)))
    if (done === null) return
    answerJson(ctx, { revision: done.revision.number, etag: done.revision.etag, removed: idOf(ctx) })
  })
}

async function writeRoute(ctx: AdminContext, parts: AdminParts, id: string, change: Change): Promise<void> {
  const done = await makeEdit(ctx, parts, change)
  if (done === null) return
  const { revision, before } = done
  if (!before.table.places.has(id)) {
    ctx.status = 201
    ctx.set('Location', `/routes/${id}`)
  }
  const route = routeOf(revision.table, id)
  const withoutKey = await keylessSample(before.table, revision.table, route, parts)
  // Figures of now would cost the processes that serve more than the edit.
  answerRoute(ctx, { revision, route, figures: parts.planes.lastFigures() }, parts, withoutKey)
}

/** The requests without a key, where an edit may have moved them; null where each has one, or none matters. */
async function keylessSample(
  before: Table,
  after: Table,
  route: Route,
  parts: AdminParts,
): Promise<KeylessSample | null> {
  const was = before.routes[before.places.get(route.id) ?? -1]
  if (was === undefined || was === route || route.sticky.length === 0) return null
  return inTurns(keylessSteps({ before, after }, route.id, await parts.planes.recent(route.id)))
}

function answerRoute(
  ctx: AdminContext,
  { revision, route, figures }: { readonly revision: Revision; readonly route: Route; readonly figures: Figures },
  parts: AdminParts,
  withoutKey: KeylessSample | null = null,
): void {
  const { measurements, upstreams } = figures
  const live = liveRoute(measurements, route, parts.now())
  const index = revision.table.places.get(route.id) ?? -1
  ctx.set('ETag', revision.etag)
  ctx.set('Accept-Patch', PATCH_TYPES.join(', '))
  const state = routeState(route, index, breakerWords(upstreams), live)
  answerJson(ctx, { revision: revision.number, ...state, ...(withoutKey === null ? {} : { withoutKey }) })
}

/** As routes.yaml says it, the percent written out, with its place in the file from 1 and what is happening on it. */
function routeState(route: Route, index: number, words: ReadonlyMap<string, BreakerWord>, live: LiveRoute): object {
  const breaker = route.breaker === null ? null : (words.get(route.id) ?? 'closed')
  return {
    ...route.document,
    percent: route.percent,
    order: index + 1,
    live: { ...live, breaker },
  }
}

/** By id of route, for those whose breaker has been asked. */
function breakerWords(upstreams: readonly UpstreamFigures[]): ReadonlyMap<string, BreakerWord> {
  const words = new Map<string, BreakerWord>()
  for (const { breakers } of upstreams) {
    // Of a route with several targets, one that is not closed.
    for (const { route, state } of breakers) if ((words.get(route) ?? 'closed') === 'closed') words.set(route, state)
  }
  return words
}

function idOf(ctx: AdminContext): string {
  return ctx.params.id as string
}

function routeOf(table: Table, id: string): Route {
  const route = table.routes[table.places.get(id) ?? -1]
  if (route === undefined) throw noSuchRoute(table, id)
  return route
}

async function readRoute(ctx: AdminContext): Promise<JsonObject> {
  const said = await readObject(ctx, JSON_TYPES)
  return Object.fromEntries(Object.entries(said).filter(([name]) => !ADDED.includes(name)))
}

/** @throws {AdminProblem} invalid: the body is no object */
async function readObject(ctx: AdminContext, mediaTypes: readonly string[]): Promise<JsonObject> {
  const body = await readJson(ctx.req, mediaTypes)
  if (isJsonObject(body)) return body
  throw invalidBody([{ pointer: '', detail: 'expected an object such as {"percent": 25}' }])
}

/** @throws {AdminProblem} invalid: the body names another id than the path */
function sameId(said: JsonObject, id: string): JsonObject {
  if (said.id === undefined || said.id === id) return said
  const detail = `the id must be ${JSON.stringify(id)}, as in the path, and can't be changed`
  throw invalidBody([{ pointer: '/id', detail, hint: 'add the route with the new id and remove the old one' }])
}
