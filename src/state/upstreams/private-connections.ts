/**
 * Connections to servers that belong to one client connection: NTLM and Negotiate authenticate the connection, and all later
 * requests on it belong to the same user (RFC 4559 section 6).
 */
import type { Route } from '../../rules/table/table.ts'
import type { Connection, ConnectionOwner } from '../../wire/client.ts'
import type { ServerState } from './server-state.ts'
import type { UpstreamState } from './upstream.ts'

/** So many requests of one client connection wait for their turn; pipelining clients send fewer. */
const MAX_WAITING = 100

/** What the data plane needs to know of a client connection, whatever protocol it speaks. */
export interface ClientConnection {
  /** Null until it needs a connection of its own: most never do. */
  privates: PrivateConnections | null
  /** Calls once the connection is closed, at once where it is already. */
  whenClosed(listener: () => void): void
}

/** An exchange that goes over a private connection. */
export interface PrivateUser {
  /** It has the connection to itself, until it leaves. */
  onPrivateTurn(): void
}

/** A client connection's way to one upstream: one exchange at a time. */
export class PrivateConnection implements ConnectionOwner {
  readonly #onEmpty: () => void
  readonly #waiting: PrivateUser[] = []
  #user: PrivateUser | null = null
  #connection: Connection | null = null
  #server: ServerState | null = null
  #busy = false
  #closed = false

  /** @param onEmpty called when it has neither a connection nor an exchange any more */
  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty
  }

  /** Asks for a turn. Who is in, or waits, must `leave`. */
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
   * The connection for the exchange whose turn it is.
   * @returns null where there is none, or none whose server takes exchanges
   */
  take(upstream: UpstreamState): { readonly connection: Connection; readonly server: ServerState } | null {
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

  /** Takes over a connection that has an exchange on it, the one whose turn it is. */
  claim(connection: Connection, server: ServerState): void {
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

  /** The client connection is closed. What is under way is its exchange's to break off. */
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
  /** By id of a route, the upstream that its requests stay with. */
  readonly #sides = new Map<string, string>()
  #closed = false

  /** Those of a client connection. @param create they are made where there are none */
  static of(client: ClientConnection, create: true): PrivateConnections
  static of(client: ClientConnection, create: boolean): PrivateConnections | null
  static of(client: ClientConnection, create: boolean): PrivateConnections | null {
    if (client.privates !== null || !create) return client.privates
    const privates = new PrivateConnections()
    client.privates = privates
    client.whenClosed(() => privates.#close())
    return privates
  }

  /** The way to an upstream, or null where that is the shared one. */
  find(upstream: string): PrivateConnection | null {
    return this.#byUpstream.get(upstream) ?? null
  }

  /** The way to an upstream, made where there is none. */
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

  /** From now on the requests of a route stay with this upstream, while there is a private connection to it. */
  stay(route: Route | null, upstream: string): void {
    if (route !== null) this.#sides.set(route.id, upstream)
  }

  /** The side of a route that its requests stay with, or null. */
  sideOf(route: Route | null): string | null {
    const side = route === null ? undefined : this.#sides.get(route.id)
    if (side === undefined || !this.#byUpstream.has(side)) return null
    return side === route!.from || side === route!.to ? side : null
  }

  #close(): void {
    this.#closed = true
    for (const one of this.#byUpstream.values()) one.close()
  }
}
