/**
 * Closed-loop load with h2load (nghttp2): each stream of its connections sends the next request when the answer to the last is in.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { quantile } from './figures.ts'
import type { Measured } from './rounds.ts'
import type { Stage } from './stage.ts'

/** What h2load is to send: GET over HTTP/2 with TLS. */
export interface Http2Load {
  readonly path: string
  readonly connections: number
  /** Requests at the same time on each connection. */
  readonly streams: number
}

/** Drives a port of 127.0.0.1 for some seconds. Throws where h2load cannot run. */
export async function runH2load(stage: Stage, port: number, load: Http2Load, seconds: number): Promise<Measured> {
  const log = join(stage.newFolder('h2load'), 'requests.tsv')
  const printed = await stage.run('h2load', 'load', [
    ...(['h2load', '-t1', `-c${load.connections}`, `-m${load.streams}`, `-D${seconds}`] as const),
    ...[`--log-file=${log}`, `https://127.0.0.1:${port}${load.path}`],
  ])
  return readH2load(printed, readFileSync(log, 'utf8'))
}

/**
 * Reads what h2load printed, and its log: a line with the start, the status and the microseconds of each request. Throws where there is no
 * summary.
 */
export function readH2load(printed: string, log: string): Measured {
  const rate = /^finished in .*, ([0-9.]+) req\/s/m.exec(printed)
  const counts =
    /^requests: .* ([0-9]+) done, [0-9]+ succeeded, ([0-9]+) failed, ([0-9]+) errored, ([0-9]+) timeout/m.exec(printed)
  if (rate === null || counts === null) throw new Error(`h2load printed no summary: ${printed.trim().slice(-200)}`)
  const [done, failed, errored, timeout] = counts.slice(1).map(Number) as [number, number, number, number]
  const errors: Record<string, number> = {}
  // An answer with another status than 2xx or 3xx counts as failed, as one that did not come whole does.
  for (const [kind, count] of Object.entries({ status: failed - errored, read: errored, timeout })) {
    if (count > 0) errors[kind] = count
  }
  if (!/^Application protocol: h2$/m.test(printed)) errors.protocol = 1
  const micros = log.split('\n').flatMap((line) => (line === '' ? [] : [Number(line.split('\t')[2])]))
  micros.sort((a, b) => a - b)
  const at = (part: number): number => (micros.length === 0 ? 0 : quantile(micros, part))
  return { units: done, perSecond: Number(rate[1]), p50Micros: at(0.5), p99Micros: at(0.99), errors }
}
