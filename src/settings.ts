/**
 * Flags and environment of `banyan serve`: one schema, read once, frozen. The only reader of process.env.
 */
import { parseArgs } from 'node:util'
import { formatDuration, formatSize, parseDurationMs, parseSizeBytes } from './rules/units.ts'

/** A host and a port; port 0 takes a free one. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Everything that `banyan serve` can be told. */
export interface Settings {
  readonly table: string
  readonly listen: Address
  readonly admin: Address
  readonly redis: string | null
  readonly workers: number
  readonly trustedProxies: readonly string[]
  readonly adminToken: string | null
  readonly accessLog: 'json' | 'none' | { readonly file: string }
  readonly memoryCacheBytes: number
  readonly maxHeaderBytes: number
  readonly maxHeaderFields: number
  readonly maxTargetLength: number
  readonly headersTimeoutMs: number
  readonly keepAliveMs: number
  readonly drainDelayMs: number
  readonly drainTimeoutMs: number
  readonly middleware: string | null
  readonly logLevel: string
}

/** A setting that can't be used. The message names the flag and says what to write. */
export class SettingsError extends Error {}

interface Flag<T> {
  /** As in the help: `HOST:PORT`. */
  readonly value: string
  readonly fallback: string
  readonly help: string
  /** @throws {SettingsError} what is wrong with the text, without the flag's name */
  read(text: string): T
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error']

const FLAGS = {
  table: { value: 'FILE', fallback: 'routes.yaml', help: 'the routing table', read: notEmpty },
  listen: { value: 'HOST:PORT', fallback: '0.0.0.0:8080', help: 'where clients connect', read: readAddress },
  admin: { value: 'HOST:PORT', fallback: '127.0.0.1:8081', help: 'where the admin API listens', read: readAddress },
  workers: {
    value: 'N',
    fallback: '0',
    help: 'worker processes; this version runs everything in one, and says so where N > 0',
    read: readWorkers,
  },
  'trusted-proxies': {
    value: 'LIST',
    fallback: '',
    help: 'addresses and networks (10.0.0.0/8,::1) whose X-Forwarded-* is believed',
    read: readList,
  },
  'admin-token': { value: 'TOKEN', fallback: '', help: 'bearer token of the admin API', read: orNull },
  'access-log': {
    value: 'json|none|FILE',
    fallback: 'json',
    help: 'one JSON line for each exchange',
    read: readAccessLog,
  },
  'memory-cache': { value: 'SIZE', fallback: '64MiB', help: 'memory for cached answers', read: readSize },
  'max-header-size': {
    value: 'SIZE',
    fallback: '32KiB',
    help: 'request line and header fields of a request together',
    read: readSize,
  },
  'max-header-fields': { value: 'N', fallback: '256', help: 'header fields of a request', read: readCount },
  'max-target-length': {
    value: 'N',
    fallback: '16384',
    help: 'characters of a request target; longer ones get 414',
    read: readCount,
  },
  'header-timeout': { value: 'TIME', fallback: '30s', help: 'for a client to send a request head', read: readDuration },
  'keep-alive': {
    value: 'TIME',
    fallback: '75s',
    help: 'an idle client connection is kept this long',
    read: readDuration,
  },
  'drain-delay': {
    value: 'TIME',
    fallback: '0ms',
    help: 'from SIGTERM (readiness fails) until no more connections are accepted',
    read: readDuration,
  },
  'drain-timeout': {
    value: 'TIME',
    fallback: '30s',
    help: 'for running exchanges to finish after SIGTERM',
    read: readDuration,
  },
  middleware: {
    value: 'FILE',
    fallback: '',
    help: 'a module that exports Koa middleware, run before the proxy',
    read: orNull,
  },
  'log-level': { value: 'LEVEL', fallback: 'info', help: LOG_LEVELS.join(', '), read: readLogLevel },
  redis: {
    value: 'URL',
    fallback: '',
    help: 'shared cache; this version caches in memory only, and says so where a URL is given',
    read: orNull,
  },
} as const satisfies Record<string, Flag<unknown>>

type FlagName = keyof typeof FLAGS

/**
 * Reads the settings; a flag wins over its environment variable (`--drain-delay`, `BANYAN_DRAIN_DELAY`).
 * @throws {SettingsError} an unknown flag or a value that can't be used
 */
export function readSettings(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Settings {
  const given = readFlags(args)
  const value = <N extends FlagName>(name: N): ReturnType<(typeof FLAGS)[N]['read']> => {
    const variable = variableOf(name)
    const [text, source] =
      given[name] !== undefined
        ? [given[name], `--${name}`]
        : env[variable] !== undefined
          ? [env[variable], variable]
          : [FLAGS[name].fallback, `--${name}`]
    try {
      return FLAGS[name].read(text) as ReturnType<(typeof FLAGS)[N]['read']>
    } catch (error) {
      if (error instanceof SettingsError) throw new SettingsError(`${source}: ${error.message}`)
      throw error
    }
  }
  return Object.freeze({
    table: value('table'),
    listen: value('listen'),
    admin: value('admin'),
    redis: value('redis'),
    workers: value('workers'),
    trustedProxies: value('trusted-proxies'),
    adminToken: value('admin-token'),
    accessLog: value('access-log'),
    memoryCacheBytes: value('memory-cache'),
    maxHeaderBytes: value('max-header-size'),
    maxHeaderFields: value('max-header-fields'),
    maxTargetLength: value('max-target-length'),
    headersTimeoutMs: value('header-timeout'),
    keepAliveMs: value('keep-alive'),
    drainDelayMs: value('drain-delay'),
    drainTimeoutMs: value('drain-timeout'),
    middleware: value('middleware'),
    logLevel: value('log-level'),
  })
}

/** The flags as `banyan serve --help` prints them. */
export function settingsHelp(): string {
  const lines = (Object.keys(FLAGS) as FlagName[]).map((name) => {
    const { value, fallback, help } = FLAGS[name]
    const left = `  --${name} ${value}`.padEnd(30)
    return `${left} ${help}${fallback === '' ? '' : ` (${fallback})`}\n${' '.repeat(31)}${variableOf(name)}`
  })
  return lines.join('\n')
}

function readFlags(args: readonly string[]): Record<string, string | undefined> {
  const options = Object.fromEntries(Object.keys(FLAGS).map((name) => [name, { type: 'string' as const }]))
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values as Record<
      string,
      string
    >
  } catch (error) {
    throw new SettingsError(`${(error as Error).message.split('\n')[0]} (see banyan serve --help)`)
  }
}

function variableOf(name: string): string {
  return `BANYAN_${name.toUpperCase().replaceAll('-', '_')}`
}

function notEmpty(text: string): string {
  if (text === '') throw new SettingsError('is empty')
  return text
}

function orNull(text: string): string | null {
  return text === '' ? null : text
}

function readAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]*)):([0-9]{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65535) {
    throw new SettingsError(`'${text}' is no HOST:PORT (as in 127.0.0.1:8080, [::1]:8080; port 0 takes a free one)`)
  }
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port }
}

function readList(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function readSize(text: string): number {
  const bytes = parseSizeBytes(text)
  if (bytes === null || bytes <= 0)
    throw new SettingsError(`'${text}' is no size (as in 512KiB, ${formatSize(67108864)})`)
  return bytes
}

function readDuration(text: string): number {
  const ms = parseDurationMs(text)
  if (ms === null) throw new SettingsError(`'${text}' is no duration (as in 250ms, ${formatDuration(30_000)})`)
  return ms
}

function readCount(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new SettingsError(`'${text}' is no whole number above 0`)
  return Number(text)
}

function readWorkers(text: string): number {
  if (!/^[0-9]{1,4}$/.test(text)) throw new SettingsError(`'${text}' is no number of workers`)
  return Number(text)
}

function readAccessLog(text: string): Settings['accessLog'] {
  if (text === 'json' || text === 'none') return text
  return { file: notEmpty(text) }
}

function readLogLevel(text: string): string {
  if (!LOG_LEVELS.includes(text)) throw new SettingsError(`'${text}' is none of ${LOG_LEVELS.join(', ')}`)
  return text
}
