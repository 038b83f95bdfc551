/**
 * The connections to one server, according to the settings of its upstream.
 */
import type { Server, Upstream } from '../../rules/table/table.ts'
import { type Dial, type PoolCounts, type PoolSettings, ServerPool } from '../../wire/client.ts'
import { DEFAULT_LIMITS } from '../../wire/http1.ts'
import { digestOf, type TlsMaterial } from '../tls/material.ts'
import { tlsOptions } from '../tls/options.ts'

/**
 * An idle connection is given up after this long: Node's servers, the most common peers, close theirs after 5 s.
 * A longer hint of the server's own does not raise it, a shorter one lowers it.
 */
const KEEP_ALIVE_MS = 4000

/** What of an upstream's settings its connections are made of: where that stays the same, the pools stay. */
export function connectionText(upstream: Upstream, material: TlsMaterial): string {
  const { connectTimeoutMs, headersTimeoutMs, idleTimeoutMs, lenient, tls, maxIdleConnections } = upstream
  const files = digestOf(tls, material)
  return JSON.stringify([connectTimeoutMs, headersTimeoutMs, idleTimeoutMs, lenient, tls, files, maxIdleConnections])
}

/**
 * Makes a pool without a connection.
 * @param counted where its connections are counted
 * @throws {Error} what node:tls can't make of the upstream's files
 */
export function poolFor(upstream: Upstream, server: Server, material: TlsMaterial, counted: PoolCounts): ServerPool {
  const settings: PoolSettings = {
    hostname: server.address ?? server.hostname,
    port: server.port,
    tls: server.tls ? tlsOptions(upstream.tls, server.hostname, material) : null,
    connectTimeoutMs: upstream.connectTimeoutMs,
    headersTimeoutMs: upstream.headersTimeoutMs,
    idleTimeoutMs: upstream.idleTimeoutMs,
    keepAliveMs: KEEP_ALIVE_MS,
    maxIdle: upstream.maxIdleConnections,
    limits: DEFAULT_LIMITS,
    lenient: upstream.lenient,
  }
  return new ServerPool(settings, counted)
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
