/**
 * All metrics in the Prometheus text format. Labels are names from the table and closed sets of words, never client input.
 */
import type { CacheFigures } from '../../state/caching/figures.ts'
import type { RemoteFigures } from '../../state/caching/remote.ts'
import { DURATION_BOUNDS_MS } from '../../state/figures/durations.ts'
import type { Measurements } from '../../state/figures/measurements.ts'
import type { Series } from '../../state/figures/series.ts'
import type { AdminParts } from '../context.ts'
import type { Evidence } from '../figures/evidence.ts'
import type { Figures } from '../figures/planes.ts'
import type { FleetView } from '../fleet/keeper.ts'
import type { Ramps } from '../ramps/ramps.ts'
import { clusterMetrics } from './cluster.ts'
import { head, type Labels, line, type Metric, metric, one, type Sample } from './format.ts'
import { processMetrics, workerMetrics } from './process.ts'
import { progressMetrics } from './progress.ts'
import { rampMetrics } from './ramps.ts'
import { upstreamMetrics } from './upstreams.ts'
import { webhookMetrics } from './webhook.ts'

/** What the text is made from. */
export type MetricsParts = Pick<
  AdminParts,
  | 'live'
  | 'history'
  | 'isReady'
  | 'now'
  | 'workers'
  | 'acmeFailures'
  | 'certificates'
  | 'version'
  | 'cluster'
  | 'webhook'
> & {
  readonly fleet: Pick<FleetView, 'health'>
  readonly ramps: Pick<Ramps, 'figures'>
}

/** Route label of what no route claims. No route has an empty id. */
const UNCLAIMED = ''

/** Side label where no side of a route was decided. */
const NO_SIDE = ''

/** The whole exposition, line by line, with a line break at its end: it grows with the table, and with what its routes have got. */
export function* metricsLines(parts: MetricsParts, figures: Figures): Iterable<string> {
  const groups = [
    () => requestMetrics(figures.measurements),
    () => attemptMetrics(figures.measurements),
    () => shadowMetrics(figures.evidence),
    () => upstreamMetrics(parts, figures.upstreams),
    () => rampMetrics(parts.ramps.figures()),
    () => clusterMetrics(parts.cluster),
    () => webhookMetrics(parts.webhook?.figures ?? null),
    () => progressMetrics(figures),
    () => tableMetrics(parts),
    () => cacheMetrics(figures.cache),
    () => workerMetrics(parts.workers?.() ?? [], figures),
    () => acmeMetrics(parts),
    () => tlsMetrics(parts, figures.measurements),
    () => processMetrics(),
  ]
  for (const group of groups) for (const lines of group()) yield* lines
}

function acmeMetrics({ acmeFailures }: MetricsParts): Metric[] {
  const failures = [...(acmeFailures?.() ?? [])].map(([name, count]): Sample => [{ name }, count])
  const help = 'Orders of a certificate that have failed in a row, by the name of --acme.'
  return [metric('banyan_acme_failures', 'gauge', help, failures)]
}

function tlsMetrics({ certificates }: MetricsParts, { handshakes }: Measurements): Metric[] {
  // The admin API may have a certificate that clients have, too.
  const byLabel = new Map(certificates?.().map(({ label, notAfterMs }) => [label, notAfterMs]))
  const ends = [...byLabel].map(([label, notAfterMs]): Sample => [{ certificate: label }, notAfterMs / 1000])
  const ended = Object.entries(handshakes).map(([outcome, count]): Sample => [{ outcome }, count])
  return [
    metric('banyan_tls_handshakes_total', 'counter', 'TLS handshakes of clients, by how they ended.', ended),
    metric(
      'banyan_tls_certificate_not_after_timestamp_seconds',
      'gauge',
      'When a certificate of --tls or --admin-tls-cert ends, in seconds since 1970.',
      ends,
    ),
  ]
}

function requestMetrics(measurements: Measurements): Metric[] {
  const cells = measurements.routeIds().flatMap((id) =>
    measurements.cells(id).map((cell) => {
      const { upstream, side, reason } = cell
      return [{ route: id ?? UNCLAIMED, upstream, reason, side: side ?? NO_SIDE }, cell] as const
    }),
  )
  const requests: Sample[] = []
  const failures: Sample[] = []
  const fallbacks: Sample[] = []
  for (const [labels, cell] of cells) {
    for (const { statusClass, cache, count } of cell.counts()) {
      requests.push([{ ...labels, status: statusClass === 0 ? 'none' : `${statusClass}xx`, cache }, count])
    }
    for (const [failure, count] of Object.entries(cell.failures)) failures.push([{ ...labels, failure }, count])
    const { route, upstream } = labels
    for (const [on, count] of Object.entries(cell.fallbacks)) fallbacks.push([{ route, upstream, on }, count])
  }
  const refused = Object.entries(measurements.refused).map(([failure, count]): Sample => [{ failure }, count])
  return [
    metric(
      'banyan_requests_total',
      'counter',
      'Completed requests. An empty route means that no route matched.',
      requests,
    ),
    histogram(
      'banyan_request_duration_seconds',
      'Time from the request headers to the end of the response, without upgraded connections.',
      cells,
    ),
    metric('banyan_failures_total', 'counter', 'Failed requests, by kind of failure.', failures),
    metric('banyan_refused_requests_total', 'counter', 'Requests refused before routing.', refused),
    metric('banyan_fallbacks_total', 'counter', 'Fallbacks to `from`, by cause.', fallbacks),
    metric('banyan_force_refused_total', 'counter', 'Invalid force tokens.', one(measurements.forceRefused)),
    metric(
      'banyan_exceptions_total',
      'counter',
      'Uncaught exceptions of callbacks and middleware; each failed one request or message, and is in the log.',
      one(measurements.exceptions),
    ),
    metric('banyan_active_exchanges', 'gauge', 'Requests in flight.', one(measurements.active)),
    metric('banyan_tunnels', 'gauge', 'Open upgraded connections.', one(measurements.tunnels)),
  ]
}

function attemptMetrics(measurements: Measurements): Metric[] {
  const cells = measurements.routeIds().flatMap((id) =>
    measurements.attempts(id).map((cell) => {
      return [{ route: id ?? UNCLAIMED, upstream: cell.upstream, reason: cell.reason }, cell] as const
    }),
  )
  const attempts = cells.flatMap(([labels, cell]) =>
    [...cell.counts()].map(({ outcome, count }): Sample => [{ ...labels, outcome }, count]),
  )
  return [
    metric('banyan_attempts_total', 'counter', 'Completed attempts at servers, by result.', attempts),
    histogram(
      'banyan_attempt_duration_seconds',
      'Time from the end of the request to the response headers, or to the failure.',
      cells,
    ),
  ]
}

function shadowMetrics(evidence: Evidence): Metric[] {
  const compared: Sample[] = []
  const skipped: Sample[] = []
  const noise: Sample[] = []
  for (const {
    route,
    comparisons,
    matches,
    partial,
    noiseComparisons,
    errors,
    skipped: reasons,
  } of evidence.counted()) {
    const failed = Object.values(errors).reduce((sum, count) => sum + count, 0)
    compared.push([{ route, result: 'match' }, matches], [{ route, result: 'mismatch' }, comparisons - matches])
    compared.push([{ route, result: 'partial' }, partial], [{ route, result: 'error' }, failed])
    noise.push([{ route }, noiseComparisons])
    for (const [reason, count] of Object.entries(reasons)) skipped.push([{ route, reason }, count])
  }
  return [
    metric(
      'banyan_shadow_comparisons_total',
      'counter',
      'Comparisons of the two sides of a route, by result. partial: nothing differs, but no bodies of what was asked for were compared. error: the copy got no response.',
      compared,
    ),
    metric('banyan_shadow_noise_comparisons_total', 'counter', 'Comparisons of two responses of `from`.', noise),
    metric('banyan_shadow_skipped_total', 'counter', 'Requests drawn for a copy that got none, by reason.', skipped),
  ]
}

function* histogram(name: string, help: string, all: readonly (readonly [Labels, Series])[]): Metric {
  yield head(name, 'histogram', help)
  for (const [labels, { durations }] of all) {
    if (durations.timed === 0) continue
    let count = 0
    for (const [at, inBucket] of durations.buckets.entries()) {
      count += inBucket
      const bound = DURATION_BOUNDS_MS[at]
      yield line(`${name}_bucket`, { ...labels, le: bound === undefined ? '+Inf' : bound / 1000 }, count)
    }
    yield line(`${name}_sum`, labels, durations.sumMs / 1000)
    yield line(`${name}_count`, labels, count)
  }
}

function tableMetrics({ live, history, isReady, now, version }: MetricsParts): Metric[] {
  const { number, appliedAtMs, table } = live.current
  const { refusal } = live
  return [
    metric('banyan_table_revision', 'gauge', 'Number of the current revision.', one(number)),
    metric(
      'banyan_table_applied_timestamp_seconds',
      'gauge',
      'Time when the current revision was applied.',
      one(appliedAtMs / 1000),
    ),
    metric('banyan_table_age_seconds', 'gauge', 'Age of the current revision.', one((now() - appliedAtMs) / 1000)),
    metric('banyan_table_routes', 'gauge', 'Number of routes in the table.', one(table.routes.length)),
    metric(
      'banyan_table_refused',
      'gauge',
      '1 if the table file is invalid and an earlier revision is used.',
      one(refusal === null ? 0 : 1),
    ),
    metric(
      'banyan_table_refused_timestamp_seconds',
      'gauge',
      'Time when the table file was refused, or 0.',
      one((refusal?.atMs ?? 0) / 1000),
    ),
    metric(
      'banyan_history_kept',
      'gauge',
      '0 if revisions are not stored on disk.',
      one(history.problem === null ? 1 : 0),
    ),
    metric('banyan_ready', 'gauge', '1 if ready for requests.', one(isReady().ready ? 1 : 0)),
    metric('banyan_build_info', 'gauge', 'The version of banyan.', version === undefined ? [] : [[{ version }, 1]]),
  ]
}

function cacheMetrics({ memory, remote, generation, counters }: CacheFigures): Metric[] {
  const skipped = Object.entries(counters.skipped).map(([reason, count]): Sample => [{ reason }, count])
  const counts = Object.entries(counters).filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  return [
    metric('banyan_cache_memory_entries', 'gauge', 'Entries in the memory cache of this process.', one(memory.entries)),
    metric('banyan_cache_memory_bytes', 'gauge', 'Their bytes.', one(memory.bytes)),
    metric('banyan_cache_memory_max_bytes', 'gauge', 'Maximum size of the memory cache.', one(memory.maxBytes)),
    metric(
      'banyan_cache_generation',
      'gauge',
      'Number of the last purge that is shared by all processes.',
      one(generation),
    ),
    metric('banyan_cache_skipped_total', 'counter', 'Responses that were not stored, by reason.', skipped),
    ...counts.map(([name, count]) =>
      metric(`banyan_cache_${snake(name)}_total`, 'counter', `Cache: ${words(name)}.`, one(count)),
    ),
    ...(remote === null ? [] : redisMetrics(remote)),
  ]
}

function redisMetrics(remote: RemoteFigures): Metric[] {
  const counts = Object.entries(remote).filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  return [
    metric('banyan_redis_up', 'gauge', '1 if Redis is connected and in sync.', one(remote.state === 'up' ? 1 : 0)),
    metric(
      'banyan_redis_breaker_open',
      'gauge',
      '1 if Redis is temporarily bypassed.',
      one(remote.breaker === 'open' ? 1 : 0),
    ),
    ...counts.map(([name, count]) =>
      metric(`banyan_redis_${snake(name)}_total`, 'counter', `Redis: ${words(name)}.`, one(count)),
    ),
  ]
}

/** `hitForMiss` -> `hit_for_miss`. */
function snake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** `hitForMiss` -> `hit for miss`. */
function words(name: string): string {
  return snake(name).replaceAll('_', ' ')
}
