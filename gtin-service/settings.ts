/**
 * The command line of the service, and how values are written on it.
 */
import { hostname } from 'node:os'
import { parseArgs } from 'node:util'

export const HELP = `gtin-service: looks up products by GTIN over HTTP: GET /stores/:storeId/gtins/:gtin

banyan-gtin [serve] [flags]
banyan-gtin sync --from URL --data DIR [flags]   (sync --help)

  --listen HOST:PORT    where to listen; port 0 selects a free one (127.0.0.1:4002)
  --name NAME           name of the instance, in responses and errors (the host name)
  --data DIR            the data folder of the sync; new data is served at once (./gtin-data)
  --stale-after TIME    health answers 503 if the data is older (no limit)
  --drain-delay TIME    on SIGTERM, how long to keep serving with health at 503 before the socket closes (1s)
  --drain-timeout TIME  how long requests in flight may then take (10s)
  --help                this text

TIME is a number with its unit: 250ms, 5s, 24h. SIGTERM and SIGINT drain; a second one exits at once.
`

/** Reads the arguments after the script's name, and after `serve`. Throws an Error that tells the first mistake. */
export function readCommandLine(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      listen: { type: 'string', default: '127.0.0.1:4002' },
      name: { type: 'string', default: hostname() },
      data: { type: 'string', default: 'gtin-data' },
      'stale-after': { type: 'string' },
      'drain-delay': { type: 'string', default: '1s' },
      'drain-timeout': { type: 'string', default: '10s' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const [, ipv6, host = ipv6, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(values.listen) ?? []
  if (host === undefined || Number(port) > 65_535) {
    throw new Error(`--listen: expected HOST:PORT such as 127.0.0.1:4002, got "${values.listen}"`)
  }
  if (!/^\P{Cc}+$/u.test(values.name)) throw new Error('--name: expected some text without control characters')
  return {
    wantsHelp: values.help,
    host,
    port: Number(port),
    name: values.name,
    data: values.data,
    staleAfterMs: values['stale-after'] === undefined ? null : readAge('--stale-after', values['stale-after']),
    drainDelayMs: readTime('--drain-delay', values['drain-delay']),
    drainTimeoutMs: readTime('--drain-timeout', values['drain-timeout']),
  }
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads a time such as `250ms`, `5s`, `24h` that is waited for, as milliseconds. Throws an Error that names the flag. */
export function readTime(flag: string, text: string): number {
  const timeMs = readAge(flag, text)
  // setTimeout takes 31 bits: what is longer would fire at once.
  if (timeMs < 2 ** 31) return timeMs
  throw new Error(`${flag}: expected at most 24d, got "${text}"`)
}

/** Reads a time of any length, such as `90d`, as milliseconds. Throws an Error that names the flag. */
export function readAge(flag: string, text: string): number {
  const [, count, unit = ''] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? []
  const timeMs = Number(count) * (UNITS[unit] ?? Number.NaN)
  if (timeMs >= 0) return timeMs
  throw new Error(`${flag}: expected a time such as 250ms, 5s, 24h or 7d, got "${text}"`)
}
