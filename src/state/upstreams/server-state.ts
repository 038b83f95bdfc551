/**
 * The runtime state of one server: its connections and its health.
 */
import { Ejection } from '../../rules/failures/ejection.ts'
import { type Candidate, type Standing, Turn } from '../../rules/failures/pick.ts'
import { slowStartFactor } from '../../rules/failures/slow-start.ts'
import type { Server } from '../../rules/table/table.ts'
import type { ServerPool } from '../../wire/client.ts'
import type { ServerCounts } from '../figures/upstream-counts.ts'
import type { ServerStanding, ServerWord } from './figures.ts'

/** Lives for as long as table and fleet name the server, at the same address and with the same connection settings. */
export class ServerState implements Candidate {
  /** As the table or its lease says it now. */
  server: Server
  leased = false
  readonly pool: ServerPool
  /** `host:port` for the Host field where the upstream wants its own name. */
  readonly authority: string
  readonly ejection: Ejection
  /** Those of the server by this name: they live longer than this object. */
  readonly counts: ServerCounts
  readonly turn = new Turn(Math.random())
  #drained = false
  #unhealthy = false
  /** When it came; long ago where it was there from the start. */
  #cameMs = Number.NEGATIVE_INFINITY
  standing: Standing = 'up'
  weight: number

  constructor(server: Server, pool: ServerPool, counts: ServerCounts) {
    this.server = server
    this.pool = pool
    this.counts = counts
    this.ejection = new Ejection(counts)
    this.weight = server.weight
    this.authority = new URL(server.url).host
  }

  get active(): number {
    return this.pool.active
  }

  /** The fleet says how it is. Who is drained no longer, or healthy again, comes anew. */
  told(drained: boolean, unhealthy: boolean, nowMs: number): void {
    const healthyAgain = this.#unhealthy && !unhealthy
    if (healthyAgain) this.ejection.forget()
    if (healthyAgain || (this.#drained && !drained)) this.came(nowMs)
    this.#drained = drained
    this.#unhealthy = unhealthy
  }

  /** It takes less than its share for a while. */
  came(nowMs: number): void {
    this.#cameMs = nowMs
    this.turn.begin()
  }

  /**
   * Brings what it is picked by up to date.
   * @returns whether that changes with time alone
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
