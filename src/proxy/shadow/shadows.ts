/**
 * Shadowing: copies a share of a route's requests to its other side and compares the two responses. It never delays, changes
 * or fails an exchange: a copy is sent once the client has its response.
 */
import type { ComparedAnswer, Comparison, Difference } from '../../rules/evidence/compare.ts'
import { copiesSide, hideSecrets, maySetSession, type SkipReason, whyNotCopied } from '../../rules/evidence/copying.ts'
import { MOST_REPEATS, repeatKind } from '../../rules/evidence/noise.ts'
import type { Side } from '../../rules/http/exchange.ts'
import { hasBody } from '../../rules/http/headers.ts'
import { sideOf } from '../../rules/routing/decide.ts'
import { isTarget, targetOf } from '../../rules/routing/targets.ts'
import { answerFields } from '../../rules/sending/sent.ts'
import type { Route, ShadowSettings } from '../../rules/table/table.ts'
import { type Comparer, ComparerError } from '../../state/evidence/comparer.ts'
import { hideDifference } from '../../state/evidence/hidden.ts'
import type { Tally } from '../../state/evidence/tally.ts'
import { ownText } from '../../state/own-texts.ts'
import type { ServerState } from '../../state/upstreams/server-state.ts'
import type { Upstreams } from '../../state/upstreams/upstreams.ts'
import type { ConnectionPool } from '../../wire/connections.ts'
import { tellException } from '../../wire/exceptions.ts'
import type { Exchange } from '../exchange.ts'
import { isUnsafe } from '../upstream/heads.ts'
import { type CopyResult, type CopyTarget, sendCopy } from './copy.ts'
import { Reference } from './reference.ts'

/** What responses that are under way to clients may hold for comparisons, in bytes, in all processes of an instance. */
const MAX_HELD_BYTES = 16 * 1024 * 1024

/** Characters of the differences that a sample keeps. */
const MAX_SAMPLED = 8_000

/** Characters of the target that a sample keeps. */
const MAX_TARGET = 500

/** Comparisons at a time, in all processes of an instance. */
const MAX_AT_ONCE = 8

/** Time for a copy and its whole response. */
const COPY_TIMEOUT_MS = 10_000

/** So many copies in a row without a response, and an upstream gets none for a while. */
const MAX_FAILURES = 5
const PAUSE_MS = 30_000

/** Paths of a route for which `from` is asked again. */
const MAX_REPEATED_PATHS = 500

/** Idle connections for copies, per server. */
const MAX_IDLE = 2

/** What shadowing needs of the process. */
export interface ShadowParts {
  readonly upstreams: Upstreams
  readonly tally: Tally
  /** Compares answers on a thread of its own. */
  readonly comparer: Pick<Comparer, 'compare' | 'close'>
  /** Data planes that share the limit of copies. */
  readonly processes: number
  /** Key of the hashes in samples. */
  readonly key: Uint8Array
}

/** An exchange that is to be copied when it is over. */
interface Drawn {
  readonly route: Route
  readonly settings: ShadowSettings
  readonly reference: Reference
}

/** The copies of one data plane. */
export class Shadows {
  readonly #parts: ShadowParts
  readonly #max: number
  readonly #maxHeldBytes: number
  /** What the responses of drawn exchanges may come to hold. */
  #heldBytes = 0
  readonly #drawn = new WeakMap<Exchange, Drawn>()
  readonly #pools = new WeakMap<ServerState, ConnectionPool>()
  /** By upstream: failures in a row, and until when it gets no copies; of performance.now. */
  readonly #failures = new Map<string, { inARow: number; untilMs: number }>()
  /** By path: how often `from` was asked again for it. An edit of the table begins anew. */
  readonly #repeats = new WeakMap<Route, Map<string, { repeats: number }>>()
  #active = 0

  constructor(parts: ShadowParts) {
    this.#parts = parts
    this.#max = Math.max(1, Math.floor(MAX_AT_ONCE / parts.processes))
    this.#maxHeldBytes = MAX_HELD_BYTES / parts.processes
  }

  /**
   * Draws whether an exchange is copied, by a random number of its own.
   * @returns what must hear its response where it comes from an upstream, or null where it is not copied
   */
  draw(exchange: Exchange, route: Route, settings: ShadowSettings): Reference | null {
    if (Math.random() >= settings.share) return null
    const { view, said, decision, request } = exchange
    const side = sideOf(decision, route)
    if (side !== null && !copiesSide(settings.sides, side)) return null
    if (!settings.conditions.every((condition) => condition.matches(view))) return null
    const skipped = whyNotCopied({
      method: view.method,
      rawHeaders: view.rawHeaders,
      hasBody: hasBody(said),
      upgrades: request.upgrade !== null || said.upgrade !== null,
      isPrivate: exchange.privately !== null,
      reason: side === null ? 'forced' : decision.reason,
    })
    if (skipped !== null) {
      this.#skip(exchange, route, skipped)
      return null
    }
    if (this.#heldBytes > 0 && this.#heldBytes + settings.maxBodyBytes > this.#maxHeldBytes) {
      this.#skip(exchange, route, 'busy')
      return null
    }
    this.#heldBytes += settings.maxBodyBytes
    const reference = new Reference(view.method === 'HEAD' ? null : settings.maxBodyBytes)
    this.#drawn.set(exchange, { route, settings, reference })
    exchange.shadow = 'copied'
    return reference
  }

  /** An exchange that was drawn is over: its copy is sent. Never throws. */
  over(exchange: Exchange): void {
    const drawn = this.#drawn.get(exchange)
    if (drawn === undefined) return
    this.#drawn.delete(exchange)
    const { route, settings, reference } = drawn
    this.#heldBytes -= settings.maxBodyBytes
    const skipped = this.#whySkipped(exchange, drawn)
    if (skipped !== null) {
      this.#skip(exchange, route, skipped)
      return
    }
    this.#active++
    this.#compare(exchange, drawn, reference.answer)
      .catch(tellException)
      .finally(() => {
        this.#active--
      })
  }

  /** Ends the comparisons that are in progress. */
  close(): Promise<void> {
    return this.#parts.comparer.close()
  }

  #whySkipped(exchange: Exchange, { route, reference }: Drawn): SkipReason | null {
    const { decision, failure, answer } = exchange
    if (failure !== null || answer.status === 0 || reference.broken) return 'broken'
    if (decision.reason === 'fallback') return 'fallback'
    if (exchange.privately !== null) return 'private'
    const isOfTarget = isTarget(route, decision.upstream)
    const other = this.#nameOf(exchange, route, isOfTarget ? 'from' : 'to')
    if (isUnsafe(exchange, isOfTarget ? 'from' : 'to')) return 'path'
    if (this.#active >= this.#max) return 'busy'
    if (this.#isPaused(other)) return 'paused'
    const fails = !isOfTarget && !this.#parts.upstreams.isAvailable(route, exchange.view.method, other)
    return fails || this.#targetOf(other, exchange) === null ? 'unavailable' : null
  }

  #skip(exchange: Exchange, { id }: Route, reason: SkipReason): void {
    exchange.shadow = reason
    this.#parts.tally.skipped(id, reason, Date.now())
  }

  /** @param heard the client's response as the upstream sent it, or null where it was stored, or another client's: such a one is never the reference */
  async #compare(exchange: Exchange, drawn: Drawn, heard: ComparedAnswer | null): Promise<void> {
    const { route, settings } = drawn
    const own: Side = isTarget(route, exchange.decision.upstream) ? 'to' : 'from'
    const reference = heard ?? (await this.#ask(exchange, drawn, own))
    if (reference === null || 'failure' in reference) {
      this.#parts.tally.skipped(route.id, 'broken', Date.now())
      return
    }
    const other: Side = own === 'from' ? 'to' : 'from'
    const copied = await this.#ask(exchange, drawn, other)
    if (copied === null) {
      const why = this.#isPaused(this.#nameOf(exchange, route, other)) ? 'paused' : 'unavailable'
      this.#parts.tally.skipped(route.id, why, Date.now())
      return
    }
    if ('failure' in copied) {
      this.#parts.tally.failed(route.id, copied.failure, Date.now())
      return
    }
    const [from, received] = own === 'from' ? [reference, copied] : [copied, reference]
    const to = { ...received, rawHeaders: answerFields(received.rawHeaders, exchange, 'to', false) }
    const comparison = await this.#compared(route, settings, from, to)
    if (comparison === null) return
    this.#tell(exchange, drawn, comparison)
    const random = Math.random() < settings.noiseShare
    // Where `to` came first, a value that changes with time has had no longer to change in the repeat than between the sides.
    const before = own === 'from' ? comparison : null
    const news = before === null ? [] : this.#newsOf(route, before)
    if (!random && news.length === 0) return
    const { rawHeaders } = exchange.view
    if (maySetSession(from.rawHeaders, rawHeaders)) {
      this.#parts.tally.notAskedAgain(route.id, Date.now())
      return
    }
    for (const path of news) path.repeats++
    const again = await this.#ask(exchange, drawn, 'from')
    if (again === null || 'failure' in again || maySetSession(again.rawHeaders, rawHeaders)) return
    const noise = await this.#compared(route, settings, from, again)
    if (noise !== null) this.#parts.tally.askedAgain(route.id, noise, random, before, Date.now())
  }

  /** The paths that differ and for which `from` was not asked again often enough to tell a mismatch from noise. */
  #newsOf(route: Route, { differences }: Comparison): { repeats: number }[] {
    let known = this.#repeats.get(route)
    if (known === undefined) {
      known = new Map()
      this.#repeats.set(route, known)
    }
    const news = new Set<{ repeats: number }>()
    for (const { path, kind } of differences) {
      const name = `${repeatKind(kind)} ${path}`
      const one = known.get(name) ?? { repeats: 0 }
      if (!known.has(name) && known.size >= MAX_REPEATED_PATHS) continue
      known.set(name, one)
      if (one.repeats < MOST_REPEATS) news.add(one)
    }
    return [...news]
  }

  async #compared(
    { id }: Route,
    { compare }: ShadowSettings,
    from: ComparedAnswer,
    to: ComparedAnswer,
  ): Promise<Comparison | null> {
    try {
      return await this.#parts.comparer.compare(from, to, compare)
    } catch (error) {
      const { tally } = this.#parts
      if (error instanceof ComparerError && error.fault === 'busy') tally.skipped(id, 'busy', Date.now())
      else tally.failed(id, 'compare', Date.now())
      return null
    }
  }

  #tell(exchange: Exchange, { route, settings }: Drawn, comparison: Comparison): void {
    const { tally, key } = this.#parts
    const nowMs = Date.now()
    const { differences, note } = comparison
    const hidden = differences.map((one) => hideDifference(one, key))
    tally.compared(route.id, { ...comparison, differences: hidden }, nowMs)
    if (hidden.length === 0) return
    tally.keep({
      ...{ id: exchange.id, route: route.id, atMs: nowMs, note: note === null ? null : ownText(note) },
      differences: firstOf(settings.keepsValues ? differences : hidden).map(ownDifference),
      ...{ method: exchange.view.method, revision: exchange.revision.number },
      target: ownText(hideSecrets(exchange.view.target).slice(0, MAX_TARGET)),
    })
  }

  /** @returns null where the side has no server to ask */
  async #ask(exchange: Exchange, { route, settings }: Drawn, side: Side): Promise<CopyResult | null> {
    const name = this.#nameOf(exchange, route, side)
    const target = this.#targetOf(name, exchange)
    if (target === null) return null
    const result = await sendCopy(exchange, { ...target, side }, settings.maxBodyBytes, COPY_TIMEOUT_MS)
    this.#heard(name, 'failure' in result)
    return result
  }

  /** The upstream of a side: of several targets the one that has the request's key, whichever side answered it. */
  #nameOf({ decision, matched, view }: Exchange, route: Route, side: Side): string {
    if (side === 'from') return route.from
    return isTarget(route, decision.upstream) ? decision.upstream : targetOf(route, matched.params, view)
  }

  #heard(upstream: string, failed: boolean): void {
    if (!failed) {
      this.#failures.delete(upstream)
      return
    }
    const inARow = (this.#failures.get(upstream)?.inARow ?? 0) + 1
    // One more failure after the pause, and it begins anew.
    this.#failures.set(upstream, { inARow, untilMs: inARow < MAX_FAILURES ? 0 : performance.now() + PAUSE_MS })
  }

  #isPaused(upstream: string): boolean {
    return (this.#failures.get(upstream)?.untilMs ?? 0) > performance.now()
  }

  /** As the client's own request would go: to the server that it stays with, if it does. */
  #targetOf(name: string, { view, own }: Exchange): Omit<CopyTarget, 'side'> | null {
    const upstream = this.#parts.upstreams.get(name)
    if (upstream === undefined || this.#isPaused(name)) return null
    const server = upstream.servers.length === 0 ? null : upstream.next({ clientAddress: view.clientAddress, own })
    return server === null ? null : { upstream, server, pool: this.#poolOf(server) }
  }

  #poolOf(server: ServerState): ConnectionPool {
    let pool = this.#pools.get(server)
    if (pool === undefined) {
      pool = server.pool.another(MAX_IDLE)
      this.#pools.set(server, pool)
    }
    pool.dial = server.pool.dial
    return pool
  }
}

/** As many differences as a sample has room for. */
function firstOf(differences: readonly Difference[]): readonly Difference[] {
  let room = MAX_SAMPLED
  return differences.filter(({ path, from, to }) => {
    room -= path.length + (from?.length ?? 0) + (to?.length ?? 0)
    return room >= 0
  })
}

/** A sample outlives the heads that it was found in. */
function ownDifference({ path, kind, from, to }: Difference): Difference {
  const own = (value: string | null): string | null => (value === null ? null : ownText(value))
  return { path: ownText(path), kind, from: own(from), to: own(to) }
}
