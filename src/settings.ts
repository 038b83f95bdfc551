/**
 * Flags and environment of `banyan serve`: one schema, read once, frozen. The only reader of process.env.
 */

import { Resolver } from 'node:dns'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { formatDuration, formatSize, parseDurationMs, parseSizeBytes } from './rules/values/units.ts'
import { parseRedisUrl, REDIS_URL_FORMS, type RedisAddress } from './state/redis/url.ts'

/** A host and a port; port 0 takes a free one. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Everything that `banyan serve` can be told. */
export interface Settings {
  readonly table: string
  /** `fd` where the socket is handed over by systemd: its file descriptor. */
  readonly listen: Address & { readonly fd?: number }
  readonly admin: Address
  readonly redis: RedisAddress | null
  readonly redisPrefix: string
  readonly redisDeadlineMs: number
  /** Name servers that know the names of servers; none for the system's. */
  readonly dnsServers: readonly string[]
  readonly exposeCacheStatus: boolean
  readonly exposeCacheKey: boolean
  /** Worker processes; 0 is everything in one. */
  readonly workers: number
  readonly trustedProxies: readonly string[]
  /** What clients speak where a balancer in front says nothing; null: as the connection is. */
  readonly clientScheme: 'http' | 'https' | null
  readonly adminToken: string | null
  /** Further tokens, a line each as `readTokens` reads them. */
  readonly adminTokens: string
  /** A file of such lines, read again when it changes. */
  readonly adminTokenFile: string | null
  readonly requireIfMatch: boolean
  /** What force tokens are made with; null takes none. */
  readonly forceSecret: string | null
  readonly keepRevisions: number
  readonly allowLastGood: boolean
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
  /** '' for a flag that is given or not. */
  readonly value: string
  readonly fallback: string
  readonly help: string
  /** @throws {SettingsError} what is wrong with the text, without the flag's name */
  read(text: string): T
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error']

const FLAGS = {
  table: { value: 'FILE', fallback: 'routes.yaml', help: 'the routing table; - reads stdin', read: notEmpty },
  listen: {
    value: 'HOST:PORT|systemd',
    fallback: '0.0.0.0:8080',
    help: 'where clients connect; systemd: at the socket that a .socket unit hands over, which stays open through a restart',
    read: readListen,
  },
  admin: { value: 'HOST:PORT', fallback: '127.0.0.1:8081', help: 'where the admin API listens', read: readAddress },
  workers: {
    value: 'N|auto',
    fallback: 'auto',
    help: 'worker processes; auto: one for each core that may be used; 0: everything in one process',
    read: readWorkers,
  },
  'trusted-proxies': {
    value: 'LIST',
    fallback: '',
    help: 'addresses and networks (10.0.0.0/8,::1) whose X-Forwarded-* is believed',
    read: readList,
  },
  'client-scheme': {
    value: 'http|https',
    fallback: '',
    help: 'what clients speak, for a balancer in front that ends TLS and sends no X-Forwarded-Proto; else as the connection is',
    read: readScheme,
  },
  'admin-token': { value: 'TOKEN', fallback: '', help: 'bearer token of the admin API, named admin', read: orNull },
  'admin-tokens': {
    value: 'LIST',
    fallback: '',
    help: 'named tokens of the admin API: NAME:read|write:SECRET, separated by commas',
    read: readTokenLines,
  },
  'admin-token-file': {
    value: 'FILE',
    fallback: '',
    help: 'a file of named tokens, a line each: NAME read|write SECRET; read again when it changes',
    read: orNull,
  },
  'require-if-match': {
    value: '',
    fallback: 'false',
    help: 'every write by the admin API must say which revision it was made for',
    read: readYesNo,
  },
  'force-secret': {
    value: 'SECRET',
    fallback: '',
    help: 'what force tokens (banyan force-token) are made with; better in the environment than in a flag',
    read: readSecret,
  },
  'keep-revisions': {
    value: 'N',
    fallback: '200',
    help: 'revisions of the table kept in .banyan/ beside it; 0 keeps them in memory only',
    read: readWhole,
  },
  'allow-last-good': {
    value: '',
    fallback: 'false',
    help: 'start with the newest kept revision where the table file is invalid',
    read: readYesNo,
  },
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
    help: 'a module that exports Koa middleware, which every request passes before the proxy (docs/middleware.md)',
    read: orNull,
  },
  'log-level': { value: 'LEVEL', fallback: 'info', help: LOG_LEVELS.join(', '), read: readLogLevel },
  redis: {
    value: 'URL',
    fallback: '',
    help: 'the cache that processes share: redis://, rediss://, redis+sentinel://, redis+cluster:// (docs/caching.md)',
    read: readRedis,
  },
  'redis-prefix': { value: 'TEXT', fallback: 'banyan:', help: 'begins every key in Redis', read: notEmpty },
  'redis-deadline': {
    value: 'TIME',
    fallback: '20ms',
    help: 'for Redis to answer; then the request goes on without it',
    read: readDuration,
  },
  'dns-servers': {
    value: 'LIST',
    fallback: '',
    help: "name servers for the host names of servers (10.0.0.2,10.0.0.3:5353) in place of the system's",
    read: readDnsServers,
  },
  'expose-cache-status': {
    value: '',
    fallback: 'false',
    help: 'tell clients in Cache-Status (RFC 9211) what the cache did',
    read: readYesNo,
  },
  'expose-cache-key': {
    value: '',
    fallback: 'false',
    help: 'and under which key',
    read: readYesNo,
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
    listen: handedOver(value('listen'), env),
    admin: value('admin'),
    redis: value('redis'),
    redisPrefix: value('redis-prefix'),
    redisDeadlineMs: value('redis-deadline'),
    dnsServers: value('dns-servers'),
    exposeCacheStatus: value('expose-cache-status'),
    exposeCacheKey: value('expose-cache-key'),
    workers: value('workers'),
    trustedProxies: value('trusted-proxies'),
    clientScheme: value('client-scheme'),
    adminToken: value('admin-token'),
    adminTokens: value('admin-tokens'),
    adminTokenFile: value('admin-token-file'),
    requireIfMatch: value('require-if-match'),
    forceSecret: value('force-secret'),
    keepRevisions: value('keep-revisions'),
    allowLastGood: value('allow-last-good'),
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
    const left = `  --${name} ${value}`.trimEnd().padEnd(30)
    return `${left} ${help}${fallback === '' || value === '' ? '' : ` (${fallback})`}\n${' '.repeat(31)}${variableOf(name)}`
  })
  return lines.join('\n')
}

/** The flags with what they take and do, for the shell's completion. */
export function settingsFlags(): Record<string, { readonly value: string; readonly help: string }> {
  return FLAGS
}

function readFlags(args: readonly string[]): Record<string, string | undefined> {
  const options = Object.fromEntries(
    Object.entries(FLAGS).map(([name, { value }]) => [
      name,
      { type: value === '' ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true, allowPositionals: false })
    return Object.fromEntries(Object.entries(values).map(([name, given]) => [name, String(given)]))
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

/** The first file descriptor that systemd hands over (sd_listen_fds(3)). */
const FIRST_HANDED_FD = 3

function readListen(text: string): Settings['listen'] {
  if (text === 'systemd') return { host: text, port: 0, fd: FIRST_HANDED_FD }
  const { host, port } = readAddress(text)
  return { host, port }
}

/** @throws {SettingsError} a socket is expected of systemd, and there is none, or more than one */
function handedOver(listen: Settings['listen'], env: Readonly<Record<string, string | undefined>>): Settings['listen'] {
  if (listen.fd !== undefined && env.LISTEN_FDS !== '1') {
    const what = env.LISTEN_FDS === undefined ? 'no socket is' : `${env.LISTEN_FDS} sockets are`
    throw new SettingsError(`--listen systemd: ${what} handed over, not one; start it by its .socket unit`)
  }
  return listen
}

function readList(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function readScheme(text: string): 'http' | 'https' | null {
  if (text === '' || text === 'http' || text === 'https') return text === '' ? null : text
  throw new SettingsError(`'${text}' is neither http nor https`)
}

function readDnsServers(text: string): readonly string[] {
  const servers = readList(text)
  try {
    if (servers.length > 0) new Resolver().setServers(servers)
  } catch {
    throw new SettingsError(`'${text}' is no list of addresses (as in 10.0.0.2,10.0.0.3:5353,[::1]:53)`)
  }
  return servers
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

function readWhole(text: string): number {
  if (!/^(?:0|[1-9][0-9]{0,5})$/.test(text)) throw new SettingsError(`'${text}' is no whole number`)
  return Number(text)
}

function readYesNo(text: string): boolean {
  if (/^(?:true|1|yes)$/i.test(text)) return true
  if (/^(?:false|0|no|)$/i.test(text)) return false
  throw new SettingsError(`'${text}' is neither true nor false`)
}

/** Lines, where a list is easier to put into a flag or variable. What is wrong with one is told without its text. */
function readTokenLines(text: string): string {
  return text.replaceAll(',', '\n')
}

function readSecret(text: string): string | null {
  if (text !== '' && text.length < 16) throw new SettingsError('is shorter than 16 characters')
  return orNull(text)
}

function readWorkers(text: string): number {
  // What the process may use: its CPU affinity and the limit of its control group count.
  if (text === 'auto') return availableParallelism()
  if (!/^[0-9]{1,3}$/.test(text)) throw new SettingsError(`'${text}' is no number of workers, nor auto`)
  return Number(text)
}

function readRedis(text: string): RedisAddress | null {
  if (text === '') return null
  const address = parseRedisUrl(text)
  // The text may hold a password: it is not repeated.
  if (address === null) throw new SettingsError(`is none of ${REDIS_URL_FORMS}`)
  return address
}

function readAccessLog(text: string): Settings['accessLog'] {
  if (text === 'json' || text === 'none') return text
  return { file: notEmpty(text) }
}

function readLogLevel(text: string): string {
  if (!LOG_LEVELS.includes(text)) throw new SettingsError(`'${text}' is none of ${LOG_LEVELS.join(', ')}`)
  return text
}
