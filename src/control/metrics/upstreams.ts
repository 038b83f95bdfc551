/**
 * Metrics of upstreams, servers and breakers.
 */
import { BREAKER_WORDS } from '../../rules/failures/breaker.ts'
import { shareOf } from '../../rules/routing/targets.ts'
import { SERVER_WORDS, type ServerFigures, type UpstreamFigures } from '../../state/upstreams/figures.ts'
import type { AdminParts } from '../context.ts'
import type { FleetView } from '../fleet/keeper.ts'
import { type Metric, metric, type Sample } from './format.ts'

type Parts = Pick<AdminParts, 'live'> & { readonly fleet: Pick<FleetView, 'health'> }

/** Of each upstream and server. */
export function upstreamMetrics({ live, fleet }: Parts, figures: readonly UpstreamFigures[]): Metric[] {
  const percents = live.current.table.routes.flatMap((route) =>
    route.targets.map(({ upstream }): Sample => [{ route: route.id, to: upstream }, shareOf(route, upstream) ?? 0]),
  )
  return [
    ...wholeMetrics(figures),
    ...serverMetrics(figures, fleet),
    ...breakerMetrics(figures),
    metric('banyan_route_percent', 'gauge', 'Configured percent of a route, 0 to 100.', percents),
  ]
}

function wholeMetrics(figures: readonly UpstreamFigures[]): Metric[] {
  const each = (value: (one: UpstreamFigures) => number): Sample[] =>
    figures.map((one) => [{ upstream: one.name }, value(one)])
  const whole = (name: string, type: 'counter' | 'gauge', help: string, value: (one: UpstreamFigures) => number) =>
    metric(`banyan_${name}`, type, help, each(value))
  return [
    whole('retries_total', 'counter', 'Retries.', ({ retries }) => retries),
    whole(
      'retries_refused_total',
      'counter',
      'Retries denied by the retry budget.',
      ({ retriesRefused }) => retriesRefused,
    ),
    whole('shed_total', 'counter', 'Requests rejected because the queue was full.', ({ shed }) => shed),
    whole(
      'queue_timeouts_total',
      'counter',
      'Requests that timed out in the queue.',
      ({ queueTimeouts }) => queueTimeouts,
    ),
    whole('upstream_active', 'gauge', 'Requests in flight at the upstream.', ({ active }) => active),
    whole('upstream_queued', 'gauge', 'Queued requests.', ({ queued }) => queued),
  ]
}

function serverMetrics(figures: readonly UpstreamFigures[], fleet: Parts['fleet']): Metric[] {
  const servers = figures.flatMap(({ name: upstream, servers }) =>
    servers.map((server) => ({ labels: { upstream, server: server.id }, server })),
  )
  const each = (value: (server: ServerFigures) => number): Sample[] =>
    servers.map(({ labels, server }) => [labels, value(server)])
  const connections = servers.flatMap(({ labels, server: { connections } }): Sample[] => [
    [{ ...labels, state: 'active' }, connections.open - connections.idle],
    [{ ...labels, state: 'idle' }, connections.idle],
  ])
  const states = servers.flatMap(({ labels, server }) =>
    SERVER_WORDS.map((state): Sample => [{ ...labels, state }, server.state === state ? 1 : 0]),
  )
  const probes = servers.flatMap(({ labels }): Sample[] => {
    const health = fleet.health(labels.upstream, labels.server)
    if (health === null) return []
    return [
      [{ ...labels, result: 'good' }, health.good],
      [{ ...labels, result: 'failed' }, health.failed],
    ]
  })
  return [
    metric('banyan_server_state', 'gauge', '1 for the current state of a server.', states),
    metric('banyan_upstream_connections', 'gauge', 'Connections to a server.', connections),
    metric(
      'banyan_upstream_active_exchanges',
      'gauge',
      'Requests in flight at a server.',
      each(({ connections }) => connections.active),
    ),
    metric(
      'banyan_upstream_connects_total',
      'counter',
      'Connections established to a server.',
      each(({ connects }) => connects),
    ),
    metric(
      'banyan_upstream_reuses_total',
      'counter',
      'Requests sent on a reused connection.',
      each(({ reuses }) => reuses),
    ),
    metric(
      'banyan_server_repaired_total',
      'counter',
      'Invalid responses that were accepted.',
      each(({ repaired }) => repaired),
    ),
    metric(
      'banyan_server_exchanges_total',
      'counter',
      'Requests sent to a server, including retries.',
      each(({ exchanges }) => exchanges),
    ),
    metric(
      'banyan_server_failures_total',
      'counter',
      'Requests that failed at a server or got a 5xx response.',
      each(({ failures }) => failures),
    ),
    metric(
      'banyan_server_ejections_total',
      'counter',
      'Ejections of a server after consecutive failures.',
      each(({ ejections }) => ejections),
    ),
    metric('banyan_health_probes_total', 'counter', 'Active health checks of a server, by result.', probes),
  ]
}

function breakerMetrics(figures: readonly UpstreamFigures[]): Metric[] {
  const breakers = figures.flatMap(({ name: upstream, breakers }) => breakers.map((one) => ({ upstream, ...one })))
  const states = breakers.flatMap(({ route, upstream, state: now }) =>
    BREAKER_WORDS.map((state): Sample => [{ route, upstream, state }, state === now ? 1 : 0]),
  )
  const opened = breakers.map(({ route, upstream, opened }): Sample => [{ route, upstream }, opened])
  return [
    metric('banyan_breaker_state', 'gauge', '1 for the current state of a breaker.', states),
    metric('banyan_breaker_opened_total', 'counter', 'Number of times a breaker opened.', opened),
  ]
}
