/**
 * The command line of the service: flags into frozen settings, or every mistake at once.
 */
import { hostname } from 'node:os'
import { type Asked, type Flags, flagLines, readFlags, readTime } from './flags.ts'

/** The settings of one process. */
export interface Settings {
  readonly host: string
  readonly port: number
  readonly name: string
  /** The data folder. */
  readonly data: string
  /** Data older than this makes the service unready; null for no limit. */
  readonly staleAfterMs: number | null
  readonly drainDelayMs: number
  readonly drainTimeoutMs: number
}

const FLAGS: Flags<Settings> = {
  listen: { value: 'HOST:PORT', help: 'where to listen; port 0 takes any free one (127.0.0.1:4002)', read: readListen },
  name: {
    value: 'NAME',
    help: 'the instance in answers and errors (the host name)',
    read: (name) => (/^\P{Cc}+$/u.test(name) ? { name } : 'expected at least one character, and no control characters'),
  },
  data: {
    value: 'DIR',
    help: 'the folder that syncs put the data into; it is followed (./gtin-data)',
    read: (data) => (data === '' ? 'expected a folder' : { data }),
  },
  'stale-after': {
    value: 'TIME',
    help: 'health answers 503 when the data is older (no limit)',
    read: (value) => readTime(value, (staleAfterMs) => ({ staleAfterMs })),
  },
  'drain-delay': {
    value: 'TIME',
    help: 'on SIGTERM, how long to go on with health at 503 before the socket closes (1s)',
    read: (value) => readTime(value, (drainDelayMs) => ({ drainDelayMs })),
  },
  'drain-timeout': {
    value: 'TIME',
    help: 'how long running exchanges may then still take (10s)',
    read: (value) => readTime(value, (drainTimeoutMs) => ({ drainTimeoutMs })),
  },
}

/** The text of `--help`, with a newline at its end. */
export function helpText(): string {
  return `gtin-service: looks up products by GTIN over HTTP: GET /stores/:storeId/gtins/:gtin

banyan-gtin [serve] [flags]
banyan-gtin sync --from URL --data DIR [flags]   (sync --help)

${flagLines(FLAGS)}
TIME is a number with its unit: 250ms, 5s, 24h. SIGTERM and SIGINT drain; a second one ends at once.
`
}

/** Reads the arguments after the script's name, and after `serve`. */
export function readCommandLine(args: readonly string[]): Asked<Settings> {
  const place = { host: '127.0.0.1', port: 4002, name: hostname(), data: 'gtin-data', staleAfterMs: null }
  return readFlags<Settings>(FLAGS, { ...place, drainDelayMs: 1_000, drainTimeoutMs: 10_000 }, args)
}

function readListen(value: string): Partial<Settings> | string {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(value)
  const port = Number(parts?.[3])
  if (parts === null || port > 65_535) return `expected HOST:PORT such as 127.0.0.1:4002, got "${value}"`
  return { host: parts[1] ?? (parts[2] as string), port }
}
