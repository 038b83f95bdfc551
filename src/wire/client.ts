/**
 * An HTTP/1.1 client for one server: its kept-alive connections, and which exchange gets which.
 */
import type {
  ClientExchange,
  ConnectionOwner,
  ConnectionPool,
  Dial,
  PoolCounts,
  PoolSettings,
  WireFailure,
} from './connections.ts'
import { coarseNowMs } from './deadlines.ts'
import { Connection, type Home } from './http1-connection.ts'
import { Shortages } from './shortages.ts'

export type { ClientExchange, ConnectionOwner, Dial, PoolCounts, PoolSettings, WireFailure }

/** The connections to one server. */
export class ServerPool implements ConnectionPool, Home {
  readonly settings: PoolSettings
  /** Null: connect to the host name of the settings. */
  dial: Dial | null = null
  /** @internal */
  readonly shortages = new Shortages()
  /** Last in, first out, so that the rest reach their keep-alive limit and close. */
  readonly #idle: Connection[] = []
  /** Connections that are not shared. */
  readonly #owned = new Set<Connection>()
  #closed = false
  /** Connections that are open or being opened. */
  open = 0
  /** Connections with an exchange on them. */
  active = 0
  /** Connections opened, and exchanges that reused one. */
  readonly #counted: PoolCounts

  /** @param counted where connections are counted; it may live longer than the pool */
  constructor(settings: PoolSettings, counted: PoolCounts = { connects: 0, reuses: 0, repaired: 0 }) {
    this.settings = settings
    this.#counted = counted
  }

  /** @internal */
  countRepaired(): void {
    this.#counted.repaired++
  }

  /** @internal */
  countReuse(): void {
    this.#counted.reuses++
  }

  get connects(): number {
    return this.#counted.connects
  }

  get reuses(): number {
    return this.#counted.reuses
  }

  get idle(): number {
    let idle = this.#idle.length
    for (const connection of this.#owned) if (connection.usable) idle++
    return idle
  }

  /**
   * A connection for one exchange: the idle one used last, else a new one.
   * @param mostIdleMs connections that have been idle for longer are not taken; 0: never take an idle one
   */
  take(exchange: ClientExchange, mostIdleMs: number): Connection {
    this.active++
    if (mostIdleMs > 0) {
      for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
        if (!connection.usable) continue
        if (coarseNowMs() - connection.idleSinceMs > mostIdleMs) {
          // All others have been idle even longer.
          this.#idle.push(connection)
          break
        }
        this.#counted.reuses++
        connection.assign(exchange)
        return connection
      }
    }
    this.#counted.connects++
    this.open++
    const connection = new Connection(this)
    connection.assign(exchange)
    return connection
  }

  another(maxIdle: number): ServerPool {
    return new ServerPool({ ...this.settings, maxIdle })
  }

  /** Closes idle connections now, the others when their exchange is over. */
  close(): void {
    this.#closed = true
    for (const connection of this.#idle.splice(0)) connection.destroy()
    for (const connection of this.#owned) if (connection.usable) connection.destroy()
  }

  /** @internal */
  own(connection: Connection): void {
    this.#owned.add(connection)
  }

  /** @internal */
  get closed(): boolean {
    return this.#closed
  }

  /** @internal */
  release(connection: Connection): void {
    if (this.#closed || this.#idle.length >= this.settings.maxIdle) connection.destroy()
    else this.#idle.push(connection)
  }

  /** @internal */
  forget(connection: Connection): void {
    this.open--
    this.#owned.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at !== -1) this.#idle.splice(at, 1)
  }
}
