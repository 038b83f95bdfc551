/**
 * The server state outside the table, leases, drains and health, published to the data planes on every change.
 */

import { compileServer } from '../../rules/language/compile.ts'
import type { Server, Table, Upstream } from '../../rules/table/table.ts'
import type { LiveTable } from '../../state/live-table.ts'
import { EMPTY_FLEET, type Fleet, membersOf, placeOf, type UpstreamFleet } from '../../state/upstreams/fleet.ts'
import type { ControlLog } from '../control-log.ts'
import { type Ownership, SOLE_OWNER } from '../ownership.ts'
import { FleetFile, type KeptFleet, type SharedServers } from './file.ts'
import { HealthChecks, type ServerHealth } from './health-checks.ts'
import { type Lease, Leases } from './leases.ts'
import { ServerNames } from './server-names.ts'
import type { ClusterServers } from './shared-servers.ts'

/** How often the file of another instance is looked at. */
const FOLLOW_POLL_MS = 300

/** Dependencies of the keeper. */
export interface FleetParts {
  readonly live: LiveTable
  readonly log: ControlLog
  /** Folder where drained and leased servers are stored; null keeps them in memory only. */
  readonly folder: string | null
  /** Who stores them. Default: this instance. */
  readonly ownership?: Ownership
  /** Those of a cluster, which are stored there; null where this instance has its own. */
  readonly shared?: ClusterServers | null
  /** DNS servers for the host names of servers; empty for the system's resolver. */
  readonly dnsServers: readonly string[]
  /** Epoch milliseconds. */
  now(): number
  /** In [0, 1). */
  chance(): number
}

/** The fleet as the admin API uses it. */
export interface FleetView {
  /** Health check state of a member by id; null if it has no check. */
  health(upstream: string, id: string): ServerHealth | null
  lease(upstream: string, id: string): Lease | null
  /** The leased servers of an upstream, oldest first. */
  leases(upstream: string): readonly Lease[]
  isDrained(upstream: string, id: string): boolean
  /** The drained servers, by upstream and id. */
  drained(): readonly (readonly [string, string])[]
  /** Registers a server, or renews its lease. Resolves when the data planes have it. */
  register(upstream: string, server: Server, ttlMs: number): Promise<'new' | 'changed' | 'renewed'>
  /** Removes a lease. @returns whether there was one */
  release(upstream: string, id: string): Promise<boolean>
  /** Drains or undrains a server. Resolves when the data planes have it. @returns whether that is a change */
  setDrained(upstream: string, id: string, drained: boolean): Promise<boolean>
}

/** Combines the table, the health checks and operators' actions, and publishes the result to the data planes. */
export class FleetKeeper implements FleetView {
  readonly #live: LiveTable
  readonly #log: ControlLog
  readonly #now: () => number
  readonly #checks: HealthChecks
  readonly #leases: Leases
  readonly #names: ServerNames
  readonly #drained = new Map<string, Set<string>>()
  readonly #file: FleetFile
  readonly #ownership: Ownership
  readonly #shared: ClusterServers | null
  /** By upstream and id: which renewal of a shared lease the timer runs for. */
  readonly #renewals = new Map<string, number>()
  /** The last change of the shared servers that the data planes have. */
  sharedChange = 0
  /** Looks for what another instance has stored. */
  #following: NodeJS.Timeout | undefined
  #followed: string | null = null
  #fleet: Fleet = EMPTY_FLEET
  #tell: ((fleet: Fleet) => void | Promise<void>) | null = null
  #kept = ''
  #saved: Promise<void> = Promise.resolve()

  constructor(parts: FleetParts) {
    this.#live = parts.live
    this.#log = parts.log
    this.#now = () => parts.now()
    this.#checks = new HealthChecks({
      ...parts,
      onChange: ({ server }) => {
        this.#names.again(server.hostname)
        void this.#publish()
      },
    })
    this.#leases = new Leases((upstream, server) => this.#lapsed(upstream, server))
    this.#names = new ServerNames({ log: parts.log, servers: parts.dnsServers, onChange: () => void this.#refresh() })
    this.#file = new FleetFile(parts.folder)
    this.#ownership = parts.ownership ?? SOLE_OWNER
    this.#shared = parts.shared ?? null
  }

  /**
   * Starts: loads the stored state, follows the table, probes the servers, and calls `tell` with the fleet after each
   * change. Stored leases start again with their full TTL, since they could not be renewed while banyan was down.
   */
  start(tell: (fleet: Fleet) => void | Promise<void>): void {
    this.#tell = tell
    let { table } = this.#live.current
    this.#live.onApply((revision) => {
      const before = table
      table = revision.table
      if (this.#shared === null) return void this.#refresh()
      // A server that returns later is another one.
      const gone = serversOf(before).filter(([name, id]) => !serversOf(table).some(([a, b]) => a === name && b === id))
      void this.#refresh().then(() => this.#shared?.forget(gone))
    })
    if (this.#shared !== null) {
      this.#shared.start(() => this.#refresh())
      void this.#refresh()
    } else if (this.#ownership.isOwner) {
      this.#take(this.#file.load((message) => this.#log.error({ event: 'fleet' }, message)))
      void this.#refresh()
    } else this.#follow()
  }

  /** The file has become this instance's own. Leases start again, as at a start. */
  async takeOver(): Promise<void> {
    if (this.#shared !== null) return
    clearTimeout(this.#following)
    this.#following = undefined
    const kept = await this.#file.read()
    if (kept !== null) this.#take(kept)
    await this.#refresh()
  }

  /** Takes in what another instance stores, now and whenever it changes. */
  #follow(): void {
    const look = async (): Promise<void> => {
      const identity = await this.#file.identity()
      if (identity !== this.#followed) {
        const kept = await this.#file.read()
        if (this.#tell === null || this.#ownership.isOwner) return
        if (kept !== null) {
          this.#followed = identity
          this.#take(kept)
          await this.#refresh()
        }
      }
      if (this.#tell === null || this.#ownership.isOwner) return
      this.#following = setTimeout(() => void look(), FOLLOW_POLL_MS).unref()
    }
    void look()
  }

  /** Sets what is drained and leased. */
  #take(kept: KeptFleet): void {
    this.#drained.clear()
    for (const upstream of this.#leases.upstreams()) {
      for (const { server } of this.#leases.of(upstream)) this.#leases.remove(upstream, server.id)
    }
    for (const [upstream, { drained, leased }] of Object.entries(kept)) {
      this.#drained.set(upstream, new Set(drained))
      for (const { id, url, weight, ttlMs } of leased) {
        const server = compileServer({ id, url, weight })
        this.#leases.put(upstream, server, ttlMs, this.#now(), this.#ownership.isOwner)
      }
    }
    this.#kept = JSON.stringify(this.#keepable())
  }

  health(upstream: string, id: string): ServerHealth | null {
    const server = this.#members(upstream).find((member) => member.id === id)
    return server === undefined ? null : this.#checks.of(upstream, server)
  }

  /** Why the state would not survive a restart, or null. */
  get problem(): string | null {
    return this.#file.problem
  }

  lease(upstream: string, id: string): Lease | null {
    return this.#leases.get(upstream, id)
  }

  leases(upstream: string): readonly Lease[] {
    return this.#leases.of(upstream)
  }

  isDrained(upstream: string, id: string): boolean {
    return this.#drained.get(upstream)?.has(id) === true
  }

  /** Sets what the cluster has, as far as this table knows it. */
  #takeShared({ upstreams }: SharedServers): void {
    const { table } = this.#live.current
    this.#drained.clear()
    for (const [name, { drained }] of Object.entries(upstreams)) this.#drained.set(name, new Set(drained))
    for (const name of this.#leases.upstreams()) {
      const leased = upstreams[name]?.leased ?? []
      for (const { server } of this.#leases.of(name)) {
        if (!leased.some(({ id }) => id === server.id)) this.#leases.remove(name, server.id)
      }
    }
    for (const [name, { leased }] of Object.entries(upstreams)) {
      for (const { id, url, weight, ttlMs, renewed } of leased) {
        const known = table.upstreams.get(name)
        if (known === undefined || known.servers.some((server) => server.id === id)) continue
        const place = `${name} ${id}`
        if (this.#leases.get(name, id) !== null && this.#renewals.get(place) === renewed) continue
        this.#renewals.set(place, renewed)
        this.#leases.put(name, compileServer({ id, url, weight }), ttlMs, this.#now())
      }
    }
  }

  drained(): (readonly [string, string])[] {
    return [...this.#drained].flatMap(([name, ids]) => [...ids].map((id) => [name, id] as const))
  }

  async register(upstream: string, server: Server, ttlMs: number): Promise<'new' | 'changed' | 'renewed'> {
    if (this.#shared !== null) return await this.#shared.register(upstream, server, ttlMs)
    const outcome = this.#leases.put(upstream, server, ttlMs, this.#now())
    if (outcome !== 'renewed') await this.#refresh()
    return outcome
  }

  async release(upstream: string, id: string): Promise<boolean> {
    if (this.#shared !== null) return await this.#shared.release(upstream, id)
    const was = this.#leases.remove(upstream, id)
    if (was) await this.#refresh()
    return was
  }

  async setDrained(upstream: string, id: string, drained: boolean): Promise<boolean> {
    if (this.#shared !== null) return await this.#shared.setDrained(upstream, id, drained)
    const ids = this.#drained.get(upstream) ?? new Set<string>()
    this.#drained.set(upstream, ids)
    if (ids.has(id) === drained) return false
    if (drained) ids.add(id)
    else ids.delete(id)
    await this.#refresh()
    return true
  }

  /** Resolves a host name again: a data plane can't reach a server by this name. */
  suspect(hostname: string): void {
    this.#names.again(hostname)
  }

  /** Stops health checks and leases. The data planes keep the last published state. */
  close(): void {
    this.#tell = null
    clearTimeout(this.#following)
    this.#shared?.close()
    this.#checks.close()
    this.#leases.close()
    this.#names.close()
  }

  #members(upstream: string): readonly Server[] {
    const settings = this.#live.current.table.upstreams.get(upstream)
    return settings === undefined ? [] : membersOf(settings, this.#fleet)
  }

  #lapsed(upstream: string, server: Server): void {
    const { id, url } = server
    if (this.#shared !== null) return void this.#lapsedShared(this.#shared, upstream, server)
    this.#log.warn({ event: 'lease-lapsed', upstream, server: id, url }, `${upstream}/${id}: lease expired`)
    void this.#refresh()
  }

  /** Where it is not known whether somebody else has renewed it, the server stays. */
  async #lapsedShared(shared: ClusterServers, upstream: string, server: Server): Promise<void> {
    const { id, url } = server
    const place = `${upstream} ${id}`
    const renewed = this.#renewals.get(place)
    const isGone = await shared.release(upstream, id, renewed).catch(() => false)
    this.#renewals.delete(place)
    if (isGone) this.#log.warn({ event: 'lease-lapsed', upstream, server: id, url }, `${place}: lease expired`)
    else await this.#refresh()
  }

  /** Updates the set of servers. Resolves when the data planes have it and it is stored. */
  async #refresh(): Promise<void> {
    if (this.#tell === null) return
    const { table } = this.#live.current
    const change = this.#shared?.current.change ?? 0
    if (this.#shared !== null) this.#takeShared(this.#shared.current)
    this.#forgetThoseGone(table)
    const all = [...table.upstreams.values()]
    this.#names.follow(all.flatMap((upstream) => this.#named(upstream)).map(({ hostname }) => hostname))
    // The published health comes from the checks, so they follow the edit before it is published.
    this.#checks.follow(
      all.flatMap((upstream) => this.#membersNow(upstream).map((server) => ({ upstream, server }))),
      this.#live.material,
    )
    await this.#publish()
    this.sharedChange = Math.max(this.sharedChange, change)
    await this.#keep()
  }

  /** Forgets removed servers: one that returns later is new, and not drained. */
  #forgetThoseGone({ upstreams }: Table): void {
    for (const name of this.#leases.upstreams()) {
      const table = upstreams.get(name)
      for (const { server } of this.#leases.of(name)) {
        // A server in the table needs no lease, and a lease needs its upstream.
        if (table === undefined || table.servers.some(({ id }) => id === server.id))
          this.#leases.remove(name, server.id)
      }
    }
    for (const [name, ids] of this.#drained) {
      const upstream = upstreams.get(name)
      const known = new Set(upstream === undefined ? [] : this.#named(upstream).map(({ id }) => id))
      for (const id of ids) if (!known.has(id)) ids.delete(id)
    }
  }

  /** Publishes the fleet to the data planes if it has changed. */
  async #publish(): Promise<void> {
    const fleet = this.#made(this.#live.current.table)
    if (this.#tell === null || JSON.stringify(fleet) === JSON.stringify(this.#fleet)) return
    this.#fleet = fleet
    try {
      await this.#tell(fleet)
    } catch (error) {
      this.#log.error({ event: 'fleet', err: error }, 'the data plane failed to apply the server state')
    }
  }

  #made(table: Table): Fleet {
    const made: Record<string, UpstreamFleet> = {}
    for (const upstream of table.upstreams.values()) {
      const known = this.#knownOf(upstream)
      const health = this.#healthOf(upstream)
      if (health !== null) made[upstream.name] = { ...known, health }
      else if (known.leased.length + known.drained.length > 0 || known.addresses !== undefined)
        made[upstream.name] = known
    }
    return made
  }

  /** Everything except health. */
  #knownOf(upstream: Upstream): UpstreamFleet {
    const leased = this.#leases.of(upstream.name).map(({ server }) => server)
    const drained = [...(this.#drained.get(upstream.name) ?? [])]
    const addresses = this.#addressesOf(upstream, (hostname) => this.#names.of(hostname))
    const alternatives = this.#addressesOf(upstream, (hostname) => this.#names.alternatives(hostname))
    return {
      leased,
      drained,
      ...(addresses === null ? {} : { addresses }),
      ...(alternatives === null ? {} : { alternatives }),
    }
  }

  /** The servers of an upstream by the current state, published or not. */
  #membersNow(upstream: Upstream): readonly Server[] {
    return membersOf(upstream, { [upstream.name]: this.#knownOf(upstream) })
  }

  /** By place; null if there are no probe results. */
  #healthOf(upstream: Upstream): Record<string, boolean> | null {
    const told = this.#membersNow(upstream).flatMap((server): [string, boolean][] => {
      const health = this.#checks.of(upstream.name, server)
      return health === null || health.last === null ? [] : [[placeOf(server), health.healthy]]
    })
    return told.length === 0 ? null : Object.fromEntries(told)
  }

  /** The servers of an upstream in the table and with leases, before their names are resolved. */
  #named(upstream: Upstream): readonly Server[] {
    return [...upstream.servers, ...this.#leases.of(upstream.name).map(({ server }) => server)]
  }

  /** By server id; null if no name has any. */
  #addressesOf(
    upstream: Upstream,
    of: (hostname: string) => readonly string[],
  ): Record<string, readonly string[]> | null {
    const known = this.#named(upstream).flatMap(({ id, hostname }): [string, readonly string[]][] => {
      const addresses = of(hostname)
      return addresses.length === 0 ? [] : [[id, addresses]]
    })
    return known.length === 0 ? null : Object.fromEntries(known)
  }

  async #keep(): Promise<void> {
    if (!this.#ownership.isOwner || this.#shared !== null) return
    const kept = this.#keepable()
    const text = JSON.stringify(kept)
    if (text !== this.#kept) {
      this.#kept = text
      this.#saved = this.#save(kept)
    }
    // Another change may be writing it right now.
    await this.#saved
  }

  async #save(kept: KeptFleet): Promise<void> {
    const before = this.#file.problem
    await this.#file.save(kept)
    const { problem } = this.#file
    if (problem !== null && problem !== before) this.#log.warn({ event: 'fleet' }, problem)
  }

  #keepable(): KeptFleet {
    const names = new Set([...this.#leases.upstreams(), ...this.#drained.keys()])
    const all = [...names].map((name): [string, KeptFleet[string]] => {
      const leased = this.#leases.of(name).map(({ server: { id, url, weight }, ttlMs }) => ({ id, url, weight, ttlMs }))
      return [name, { drained: [...(this.#drained.get(name) ?? [])], leased }]
    })
    return Object.fromEntries(all.filter(([, { drained, leased }]) => drained.length + leased.length > 0))
  }
}

/** By upstream and id. */
function serversOf({ upstreams }: Table): (readonly [string, string])[] {
  return [...upstreams.values()].flatMap(({ name, servers }) => servers.map(({ id }) => [name, id] as const))
}
