/**
 * Metrics of processes: this one, and the workers if there are any.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { ProcessFigures } from '../../state/plane-port.ts'
import type { WorkerState } from '../context.ts'
import type { Figures } from '../figures/planes.ts'
import { type Metric, metric, one, type Sample } from './format.ts'

const eventLoop = monitorEventLoopDelay({ resolution: 20 })
eventLoop.enable()

/** Nothing where one process does it all: then `process_...` is all there is to say. */
export function workerMetrics(workers: readonly WorkerState[], { processes }: Figures): Metric[] {
  if (workers.length === 0) return []
  const each = (value: (worker: WorkerState, known: ProcessFigures | undefined) => number): Sample[] =>
    workers.map((one) => [
      { worker: one.worker },
      value(
        one,
        processes.find(({ plane }) => plane === one.plane),
      ),
    ])
  return [
    metric(
      'banyan_worker_up',
      'gauge',
      '1 if the worker is serving.',
      each(({ state }) => (state === 'up' ? 1 : 0)),
    ),
    metric(
      'banyan_worker_revision',
      'gauge',
      'Revision used by the worker; 0 if none.',
      each(({ revision }) => revision ?? 0),
    ),
    metric(
      'banyan_worker_starts_total',
      'counter',
      'Number of processes started for the worker.',
      each(({ starts }) => starts),
    ),
    metric(
      'banyan_worker_connections',
      'gauge',
      'Client connections of the worker.',
      each(({ connections }) => connections),
    ),
    metric(
      'banyan_worker_cpu_seconds_total',
      'counter',
      'CPU time of the worker, including its earlier processes.',
      each(({ cpuSecondsBefore }, known) => cpuSecondsBefore + (known?.cpuSeconds ?? 0)),
    ),
    metric(
      'banyan_worker_resident_memory_bytes',
      'gauge',
      'Resident memory.',
      each((_, known) => known?.residentBytes ?? 0),
    ),
    metric(
      'banyan_worker_heap_used_bytes',
      'gauge',
      'Heap in use.',
      each((_, known) => known?.heapUsedBytes ?? 0),
    ),
    metric(
      'banyan_worker_eventloop_delay_p99_seconds',
      'gauge',
      'Event loop delay since the start of the worker.',
      each((_, known) => known?.eventLoopDelayP99Seconds ?? 0),
    ),
  ]
}

/** Of the process that answers: where there are workers, the primary. */
export function processMetrics(): Metric[] {
  const { rss, heapUsed } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  const p99 = eventLoop.percentile(99) / 1e9
  return [
    metric('process_cpu_seconds_total', 'counter', 'CPU time.', one((user + system) / 1e6)),
    metric('process_resident_memory_bytes', 'gauge', 'Resident memory.', one(rss)),
    metric(
      'process_start_time_seconds',
      'gauge',
      'Start time of the process.',
      one(Date.now() / 1000 - process.uptime()),
    ),
    metric('nodejs_heap_used_bytes', 'gauge', 'Heap in use.', one(heapUsed)),
    metric('nodejs_eventloop_delay_p99_seconds', 'gauge', 'Event loop delay since the start of the process.', one(p99)),
    metric('nodejs_version_info', 'gauge', 'The version of Node.js.', [[{ version: process.version }, 1]]),
  ]
}
