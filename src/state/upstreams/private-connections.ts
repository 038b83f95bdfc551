/**
 * Connections to servers that belong to one client connection: NTLM and Negotiate authenticate the connection, and all later
 * requests on it belong to the same user (RFC 4559 section 6).
 */
import { isTarget } from '../../rules/routing/targets.ts'
import type { Route } from '../../rules/table/table.ts'
import type { ConnectionOwner } from '../../wire/client.ts'
import type { ServerConnection } from '../../wire/connections.ts'
import type { ServerState } from './server-state.ts'
import type { UpstreamState } from './upstream.ts'

/** Maximum number of queued requests per client connection; pipelining clients send fewer. */
const MAX_WAITING = 100

/** A client connection, for any protocol. */
export interface ClientConnection {
  /** Null until it needs a private connection; most never do. */
  privates: PrivateConnections | null
  /** Calls the listener when the connection is closed; at once if it is already. */
  whenClosed(listener: () => void): void
}

/** An exchange on a private connection. */
export interface PrivateUser {
  /** It is its turn: it has the connection until it leaves. */
  onPrivateTurn(): void
}

/** The private connection of a client connection to one upstream, for one exchange at a time. */
export class PrivateConnection implements ConnectionOwner {
  readonly #onEmpty: () => void
  readonly #waiting: PrivateUser[] = []
  #user: PrivateUser | null = null
  #connection: ServerConnection | null = null
  #server: ServerState | null = null
  #busy = false
  #closed = false

  /** @param onEmpty called when it has no connection and no exchanges any more */
  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty
  }

  /** Requests a turn. After `in` or `waits`, the user must call `leave`. */
  enter(user: PrivateUser): 'in' | 'waits' | 'full' {
    if (this.#user === null && !this.#busy && this.#waiting.length === 0) {
      this.#user = user
      return 'in'
    }
    if (this.#waiting.length >= MAX_WAITING) return 'full'
    this.#waiting.push(user)
    return 'waits'
  }

  leave(user: PrivateUser): void {
    if (this.#user === user) this.#user = null
    else {
      const at = this.#waiting.indexOf(user)
      if (at !== -1) this.#waiting.splice(at, 1)
    }
    this.#next()
  }

  /**
   * The connection for the current exchange.
   * @returns null if there is none, or its server takes no requests
   */
  take(upstream: UpstreamState): { readonly connection: ServerConnection; readonly server: ServerState } | null {
    const connection = this.#connection
    const server = this.#server
    if (connection === null || server === null) return null
    if (!connection.usable || server.standing === 'drained' || !upstream.servers.includes(server)) {
      connection.destroy()
      return null
    }
    this.#busy = true
    return { connection, server }
  }

  /** Takes over the connection of the current exchange. */
  claim(connection: ServerConnection, server: ServerState): void {
    this.#connection = connection
    this.#server = server
    this.#busy = true
    connection.claim(this)
  }

  onIdle(): void {
    this.#busy = false
    if (this.#closed) this.#connection?.destroy()
    else this.#next()
  }

  onGone(): void {
    this.#connection = null
    this.#server = null
    this.#busy = false
    this.#next()
  }

  /** The client connection is closed. A current exchange aborts itself. */
  close(): void {
    this.#closed = true
    if (!this.#busy) this.#connection?.destroy()
  }

  #next(): void {
    if (this.#user !== null || this.#busy) return
    const user = this.#waiting.shift()
    if (user !== undefined) {
      this.#user = user
      user.onPrivateTurn()
    } else if (this.#connection === null) this.#onEmpty()
  }
}

/** All private connections of one client connection. */
export class PrivateConnections {
  readonly #byUpstream = new Map<string, PrivateConnection>()
  /** By route id: the upstream that its requests stay on. */
  readonly #sides = new Map<string, string>()
  #closed = false

  /** Those of a client connection. @param create creates them if there are none */
  static of(client: ClientConnection, create: true): PrivateConnections
  static of(client: ClientConnection, create: boolean): PrivateConnections | null
  static of(client: ClientConnection, create: boolean): PrivateConnections | null {
    if (client.privates !== null || !create) return client.privates
    const privates = new PrivateConnections()
    client.privates = privates
    client.whenClosed(() => privates.#close())
    return privates
  }

  /** The private connection to an upstream, or null if there is none. */
  find(upstream: string): PrivateConnection | null {
    return this.#byUpstream.get(upstream) ?? null
  }

  /** The private connection to an upstream, created if there is none. */
  open(upstream: string): PrivateConnection {
    const known = this.#byUpstream.get(upstream)
    if (known !== undefined) return known
    const made: PrivateConnection = new PrivateConnection(() => {
      if (this.#byUpstream.get(upstream) === made) this.#byUpstream.delete(upstream)
    })
    if (this.#closed) made.close()
    this.#byUpstream.set(upstream, made)
    return made
  }

  /** Requests of a route stay on this upstream from now on, while there is a private connection to it. */
  stay(route: Route | null, upstream: string): void {
    if (route !== null) this.#sides.set(route.id, upstream)
  }

  /** The upstream that requests of a route stay on, or null. */
  sideOf(route: Route | null): string | null {
    const side = route === null ? undefined : this.#sides.get(route.id)
    if (side === undefined || !this.#byUpstream.has(side)) return null
    return side === route!.from || isTarget(route!, side) ? side : null
  }

  #close(): void {
    this.#closed = true
    for (const one of this.#byUpstream.values()) one.close()
  }
}
