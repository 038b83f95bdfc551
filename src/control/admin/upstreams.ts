/**
 * /upstreams: lists the upstreams and their servers with live figures.
 */
import type { Upstream } from '../../rules/table/table.ts'
import type { Revision } from '../../state/live-table.ts'
import type { UpstreamFigures } from '../../state/upstreams/figures.ts'
import { type AdminParts, type AdminRouter, answerJson, answerLarge } from '../context.ts'
import { liveUpstreams } from '../figures/live.ts'
import type { Figures } from '../figures/planes.ts'
import { liveServer } from '../fleet/server-state.ts'
import { defaultState } from './default-state.ts'
import { noSuchUpstream } from './write.ts'

/** Adds the resources. */
export function addUpstreams(router: AdminRouter, parts: AdminParts): void {
  router.get('/upstreams', async (ctx) => {
    const revision = parts.live.current
    const { number, etag, table } = revision
    ctx.set('ETag', etag)
    const stateOf = upstreamStates(revision, await parts.planes.figures(), parts)
    await answerLarge(ctx, {
      revision: number,
      ...defaultState(table),
      upstreams: table.upstreams.values().map(stateOf),
    })
  })

  router.get('/upstreams/:name', async (ctx) => {
    const revision = parts.live.current
    const { number, etag, table } = revision
    const name = ctx.params.name as string
    const upstream = table.upstreams.get(name)
    if (upstream === undefined) throw noSuchUpstream(table, name)
    ctx.set('ETag', etag)
    const stateOf = upstreamStates(revision, await parts.planes.figures(), parts)
    answerJson(ctx, { revision: number, ...stateOf(upstream) })
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

/** Tells of an upstream what routes.yaml says, with the routes that go there and what is happening. */
function upstreamStates(
  { table }: Revision,
  figures: Figures,
  { fleet, now }: Pick<AdminParts, 'fleet' | 'now'>,
): (upstream: Upstream) => object {
  const lastMinuteOf = liveUpstreams(figures.measurements, now())
  const figuresOf = new Map(figures.upstreams.map((one) => [one.name, one]))
  const routesOf = new Map<string, string[]>([...table.upstreams.keys()].map((name) => [name, []]))
  for (const { id, from, targets } of table.routes) {
    for (const name of new Set([from, ...targets.map(({ upstream }) => upstream)])) routesOf.get(name)?.push(id)
  }
  return ({ name, document }) => {
    const { name: _, servers, ...whole } = figuresOf.get(name) ?? NOTHING_KNOWN
    return {
      name,
      ...document,
      routes: routesOf.get(name),
      live: {
        lastMinute: lastMinuteOf(name),
        ...whole,
        servers: servers.map((server) => liveServer(name, server, fleet)),
      },
    }
  }
}
