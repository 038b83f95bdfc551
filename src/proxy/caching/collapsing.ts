/**
 * Request collapsing: concurrent misses for one variant share one upstream request, unless its response can't be shared.
 */
import { evaluate, type Verdict } from '../../rules/caching/policy.ts'
import { isMadeFor } from '../../state/caching/content.ts'
import type { FillOutcome } from '../../state/caching/remote.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import { askerOf, HitForMiss, type Unshareable } from './hit-for-miss.ts'
import type { Lookup } from './lookup.ts'
import { Miss, type MissHost, type MissTerms } from './miss.ts'
import { PendingMisses } from './pending-misses.ts'
import type { FetchParts } from './response.ts'

/** All misses in progress. */
export class Collapsing implements MissHost {
  readonly parts: FetchParts
  readonly #pending = new PendingMisses()
  readonly #hitForMiss: HitForMiss

  constructor(parts: FetchParts) {
    this.parts = parts
    this.#hitForMiss = new HitForMiss(parts.now)
  }

  /** Misses in progress. */
  get size(): number {
    return this.#pending.size
  }

  /**
   * Finds or fetches the answer to a lookup that memory has none for.
   * @param stored what memory has, and what it may do
   */
  join(lookup: Lookup, stored: StoredAnswer | null, verdict: Verdict | null): void {
    const validated = verdict?.kind === 'validate' ? stored : null
    const collapseKey = this.#collapseKeyOf(lookup)
    if (isCollapsible(lookup)) this.#collapse(lookup, collapseKey, validated)
    else this.#start({ lookup, stored: validated, collapseKey, open: false, background: false })
  }

  /** @param again it comes from a miss that brings another variant */
  #collapse(lookup: Lookup, collapseKey: string, validated: StoredAnswer | null, again = false): void {
    const pending = this.#pending.find(collapseKey)
    if (pending?.isJoinable) {
      const { madeFor } = pending
      if (madeFor === null || isMadeFor(madeFor, lookup)) pending.add(lookup)
      else if (again) this.fetchAlone(lookup)
      else this.joinVariant(lookup, madeFor.vary, pending)
      return
    }
    const unshareable = this.#hitForMiss.isEmpty ? null : this.#hitForMiss.find(markOf(lookup, collapseKey))
    if (unshareable !== null) this.parts.counters.hitForMiss++
    // What memory has evicted, or never had, may lie in the remote store, and only needs validation.
    if (unshareable === 'unstored' || (unshareable === 'revalidated' && validated !== null)) this.fetchAlone(lookup)
    else this.#start({ lookup, stored: validated, collapseKey, open: unshareable === null, background: false })
  }

  /** Revalidates a stale response that a client has just been served, unless that is in progress already. */
  revalidateInBackground(lookup: Lookup, stored: StoredAnswer): void {
    const collapseKey = this.#collapseKeyOf(lookup)
    if (this.#pending.find(collapseKey) !== null || this.parts.now() < stored.refreshAfterMs) return
    this.parts.counters.refreshes++
    this.#start({ lookup, stored, collapseKey, open: true, background: true })
  }

  fetchAlone(lookup: Lookup): void {
    const nowMs = this.parts.now()
    const found = this.parts.tiers.find(lookup, nowMs)
    const stored = found !== null && evaluate(lookup.asked, found.meta, nowMs).kind === 'validate' ? found : null
    const collapseKey = this.#collapseKeyOf(lookup)
    const miss = new Miss(this, { lookup, stored, collapseKey, open: false, background: false })
    if (miss.isOver) return
    this.#pending.add(miss, false)
    miss.fetch()
  }

  joinVariant(lookup: Lookup, vary: readonly string[], miss: Miss): void {
    const collapseKey = variantKeyOf(lookup, vary)
    // With the same collapse key it would join this miss again.
    if (collapseKey === miss.collapseKey || !isCollapsible(lookup)) this.fetchAlone(lookup)
    else this.#collapse(lookup, collapseKey, null, true)
  }

  mark(lookup: Lookup, collapseKey: string, why: Unshareable): void {
    this.#hitForMiss.mark(markOf(lookup, collapseKey), why)
  }

  unmark(lookup: Lookup, collapseKey: string): void {
    if (!this.#hitForMiss.isEmpty) this.#hitForMiss.unmark(markOf(lookup, collapseKey))
  }

  close(miss: Miss): void {
    this.#pending.close(miss)
  }

  over(miss: Miss, outcome: FillOutcome): void {
    this.#pending.remove(miss)
    // Others may still wait for a response that this one has overtaken.
    if (outcome === 'stored') this.#pending.find(miss.collapseKey)?.serveStored()
  }

  #start(terms: MissTerms): void {
    const miss = new Miss(this, terms)
    // Its client may have gone already.
    if (miss.isOver) return
    this.#pending.add(miss, terms.open)
    miss.start()
  }

  #collapseKeyOf(lookup: Lookup): string {
    const entry = this.parts.tiers.memory.get(lookup.key)
    return variantKeyOf(lookup, entry?.kind === 'variants' ? entry.vary : [])
  }
}

/**
 * Equal for lookups that one response may answer: cache key, what the route's rules take from the fields, and the variant,
 * as far as it is known. Requests with Authorization are collapsed with each other only: what is made for one may well be
 * for nobody else.
 */
function variantKeyOf(lookup: Lookup, vary: readonly string[]): string {
  const { key, print, parts, upstream, exchange, asked } = lookup
  const variant = vary.length === 0 ? '' : `\n${lookup.selecting(vary)}`
  // Sides that share their answers fail each on its own.
  const side = upstream === '' ? `\ns:${exchange.decision.upstream}` : ''
  return `${key}\n${print}${side}${parts}${variant}${asked.authorization ? '\na' : ''}`
}

function markOf(lookup: Lookup, collapseKey: string): string {
  return `${collapseKey}\nf:${askerOf(lookup)}`
}

/** Whether a lookup may wait for another one's response, and others for its own. */
function isCollapsible(lookup: Lookup): boolean {
  const { asked, settings } = lookup
  if (settings.collapseWaitMs === 0) return false
  if (lookup.isHead || asked.originPrecondition) return false
  const { directives } = asked
  return directives === null || !(directives.noCache || directives.noStore || directives.onlyIfCached)
}
