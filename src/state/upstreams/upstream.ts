/**
 * The runtime state of one upstream: its servers, and its requests in flight with their limit.
 */

import { type FailedBefore, ServerDraw } from '../../rules/failures/pick.ts'
import type { OriginMap } from '../../rules/http/headers.ts'
import type { Upstream } from '../../rules/table/table.ts'
import type { UpstreamCounts, WholeCounts } from '../figures/upstream-counts.ts'
import type { BreakerStanding, UpstreamStanding } from './figures.ts'
import type { ServerState } from './server-state.ts'
import { type Waiter, WaitingLine } from './waiting-line.ts'

/** How an exchange was let in: at once, it waits for its turn, or there is no place for it. */
export type Admission = 'in' | 'waits' | 'full'

/** Its servers are replaced when table or fleet change them; the object stays. */
export class UpstreamState {
  readonly name: string
  /** Id of the instance that asks it. */
  readonly instance: string
  settings: Upstream
  /** What its connections are made of, as `connectionText` says it; '' before the first. */
  connection = ''
  /** Those of the table, then those with a lease. */
  servers: readonly ServerState[] = []
  /** Set where the upstream declares `publicOrigin`. */
  origins: OriginMap | null = null
  /** Exchanges that have a place. */
  active = 0
  /** Of them those that are at a second attempt. */
  retrying = 0
  readonly counts: WholeCounts
  readonly #line = new WaitingLine()
  readonly #draw = new ServerDraw()
  readonly #now: () => number
  readonly #shares: number
  /** The most exchanges at once. */
  #max = Number.POSITIVE_INFINITY
  /** A server is out, or starts slowly: how it stands changes with time. */
  #unsettled = false
  #calling = false

  /**
   * @param now milliseconds on a clock that only goes on
   * @param shares processes that share the upstream: each lets in its part of `maxConcurrent`
   * @param instance id of the instance that asks it
   * @param counts of the upstream by this name
   */
  constructor(settings: Upstream, now: () => number, shares: number, instance: string, counts: UpstreamCounts) {
    this.name = settings.name
    this.instance = instance
    this.settings = settings
    this.counts = counts.whole
    this.#now = now
    this.#shares = shares
  }

  /** Takes over new settings and servers. Whoever waits is let in where there is a place now. */
  change(settings: Upstream, servers: readonly ServerState[]): void {
    const { maxConcurrent, publicOrigin } = settings
    this.settings = settings
    this.servers = servers
    this.origins =
      publicOrigin === null ? null : { own: servers.map(({ server }) => server.url.toLowerCase()), publicOrigin }
    this.#max = maxConcurrent === null ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil(maxConcurrent / this.#shares))
    if (settings.ejection === null) for (const { ejection } of servers) ejection.forget()
    this.refresh()
    this.#call()
  }

  /** Asks for a place. Who is in must `leave`; who waits is told, or leaves by `giveUp`. */
  enter(waiter: Waiter): Admission {
    if (this.active < this.#max) {
      this.active++
      return 'in'
    }
    const { size, timeoutMs } = this.settings.queue
    if (this.#line.length >= size) {
      this.counts.shed++
      return 'full'
    }
    this.#line.join(waiter, timeoutMs)
    return 'waits'
  }

  leave(): void {
    this.active--
    if (this.#line.length > 0) this.#call()
  }

  /** Waits no longer. */
  giveUp(waiter: Waiter): void {
    this.#line.leave(waiter)
  }

  get queued(): number {
    return this.#line.length
  }

  /**
   * The server for the next exchange, by rules/pick.
   * @param chance in [0, 1)
   * @param failed a server that has just failed this exchange
   * @param repeatable the request may be made again
   * @returns null where none takes new exchanges
   */
  pick(chance: number, failed: FailedBefore<ServerState> | null, repeatable: boolean): ServerState | null {
    if (this.#unsettled) this.refresh()
    const { servers } = this
    return servers.length === 1 ? this.#only() : this.#draw.pick(servers, chance, failed, repeatable)
  }

  /** The server that would take an exchange now that may be made again, or null. */
  next(): ServerState | null {
    this.refresh()
    return this.servers.length === 1 ? this.#only() : this.#draw.next(this.servers, null, true)
  }

  #only(): ServerState | null {
    const only = this.servers[0] as ServerState
    return only.standing === 'drained' ? null : only
  }

  /** Whether a server but this one takes exchanges. */
  hasOther(server: ServerState): boolean {
    if (this.#unsettled) this.refresh()
    return this.servers.some((one) => one !== server && one.standing !== 'drained')
  }

  /** Whether no server but this one is up. */
  isLast(server: ServerState): boolean {
    if (this.#unsettled) this.refresh()
    return !this.servers.some((one) => one !== server && one.standing === 'up')
  }

  /** Something has become known of a server: brings how all of them stand up to date. */
  refresh(): void {
    const nowMs = this.#now()
    let unsettled = false
    for (const server of this.servers) unsettled = server.refresh(nowMs, this.settings.slowStartMs) || unsettled
    this.#unsettled = unsettled
  }

  now(): number {
    return this.#now()
  }

  tell(breakers: readonly BreakerStanding[]): UpstreamStanding {
    this.refresh()
    const { name, active, queued } = this
    return { name, active, queued, breakers, servers: this.servers.map((server) => server.tell()) }
  }

  /** Lets in whoever waits, while there is a place. One may be gone again as soon as it is in: no recursion here. */
  #call(): void {
    if (this.#calling) return
    this.#calling = true
    while (this.active < this.#max) {
      const waiter = this.#line.next()
      if (waiter === null) break
      this.active++
      waiter.onTurn()
    }
    this.#calling = false
  }
}
