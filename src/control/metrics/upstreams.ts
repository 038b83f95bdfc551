/**
 * The figures of upstreams, their servers and the breakers in Prometheus' text format.
 */
import { BREAKER_WORDS } from '../../rules/failures/breaker.ts'
import { SERVER_WORDS, type ServerFigures, type UpstreamFigures } from '../../state/upstreams/figures.ts'
import type { AdminParts } from '../context.ts'
import type { FleetView } from '../fleet/keeper.ts'
import { metric, type Sample } from './format.ts'

type Parts = Pick<AdminParts, 'live'> & { readonly fleet: Pick<FleetView, 'health'> }

/** One text for each metric. */
export function upstreamMetrics({ live, fleet }: Parts, figures: readonly UpstreamFigures[]): string[] {
  const percents = live.current.table.routes.map(({ id, to, percent }): Sample => [{ route: id, to }, percent])
  return [
    ...wholeMetrics(figures),
    ...serverMetrics(figures, fleet),
    ...breakerMetrics(figures),
    metric('banyan_route_percent', 'gauge', 'The share of a route that the table asks for, 0 to 100.', percents),
  ]
}

function wholeMetrics(figures: readonly UpstreamFigures[]): string[] {
  const each = (value: (one: UpstreamFigures) => number): Sample[] =>
    figures.map((one) => [{ upstream: one.name }, value(one)])
  const whole = (name: string, type: 'counter' | 'gauge', help: string, value: (one: UpstreamFigures) => number) =>
    metric(`banyan_${name}`, type, help, each(value))
  return [
    whole('retries_total', 'counter', 'Attempts beyond the first.', ({ retries }) => retries),
    whole('retries_refused_total', 'counter', 'Retries beyond the budget.', ({ retriesRefused }) => retriesRefused),
    whole('shed_total', 'counter', 'Exchanges for which there was no place, and none to wait.', ({ shed }) => shed),
    whole(
      'queue_timeouts_total',
      'counter',
      'Exchanges that waited in vain for a place.',
      ({ queueTimeouts }) => queueTimeouts,
    ),
    whole('upstream_active', 'gauge', 'Exchanges that have a place at the upstream.', ({ active }) => active),
    whole('upstream_queued', 'gauge', 'Exchanges that wait for one.', ({ queued }) => queued),
  ]
}

function serverMetrics(figures: readonly UpstreamFigures[], fleet: Parts['fleet']): string[] {
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
    metric('banyan_server_state', 'gauge', '1 for the word that says how a server stands.', states),
    metric('banyan_upstream_connections', 'gauge', 'Connections to a server.', connections),
    metric(
      'banyan_upstream_active_exchanges',
      'gauge',
      'Exchanges under way at a server.',
      each(({ connections }) => connections.active),
    ),
    metric(
      'banyan_upstream_connects_total',
      'counter',
      'Connections that were made to a server.',
      each(({ connects }) => connects),
    ),
    metric(
      'banyan_upstream_reuses_total',
      'counter',
      'Exchanges that found a kept-alive connection.',
      each(({ reuses }) => reuses),
    ),
    metric(
      'banyan_server_repaired_total',
      'counter',
      'Answers that broke a rule of HTTP and were taken all the same.',
      each(({ repaired }) => repaired),
    ),
    metric(
      'banyan_server_exchanges_total',
      'counter',
      'Exchanges that a server was asked for, second attempts too.',
      each(({ exchanges }) => exchanges),
    ),
    metric(
      'banyan_server_failures_total',
      'counter',
      'Of these, those that broke there or got a 5xx.',
      each(({ failures }) => failures),
    ),
    metric(
      'banyan_server_ejections_total',
      'counter',
      'Times that a server was left out because it failed too often in a row.',
      each(({ ejections }) => ejections),
    ),
    metric('banyan_health_probes_total', 'counter', 'Active health checks of a server, by result.', probes),
  ]
}

function breakerMetrics(figures: readonly UpstreamFigures[]): string[] {
  const breakers = figures.flatMap(({ name: upstream, breakers }) => breakers.map((one) => ({ upstream, ...one })))
  const states = breakers.flatMap(({ route, upstream, state: now }) =>
    BREAKER_WORDS.map((state): Sample => [{ route, upstream, state }, state === now ? 1 : 0]),
  )
  const opened = breakers.map(({ route, upstream, opened }): Sample => [{ route, upstream }, opened])
  return [
    metric('banyan_breaker_state', 'gauge', '1 for the word that says how a breaker stands.', states),
    metric('banyan_breaker_opened_total', 'counter', 'Times that a breaker opened.', opened),
  ]
}
