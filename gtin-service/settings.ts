/**
 * The command line of the service: flags into frozen settings, or every mistake at once.
 */
import { hostname } from 'node:os'
import { type Asked, type Flags, flagLines, readFlags, readSize, readTime } from './flags.ts'
import { DEFAULT_MEMORY_BYTES } from './source-store.ts'

/** The settings of one process. */
export interface Settings {
  readonly host: string
  readonly port: number
  readonly name: string
  /** The data folder; null for the demo source. */
  readonly data: string | null
  /** Data older than this makes the service unready; null for no limit. */
  readonly staleAfterMs: number | null
  /** How much of the data is kept in memory at most, beside its index. */
  readonly memoryBytes: number
  readonly drainDelayMs: number
  readonly drainTimeoutMs: number
}

const FLAGS: Flags<Settings> = {
  '--listen': {
    value: 'HOST:PORT',
    help: 'where to listen; port 0 takes any free one (127.0.0.1:4002)',
    read: readListen,
  },
  '--name': { value: 'NAME', help: 'the instance in answers and errors (the host name)', read: readName },
  '--data': {
    value: 'DIR',
    help: 'serve the data that syncs put into this folder, and follow it',
    read: (data) => (data === '' ? 'expected a folder' : { data }),
  },
  '--source': {
    value: 'demo',
    help: 'serve the computed demo catalog; the default where there is no --data',
    read: (value) => (value === 'demo' ? { data: null } : `expected demo, got "${value}"`),
  },
  '--stale-after': {
    value: 'TIME',
    help: 'health answers 503 when the data is older (no limit)',
    read: (value) => readTime(value, (staleAfterMs) => ({ staleAfterMs })),
  },
  '--memory': {
    value: 'SIZE',
    help: 'how much of the data to keep in memory, beside its index; 0 reads each product from the file (1GiB)',
    read: (value) => readSize(value, (memoryBytes) => ({ memoryBytes })),
  },
  '--drain-delay': {
    value: 'TIME',
    help: 'on SIGTERM, how long to go on with health at 503 before the socket closes (1s)',
    read: (value) => readTime(value, (drainDelayMs) => ({ drainDelayMs })),
  },
  '--drain-timeout': {
    value: 'TIME',
    help: 'how long running exchanges may then still take (10s)',
    read: (value) => readTime(value, (drainTimeoutMs) => ({ drainTimeoutMs })),
  },
}

/** The text of `--help`, with a newline at its end. */
export function helpText(): string {
  return [
    'gtin-service: looks up products by GTIN over HTTP: GET /stores/:storeId/gtins/:gtin\n\n',
    'node gtin-service/main.ts [serve] [flags]\n',
    'node gtin-service/main.ts sync --from URL --data DIR [flags]   (sync --help)\n\n',
    flagLines(FLAGS),
    '\nTIME is a number with its unit: 250ms, 5s, 24h; SIZE is 64MiB. SIGTERM and SIGINT drain; a second one ends at once.\n',
  ].join('')
}

/** Reads the arguments after the script's name, and after `serve`. */
export function readCommandLine(args: readonly string[]): Asked<Settings> {
  const defaults: Settings = {
    host: '127.0.0.1',
    port: 4002,
    name: hostname(),
    data: null,
    staleAfterMs: null,
    memoryBytes: DEFAULT_MEMORY_BYTES,
    drainDelayMs: 1_000,
    drainTimeoutMs: 10_000,
  }
  return readFlags(FLAGS, defaults, args)
}

function readListen(value: string): Partial<Settings> | string {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(value)
  const port = Number(parts?.[3])
  if (parts === null || port > 65_535) return `expected HOST:PORT such as 127.0.0.1:4002, got "${value}"`
  return { host: parts[1] ?? (parts[2] as string), port }
}

function readName(value: string): Partial<Settings> | string {
  if (value === '' || /\p{Cc}/u.test(value)) return 'expected at least one character, and no control characters'
  return { name: value }
}
