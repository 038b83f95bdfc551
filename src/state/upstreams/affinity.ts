/**
 * Which server of an upstream a client stays with (`affinity`): the one that its cookie names, or the one that its address hashes to.
 */
import type { FailedBefore } from '../../rules/failures/pick.ts'
import { serverOfKey } from '../../rules/failures/rendezvous.ts'
import { UNIX_PEER } from '../../rules/http/exchange.ts'
import { ownValues, serverCookie } from '../../rules/http/own-cookies.ts'
import type { Upstream } from '../../rules/table/table.ts'
import type { CookieKeys } from '../cookie-keys.ts'
import type { AffineClient } from './figures.ts'
import type { ServerState } from './server-state.ts'

/** The keys of cookies, which come when a table needs them. */
export interface KeysSource {
  readonly keys: CookieKeys | null
}

/** A server that a cookie names. */
export interface NamedServer {
  readonly server: ServerState
  /** The cookie was made with the current secret. */
  readonly isCurrent: boolean
}

const PURPOSE = 'server'

/** The servers of one upstream by their cookies. A cookie holds the MAC of the server's name, and so tells nothing of it. */
export class Affinity {
  readonly #upstream: string
  readonly #source: KeysSource
  readonly #macs = new WeakMap<ServerState, readonly string[]>()

  constructor(upstream: string, source: KeysSource) {
    this.#upstream = upstream
    this.#source = source
  }

  /** The value of the cookie that names a server. */
  valueOf(server: ServerState): string {
    return this.#macsOf(server)[0] as string
  }

  /** The values of the cookie in a request, valid or not. */
  valuesIn(own: readonly string[]): readonly string[] {
    return own.length === 0 ? own : ownValues(own, serverCookie(this.#upstream))
  }

  /** The server that a client's cookie names; null if it has none, or not a valid one. */
  named(servers: readonly ServerState[], own: readonly string[]): NamedServer | null {
    for (const value of this.valuesIn(own)) {
      for (const server of servers) {
        const at = this.#macsOf(server).indexOf(value)
        if (at !== -1) return { server, isCurrent: at === 0 }
      }
    }
    return null
  }

  /**
   * The server that a client stays with; null if it has none, or if that one can't be used.
   * @param failed a server that has just failed for this exchange
   * @param repeatable the request can be retried, so it may be a probe
   */
  serverFor(
    { affinity }: Upstream,
    servers: readonly ServerState[],
    client: AffineClient,
    ...[failed, repeatable]: [FailedBefore<ServerState> | null, boolean]
  ): ServerState | null {
    const takes = (server: ServerState) =>
      (failed?.candidate !== server || failed.maySucceed) && isUsable(servers, server, repeatable)
    if (affinity?.kind === 'ip') {
      const { clientAddress } = client
      return clientAddress === UNIX_PEER ? null : serverOfKey(servers.filter(takes), clientAddress)
    }
    const server = this.named(servers, client.own)?.server
    return server !== undefined && takes(server) ? server : null
  }

  #macsOf(server: ServerState): readonly string[] {
    let macs = this.#macs.get(server)
    if (macs === undefined) {
      macs = this.#source.keys?.macs(PURPOSE, `${this.#upstream}\n${server.name}`) ?? []
      this.#macs.set(server, macs)
    }
    return macs
  }
}

/** Whether a client may stay with a server: one that is ill only where no other is up. */
export function isUsable(servers: readonly ServerState[], server: ServerState, repeatable: boolean): boolean {
  switch (server.standing) {
    case 'up':
    case 'overdue':
      return true
    case 'due':
      return repeatable
    case 'avoided':
      return !servers.some(({ standing }) => standing === 'up')
    case 'drained':
      return false
  }
}
