/**
 * The connections to one server, according to the settings of its upstream.
 */
import type { Server, Upstream } from '../../rules/table/table.ts'
import { type Dial, type PoolCounts, type PoolSettings, ServerPool } from '../../wire/client.ts'
import type { ConnectionPool } from '../../wire/connections.ts'
import { Http2Pool } from '../../wire/http2/pool.ts'
import { digestOf, type TlsMaterial } from '../tls/material.ts'
import { tlsOptions } from '../tls/options.ts'

/** The connection settings of an upstream as a string: pools are kept while it is the same. */
export function connectionText(upstream: Upstream, material: TlsMaterial): string {
  const { protocol, connectTimeoutMs, headersTimeoutMs, idleTimeoutMs, lenient, tls } = upstream
  const { maxIdleConnections, keepAliveMs, maxHeaderBytes, maxHeaderFields } = upstream
  const files = digestOf(tls, material)
  return JSON.stringify([
    protocol,
    connectTimeoutMs,
    headersTimeoutMs,
    idleTimeoutMs,
    lenient,
    tls,
    files,
    maxIdleConnections,
    keepAliveMs,
    maxHeaderBytes,
    maxHeaderFields,
  ])
}

/**
 * Creates an empty pool.
 * @param counted counters for its connections
 * @throws {Error} if the upstream's TLS files are invalid for node:tls
 */
export function poolFor(
  upstream: Upstream,
  server: Server,
  material: TlsMaterial,
  counted: PoolCounts,
): ConnectionPool {
  const settings: PoolSettings = {
    hostname: server.address ?? server.hostname,
    port: server.port,
    socketPath: server.socketPath,
    tls: server.tls ? tlsOptions(upstream.tls, server.hostname, material) : null,
    connectTimeoutMs: upstream.connectTimeoutMs,
    headersTimeoutMs: upstream.headersTimeoutMs,
    idleTimeoutMs: upstream.idleTimeoutMs,
    keepAliveMs: upstream.keepAliveMs,
    maxIdle: upstream.maxIdleConnections,
    limits: { maxHeadBytes: upstream.maxHeaderBytes, maxFields: upstream.maxHeaderFields },
    lenient: upstream.lenient,
  }
  return upstream.protocol === 'http1' ? new ServerPool(settings, counted) : new Http2Pool(settings, counted)
}

export type { Dial }

/** Delay between connection attempts to different addresses (RFC 8305 section 8). */
const NEXT_ADDRESS_MS = 250

/** Its host as the Host header has it, if the upstream is told its own: a server at a Unix socket is `localhost`. */
export function authorityOf({ url, hostname, socketPath }: Server): string {
  return socketPath === null ? new URL(url).host : hostname
}

/** How to connect to a server with addresses of both families: to the first that responds (RFC 8305). Null for other servers. */
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
