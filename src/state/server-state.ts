/**
 * One server of an upstream while it runs: its connections, and what is known of how it is.
 */
import type { Candidate, Standing } from '../rules/pick.ts'
import type { Server } from '../rules/table.ts'
import type { ServerPool } from '../wire/client.ts'
import type { ServerFigures, ServerWord } from './upstream-figures.ts'

/** Lives for as long as table and fleet name the server, at the same address and with the same connection settings. */
export class ServerState implements Candidate {
  /** As the table or its lease says it now. */
  server: Server
  leased = false
  readonly pool: ServerPool
  /** `host:port` for the Host field where the upstream wants its own name. */
  readonly authority: string
  drained = false
  unhealthy = false
  standing: Standing = 'up'
  weight: number
  /** Times that it was left out because it failed too often in a row. */
  ejections = 0

  constructor(server: Server, pool: ServerPool) {
    this.server = server
    this.pool = pool
    this.weight = server.weight
    this.authority = new URL(server.url).host
  }

  get active(): number {
    return this.pool.active
  }

  /** Brings what is picked by up to date with what is known. */
  refresh(): void {
    this.weight = this.server.weight
    this.standing = this.drained ? 'drained' : this.unhealthy ? 'avoided' : 'up'
  }

  figures(): ServerFigures {
    const { server, leased, pool, ejections } = this
    return {
      id: server.id,
      url: server.url,
      weight: server.weight,
      leased,
      state: this.#word(),
      connections: { open: pool.open, active: pool.active, idle: pool.idle },
      connects: pool.connects,
      reuses: pool.reuses,
      ejections,
    }
  }

  #word(): ServerWord {
    return this.drained ? 'drained' : this.unhealthy ? 'unhealthy' : 'up'
  }
}
