/**
 * A miss, from the first client that waits to the last that is answered: lookup in the remote store, cache lock, upstream
 * fetch. Clients whose misses are collapsed join it on the way.
 */
import { evaluate, evaluateNothing } from '../../rules/caching/policy.ts'
import { isMadeFor, type MadeFor } from '../../state/caching/content.ts'
import type { FillLock, FillOutcome } from '../../state/caching/remote.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import { unwatch, type Watched, watch } from '../../wire/deadlines.ts'
import { deliverRevalidated, deliverStored, HIT, STALE } from './deliver.ts'
import { Fetch } from './fetch.ts'
import { askerOf, type Unshareable } from './hit-for-miss.ts'
import type { Lookup, LookupHost } from './lookup.ts'
import type { FetchHost, FetchParts } from './response.ts'

/** Other processes wait so long for the end of a body that has begun to come; then they fetch by themselves. */
const STREAMING_MS = 250

/** The request collapsing that a miss is part of. */
export interface MissHost {
  readonly parts: FetchParts
  /** The lookup gets an upstream request of its own. */
  fetchAlone(lookup: Lookup): void
  /** The lookup needs another variant than this miss brings, whose response varies by these fields. */
  joinVariant(lookup: Lookup, vary: readonly string[], miss: Miss): void
  /** The response can't be shared: the next requests are not collapsed (hit-for-miss). */
  mark(lookup: Lookup, collapseKey: string, why: Unshareable): void
  /** It can be shared after all. */
  unmark(lookup: Lookup, collapseKey: string): void
  /** No others may join. */
  close(miss: Miss): void
  over(miss: Miss, outcome: FillOutcome): void
}

/** What a miss is for. */
export interface MissTerms {
  /** The first that waits, or the one that the stale response was served to. */
  readonly lookup: Lookup
  /** What may be revalidated, or served if the upstream fails. */
  readonly stored: StoredAnswer | null
  /** Equal for all lookups that its response may answer. */
  readonly collapseKey: string
  /** Others may join. */
  readonly open: boolean
  /** Nobody waits: a stale response is revalidated. */
  readonly background: boolean
}

/** A miss in progress. */
export class Miss implements FetchHost, LookupHost, Watched {
  readonly #host: MissHost
  readonly open: boolean
  readonly collapseKey: string
  readonly waiting = new Set<Lookup>()
  /** Its place among those in progress, or -1. */
  slot = -1
  /** Whose request the upstream gets. */
  #lookup: Lookup
  #stored: StoredAnswer | null
  #validate: boolean
  #fetch: Fetch | null = null
  #lock: FillLock | null = null
  /** Until the body has been coming for so long that nobody should wait for its end. */
  #streaming: NodeJS.Timeout | undefined
  #over = false
  /** Who gets what can't be shared, where that was found. */
  #marked: string | null = null
  /** How long others wait for its fetch, and then fetch by themselves. */
  readonly #waitMs: number
  /** Milliseconds of `performance.now()` at which its upstream request went. */
  #fetchedMs = Number.POSITIVE_INFINITY
  /** When the first of those who wait has waited long enough. */
  deadlineMs = Number.POSITIVE_INFINITY
  background: boolean

  constructor(host: MissHost, { lookup, stored, collapseKey, open, background }: MissTerms) {
    this.#host = host
    this.#lookup = lookup
    this.#stored = stored
    this.#validate = stored !== null
    this.open = open
    this.collapseKey = collapseKey
    this.#waitMs = lookup.settings.collapseWaitMs
    this.background = background
    if (!background) this.add(lookup)
  }

  /** Begins with the remote store, where there is one worth asking. */
  start(): void {
    if (this.#over) return
    if (this.#host.parts.tiers.remote?.usable) void this.#lookUpRemote()
    else if (!this.#settle(null)) this.fetch()
  }

  /** Then takes the cache lock, so that one process at a time fetches it. */
  async #lookUpRemote(): Promise<void> {
    const { tiers, now } = this.#host.parts
    const found = await tiers.findRemote(this.#lookup, now)
    if (this.#over || this.#serve(found)) return
    if (this.open) await this.#acquireLock()
    else this.fetch()
  }

  async #acquireLock(): Promise<void> {
    const { tiers, counters, now } = this.#host.parts
    const remote = tiers.remote!
    const untilMs = this.#lookup.waitingSinceMs + this.#waitMs
    let waited = false
    do {
      const wait = remote.awaitFill(this.collapseKey, askerOf(this.#lookup))
      // Sent together: once we have the lock, what its last holder stored is seen by the second lookup.
      const [lock, found] = await Promise.all([remote.lock(this.collapseKey), tiers.findRemote(this.#lookup, now)])
      const held = typeof lock === 'object' && 'heldForMs' in lock ? lock : null
      if (typeof lock === 'object' && 'release' in lock) this.#lock = lock
      if (this.#over) {
        wait.cancel()
        this.#lock?.release('failed')
        this.#lock = null
        return
      }
      const nobodyWaits = this.background && this.waiting.size === 0
      if (this.#serve(found) || held === null || nobodyWaits) {
        wait.cancel()
        if (this.#over) return
        if (held !== null) this.over('failed')
        else this.fetch()
        return
      }
      if (!waited) counters.waits++
      waited = true
      // No longer than the lock lasts by itself: its holder may never tell that it is done.
      const outcome = await wait.within(Math.max(Math.min(held.heldForMs, untilMs - performance.now()), 1))
      if (this.#over) return
      if (outcome === 'uncacheable') {
        this.#endUncollapsed()
        return
      }
      // The first byte does not wait for the last.
      if (outcome === 'streaming') break
    } while (performance.now() < untilMs)
    this.fetch()
  }

  /**
   * Answers those who wait with what the remote store has.
   * @returns whether the miss is over
   */
  #serve(found: StoredAnswer | null): boolean {
    if (found === null) return this.#settle(null)
    const nowMs = this.#host.parts.now()
    for (const lookup of [...this.waiting]) {
      const { kind } = evaluate(lookup.asked, found.meta, nowMs)
      if (kind !== 'fresh' && kind !== 'stale' && kind !== 'stale-while-revalidate') continue
      if (!deliverStored(lookup, found, kind === 'fresh' ? HIT : STALE, nowMs)) continue
      this.waiting.delete(lookup)
      this.background ||= kind === 'stale-while-revalidate'
    }
    // It was made for some of those who wait: the others look up their own variant, which is known by now.
    for (const lookup of [...this.waiting]) {
      if (lookup === this.#lookup || isMadeFor(found.content.madeFor, lookup)) continue
      this.waiting.delete(lookup)
      this.#host.joinVariant(lookup, found.content.madeFor.vary, this)
    }
    return this.#settle(found)
  }

  /**
   * Refuses those who take stored responses only, and settles what is left to do.
   * @returns whether that is nothing
   */
  #settle(found: StoredAnswer | null): boolean {
    const nowMs = this.#host.parts.now()
    for (const lookup of [...this.waiting]) {
      const stored = found ?? this.#stored
      const verdict =
        stored === null || !isMadeFor(stored.content.madeFor, lookup)
          ? evaluateNothing(lookup.asked)
          : evaluate(lookup.asked, stored.meta, nowMs)
      if (verdict?.kind !== 'only-if-cached') continue
      this.waiting.delete(lookup)
      lookup.fail('only-if-cached', null)
    }
    const [first] = this.waiting
    if (first === undefined && (!this.background || (found !== null && nowMs < found.meta.freshUntilMs))) {
      this.over('stored')
      return true
    }
    if (first !== undefined) this.#lookup = first
    if (found !== null) {
      const kind = first === undefined ? 'validate' : evaluate(first.asked, found.meta, nowMs).kind
      this.#validate = kind === 'validate'
      this.#stored = kind === 'validate' ? found : this.#stored
    }
    return false
  }

  /** Another process has found that the response can't be shared. */
  #endUncollapsed(): void {
    this.close('unstored')
    const lookups = [...this.waiting]
    this.waiting.clear()
    this.over('uncacheable')
    for (const lookup of lookups) this.#host.fetchAlone(lookup)
  }

  /** The upstream fetch; its response answers those who wait, or revalidates what is stored (fetch.ts). */
  fetch(): void {
    if (this.#over) return
    const stored = this.#stored !== null && isMadeFor(this.#stored.content.madeFor, this.#lookup) ? this.#stored : null
    this.#fetch = new Fetch(this.#host.parts, this, this.#lookup, stored)
    this.#fetchedMs = performance.now()
    this.#fetch.start(this.#validate)
  }

  /** Some have waited long enough for this fetch, or for that of another process: they fetch by themselves. */
  expire(): void {
    const nowMs = performance.now()
    this.deadlineMs = Number.POSITIVE_INFINITY
    for (const lookup of [...this.waiting]) {
      // Its own fetch it waits for as long as the upstream's timeouts allow; the lock no longer than `#acquireLock` does.
      if (lookup === this.#lookup) continue
      const dueMs = lookup.waitingSinceMs + this.#waitMs
      if (dueMs > nowMs) this.deadlineMs = Math.min(this.deadlineMs, dueMs)
      else if (this.waiting.delete(lookup)) this.#host.fetchAlone(lookup)
    }
    if (this.deadlineMs === Number.POSITIVE_INFINITY) unwatch(this)
    this.#endIfUnwanted()
  }

  /** Serves those who wait for its fetch what another one has stored meanwhile. */
  serveStored(): void {
    const { tiers, counters, now } = this.#host.parts
    const nowMs = now()
    for (const lookup of [...this.waiting]) {
      const stored = tiers.find(lookup, nowMs)
      if (stored === null || evaluate(lookup.asked, stored.meta, nowMs).kind !== 'fresh') continue
      if (!deliverRevalidated(lookup, stored, nowMs)) continue
      this.waiting.delete(lookup)
      counters.collapsed++
    }
    this.#endIfUnwanted()
  }

  filling(): void {
    if (this.#lock === null) return
    this.#streaming = setTimeout(() => {
      this.#lock?.release('streaming')
      this.#lock = null
    }, STREAMING_MS)
  }

  filled(): void {
    clearTimeout(this.#streaming)
  }

  over(outcome: FillOutcome): void {
    clearTimeout(this.#streaming)
    // Without a mark it says nothing about the next one.
    const told = outcome === 'uncacheable' && this.#marked === null ? 'failed' : outcome
    this.#lock?.release(told, this.#marked ?? '')
    this.#lock = null
    this.#over = true
    unwatch(this)
    this.#host.over(this, outcome)
  }

  /** Nothing is looked up or stored any more; a response may still be on its way to those who read it. */
  get isOver(): boolean {
    return this.#over
  }

  /** What the response that is being stored is made for; null before its head has come. */
  get madeFor(): MadeFor | null {
    return this.#fetch?.madeFor ?? null
  }

  /** Whether another lookup may join: an upstream that holds the request does not hold all that come after. */
  get isJoinable(): boolean {
    if (this.#fetch === null) return true
    return this.#fetch.current && (this.madeFor !== null || performance.now() - this.#fetchedMs < this.#waitMs)
  }

  /** Another lookup waits for it. */
  add(lookup: Lookup): void {
    if (this.#fetch !== null) {
      lookup.wait(this)
      if (lookup.ended) return
      const answered = this.#fetch.offer(lookup)
      if (answered === false) this.#host.fetchAlone(lookup)
      if (answered !== null) return
    }
    this.waiting.add(lookup)
    lookup.wait(this)
    if (lookup === this.#lookup) return
    if (this.deadlineMs === Number.POSITIVE_INFINITY) watch(this)
    this.deadlineMs = Math.min(this.deadlineMs, lookup.waitingSinceMs + this.#waitMs)
  }

  left(lookup: Lookup): void {
    if (!this.waiting.delete(lookup)) this.#fetch?.left(lookup)
    this.#endIfUnwanted()
  }

  #endIfUnwanted(): void {
    if (this.background || this.waiting.size > 0 || this.#fetch?.wanted) return
    this.#fetch?.abort()
    if (!this.#over) this.over('failed')
  }

  sendOn(made: MadeFor | null): void {
    for (const lookup of [...this.waiting]) {
      this.waiting.delete(lookup)
      if (made === null || isMadeFor(made, lookup)) this.#host.fetchAlone(lookup)
      else this.#host.joinVariant(lookup, made.vary, this)
    }
  }

  close(unshareable: Unshareable | null): void {
    this.#host.close(this)
    if (unshareable === null) return
    this.#marked = askerOf(this.#lookup)
    this.#host.mark(this.#lookup, this.collapseKey, unshareable)
  }

  shareable(): void {
    this.#host.unmark(this.#lookup, this.collapseKey)
  }
}
