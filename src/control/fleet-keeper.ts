/**
 * What is known of servers beyond the table, kept in one place and told to the data planes whenever it changes.
 */
import type { Server, Table } from '../rules/table.ts'
import { EMPTY_FLEET, type Fleet, membersOf, type UpstreamFleet } from '../state/fleet.ts'
import type { LiveTable } from '../state/live-table.ts'
import type { ControlLog } from './control-log.ts'
import { HealthChecks, type ServerHealth } from './health-checks.ts'

/** What the keeper works with. */
export interface FleetParts {
  readonly live: LiveTable
  readonly log: ControlLog
  /** Epoch milliseconds. */
  now(): number
  /** In [0, 1). */
  chance(): number
}

/** What the admin API asks of the fleet. */
export interface FleetView {
  /** What the health checks know of a server by its id; null where it has none. */
  health(upstream: string, id: string): ServerHealth | null
}

/** Takes in what the table, the health checks and the operators say, and tells the data planes. */
export class FleetKeeper implements FleetView {
  readonly #live: LiveTable
  readonly #log: ControlLog
  readonly #checks: HealthChecks
  #fleet: Fleet = EMPTY_FLEET
  #tell: ((fleet: Fleet) => void | Promise<void>) | null = null

  constructor(parts: FleetParts) {
    this.#live = parts.live
    this.#log = parts.log
    this.#checks = new HealthChecks({ ...parts, onChange: () => this.#publish() })
  }

  /** Begins: follows the table, probes its servers, and calls `tell` with the fleet whenever it has changed. */
  start(tell: (fleet: Fleet) => void | Promise<void>): void {
    this.#tell = tell
    this.#live.onApply(() => this.#refresh())
    this.#refresh()
  }

  health(upstream: string, id: string): ServerHealth | null {
    const server = this.#members(upstream).find((member) => member.id === id)
    return server === undefined ? null : this.#checks.of(upstream, server)
  }

  /** Ends the health checks. The data planes stay as they were told. */
  close(): void {
    this.#tell = null
    this.#checks.close()
  }

  #members(upstream: string): readonly Server[] {
    const settings = this.#live.current.table.upstreams.get(upstream)
    return settings === undefined ? [] : membersOf(settings, this.#fleet)
  }

  /** The servers may be others now. */
  #refresh(): void {
    if (this.#tell === null) return
    this.#publish()
    const { upstreams } = this.#live.current.table
    this.#checks.follow(
      [...upstreams.values()].flatMap((upstream) =>
        membersOf(upstream, this.#fleet).map((server) => ({ upstream, server })),
      ),
    )
  }

  /** Tells the planes, where there is something new to tell. */
  #publish(): void {
    const fleet = this.#made(this.#live.current.table)
    if (this.#tell === null || JSON.stringify(fleet) === JSON.stringify(this.#fleet)) return
    this.#fleet = fleet
    const failed = (error: unknown): void =>
      this.#log.error({ event: 'fleet', err: error }, 'the data plane could not take over what is known of the servers')
    try {
      void Promise.resolve(this.#tell(fleet)).catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  #made(table: Table): Fleet {
    const made: Record<string, UpstreamFleet> = {}
    for (const upstream of table.upstreams.values()) {
      const known: UpstreamFleet = { leased: [], drained: [], unhealthy: [] }
      const members = membersOf(upstream, { [upstream.name]: known })
      const ill = members.filter((server) => this.#checks.of(upstream.name, server)?.healthy === false)
      const unhealthy = ill.map(({ id }) => id)
      if (unhealthy.length > 0) made[upstream.name] = { ...known, unhealthy }
    }
    return made
  }
}
