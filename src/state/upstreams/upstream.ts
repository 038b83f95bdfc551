/**
 * The runtime state of one upstream: its servers, and its requests in flight with their limit.
 */

import { type FailedBefore, ServerDraw } from '../../rules/failures/pick.ts'
import { splitHost } from '../../rules/patterns/request-parts.ts'
import type { OriginMap, OwnOrigin } from '../../rules/rewriting/map-back.ts'
import type { Upstream } from '../../rules/table/table.ts'
import type { UpstreamCounts, WholeCounts } from '../figures/upstream-counts.ts'
import { Affinity, type KeysSource } from './affinity.ts'
import type { AffineClient, BreakerStanding, UpstreamStanding } from './figures.ts'
import type { ServerState } from './server-state.ts'
import { type Waiter, WaitingLine } from './waiting-line.ts'

/** Result of admission: in flight, queued, or rejected because the queue is full. */
export type Admission = 'in' | 'waits' | 'full'

/** The servers are replaced when table or fleet change; the object stays. */
export class UpstreamState {
  readonly name: string
  /** Id of this instance. */
  readonly instance: string
  settings: Upstream
  /** Current `connectionText`; '' before the first. */
  connection = ''
  /** From the table, then leased ones. */
  servers: readonly ServerState[] = []
  /** Set if the upstream has `publicOrigin`. */
  origins: OriginMap | null = null
  /** Exchanges in flight. */
  active = 0
  /** Those of them that are being retried. */
  retrying = 0
  readonly counts: WholeCounts
  readonly affinity: Affinity
  readonly #line = new WaitingLine()
  readonly #draw = new ServerDraw()
  readonly #now: () => number
  readonly #shares: number
  /** Maximum number of exchanges in flight. */
  #max = Number.POSITIVE_INFINITY
  /** A server is out or in slow start, so states change with time. */
  #unsettled = false
  #calling = false

  /**
   * @param now a monotonic clock, milliseconds
   * @param shares number of processes that share the upstream: each gets its part of `maxConcurrent`
   * @param instance id of this instance
   * @param counts counters of the upstream
   * @param keys of the cookies that name servers
   */
  constructor(
    settings: Upstream,
    now: () => number,
    shares: number,
    ...[instance, counts, keys]: [string, UpstreamCounts, KeysSource]
  ) {
    this.name = settings.name
    this.instance = instance
    this.settings = settings
    this.counts = counts.whole
    this.affinity = new Affinity(settings.name, keys)
    this.#now = now
    this.#shares = shares
  }

  /** Applies new settings and servers, and admits queued exchanges if possible. */
  change(settings: Upstream, servers: readonly ServerState[]): void {
    const { maxConcurrent, publicOrigin } = settings
    this.settings = settings
    this.servers = servers
    this.origins = publicOrigin === null ? null : { own: ownOrigins(settings, servers), publicOrigin }
    this.#max = maxConcurrent === null ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil(maxConcurrent / this.#shares))
    if (settings.ejection === null) for (const { ejection } of servers) ejection.forget()
    this.refresh()
    this.#call()
  }

  /** Requests admission. After `in`, call `leave`; a queued exchange is called back, or leaves with `giveUp`. */
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

  /** Leaves the queue. */
  giveUp(waiter: Waiter): void {
    this.#line.leave(waiter)
  }

  get queued(): number {
    return this.#line.length
  }

  /**
   * Selects a server for the next exchange with rules/pick.
   * @param chance in [0, 1)
   * @param failed a server that has just failed for this exchange
   * @param repeatable the request can be retried
   * @param client whose server is preferred, if the upstream has an affinity; null for none
   * @returns null if no server takes new requests
   */
  pick(
    chance: number,
    failed: FailedBefore<ServerState> | null,
    ...[repeatable, client = null]: [boolean, (AffineClient | null)?]
  ): ServerState | null {
    if (this.#unsettled) this.refresh()
    const { servers } = this
    if (servers.length === 1) return this.#only()
    return this.#own(client, failed, repeatable) ?? this.#draw.pick(servers, chance, failed, repeatable)
  }

  /** The server that a retryable request would get now, or null. */
  next(client: AffineClient | null): ServerState | null {
    this.refresh()
    if (this.servers.length === 1) return this.#only()
    return this.#own(client, null, true) ?? this.#draw.next(this.servers, null, true)
  }

  #own(client: AffineClient | null, failed: FailedBefore<ServerState> | null, repeatable: boolean): ServerState | null {
    if (client === null || this.settings.affinity === null) return null
    return this.affinity.serverFor(this.settings, this.servers, client, failed, repeatable)
  }

  #only(): ServerState | null {
    const only = this.servers[0] as ServerState
    return only.standing === 'drained' ? null : only
  }

  /** Whether another server takes requests. */
  hasOther(server: ServerState): boolean {
    if (this.#unsettled) this.refresh()
    return this.servers.some((one) => one !== server && one.standing !== 'drained')
  }

  /** Whether no other server is up. */
  isLast(server: ServerState): boolean {
    if (this.#unsettled) this.refresh()
    return !this.servers.some((one) => one !== server && one.standing === 'up')
  }

  /** Updates the states of all servers after a change of one. */
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

  /** Admits queued exchanges while there is room. A loop, since one may leave again as soon as it is admitted. */
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

/** Where an application may say that it is: at its servers, and at the host that it is told. */
function ownOrigins({ host }: Upstream, servers: readonly ServerState[]): OwnOrigin[] {
  const own = servers.map(({ server: { hostname, port } }) => ({
    hostname: (hostname.includes(':') ? `[${hostname}]` : hostname).toLowerCase(),
    port,
  }))
  if (typeof host === 'string') return own
  const { name, port } = splitHost(host.literal.toLowerCase())
  const ports = port === '' ? [80, ...own.map((one) => one.port)] : [Number(port)]
  return [...own, ...ports.map((one) => ({ hostname: name, port: one }))]
}
