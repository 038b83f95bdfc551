/**
 * Upstreams while they run: servers and their connection pools, which survive every edit that does not concern them.
 */
import type { OriginMap } from '../rules/headers.ts'
import { type FailedBefore, pickServer } from '../rules/pick.ts'
import type { Server, Table, Upstream } from '../rules/table.ts'
import type { ServerPool } from '../wire/client.ts'
import { EMPTY_FLEET, type Fleet, membersOf } from './fleet.ts'
import { connectionText, poolFor } from './server-pool.ts'
import { ServerState } from './server-state.ts'
import type { UpstreamFigures, UpstreamsView } from './upstream-figures.ts'

/** One upstream while it runs. Its servers are replaced when table or fleet change them; the object stays. */
export class UpstreamState {
  readonly name: string
  settings: Upstream
  /** Those of the table, then those with a lease. */
  servers: readonly ServerState[] = []
  /** Set where the upstream declares `publicOrigin`. */
  origins: OriginMap | null = null

  constructor(settings: Upstream) {
    this.name = settings.name
    this.settings = settings
  }

  /**
   * The server for the next exchange, by rules/pick.
   * @param chance in [0, 1)
   * @param failed a server that has just failed this exchange
   * @returns null where none takes new exchanges
   */
  pick(chance: number, failed: FailedBefore<ServerState> | null): ServerState | null {
    const { servers } = this
    if (servers.length !== 1) return pickServer(servers, chance, failed)
    const only = servers[0] as ServerState
    return only.standing === 'drained' ? null : only
  }

  figures(): UpstreamFigures {
    return { name: this.name, servers: this.servers.map((server) => server.figures()) }
  }
}

/** All upstreams of the table in force. */
export class Upstreams implements UpstreamsView {
  #states = new Map<string, UpstreamState>()
  #fleet: Fleet
  #version = 0

  /** @param fleet what is known of servers at the start */
  constructor(fleet: Fleet = EMPTY_FLEET) {
    this.#fleet = fleet
  }

  get(name: string): UpstreamState | undefined {
    return this.#states.get(name)
  }

  all(): IterableIterator<UpstreamState> {
    return this.#states.values()
  }

  figures(): readonly UpstreamFigures[] {
    return [...this.#states.values()].map((state) => state.figures())
  }

  serverFor(upstream: string, chance: number): string | null {
    return this.#states.get(upstream)?.pick(chance, null)?.server.id ?? null
  }

  /**
   * Makes ready the servers of a table: a preparer for `LiveTable.onPrepare`.
   * @throws {Error} a TLS file that can't be read, with its path
   */
  prepare(table: Table): () => void {
    const version = this.#version
    const changes = this.#changes(table)
    // Between the two phases of an edit the fleet may have changed.
    return () => this.#commit(version === this.#version ? changes : this.#changes(table))
  }

  /**
   * Takes over what is known of servers now. Servers that are in it no longer, or drained, finish what they have.
   * @throws {Error} a TLS file that a leased server needs and that can't be read; then nothing changes
   */
  setFleet(fleet: Fleet): void {
    const changes = [...this.#states.values()].map((state) => change(state, state.settings, fleet))
    this.#fleet = fleet
    this.#commit(changes)
  }

  /** Closes idle connections; running exchanges keep theirs to their end. */
  close(): void {
    for (const pool of this.#pools()) pool.close()
  }

  #changes(table: Table): Change[] {
    return [...table.upstreams.values()].map((upstream) => {
      const state = this.#states.get(upstream.name) ?? new UpstreamState(upstream)
      return change(state, upstream, this.#fleet)
    })
  }

  #commit(changes: readonly Change[]): void {
    const old = this.#pools()
    for (const { apply } of changes) apply()
    this.#states = new Map(changes.map(({ state }) => [state.name, state]))
    this.#version++
    const kept = this.#pools()
    for (const pool of old) if (!kept.has(pool)) pool.close()
  }

  #pools(): Set<ServerPool> {
    const pools = new Set<ServerPool>()
    for (const state of this.#states.values()) for (const server of state.servers) pools.add(server.pool)
    return pools
  }
}

/** A change of an upstream, made ready. */
interface Change {
  readonly state: UpstreamState
  apply(): void
}

function change(state: UpstreamState, settings: Upstream, fleet: Fleet): Change {
  const planned = plan(state, settings, membersOf(settings, fleet))
  const known = Object.hasOwn(fleet, settings.name) ? fleet[settings.name] : undefined
  const drained = new Set(known?.drained)
  const unhealthy = new Set(known?.unhealthy)
  const inTable = new Set(settings.servers.map(({ id }) => id))
  const apply = (): void => {
    for (const [one, server] of planned) {
      one.server = server
      one.leased = !inTable.has(nameOf(server))
      one.drained = has(drained, server)
      one.unhealthy = has(unhealthy, server)
      one.refresh()
    }
    state.settings = settings
    state.servers = planned.map(([one]) => one)
    state.origins = originsOf(settings, state.servers)
  }
  return { state, apply }
}

/** The servers that an upstream is to have, each with how it is to be: those that it has already stay the same objects. */
function plan(state: UpstreamState, settings: Upstream, members: readonly Server[]): [ServerState, Server][] {
  const same = connectionText(state.settings) === connectionText(settings)
  return members.map((server) => {
    const kept = same ? state.servers.find((one) => isSame(one.server, server)) : undefined
    return [kept ?? new ServerState(server, poolFor(settings, server)), server]
  })
}

function isSame(a: Server, b: Server): boolean {
  return a.id === b.id && a.url === b.url && a.address === b.address
}

/** What is said of a name holds for each of its addresses (`ID@ADDRESS`). */
function has(ids: ReadonlySet<string>, server: Server): boolean {
  return ids.size > 0 && (ids.has(server.id) || ids.has(nameOf(server)))
}

function nameOf({ id }: Server): string {
  const at = id.indexOf('@')
  return at === -1 ? id : id.slice(0, at)
}

function originsOf({ publicOrigin }: Upstream, servers: readonly ServerState[]): OriginMap | null {
  if (publicOrigin === null) return null
  return { own: servers.map(({ server }) => server.url.toLowerCase()), publicOrigin }
}
