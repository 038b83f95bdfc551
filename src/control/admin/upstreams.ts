/**
 * /upstreams: the upstreams as the table says them, with their servers and what is happening at each.
 */
import type { Table, Upstream } from '../../rules/table/table.ts'
import type { UpstreamFigures } from '../../state/upstreams/figures.ts'
import { type AdminParts, type AdminRouter, answerJson } from '../context.ts'
import { liveUpstream } from '../figures/live.ts'
import type { Figures } from '../figures/planes.ts'
import { liveServer } from '../fleet/server-state.ts'
import { noSuchUpstream } from './write.ts'

/** Adds the resources. */
export function addUpstreams(router: AdminRouter, parts: AdminParts): void {
  router.get('/upstreams', async (ctx) => {
    const { number, etag, table } = parts.live.current
    ctx.set('ETag', etag)
    const figures = await parts.planes.figures()
    const upstreams = [...table.upstreams.values()].map((upstream) => upstreamState(upstream, table, figures, parts))
    answerJson(ctx, { revision: number, default: table.default, upstreams })
  })

  router.get('/upstreams/:name', async (ctx) => {
    const { number, etag, table } = parts.live.current
    const name = ctx.params.name as string
    const upstream = table.upstreams.get(name)
    if (upstream === undefined) throw noSuchUpstream(table, name)
    ctx.set('ETag', etag)
    answerJson(ctx, { revision: number, ...upstreamState(upstream, table, await parts.planes.figures(), parts) })
  })
}

/** Of an upstream that no data plane has told of yet. */
const NOTHING_KNOWN: UpstreamFigures = {
  name: '',
  active: 0,
  queued: 0,
  retries: 0,
  retriesRefused: 0,
  shed: 0,
  queueTimeouts: 0,
  breakers: [],
  servers: [],
}

/** As routes.yaml says it, with the routes that go there and what is happening. */
function upstreamState(
  upstream: Upstream,
  table: Table,
  figures: Figures,
  { fleet, now }: Pick<AdminParts, 'fleet' | 'now'>,
): object {
  const { name, document } = upstream
  const routes = table.routes.filter((route) => route.from === name || route.to === name).map((route) => route.id)
  const known = figures.upstreams.find((one) => one.name === name) ?? NOTHING_KNOWN
  const { name: _, servers, ...whole } = known
  return {
    name,
    ...document,
    routes,
    live: {
      lastMinute: liveUpstream(figures.measurements, name, now()),
      ...whole,
      servers: servers.map((server) => liveServer(name, server, fleet)),
    },
  }
}
