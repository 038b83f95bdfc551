/**
 * The runtime state of all upstreams: servers and connection pools, which survive unrelated edits.
 */
import { isIdempotent } from '../../rules/failures/resilience.ts'
import type { Route, Server, Table, Upstream } from '../../rules/table/table.ts'
import type { ConnectionPool } from '../../wire/connections.ts'
import { Measurements } from '../figures/measurements.ts'
import type { UpstreamCounts } from '../figures/upstream-counts.ts'
import { NO_MATERIAL, type TlsMaterial } from '../tls/material.ts'
import type { KeysSource } from './affinity.ts'
import { Breakers } from './breakers.ts'
import type { AffineClient, UpstreamStanding, UpstreamsView } from './figures.ts'
import { EMPTY_FLEET, type Fleet, isUnhealthy, membersOf } from './fleet.ts'
import { connectionText, dialOf, poolFor } from './pool.ts'
import { ServerState } from './server-state.ts'
import { UpstreamState } from './upstream.ts'

/** Options besides the table. */
export interface UpstreamsOptions {
  /** Initial server state. Default: empty. */
  readonly fleet?: Fleet
  /** Number of processes that share the upstreams: each gets its part of `maxConcurrent`. Default 1. */
  readonly processes?: number
  /** Id of this instance, sent to servers. Default `banyan`. */
  readonly instance?: string
  /** A monotonic clock, milliseconds. Default: performance.now. */
  now?(): number
  /** Keys of the cookies that name servers. Default: none, so no table may need any. */
  readonly cookieKeys?: KeysSource | undefined
  /** Where events at the upstreams are counted. Default: its own. */
  readonly measurements?: Measurements
}

/** All upstreams of the current table. */
export class Upstreams implements UpstreamsView {
  #states = new Map<string, UpstreamState>()
  #fleet: Fleet
  #material = NO_MATERIAL
  #version = 0
  /** Told of the host name of a server that can't be reached or is ejected. */
  onSuspect: ((hostname: string) => void) | null = null
  readonly #now: () => number
  readonly #processes: number
  readonly #instance: string
  readonly #cookieKeys: KeysSource
  readonly measurements: Measurements
  readonly breakers: Breakers

  constructor({ fleet, processes, instance, now, measurements, cookieKeys }: UpstreamsOptions = {}) {
    this.#cookieKeys = cookieKeys ?? { keys: null }
    this.measurements = measurements ?? new Measurements()
    this.breakers = new Breakers(this.measurements)
    this.#fleet = fleet ?? EMPTY_FLEET
    this.#processes = processes ?? 1
    this.#instance = instance ?? 'banyan'
    this.#now = now ?? (() => performance.now())
  }

  get(name: string): UpstreamState | undefined {
    return this.#states.get(name)
  }

  /** A server can't be reached, or is ejected: its name may stand for another address by now. */
  suspect(state: ServerState): void {
    if (state.suspect(this.#now())) this.onSuspect?.(state.server.hostname)
  }

  all(): IterableIterator<UpstreamState> {
    return this.#states.values()
  }

  /** Whether the breaker of a route allows a request to a target now. */
  readonly isAvailable = (route: Route, method: string, target: string): boolean => {
    const breaker = this.breakers.of(route, target)
    return breaker === null || breaker.isClosed || breaker.admits(isIdempotent(method), this.#now())
  }

  standing(): readonly UpstreamStanding[] {
    const breakers = this.breakers.standing(this.#now())
    return [...this.#states.values()].map((state) => state.tell(breakers.get(state.name) ?? []))
  }

  serverFor(upstream: string, client: AffineClient): string | null {
    return this.#states.get(upstream)?.next(client)?.server.id ?? null
  }

  /**
   * Prepares the servers of a table: a preparer for `LiveTable.onPrepare`.
   * @param material content of the table's TLS files
   * @throws {Error} if it is invalid for node:tls
   */
  prepare(table: Table, material: TlsMaterial = NO_MATERIAL): () => void {
    const version = this.#version
    // Most edits move a percent.
    const changes = this.#isInForce(table, material) ? null : this.#changes(table, material)
    // The fleet may have changed between the two phases of an edit.
    return () => {
      if (version !== this.#version) this.#commit(this.#changes(table, material))
      else if (changes !== null) this.#commit(changes)
      else this.#touch()
      this.#material = material
      this.breakers.keepOnly(table)
    }
  }

  /** Applies a new server state. Removed and drained servers finish their requests in flight. */
  setFleet(fleet: Fleet): void {
    const material = this.#material
    const changes = [...this.#states.values()].map((state) => this.#change(state, state.settings, { fleet, material }))
    this.#fleet = fleet
    this.#commit(changes)
  }

  /** Closes idle connections; requests in flight keep theirs. */
  close(): void {
    for (const pool of this.#pools()) pool.close()
  }

  /** Whether the upstreams are as a table has them. */
  #isInForce({ upstreams }: Table, material: TlsMaterial): boolean {
    if (material !== this.#material || upstreams.size !== this.#states.size) return false
    for (const [name, upstream] of upstreams) if (this.#states.get(name)?.settings !== upstream) return false
    return true
  }

  #changes(table: Table, material: TlsMaterial): Change[] {
    return [...table.upstreams.values()].map((upstream) => {
      const state = this.#states.get(upstream.name) ?? this.#newState(upstream)
      return this.#change(state, upstream, { fleet: this.#fleet, material })
    })
  }

  #newState(upstream: Upstream): UpstreamState {
    return new UpstreamState(
      upstream,
      this.#now,
      this.#processes,
      this.#instance,
      this.measurements.upstream(upstream.name),
      this.#cookieKeys,
    )
  }

  #change(state: UpstreamState, settings: Upstream, known: Known): Change {
    return change(state, settings, known, this.measurements.upstream(settings.name))
  }

  #commit(changes: readonly Change[]): void {
    const old = this.#pools()
    this.#touch()
    for (const { apply } of changes) apply()
    this.#states = new Map(changes.map(({ state }) => [state.name, state]))
    this.#version++
    this.#touch()
    this.measurements.forget(Date.now())
    const kept = this.#pools()
    for (const pool of old) if (!kept.has(pool)) pool.close()
  }

  /** Marks the counters of the servers as used, so that they are kept. */
  #touch(): void {
    const nowMs = Date.now()
    for (const { name, servers } of this.#states.values()) {
      const counts = this.measurements.upstream(name)
      for (const { server } of servers) {
        counts.servers.of(server.id, nowMs)
        counts.latencies.of(server.id, nowMs)
      }
    }
    this.breakers.touch(nowMs)
  }

  #pools(): Set<ConnectionPool> {
    const pools = new Set<ConnectionPool>()
    for (const state of this.#states.values()) for (const server of state.servers) pools.add(server.pool)
    return pools
  }
}

/** A prepared change of an upstream. */
interface Change {
  readonly state: UpstreamState
  apply(): void
}

/** State besides the settings of an upstream. */
interface Known {
  readonly fleet: Fleet
  readonly material: TlsMaterial
}

function change(state: UpstreamState, settings: Upstream, { fleet, material }: Known, counts: UpstreamCounts): Change {
  const connection = connectionText(settings, material)
  const members = membersOf(settings, fleet)
  const planned = plan(state, settings, members, { connection, material, counts })
  const known = Object.hasOwn(fleet, settings.name) ? fleet[settings.name] : undefined
  const drained = new Set(known?.drained)
  const inTable = new Set(settings.servers.map(({ id }) => id))
  const apply = (): void => {
    const nowMs = state.now()
    const before = state.servers
    for (const [one, server] of planned) {
      one.server = server
      one.pool.dial = dialOf(server)
      one.leased = !inTable.has(nameOf(server))
      const isNew = !before.includes(one)
      // A server with the name of an earlier one is the same with new settings: it needs no slow start.
      if (isNew && before.length > 0 && !before.some((old) => isSame(old.server, server))) one.came(nowMs)
      one.told(has(drained, server), isUnhealthy(settings, server, known), nowMs)
    }
    state.connection = connection
    state.change(
      settings,
      planned.map(([one]) => one),
    )
  }
  return { state, apply }
}

/** Material for connections, and their counters. */
interface Connecting {
  readonly connection: string
  readonly material: TlsMaterial
  readonly counts: UpstreamCounts
}

/** The future servers of an upstream with their states. Servers that it has already keep their objects. */
function plan(
  state: UpstreamState,
  settings: Upstream,
  members: readonly Server[],
  { connection, material, counts: { servers, latencies } }: Connecting,
): [ServerState, Server][] {
  const same = state.connection === connection
  return members.map((server) => {
    const kept = same ? state.servers.find((one) => isSame(one.server, server)) : undefined
    if (kept !== undefined) return [kept, server]
    const counts = servers.of(server.id)
    const pool = poolFor(settings, server, material, counts)
    return [new ServerState(server, pool, counts, latencies.of(server.id)), server]
  })
}

function isSame(a: Server, b: Server): boolean {
  return a.id === b.id && a.url === b.url && a.address === b.address
}

/** The state of a name applies to all its addresses (`ID@ADDRESS`). */
function has(ids: ReadonlySet<string>, server: Server): boolean {
  return ids.size > 0 && (ids.has(server.id) || ids.has(nameOf(server)))
}

function nameOf({ id }: Server): string {
  const at = id.indexOf('@')
  return at === -1 ? id : id.slice(0, at)
}
