/**
 * The command line of the service.
 */
import { hostname } from 'node:os'
import { type Asked, flag, flagLines, readFlags, readFolder, readTime } from './flags.ts'

const FLAGS = {
  listen: flag(
    'HOST:PORT',
    readListen,
    readListen('127.0.0.1:4002'),
    'where to listen; port 0: any free one (127.0.0.1:4002)',
  ),
  name: flag('NAME', readName, hostname(), 'the instance in answers and errors (the host name)'),
  data: flag('DIR', readFolder, 'gtin-data', 'the folder that syncs put the data into; it is followed (./gtin-data)'),
  'stale-after': flag<number | null>('TIME', readTime, null, 'health answers 503 when the data is older (no limit)'),
  'drain-delay': flag(
    'TIME',
    readTime,
    1_000,
    'on SIGTERM, how long to go on with health at 503 before the socket closes (1s)',
  ),
  'drain-timeout': flag('TIME', readTime, 10_000, 'how long running exchanges may then still take (10s)'),
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
export function readCommandLine(args: readonly string[]): Asked<typeof FLAGS> {
  return readFlags(FLAGS, args)
}

function readListen(text: string): { host: string; port: number } {
  const [, ipv6, host = ipv6, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(text) ?? []
  if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) }
  throw new Error(`expected HOST:PORT such as 127.0.0.1:4002, got "${text}"`)
}

function readName(text: string): string {
  if (/^\P{Cc}+$/u.test(text)) return text
  throw new Error('expected at least one character, and no control characters')
}
