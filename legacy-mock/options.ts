/**
 * The command line of the application: flags to options, and the help text.
 */
import { parseArgs } from 'node:util'
import { BASE_DAY } from './catalog.ts'
import type { LegacyOptions } from './legacy.ts'
import { formatDay, parseCount, parseDay, parseDurationMs } from './units.ts'

/** What `--help` prints. */
export const HELP = `legacy-mock: an old catalog application of 18 million products, to be wrapped and strangled

Usage: node legacy-mock/main.ts [flags]

  --listen HOST:PORT        where to listen; port 0 takes a free one     (127.0.0.1:4001)
  --latency-median TIME     median thinking time of pages and lookups    (40ms)
  --latency none            no thinking time, and no slow streams
  --seed N                  the sequence of latencies, and frozen tokens (1)
  --freeze TIME             stop the clock at an ISO 8601 time: the same request always gets the same bytes
  --as-of DAY               the day that the catalog shows, YYYY-MM-DD or today (2026-01-01)
  --origin URL              what absolute URLs begin with                (http:// and the Host of the request)
  --name NAME               the machine's name, as answers show it       (catalog01)
  --keep-alive TIME         how long an idle connection is kept          (5s)
  --drain TIME              how long a shutdown waits for running exchanges (10s)
  --help                    this text

Times are 250ms, 5s, 10m, 1h. SIGTERM and SIGINT end it, running exchanges first; a second one cuts them off.
Its endpoints are listed in legacy-mock/README.md.
`

/** A flag that can't be understood; the message is one line for the person who wrote it. */
export class UsageError extends Error {}

/**
 * Options from command line arguments; null where help is asked for.
 * @throws {UsageError} on unknown flags and values that make no sense
 */
export function readOptions(args: readonly string[]): Required<LegacyOptions> | null {
  const flags = parse(args)
  if (flags.help === true) return null
  const { host, port } = addressOf(flags.listen ?? '127.0.0.1:4001')
  if (flags.latency !== undefined && flags.latency !== 'none') {
    throw new UsageError(`--latency takes none, not ${flags.latency} (see --latency-median)`)
  }
  return {
    host,
    port,
    name: flags.name ?? 'catalog01',
    latencyMedianMs: flags.latency === 'none' ? 0 : durationOf('latency-median', flags['latency-median'] ?? '40ms'),
    seed: valid('seed', flags.seed ?? '1', parseCount(flags.seed ?? '1'), 'a whole number'),
    freezeMs:
      flags.freeze === undefined ? null : valid('freeze', flags.freeze, timeOf(flags.freeze), 'an ISO 8601 time'),
    asOf: dayOf(flags['as-of'] ?? formatDay(BASE_DAY)),
    origin:
      flags.origin === undefined ? null : valid('origin', flags.origin, originOf(flags.origin), 'a URL without a path'),
    keepAliveMs: durationOf('keep-alive', flags['keep-alive'] ?? '5s'),
    drainMs: durationOf('drain', flags.drain ?? '10s'),
  }
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const
  try {
    return parseArgs({
      args: [...args],
      options: {
        listen: text,
        'latency-median': text,
        latency: text,
        seed: text,
        freeze: text,
        'as-of': text,
        origin: text,
        name: text,
        'keep-alive': text,
        drain: text,
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    throw new UsageError(((error as Error).message.split('\n')[0] ?? '').replace(/\.? To specify.*$/, ''))
  }
}

function valid<T>(flag: string, text: string, value: T | null, wanted: string): T {
  if (value === null) throw new UsageError(`--${flag} takes ${wanted}, not ${text}`)
  return value
}

function addressOf(text: string): { host: string; port: number } {
  const [, host = '', port = ''] = /^(\[[^\]]+\]|[^:\s]+):(\d{1,5})$/.exec(text) ?? []
  if (host === '' || Number(port) > 65_535) throw new UsageError(`--listen takes HOST:PORT, not ${text}`)
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
}

function durationOf(flag: string, text: string): number {
  return valid(flag, text, parseDurationMs(text), 'a time like 40ms')
}

function dayOf(text: string): number | 'today' {
  if (text === 'today') return text
  return valid('as-of', text, parseDay(text), 'a day like 2026-01-01, or today')
}

function timeOf(text: string): number | null {
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? null : ms
}

function originOf(text: string): string | null {
  return /^https?:\/\/[^/?#\s]+\/?$/.test(text) ? text.replace(/\/$/, '') : null
}
