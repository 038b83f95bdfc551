/**
 * Upstreams while they run: servers and their connection pools, which survive every edit that does not concern them.
 */
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { OriginMap } from '../rules/headers.ts'
import type { Server, Table, TlsSettings, Upstream } from '../rules/table.ts'
import { ServerPool } from '../wire/client.ts'
import { DEFAULT_LIMITS } from '../wire/http1.ts'

/**
 * An idle connection is given up after this long: Node's servers, the most common peers, close theirs after 5 s.
 * A longer hint of the server's own does not raise it, a shorter one lowers it.
 */
const KEEP_ALIVE_MS = 4000

/** One server while it runs. */
export class ServerState {
  readonly server: Server
  readonly pool: ServerPool
  /** `host:port` for the Host field where the upstream wants its own name. */
  readonly authority: string

  constructor(server: Server, pool: ServerPool) {
    this.server = server
    this.pool = pool
    this.authority = new URL(server.url).host
  }
}

/** One upstream while it runs. Its servers are replaced when the table changes them; the object stays. */
export class UpstreamState {
  readonly name: string
  settings: Upstream
  servers: readonly ServerState[]
  /** Set where the upstream declares `publicOrigin`. */
  origins: OriginMap | null

  constructor(settings: Upstream, servers: readonly ServerState[]) {
    this.name = settings.name
    this.settings = settings
    this.servers = servers
    this.origins = originsOf(settings)
  }

  /**
   * The server for the next exchange: fewest exchanges under way for its weight; among equals the first behind the one
   * that `chance` points to, so that an idle upstream is used evenly.
   * @param chance in [0, 1)
   * @param except a server that has just failed this exchange, taken only where there is no other
   */
  pick(chance: number, except: ServerState | null): ServerState | null {
    const { servers } = this
    const count = servers.length
    if (count === 1) return servers[0] as ServerState
    const start = Math.floor(chance * count)
    let best: ServerState | null = null
    let bestLoad = Number.POSITIVE_INFINITY
    for (let n = 0; n < count; n++) {
      const candidate = servers[(start + n) % count] as ServerState
      if (candidate === except) continue
      const load = (candidate.pool.active + 1) / candidate.server.weight
      if (load < bestLoad) {
        best = candidate
        bestLoad = load
      }
    }
    return best ?? except
  }
}

/** All upstreams of the table in force. */
export class Upstreams {
  #states = new Map<string, UpstreamState>()

  get(name: string): UpstreamState | undefined {
    return this.#states.get(name)
  }

  all(): IterableIterator<UpstreamState> {
    return this.#states.values()
  }

  /**
   * Makes ready the servers of a table: a preparer for `LiveTable.onPrepare`.
   * @throws {Error} a TLS file that can't be read, with its path
   */
  prepare(table: Table): () => void {
    const next = new Map<string, UpstreamState>()
    const changes: (() => void)[] = []
    for (const upstream of table.upstreams.values()) {
      const before = this.#states.get(upstream.name)
      const servers = this.#servers(upstream, before)
      if (before === undefined) next.set(upstream.name, new UpstreamState(upstream, servers))
      else {
        next.set(upstream.name, before)
        changes.push(() => {
          before.settings = upstream
          before.servers = servers
          before.origins = originsOf(upstream)
        })
      }
    }
    return () => {
      const old = this.#pools()
      for (const change of changes) change()
      this.#states = next
      const kept = this.#pools()
      for (const pool of old) if (!kept.has(pool)) pool.close()
    }
  }

  /** Closes idle connections; running exchanges keep theirs to their end. */
  close(): void {
    for (const pool of this.#pools()) pool.close()
  }

  #pools(): Set<ServerPool> {
    const pools = new Set<ServerPool>()
    for (const state of this.#states.values()) for (const server of state.servers) pools.add(server.pool)
    return pools
  }

  #servers(upstream: Upstream, before: UpstreamState | undefined): ServerState[] {
    const unchanged = before !== undefined && connectionText(before.settings) === connectionText(upstream)
    return upstream.servers.map((server) => {
      const old = unchanged ? before.servers.find((s) => s.server.url === server.url) : undefined
      return new ServerState(server, old?.pool ?? poolFor(upstream, server))
    })
  }
}

/** What of an upstream's settings its connections are made of: where that stays the same, the pools stay. */
function connectionText(upstream: Upstream): string {
  const { connectTimeoutMs, headersTimeoutMs, idleTimeoutMs, lenient, tls, maxIdleConnections } = upstream
  return JSON.stringify([connectTimeoutMs, headersTimeoutMs, idleTimeoutMs, lenient, tls, maxIdleConnections])
}

function poolFor(upstream: Upstream, server: Server): ServerPool {
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

/** RFC 6066 section 3: an IP address is no name for SNI. */
function sniName(hostname: string): string {
  return /^[0-9.]+$|:/.test(hostname) ? '' : hostname
}

function tlsOptions(settings: TlsSettings, hostname: string): ConnectionOptions {
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

function originsOf(upstream: Upstream): OriginMap | null {
  if (upstream.publicOrigin === null) return null
  return { own: upstream.servers.map((server) => server.url.toLowerCase()), publicOrigin: upstream.publicOrigin }
}
