/**
 * Flags and environment of `banyan serve`: one schema, read once, frozen. The only reader of process.env.
 */

import { Resolver } from 'node:dns'
import { availableParallelism } from 'node:os'
import { createSecureContext } from 'node:tls'
import { domainToASCII } from 'node:url'
import { parseArgs } from 'node:util'
import { flagProblem } from './cli/command.ts'
import { flawOfWebhook, type WebhookTarget } from './control/webhook/send.ts'
import { fromEnvironment, OtlpError, type OtlpSettings, readCollector, readShare } from './otlp-settings.ts'
import type { ListenPlace } from './proxy/client/listen-at.ts'
import type { ChallengeKind } from './rules/acme/names.ts'
import { flawOfAcmeName } from './rules/acme/names.ts'
import { UNIX_PEER } from './rules/http/exchange.ts'
import { flawOfEdited } from './rules/http/field-edits.ts'
import { kindOf } from './rules/http/field-kinds.ts'
import { readNetwork } from './rules/patterns/address.ts'
import { flawOfSocketPath } from './rules/patterns/origin.ts'
import { TOKEN } from './rules/values/schema-blocks.ts'
import { flawOfDuration, flawOfSize, parseDurationMs, parseSizeBytes } from './rules/values/units.ts'
import { flawOfCookieSecret } from './state/cookie-keys.ts'
import { flawOfForceSecret } from './state/force-token.ts'
import { flawOfHttp2 } from './state/http2-support.ts'
import { parseRedisUrl, REDIS_URL_FORMS, type RedisAddress } from './state/redis/url.ts'

/** A host and a port; port 0 is any free port. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** The settings of `banyan serve`. */
export interface Settings {
  readonly table: string
  /** `fd` is the file descriptor of a socket passed by systemd, `path` that of a Unix socket. */
  readonly listen: Address & { readonly fd?: number; readonly path?: string }
  /** Where clients speak TLS; null for nowhere. */
  readonly tls: Settings['listen'] | null
  /** Files or folders of certificates, and files of their keys, in the same order; empty where the certificates are in folders. */
  readonly tlsCert: readonly string[]
  readonly tlsKey: readonly string[]
  /** Authorities of client certificates; null where clients are asked for none. */
  readonly tlsClientCa: string | null
  readonly tlsClientVerify: 'required' | 'optional'
  /** Header in which upstreams get the subject of a client's certificate; null for none. */
  readonly tlsClientField: string | null
  readonly tlsMinVersion: 'TLSv1.2' | 'TLSv1.3'
  readonly tlsCiphers: string
  readonly tlsHandshakeTimeoutMs: number
  /** Names that certificates are ordered for. */
  readonly acme: readonly string[]
  /** The directory of the authority. */
  readonly acmeDirectory: string
  readonly acmeEmail: string | null
  /** The account's key at the authority's customers' side, by its id; null for none. */
  readonly acmeEab: { readonly kid: string; readonly key: string } | null
  readonly acmeChallenges: readonly ChallengeKind[]
  /** The folder of account and certificates; null for one in the state folder. */
  readonly acmeState: string | null
  /** The port of https that requests without TLS are redirected to; null where they are served. */
  readonly redirectPort: number | null
  /** Permission bits of the file of a Unix socket. */
  readonly listenMode: number
  readonly admin: Address
  readonly redis: RedisAddress | null
  readonly redisPrefix: string
  readonly redisDeadlineMs: number
  /** Name servers for upstream host names; empty for the system's. */
  readonly dnsServers: readonly string[]
  readonly exposeCacheStatus: boolean
  readonly exposeCacheKey: boolean
  /** Worker processes; 0 for a single process. */
  readonly workers: number
  /** Clients may speak HTTP/2 without TLS. */
  readonly h2c: boolean
  readonly trustedProxies: readonly string[]
  /** The peers whose connections begin with a header of the PROXY protocol. */
  readonly proxyProtocol: readonly string[]
  /** The scheme of client requests without X-Forwarded-Proto; null for that of the connection. */
  readonly clientScheme: 'http' | 'https' | null
  /** X-Request-Id is sent to upstreams and clients. */
  readonly requestIds: boolean
  /** Where spans of exchanges are sent; null for nowhere. */
  readonly otlp: OtlpSettings | null
  readonly adminToken: string | null
  /** Further tokens, one per line, in the format of `readTokens`. */
  readonly adminTokens: string
  /** A file of such lines, reloaded when it changes. */
  readonly adminTokenFile: string | null
  readonly requireIfMatch: boolean
  /** The secret for force tokens; null disables them. */
  readonly forceSecret: string | null
  /** Whether links with force tokens are answered. */
  readonly forceByLink: boolean
  /** The first one makes the MACs of cookies, all of them check; empty for a key in the folder beside the table. */
  readonly cookieSecrets: readonly string[]
  /** Where ramps and deploys are told of; null for nowhere. */
  readonly webhook: WebhookTarget | null
  readonly keepRevisions: number
  /** The folder for what outlives the process; null for `.banyan` beside the table. */
  readonly state: string | null
  readonly allowLastGood: boolean
  /** The cluster that this instance is one of, or null. */
  readonly cluster: ClusterSettings | null
  readonly accessLog: 'json' | 'none' | { readonly file: string }
  readonly memoryCacheBytes: number
  readonly maxHeaderBytes: number
  readonly maxHeaderFields: number
  readonly maxTargetLength: number
  readonly headersTimeoutMs: number
  readonly keepAliveMs: number
  readonly sendTimeoutMs: number
  readonly drainDelayMs: number
  readonly drainTimeoutMs: number
  readonly middleware: string | null
  readonly logLevel: string
}

/** Several instances that are one. */
export interface ClusterSettings {
  readonly name: string
  readonly redis: RedisAddress
  /** The first one seals what is stored there, all of them open; empty: nothing is sealed. */
  readonly secrets: readonly string[]
  /** Replicas of Redis that must have an edit before it is answered. */
  readonly replicas: number
}

/** An invalid setting. The message names the flag and what to write. */
export class SettingsError extends Error {}

interface Flag<T> {
  /** As in the help: `HOST:PORT`; '' for a boolean flag. */
  readonly value: string
  readonly fallback: string
  readonly help: string
  /** @throws {SettingsError} if the text is invalid; the message omits the flag */
  read(text: string): T
}

const LOG_LEVELS = ['debug', 'info', 'warn', 'error']

const FLAGS = {
  table: { value: 'FILE', fallback: 'routes.yaml', help: 'the routing table; - reads stdin', read: notEmpty },
  listen: {
    value: 'HOST:PORT|unix:PATH|systemd',
    fallback: '0.0.0.0:8080',
    help: 'address or Unix socket for clients; systemd: the socket passed by a .socket unit, which stays open across restarts',
    read: readListen,
  },
  tls: {
    value: 'HOST:PORT|unix:PATH|systemd',
    fallback: '',
    help: 'address for clients that speak TLS, beside --listen; systemd: the second socket that is passed, behind that of --listen systemd',
    read: (text: string): Settings['listen'] | null => (text === '' ? null : readListen(text)),
  },
  'tls-cert': {
    value: 'LIST',
    fallback: '',
    help: 'files of certificates with their chains (PEM), chosen by the name that a client asks for; or folders of certificates and keys',
    read: readList,
  },
  'tls-key': {
    value: 'LIST',
    fallback: '',
    help: 'files of the keys of --tls-cert, in the same order; not needed for folders and for files that hold both',
    read: readList,
  },
  'tls-client-ca': {
    value: 'FILE',
    fallback: '',
    help: 'authorities of client certificates (PEM): clients of --tls need one',
    read: orNull,
  },
  'tls-client-verify': {
    value: 'required|optional',
    fallback: 'required',
    help: 'whether clients may come without a certificate, with --tls-client-ca',
    read: readVerify,
  },
  'tls-client-field': {
    value: 'NAME',
    fallback: '',
    help: "header that tells upstreams the subject of a client's certificate; that of clients is removed",
    read: readFieldName,
  },
  'tls-min-version': {
    value: '1.2|1.3',
    fallback: '1.2',
    help: 'lowest version of TLS',
    read: readTlsVersion,
  },
  'tls-ciphers': {
    value: 'LIST',
    fallback: '',
    help: "ciphers in OpenSSL's format (those that Mozilla recommends as intermediate)",
    read: readCiphers,
  },
  'tls-handshake-timeout': {
    value: 'TIME',
    fallback: '10s',
    help: 'time for a TLS handshake, from the connection on',
    read: readDuration,
  },
  acme: {
    value: 'LIST',
    fallback: '',
    help: 'names to order certificates for by ACME (docs/guides/tls.md), for --tls; agrees to the terms of the authority',
    read: readAcmeNames,
  },
  'acme-email': {
    value: 'ADDRESS',
    fallback: '',
    help: 'contact of the ACME account',
    read: readEmail,
  },
  'acme-directory': {
    value: 'URL',
    fallback: 'https://acme-v02.api.letsencrypt.org/directory',
    help: 'directory of the authority',
    read: readDirectory,
  },
  'acme-eab-kid': {
    value: 'ID',
    fallback: '',
    help: 'id of the external account binding, for authorities that know their customers',
    read: orNull,
  },
  'acme-eab-key': {
    value: 'KEY',
    fallback: '',
    help: 'its HMAC key in Base64url; prefer the environment variable',
    read: orNull,
  },
  'acme-challenge': {
    value: 'LIST',
    fallback: 'tls-alpn-01,http-01',
    help: 'ways to show the authority that names lead here, the preferred one first',
    read: readChallenges,
  },
  'acme-state': {
    value: 'DIR',
    fallback: '',
    help: 'folder for the account, keys and certificates (acme/ in the state folder)',
    read: orNull,
  },
  'redirect-https': {
    value: '',
    fallback: 'false',
    help: 'redirect requests without TLS to https (308)',
    read: readYesNo,
  },
  'listen-mode': {
    value: 'MODE',
    fallback: '0660',
    help: 'permissions of the file of --listen unix:PATH: whoever may write to it may connect',
    read: readMode,
  },
  admin: { value: 'HOST:PORT', fallback: '127.0.0.1:8081', help: 'address of the admin API', read: readAddress },
  workers: {
    value: 'N|auto',
    fallback: 'auto',
    help: 'worker processes; auto: one per available core; 0: a single process',
    read: readWorkers,
  },
  'proxy-protocol': {
    value: 'LIST',
    fallback: '',
    help: 'peers (addresses, networks, unix) that send a PROXY protocol header (v1, v2), which names the client; required from them, never read from others',
    read: readPeers,
  },
  h2c: {
    value: '',
    fallback: 'false',
    help: 'accept HTTP/2 without TLS from clients that begin with it (prior knowledge), such as proxies and gRPC clients',
    read: readYesNo,
  },
  'trusted-proxies': {
    value: 'LIST',
    fallback: '',
    help: 'addresses and networks (10.0.0.0/8,::1), or unix, whose X-Forwarded-* headers are trusted',
    read: readList,
  },
  'client-scheme': {
    value: 'http|https',
    fallback: '',
    help: 'scheme of client requests, for a load balancer that terminates TLS without X-Forwarded-Proto (that of the connection)',
    read: readScheme,
  },
  'request-ids': {
    value: '',
    fallback: 'false',
    help: 'send X-Request-Id to servers and clients; that of trusted proxies is kept',
    read: readYesNo,
  },
  otlp: {
    value: 'URL',
    fallback: '',
    help: 'OpenTelemetry collector for spans of exchanges, over HTTP: http://127.0.0.1:4318',
    read: (text: string) => told(() => readCollector(text)),
  },
  'otlp-sample': {
    value: 'PERCENT',
    fallback: '100',
    help: 'exchanges that are traced; where a trusted proxy sends traceparent, it decides',
    read: (text: string) => told(() => readShare(text)),
  },
  'admin-token': {
    value: 'TOKEN',
    fallback: '',
    help: 'bearer token for the admin API, with the name admin',
    read: orNull,
  },
  'admin-tokens': {
    value: 'LIST',
    fallback: '',
    help: 'named tokens for the admin API: NAME:read|write:SECRET, separated by commas',
    read: readTokenLines,
  },
  'admin-token-file': {
    value: 'FILE',
    fallback: '',
    help: 'file of named tokens, one per line: NAME read|write SECRET; reloaded when it changes',
    read: orNull,
  },
  'require-if-match': {
    value: '',
    fallback: 'false',
    help: 'require If-Match on all writes to the admin API',
    read: readYesNo,
  },
  'force-secret': {
    value: 'SECRET',
    fallback: '',
    help: 'secret for force tokens (banyan force-token); prefer the environment variable',
    read: readSecret,
  },
  'force-by-link': {
    value: '',
    fallback: 'false',
    help: 'answer links with force tokens, which set a cookie: GET /.well-known/banyan/force',
    read: readYesNo,
  },
  'cookie-secret': {
    value: 'SECRET',
    fallback: '',
    help: "secret of banyan's own cookies; further ones after a comma are accepted too (a key kept with the revisions)",
    read: readCookieSecrets,
  },
  webhook: {
    value: 'URL',
    fallback: '',
    help: 'is told of ramps and deploys by POST: https://, or http:// on this machine',
    read: readWebhook,
  },
  'webhook-secret': {
    value: 'SECRET',
    fallback: '',
    help: 'signs what --webhook is sent; prefer the environment variable',
    read: readWebhookSecret,
  },
  'keep-revisions': {
    value: 'N',
    fallback: '200',
    help: 'number of table revisions kept; 0: in memory only, and without --state nothing else is stored either',
    read: readWhole,
  },
  state: {
    value: 'DIR',
    fallback: '',
    help: 'folder for revisions, drained and leased servers, and evidence (.banyan/ beside the table)',
    read: orNull,
  },
  'allow-last-good': {
    value: '',
    fallback: 'false',
    help: 'start with the latest valid revision if the table file is invalid',
    read: readYesNo,
  },
  cluster: {
    value: 'NAME',
    fallback: '',
    help: 'this instance is one of a cluster: table, revisions, servers, evidence and ramps are shared through Redis (docs/guides/instances.md)',
    read: readClusterName,
  },
  'cluster-redis': {
    value: 'URL',
    fallback: '',
    help: 'Redis of the cluster, which must not evict keys (that of --redis)',
    read: readRedis,
  },
  'cluster-secret': {
    value: 'SECRET',
    fallback: '',
    help: 'secret that seals what is stored there; further ones after a comma are accepted too',
    read: readCookieSecrets,
  },
  'cluster-replicas': {
    value: 'N',
    fallback: '0',
    help: 'replicas of that Redis that must have an edit before it is answered',
    read: readReplicas,
  },
  'access-log': {
    value: 'json|none|FILE',
    fallback: 'json',
    help: 'access log: one JSON line per request, to stdout or a file',
    read: readAccessLog,
  },
  'memory-cache': { value: 'SIZE', fallback: '64MiB', help: 'memory for cached responses', read: readSize },
  'max-header-size': {
    value: 'SIZE',
    fallback: '32KiB',
    help: 'maximum size of request line and headers',
    read: readSize,
  },
  'max-header-fields': { value: 'N', fallback: '256', help: 'maximum number of request headers', read: readCount },
  'max-target-length': {
    value: 'N',
    fallback: '16384',
    help: 'maximum length of a request target; longer ones get 414',
    read: readCount,
  },
  'header-timeout': {
    value: 'TIME',
    fallback: '30s',
    help: 'time for a client to send request line and headers',
    read: readDuration,
  },
  'keep-alive': {
    value: 'TIME',
    fallback: '75s',
    help: 'time before an idle client connection is closed',
    read: readDuration,
  },
  'send-timeout': {
    value: 'TIME',
    fallback: '60s',
    help: 'time without a byte accepted by a client before its connection is closed',
    read: readDuration,
  },
  'drain-delay': {
    value: 'TIME',
    fallback: '0ms',
    help: 'time between SIGTERM (readiness fails) and closing the listener',
    read: readDuration,
  },
  'drain-timeout': {
    value: 'TIME',
    fallback: '30s',
    help: 'time for requests in flight to finish after SIGTERM',
    read: readDuration,
  },
  middleware: {
    value: 'FILE',
    fallback: '',
    help: 'module that exports Koa middleware, run before the proxy (docs/guides/middleware.md)',
    read: orNull,
  },
  'log-level': { value: 'LEVEL', fallback: 'info', help: `log level: ${LOG_LEVELS.join(', ')}`, read: readLogLevel },
  redis: {
    value: 'URL',
    fallback: '',
    help: 'shared cache: redis://, rediss://, redis+sentinel://, redis+cluster:// (docs/guides/cache.md)',
    read: readRedis,
  },
  'redis-prefix': { value: 'TEXT', fallback: 'banyan:', help: 'prefix of all keys in Redis', read: notEmpty },
  'redis-deadline': {
    value: 'TIME',
    fallback: '20ms',
    help: 'timeout of Redis lookups; then the request continues without Redis',
    read: readDuration,
  },
  'dns-servers': {
    value: 'LIST',
    fallback: '',
    help: "name servers for upstream host names (10.0.0.2,10.0.0.3:5353) instead of the system's",
    read: readDnsServers,
  },
  'expose-cache-status': {
    value: '',
    fallback: 'false',
    help: 'add Cache-Status (RFC 9211) to responses',
    read: readYesNo,
  },
  'expose-cache-key': {
    value: '',
    fallback: 'false',
    help: 'include the cache key in Cache-Status',
    read: readYesNo,
  },
} as const satisfies Record<string, Flag<unknown>>

type FlagName = keyof typeof FLAGS

/** What is empty here was meant to be a secret, which something has failed to fill in. */
const SECRETS: ReadonlySet<FlagName> = new Set([
  ...(['admin-token', 'admin-tokens', 'admin-token-file', 'force-secret', 'cookie-secret'] as const),
  ...(['cluster-secret', 'acme-eab-key', 'webhook-secret'] as const),
])
const EMPTY_SECRET = 'must not be empty; leave it out if there is none'

/**
 * Reads the settings; a flag wins over its environment variable (`--drain-delay`, `BANYAN_DRAIN_DELAY`).
 * @throws {SettingsError} on an unknown flag or an invalid value
 */
export function readSettings(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Settings {
  const given = readFlags(args)
  const value: Value = <N extends FlagName>(name: N): ReturnType<(typeof FLAGS)[N]['read']> => {
    const variable = variableOf(name)
    const said = given[name] ?? env[variable]
    // A secret that comes from a file, as those of Kubernetes do, may end with a line break.
    const text = SECRETS.has(name) ? said?.trim() : said
    const source = given[name] === undefined ? variable : `--${name}`
    if (text === '' && SECRETS.has(name)) throw new SettingsError(`${source}: ${EMPTY_SECRET}`)
    try {
      return FLAGS[name].read(text ?? FLAGS[name].fallback) as ReturnType<(typeof FLAGS)[N]['read']>
    } catch (error) {
      if (error instanceof SettingsError) throw new SettingsError(`${source}: ${error.message}`)
      throw error
    }
  }
  if (value('force-by-link') && value('force-secret') === null) {
    throw new SettingsError('--force-by-link: needs --force-secret')
  }
  if (value('middleware') !== null && value('proxy-protocol').length > 0) {
    throw new SettingsError('--proxy-protocol: not with --middleware, which needs the HTTP server of Node')
  }
  const clusterName = value('cluster')
  const clusterRedis = value('cluster-redis') ?? value('redis')
  if (clusterName !== null && clusterRedis === null)
    throw new SettingsError('--cluster: needs --cluster-redis or --redis')
  if (value('h2c')) {
    if (value('middleware') !== null)
      throw new SettingsError('--h2c: not with --middleware, which sees requests of node:http only')
    const flaw = flawOfHttp2()
    if (flaw !== null) throw new SettingsError(`--h2c: ${flaw}`)
  }
  return Object.freeze({
    table: value('table'),
    ...handedOver(value('listen'), value('tls'), env),
    ...tlsSettings(value),
    listenMode: value('listen-mode'),
    admin: value('admin'),
    redis: value('redis'),
    redisPrefix: value('redis-prefix'),
    redisDeadlineMs: value('redis-deadline'),
    dnsServers: value('dns-servers'),
    exposeCacheStatus: value('expose-cache-status'),
    exposeCacheKey: value('expose-cache-key'),
    workers: value('workers'),
    h2c: value('h2c'),
    trustedProxies: value('trusted-proxies'),
    proxyProtocol: value('proxy-protocol'),
    clientScheme: value('client-scheme'),
    requestIds: value('request-ids'),
    otlp: otlpSettings(value('otlp'), value('otlp-sample'), env),
    adminToken: value('admin-token'),
    adminTokens: value('admin-tokens'),
    adminTokenFile: value('admin-token-file'),
    requireIfMatch: value('require-if-match'),
    forceSecret: value('force-secret'),
    forceByLink: value('force-by-link'),
    cookieSecrets: value('cookie-secret'),
    webhook: webhookOf(value('webhook'), value('webhook-secret')),
    keepRevisions: value('keep-revisions'),
    state: value('state'),
    allowLastGood: value('allow-last-good'),
    cluster:
      clusterName === null || clusterRedis === null
        ? null
        : {
            ...{ name: clusterName, redis: clusterRedis },
            ...{ secrets: value('cluster-secret'), replicas: value('cluster-replicas') },
          },
    accessLog: value('access-log'),
    memoryCacheBytes: value('memory-cache'),
    maxHeaderBytes: value('max-header-size'),
    maxHeaderFields: value('max-header-fields'),
    maxTargetLength: value('max-target-length'),
    headersTimeoutMs: value('header-timeout'),
    keepAliveMs: value('keep-alive'),
    sendTimeoutMs: value('send-timeout'),
    drainDelayMs: value('drain-delay'),
    drainTimeoutMs: value('drain-timeout'),
    middleware: value('middleware'),
    logLevel: value('log-level'),
  })
}

/** @throws {SettingsError} for a value that can't be used */
function told<Value>(read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    throw error instanceof OtlpError ? new SettingsError(error.message) : error
  }
}

/** @throws {SettingsError} for a variable of OpenTelemetry that can't be used */
function otlpSettings(
  url: string | null,
  share: number,
  env: Parameters<typeof fromEnvironment>[0],
): OtlpSettings | null {
  if (url === null) return null
  return told(() => ({ url, share, ...fromEnvironment(env) }))
}

type Value = <N extends FlagName>(name: N) => ReturnType<(typeof FLAGS)[N]['read']>

/** The settings of TLS, which need each other. */
function tlsSettings(
  value: Value,
): Pick<
  Settings,
  | 'tlsCert'
  | 'tlsKey'
  | 'tlsClientCa'
  | 'tlsClientVerify'
  | 'tlsClientField'
  | 'tlsMinVersion'
  | 'tlsCiphers'
  | 'tlsHandshakeTimeoutMs'
  | 'acme'
  | 'acmeDirectory'
  | 'acmeEmail'
  | 'acmeEab'
  | 'acmeChallenges'
  | 'acmeState'
  | 'redirectPort'
> {
  const settings = {
    tlsCert: value('tls-cert'),
    tlsKey: value('tls-key'),
    tlsClientCa: value('tls-client-ca'),
    tlsClientVerify: value('tls-client-verify'),
    tlsClientField: value('tls-client-field'),
    tlsMinVersion: value('tls-min-version'),
    tlsCiphers: value('tls-ciphers'),
    tlsHandshakeTimeoutMs: value('tls-handshake-timeout'),
    acme: value('acme'),
    acmeDirectory: value('acme-directory'),
    acmeEmail: value('acme-email'),
    acmeEab: eabOf(value('acme-eab-kid'), value('acme-eab-key')),
    acmeChallenges: value('acme-challenge'),
    acmeState: value('acme-state'),
    // One that is not known, behind a Unix socket, is the one of https.
    redirectPort: value('redirect-https') ? value('tls')?.port || 443 : null,
  }
  const needs = (flag: string, other: string): never => {
    throw new SettingsError(`${flag}: needs ${other}`)
  }
  if (value('tls') === null) {
    if (settings.tlsCert.length > 0) needs('--tls-cert', '--tls')
    if (settings.tlsClientCa !== null) needs('--tls-client-ca', '--tls')
    if (value('redirect-https')) needs('--redirect-https', '--tls')
    if (settings.acme.length > 0) needs('--acme', '--tls')
  } else if (settings.tlsCert.length === 0 && settings.acme.length === 0) needs('--tls', '--tls-cert or --acme')
  if (settings.tlsKey.length > settings.tlsCert.length) {
    throw new SettingsError(`--tls-key: ${settings.tlsKey.length} keys for ${settings.tlsCert.length} of --tls-cert`)
  }
  if (settings.tlsClientField !== null && settings.tlsClientCa === null) needs('--tls-client-field', '--tls-client-ca')
  return settings
}

/** Where clients are accepted. */
export function placesOf({ listen, tls, listenMode }: Settings): readonly ListenPlace[] {
  const plain = { ...listen, mode: listenMode, tls: false }
  return tls === null ? [plain] : [plain, { ...tls, mode: listenMode, tls: true }]
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

/** The flags with their values and help, for shell completion. */
export function settingsFlags(): Record<
  string,
  { readonly value: string; readonly fallback: string; readonly help: string }
> {
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
    const problem = flagProblem((error as Error).message, Object.keys(FLAGS))
    throw new SettingsError(`${problem} (see banyan serve --help)`)
  }
}

function variableOf(name: string): string {
  return `BANYAN_${name.toUpperCase().replaceAll('-', '_')}`
}

function notEmpty(text: string): string {
  if (text === '') throw new SettingsError('must not be empty')
  return text
}

function orNull(text: string): string | null {
  return text === '' ? null : text
}

function readAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]*)):([0-9]{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65535) {
    const meant = /^[0-9]{1,5}$/.test(text) ? `127.0.0.1:${text}, 0.0.0.0:${text}` : '127.0.0.1:8080, [::1]:8080'
    throw new SettingsError(
      `invalid address '${text}': expected HOST:PORT (such as ${meant}; port 0 for any free port)`,
    )
  }
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port }
}

/** The first file descriptor passed by systemd (sd_listen_fds(3)). */
const FIRST_HANDED_FD = 3

function readListen(text: string): Settings['listen'] {
  if (text === 'systemd') return { host: text, port: 0, fd: FIRST_HANDED_FD }
  if (text.startsWith('unix:')) return { host: text, port: 0, path: readSocketPath(text.slice('unix:'.length)) }
  const { host, port } = readAddress(text)
  return { host, port }
}

function readSocketPath(path: string): string {
  const flaw = flawOfSocketPath(path)
  if (flaw !== null) throw new SettingsError(`${flaw.message}${flaw.hint === undefined ? '' : ` (${flaw.hint})`}`)
  return path
}

function readMode(text: string): number {
  if (!/^0?[0-7]{3}$/.test(text)) throw new SettingsError(`invalid mode '${text}': must be octal, such as 0660`)
  return Number.parseInt(text, 8)
}

function readPeers(text: string): readonly string[] {
  const peers = readList(text)
  const wrong = peers.find((peer) => peer !== UNIX_PEER && readNetwork(peer) === null)
  if (wrong !== undefined) {
    throw new SettingsError(`invalid address or network '${wrong}' (such as 10.0.0.0/8, ::1, unix)`)
  }
  return peers
}

/**
 * Takes the sockets that systemd has passed: the first one is that of --listen, where it takes one.
 * @throws {SettingsError} if there are not as many as are expected
 */
function handedOver(
  listen: Settings['listen'],
  tls: Settings['tls'],
  env: Readonly<Record<string, string | undefined>>,
): Pick<Settings, 'listen' | 'tls'> {
  const takers = [listen, tls].filter((place) => place?.fd !== undefined)
  if (takers.length === 0) return { listen, tls }
  if (env.LISTEN_FDS !== String(takers.length)) {
    const what = env.LISTEN_FDS === undefined ? 'none' : env.LISTEN_FDS
    const expected = takers.length === 1 ? 'one socket' : 'two sockets'
    const flag = listen.fd === undefined ? '--tls' : '--listen'
    throw new SettingsError(`${flag} systemd: expected ${expected}, received ${what}; start it by its .socket unit`)
  }
  return { listen, tls: tls?.fd === undefined ? tls : { ...tls, fd: FIRST_HANDED_FD + takers.length - 1 } }
}

/** All certificates are sent to each worker with each challenge: more would hold up requests there. */
const MAX_ACME_NAMES = 100

function readAcmeNames(text: string): readonly string[] {
  const names = readList(text).map((name) => domainToASCII(name.replace(/\.$/, '')) || name)
  for (const name of names) {
    const flaw = flawOfAcmeName(name)
    if (flaw !== null) throw new SettingsError(flaw)
  }
  if (names.length > MAX_ACME_NAMES)
    throw new SettingsError(`${names.length} names: at most ${MAX_ACME_NAMES} are possible`)
  return [...new Set(names)]
}

function readEmail(text: string): string | null {
  // It becomes a mailto: URL.
  if (text !== '' && !/^[^\s@?,:<>"]+@[^\s@?,:<>"]+$/.test(text))
    throw new SettingsError(`invalid address '${text}' (such as ops@example.com)`)
  return orNull(text)
}

function readDirectory(text: string): string {
  const url = URL.parse(text)
  const isLocal =
    url !== null && url.protocol === 'http:' && /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
  if (url?.protocol !== 'https:' && !isLocal) {
    throw new SettingsError(
      `invalid URL '${text}': must be https (such as https://acme-staging-v02.api.letsencrypt.org/directory)`,
    )
  }
  return text
}

function readChallenges(text: string): readonly ChallengeKind[] {
  const kinds = readList(text)
  const known: readonly string[] = ['http-01', 'tls-alpn-01']
  if (kinds.length === 0 || !kinds.every((kind) => known.includes(kind))) {
    throw new SettingsError(`invalid list '${text}': must be tls-alpn-01, http-01 or both`)
  }
  return [...new Set(kinds)] as ChallengeKind[]
}

/** @throws {SettingsError} for one without the other */
function eabOf(kid: string | null, key: string | null): Settings['acmeEab'] {
  if (kid === null && key === null) return null
  if (kid === null) throw new SettingsError('--acme-eab-key: needs --acme-eab-kid')
  if (key === null) throw new SettingsError('--acme-eab-kid: needs --acme-eab-key')
  // The message omits the text, which is secret.
  if (!/^[A-Za-z0-9_+/-]{16,}={0,2}$/.test(key)) throw new SettingsError('--acme-eab-key: must be Base64url')
  return { kid, key }
}

function readVerify(text: string): 'required' | 'optional' {
  if (text === 'required' || text === 'optional') return text
  throw new SettingsError(`invalid value '${text}': must be required or optional`)
}

function readTlsVersion(text: string): 'TLSv1.2' | 'TLSv1.3' {
  if (text === '1.2' || text === '1.3') return `TLSv${text}`
  throw new SettingsError(`invalid version '${text}': must be 1.2 or 1.3`)
}

/** What clients say there is theirs to say. */
const NEVER_CLIENT: ReadonlySet<string> = new Set(['authorization', 'cookie', 'user-agent', 'accept', 'content-type'])

function readFieldName(text: string): string | null {
  if (text === '') return null
  if (!TOKEN.test(text)) throw new SettingsError(`invalid header name '${text}' (such as X-Client-Subject)`)
  const isOwn =
    kindOf(text) !== 'end-to-end' ||
    flawOfEdited(text, 'request', true) !== null ||
    NEVER_CLIENT.has(text.toLowerCase())
  if (isOwn)
    throw new SettingsError(`'${text}' has another meaning: choose a header of your own (such as X-Client-Subject)`)
  return text
}

/** Mozilla's intermediate configuration (version 5.7): forward secrecy and authenticated encryption, for all clients since 2015. */
const CIPHERS = [
  ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'],
  ...['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'],
  ...['ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
].join(':')

function readCiphers(text: string): string {
  if (text === '') return CIPHERS
  try {
    createSecureContext({ ciphers: text, ca: [] })
    return text
  } catch {
    throw new SettingsError(`invalid ciphers '${text}' (such as ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256)`)
  }
}

function readWebhook(text: string): string | null {
  const flaw = text === '' ? null : flawOfWebhook(text)
  if (flaw !== null) throw new SettingsError(flaw)
  return orNull(text)
}

/** Shortest secret that signs webhooks. */
const MIN_WEBHOOK_SECRET = 16

function readWebhookSecret(text: string): string | null {
  if (text !== '' && text.length < MIN_WEBHOOK_SECRET)
    throw new SettingsError(`too short: expected ${MIN_WEBHOOK_SECRET} characters or more`)
  return orNull(text)
}

/** @throws {SettingsError} if one of the two is missing */
function webhookOf(url: string | null, secret: string | null): WebhookTarget | null {
  if (url !== null && secret === null)
    throw new SettingsError('--webhook: needs --webhook-secret, which signs what is sent')
  if (url === null && secret !== null) throw new SettingsError('--webhook-secret: needs --webhook')
  return url === null || secret === null ? null : { url, secret }
}

function readList(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

function readScheme(text: string): 'http' | 'https' | null {
  if (text === '' || text === 'http' || text === 'https') return text === '' ? null : text
  throw new SettingsError(`invalid value '${text}': must be http or https`)
}

function readDnsServers(text: string): readonly string[] {
  const servers = readList(text)
  try {
    if (servers.length > 0) new Resolver().setServers(servers)
  } catch {
    throw new SettingsError(`invalid address list '${text}' (such as 10.0.0.2,10.0.0.3:5353,[::1]:53)`)
  }
  return servers
}

function readSize(text: string): number {
  const bytes = parseSizeBytes(text)
  if (bytes === null || bytes <= 0)
    throw new SettingsError(`invalid size '${text}' (${flawOfSize(text)?.hint ?? 'such as 512KiB, 64MiB'})`)
  return bytes
}

function readDuration(text: string): number {
  const ms = parseDurationMs(text)
  if (ms === null)
    throw new SettingsError(`invalid duration '${text}' (${flawOfDuration(text)?.hint ?? 'such as 250ms, 30s'})`)
  return ms
}

function readCount(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new SettingsError(`invalid number '${text}': must be an integer above 0`)
  return Number(text)
}

function readWhole(text: string): number {
  if (!/^(?:0|[1-9][0-9]{0,5})$/.test(text)) throw new SettingsError(`invalid number '${text}': must be an integer`)
  return Number(text)
}

function readYesNo(text: string): boolean {
  if (/^(?:true|1|yes)$/i.test(text)) return true
  if (/^(?:false|0|no|)$/i.test(text)) return false
  throw new SettingsError(`invalid value '${text}': must be true or false`)
}

/** Turns a list into lines. Errors omit the text, which is secret. */
function readTokenLines(text: string): string {
  return text.replaceAll(',', '\n')
}

function readSecret(text: string): string | null {
  const flaw = text === '' ? null : flawOfForceSecret(text)
  if (flaw !== null) throw new SettingsError(flaw)
  return orNull(text)
}

function readCookieSecrets(text: string): readonly string[] {
  const secrets = readList(text)
  for (const secret of secrets) {
    const flaw = flawOfCookieSecret(secret)
    if (flaw !== null) throw new SettingsError(secrets.length === 1 ? flaw : `each secret ${flaw}`)
  }
  return secrets
}

function readWorkers(text: string): number {
  // The available cores: respects CPU affinity and the limit of the control group.
  if (text === 'auto') return availableParallelism()
  if (!/^[0-9]{1,3}$/.test(text))
    throw new SettingsError(`invalid value '${text}': must be a number of workers or auto`)
  return Number(text)
}

function readRedis(text: string): RedisAddress | null {
  if (text === '') return null
  const address = parseRedisUrl(text)
  // The text may contain a password, so the message omits it.
  if (address === null) throw new SettingsError(`invalid Redis URL: expected ${REDIS_URL_FORMS}`)
  return address
}

function readClusterName(text: string): string | null {
  if (text === '' || /^[A-Za-z0-9][\w.-]{0,63}$/.test(text)) return orNull(text)
  throw new SettingsError(`invalid name '${text}': letters, digits, '.', '_' and '-', at most 64`)
}

function readReplicas(text: string): number {
  if (/^[0-9]$/.test(text)) return Number(text)
  throw new SettingsError(`invalid number '${text}': must be 0 to 9`)
}

function readAccessLog(text: string): Settings['accessLog'] {
  if (text === 'json' || text === 'none') return text
  return { file: notEmpty(text) }
}

function readLogLevel(text: string): string {
  if (!LOG_LEVELS.includes(text))
    throw new SettingsError(`invalid level '${text}': must be one of ${LOG_LEVELS.join(', ')}`)
  return text
}
