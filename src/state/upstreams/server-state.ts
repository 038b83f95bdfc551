/**
 * The runtime state of one server: its connections and its health.
 */
import { Ejection } from '../../rules/failures/ejection.ts'
import { type Candidate, type Standing, Turn } from '../../rules/failures/pick.ts'
import { slowStartFactor } from '../../rules/failures/slow-start.ts'
import type { Server } from '../../rules/table/table.ts'
import type { ConnectionPool } from '../../wire/connections.ts'
import type { FineDurations } from '../figures/durations.ts'
import type { ServerCounts } from '../figures/upstream-counts.ts'
import type { ServerStanding, ServerWord } from './figures.ts'
import { authorityOf } from './pool.ts'

/** Failures of one server are reported at most this often, in milliseconds. */
const SUSPECT_MS = 1000

/** Kept while table and fleet have the server, at the same address and with the same connection settings. */
export class ServerState implements Candidate {
  /** Its current entry in the table or the leases. */
  server: Server
  leased = false
  readonly pool: ConnectionPool
  /** `host:port` for the Host header if the upstream gets its own. */
  readonly authority: string
  readonly ejection: Ejection
  /** Counters by server name: they outlive this object. */
  readonly counts: ServerCounts
  readonly latency: FineDurations
  readonly turn = new Turn(Math.random())
  #drained = false
  #unhealthy = false
  /** When it was added; in the distant past if it was there at the start. */
  #cameMs = Number.NEGATIVE_INFINITY
  /** When it was last told that it may be elsewhere. */
  #suspectedMs = Number.NEGATIVE_INFINITY
  standing: Standing = 'up'
  weight: number

  constructor(server: Server, pool: ConnectionPool, counts: ServerCounts, latency: FineDurations) {
    this.server = server
    this.pool = pool
    this.counts = counts
    this.latency = latency
    this.ejection = new Ejection(counts)
    this.weight = server.weight
    this.authority = authorityOf(server)
  }

  get name(): string {
    return this.server.id
  }

  get active(): number {
    return this.pool.active
  }

  /**
   * Updates its state. A server that is no longer drained, or healthy again, starts slowly, and nothing is held against it: who
   * drained it may have replaced it.
   */
  told(drained: boolean, unhealthy: boolean, nowMs: number): void {
    if ((this.#unhealthy && !unhealthy) || (this.#drained && !drained)) {
      this.ejection.forget()
      this.came(nowMs)
    }
    this.#drained = drained
    this.#unhealthy = unhealthy
  }

  /** Starts its slow start. */
  came(nowMs: number): void {
    this.#cameMs = nowMs
    this.turn.begin()
  }

  /**
   * The server can't be reached, or was ejected.
   * @returns whether that should be reported
   */
  suspect(nowMs: number): boolean {
    if (nowMs - this.#suspectedMs < SUSPECT_MS) return false
    this.#suspectedMs = nowMs
    return true
  }

  /**
   * Updates the inputs of the server selection.
   * @returns whether they change with time alone
   */
  refresh(nowMs: number, slowStartMs: number): boolean {
    const factor = slowStartFactor(nowMs - this.#cameMs, slowStartMs)
    this.weight = this.server.weight * factor
    this.standing = this.#standing(nowMs)
    return factor < 1 || this.ejection.isOut
  }

  #standing(nowMs: number): Standing {
    if (this.#drained) return 'drained'
    const ejection = this.ejection.state(nowMs)
    if (this.#unhealthy || ejection === 'out' || ejection === 'probing') return 'avoided'
    return ejection === 'in' ? 'up' : ejection
  }

  tell(): ServerStanding {
    const { server, leased, pool } = this
    return {
      id: server.id,
      url: server.url,
      weight: server.weight,
      leased,
      state: this.#word(),
      connections: { open: pool.open, active: pool.active, idle: pool.idle },
    }
  }

  #word(): ServerWord {
    if (this.#drained) return 'drained'
    if (this.#unhealthy) return 'unhealthy'
    if (this.ejection.isOut) return 'ejected'
    return this.weight < this.server.weight ? 'slow-start' : 'up'
  }
}
