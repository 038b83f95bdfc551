/**
 * Settings for clients: addresses, trust, limits and timeouts.
 */
import { availableParallelism } from 'node:os'
import { UNIX_PEER } from '../rules/http/exchange.ts'
import { readAddress as canonicalAddress, readNetwork } from '../rules/patterns/address.ts'
import { flawOfSocketPath } from '../rules/patterns/origin.ts'
import {
  type Environment,
  type Flags,
  orNull,
  readCount,
  readDuration,
  readList,
  readSize,
  readYesNo,
  SettingsError,
  type ValuesOf,
} from './flag.ts'

/** A host and a port; port 0 is any free port. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** `fd` is the file descriptor of a socket passed by systemd, `path` that of a Unix socket. */
export type Place = Address & { readonly fd?: number; readonly path?: string }

export interface ClientSettings {
  readonly listen: Place
  /** Permission bits of the file of a Unix socket. */
  readonly listenMode: number
  /** Worker processes; 0 for a single process. */
  readonly workers: number
  /** The peers whose connections begin with a PROXY protocol header. */
  readonly proxyProtocol: readonly string[]
  /** Clients may speak HTTP/2 without TLS. */
  readonly h2c: boolean
  readonly trustedProxies: readonly string[]
  /** The scheme of client requests without X-Forwarded-Proto; null for that of the connection. */
  readonly clientScheme: 'http' | 'https' | null
  /** X-Request-Id is sent to upstreams and clients. */
  readonly requestIds: boolean
  readonly maxHeaderBytes: number
  readonly maxHeaderFields: number
  readonly maxTargetLength: number
  readonly headersTimeoutMs: number
  readonly keepAliveMs: number
  readonly sendTimeoutMs: number
  readonly drainDelayMs: number
  readonly drainTimeoutMs: number
  readonly middleware: string | null
}

export const CLIENT_FLAGS = {
  listen: {
    value: 'HOST:PORT|unix:PATH|systemd',
    fallback: '0.0.0.0:8080',
    help: 'address or Unix socket for clients; systemd: the socket passed by a .socket unit, which stays open across restarts',
    read: readListen,
  },
  'listen-mode': {
    value: 'MODE',
    fallback: '0660',
    help: 'file permissions of --listen unix:PATH; clients need write permission to connect',
    read: readMode,
  },
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
} as const satisfies Flags

/** @throws {SettingsError} for flags that do not go together */
export function clientSettings(values: ValuesOf<typeof CLIENT_FLAGS>): ClientSettings {
  if (values.middleware !== null && values['proxy-protocol'].length > 0) {
    throw new SettingsError('--proxy-protocol: not with --middleware, which needs the HTTP server of Node')
  }
  if (values.h2c && values.middleware !== null)
    throw new SettingsError('--h2c: not with --middleware, which sees requests of node:http only')
  return {
    listen: values.listen,
    listenMode: values['listen-mode'],
    workers: values.workers,
    proxyProtocol: values['proxy-protocol'],
    h2c: values.h2c,
    trustedProxies: values['trusted-proxies'],
    clientScheme: values['client-scheme'],
    requestIds: values['request-ids'],
    maxHeaderBytes: values['max-header-size'],
    maxHeaderFields: values['max-header-fields'],
    maxTargetLength: values['max-target-length'],
    headersTimeoutMs: values['header-timeout'],
    keepAliveMs: values['keep-alive'],
    sendTimeoutMs: values['send-timeout'],
    drainDelayMs: values['drain-delay'],
    drainTimeoutMs: values['drain-timeout'],
    middleware: values.middleware,
  }
}

/**
 * Assigns the sockets passed by systemd: the first one to --listen, if it takes one.
 * @throws {SettingsError} the number of sockets is not the expected one
 */
export function handedOver(
  listen: Place,
  tls: Place | null,
  env: Environment,
): { readonly listen: Place; readonly tls: Place | null } {
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

/** The first file descriptor passed by systemd (sd_listen_fds(3)). */
const FIRST_HANDED_FD = 3

export function readListen(text: string): Place {
  if (text === 'systemd') return { host: text, port: 0, fd: FIRST_HANDED_FD }
  if (text.startsWith('unix:')) return { host: text, port: 0, path: readSocketPath(text.slice('unix:'.length)) }
  const { host, port } = readAddress(text)
  return { host, port }
}

export function readAddress(text: string): Address {
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

/** A place as it was written. */
export function placeText({ host, port, fd, path }: Place): string {
  if (fd !== undefined || path !== undefined) return host
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Whether two places are one, as far as their texts tell: no name is resolved. */
export function isShared(one: Place, other: Place): boolean {
  if (one.path !== undefined || other.path !== undefined) return one.path === other.path
  if (one.fd !== undefined || other.fd !== undefined || one.port === 0 || one.port !== other.port) return false
  return sameHost(one.host, other.host) || coversHost(one.host, other.host) || coversHost(other.host, one.host)
}

function sameHost(one: string, other: string): boolean {
  return (canonicalAddress(one) ?? one.toLowerCase()) === (canonicalAddress(other) ?? other.toLowerCase())
}

/** Whether a host is all addresses, with the other one among them. That of IPv6 has those of IPv4. */
function coversHost(all: string, host: string): boolean {
  return canonicalAddress(all) === '::' || (all === '0.0.0.0' && !host.includes(':'))
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

function readScheme(text: string): 'http' | 'https' | null {
  if (text === '' || text === 'http' || text === 'https') return text === '' ? null : text
  throw new SettingsError(`invalid value '${text}': must be http or https`)
}

function readWorkers(text: string): number {
  // The available cores: respects CPU affinity and the limit of the control group.
  if (text === 'auto') return availableParallelism()
  if (!/^[0-9]{1,3}$/.test(text))
    throw new SettingsError(`invalid value '${text}': must be a number of workers or auto`)
  return Number(text)
}
