/**
 * This instance as a member of a cluster.
 */
import { hostname } from 'node:os'
import type { LiveTable } from '../../state/live-table.ts'
import type { ClusterLog } from '../../state/redis/cluster-log.ts'
import type { RedisStateStore } from '../../state/redis/state-store.ts'
import type { ControlLog } from '../control-log.ts'
import type { History } from '../table/history.ts'
import type { Reading } from '../table/settled-text.ts'
import type { ClusterTable } from './cluster-table.ts'
import { Elsewhere } from './elsewhere.ts'
import type { FollowedFile } from './followed-file.ts'
import { KeptRevisions } from './kept-revisions.ts'
import { DRAIN_PATIENCE, type InForce, type Member, Members } from './members.ts'
import { RampLease } from './ramp-lease.ts'
import { SharedPins } from './shared-pins.ts'

/** How long the start waits for the cluster. After that, the revision on disk or the table file is served. */
const JOIN_MS = 4_000

/** So much of why a table file is not live is told to the others. */
const DRIFT_CHARACTERS = 300

/** Dependencies. */
export interface ClusterParts {
  readonly name: string
  /** Of this process. */
  readonly instance: string
  readonly shared: ClusterLog
  readonly store: RedisStateStore
  readonly table: ClusterTable
  readonly live: LiveTable
  readonly history: History
  readonly version: string
  readonly workers: number
  readonly log: ControlLog
  /** Epoch milliseconds. */
  now(): number
}

/** The cluster, for status and edits. */
export class Cluster {
  readonly name: string
  readonly instance: string
  readonly members: Members
  /** The shared state: records and sums. */
  readonly store: RedisStateStore
  readonly rampLease: RampLease
  readonly pins: SharedPins
  /** Revisions that are marked as kept. */
  readonly kept: KeptRevisions
  /** Upstream servers as the other instances see them. */
  readonly elsewhere: Elsewhere
  readonly #parts: ClusterParts
  readonly #startedAtMs: number
  #admin = ''
  /** The table file, if it is followed. */
  followed: FollowedFile | null = null
  /** Version of the drained and leased servers in force here. */
  servers: () => number = () => 0
  /** The id of the ACME challenge that is answered here, '' for none; null without ACME. */
  acme: () => string | null = () => null
  /** Requests in flight here at drained servers, by `serverKey`, if any. */
  active: () => Promise<Record<string, number>> = async () => ({})

  constructor(parts: ClusterParts) {
    this.name = parts.name
    this.instance = parts.instance
    this.store = parts.store
    this.rampLease = new RampLease(parts.store, parts.instance, async () => {
      await parts.table.look()
      await parts.table.settled()
      return this.problem === null
    })
    this.pins = new SharedPins(parts.store, parts.instance, parts.now)
    const { store, history, table } = parts
    this.kept = new KeptRevisions({ store, history, table })
    this.#parts = parts
    this.#startedAtMs = parts.now()
    this.members = new Members(parts.shared, parts.instance, async () => ({
      ...{ host: hostname(), pid: process.pid, admin: this.#admin, version: parts.version },
      ...{ startedAtMs: this.#startedAtMs, workers: parts.workers },
      ...{ servers: this.servers(), ramps: this.rampLease.shown },
      acme: this.acme(),
      epoch: parts.table.position?.epoch ?? 0,
      // In force and in the history: others may ask for either.
      revision: parts.table.position?.number ?? parts.live.current.number,
      problem: parts.table.isUnsure ? null : this.problem,
      drift: this.followed?.drift?.why.slice(0, DRIFT_CHARACTERS) ?? null,
      active: await this.active(),
    }))
    this.elsewhere = new Elsewhere(parts.store, parts.instance, this.members)
  }

  /** Why this instance can't follow or change the cluster's table, or null. */
  get problem(): string | null {
    const { table, live } = this.#parts
    const problem = table.problem ?? this.#parts.shared.link.unwritable
    if (problem !== null) return problem
    return live.refusal === null ? null : "the newest revision can't be applied here"
  }

  /** Other problems: keys in Redis that another program has written, and what to do. */
  get foreign(): readonly string[] {
    const { problem } = this
    return this.#parts.shared.link.foreign.filter((message) => problem?.includes(message) !== true)
  }

  /**
   * Joins, or continues without the cluster after a while.
   * @throws {Error} it must not join; the message is for the operator
   */
  join(onReading: (reading: Reading) => Promise<void>): Promise<void> {
    return this.#parts.table.join(JOIN_MS, onReading)
  }

  /** Announces this instance to the others from now on. @param admin address of its admin API */
  start(admin: string): void {
    this.#admin = admin
    this.members.start()
    this.kept.start()
    this.#parts.history.onKept = () => void this.members.tell()
    this.rampLease.onShown = () => void this.members.tell()
  }

  /** Waits until the others have the current revision in force, or for a limited time. */
  whereInForce(): Promise<InForce> {
    return this.members.whereInForce(this.#hasTable())
  }

  /** Waits until the others show the ramps, and the percents set by them, as they are here. */
  async rampsInForce(): Promise<InForce> {
    // If Redis has become unreachable, the others don't know.
    const change = await this.rampLease.changed().catch(() => Number.POSITIVE_INFINITY)
    const hasTable = this.#hasTable()
    return await this.members.whereInForce((one) => one.ramps >= change && hasTable(one))
  }

  /** Whether an instance has the current revision in force. */
  #hasTable(): (member: Member) => boolean {
    const at = this.#parts.table.position
    const { number } = this.#parts.live.current
    const own = at?.epoch ?? 0
    // In an earlier epoch, the same number may be a different revision.
    return ({ epoch, revision }) => epoch > own || (epoch === own && revision >= number)
  }

  /** Waits until the drained and leased servers are in force at the others. */
  serversInForce(): Promise<InForce> {
    const change = this.servers()
    return this.members.whereInForce(({ servers }) => servers >= change, DRAIN_PATIENCE)
  }

  /** For the metrics. */
  figures(): { readonly isInStep: boolean; readonly epoch: number; readonly instances: number } {
    const { table } = this.#parts
    return { isInStep: this.problem === null, epoch: table.position?.epoch ?? 0, instances: this.members.there }
  }

  /** Requests in flight at a drained server from the other present instances. One that has not drained it yet counts as one request. */
  async activeElsewhere(upstream: string, id: string): Promise<number> {
    const change = this.servers()
    const others = (await this.members.others()).filter(({ isSilent, problem }) => !isSilent && problem === null)
    return others.reduce((sum, { servers, active }) => {
      return sum + (servers < change ? 1 : (active[serverKey(upstream, id)] ?? 0))
    }, 0)
  }

  async close(): Promise<void> {
    await this.followed?.close()
    this.pins.close()
    await this.kept.close()
    this.elsewhere.close()
    await this.rampLease.close()
    await this.members.close()
    await this.#parts.shared.link.close()
  }
}

/** A server among those of all upstreams. */
export function serverKey(upstream: string, id: string): string {
  return `${upstream} ${id}`
}
