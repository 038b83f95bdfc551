/**
 * The connections to one server, as the settings of its upstream want them.
 */
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { Server, TlsSettings, Upstream } from '../../rules/table/table.ts'
import { type Dial, ServerPool } from '../../wire/client.ts'
import { DEFAULT_LIMITS } from '../../wire/http1.ts'

/**
 * An idle connection is given up after this long: Node's servers, the most common peers, close theirs after 5 s.
 * A longer hint of the server's own does not raise it, a shorter one lowers it.
 */
const KEEP_ALIVE_MS = 4000

/** What of an upstream's settings its connections are made of: where that stays the same, the pools stay. */
export function connectionText(upstream: Upstream): string {
  const { connectTimeoutMs, headersTimeoutMs, idleTimeoutMs, lenient, tls, maxIdleConnections } = upstream
  return JSON.stringify([connectTimeoutMs, headersTimeoutMs, idleTimeoutMs, lenient, tls, maxIdleConnections])
}

/**
 * Makes a pool without a connection.
 * @throws {Error} a TLS file that can't be read, with its path
 */
export function poolFor(upstream: Upstream, server: Server): ServerPool {
  return new ServerPool({
    hostname: server.address ?? server.hostname,
    port: server.port,
    tls: server.tls ? tlsOptions(upstream.tls, server.hostname) : null,
    connectTimeoutMs: upstream.connectTimeoutMs,
    headersTimeoutMs: upstream.headersTimeoutMs,
    idleTimeoutMs: upstream.idleTimeoutMs,
    keepAliveMs: KEEP_ALIVE_MS,
    maxIdle: upstream.maxIdleConnections,
    limits: DEFAULT_LIMITS,
    lenient: upstream.lenient,
  })
}

export type { Dial }

/** An attempt at one address begins this long after the one before (RFC 8305 section 8). */
const NEXT_ADDRESS_MS = 250

/** How a server is reached that has addresses of both families: by whichever answers (RFC 8305); null where it has not. */
export function dialOf({ hostname, address, alternatives = [] }: Server): Dial | null {
  if (address === null || alternatives.length === 0) return null
  const all = [address, ...alternatives].map((one) => ({ address: one, family: one.includes(':') ? 6 : 4 }))
  return {
    host: hostname,
    lookup: (_hostname, _options, found) => found(null, all),
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
  }
}

/** RFC 6066 section 3: an IP address is no name for SNI. */
function sniName(hostname: string): string {
  return /^[0-9.]+$|:/.test(hostname) ? '' : hostname
}

/** What connections to a server are made with. @throws {Error} a file that can't be read, with its path */
export function tlsOptions(settings: TlsSettings, hostname: string): ConnectionOptions {
  const options: ConnectionOptions = {
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: settings.verify,
    servername: settings.serverName ?? sniName(hostname),
  }
  if (settings.ca !== null) options.ca = readFileSync(settings.ca)
  if (settings.cert !== null) options.cert = readFileSync(settings.cert)
  if (settings.key !== null) options.key = readFileSync(settings.key)
  return options
}
