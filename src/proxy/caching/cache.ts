/**
 * Step 4: lookup in memory. A hit is answered at once, a stale hit while it is revalidated in the background; everything else is
 * a miss, which goes through request collapsing (collapsing.ts). What may be stored and served is decided in rules/caching.
 */

import { isSafeMethod } from '../../rules/caching/invalidation.ts'
import { isLookedUp } from '../../rules/caching/key.ts'
import { evaluate, evaluateNothing, type Verdict } from '../../rules/caching/policy.ts'
import { cacheStatus, type ForwardReason } from '../../rules/caching/status.ts'
import { hasBody } from '../../rules/http/headers.ts'
import { matchRoute } from '../../rules/routing/match.ts'
import { isTarget } from '../../rules/routing/targets.ts'
import type { Route } from '../../rules/table/table.ts'
import { type CacheCounters, newCounters } from '../../state/caching/figures.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { CacheTiers } from '../../state/caching/tiers.ts'
import type { Upstreams } from '../../state/upstreams/upstreams.ts'
import type { Exchange } from '../exchange.ts'
import type { Recorder } from '../recorder.ts'
import { Collapsing } from './collapsing.ts'
import { deliverStored, HIT, STALE } from './deliver.ts'
import { caches, Effects } from './effects.ts'
import { Lookup, type LookupParts } from './lookup.ts'

/** What the cache needs of the process. */
export interface CacheParts extends LookupParts {
  readonly tiers: CacheTiers
  readonly upstreams: Upstreams
}

/**
 * What the cache does for an exchange.
 *
 * - `taken`: the cache answers it, at once or later, and tells when it is over
 * - `pass`: the cache has nothing to do with it, but for what `recorder` hears
 */
export type CacheStep = 'taken' | 'pass'

/** The cache of a data plane. */
export class ResponseCache {
  readonly #parts: CacheParts
  readonly #collapsing: Collapsing
  readonly counters: CacheCounters = newCounters()

  constructor(parts: CacheParts) {
    this.#parts = parts
    this.#collapsing = new Collapsing({
      tiers: parts.tiers,
      upstreams: parts.upstreams,
      counters: this.counters,
      held: parts.held,
      now: Date.now,
      fallBack: (lookup) => this.#fallBack(lookup),
    })
  }

  /** Answers an exchange from memory, where that may be, or takes it over to find its answer. */
  answer(exchange: Exchange): CacheStep {
    const { route } = exchange.matched
    if (route === null || route.cache === null || exchange.request.upgrade !== null) return 'pass'
    // What has two readings has two answers, for all one knows.
    if (exchange.matched.ambiguous) return this.#pass(exchange, 'bypass')
    if (!isLookedUp(exchange.view.method)) return this.#pass(exchange, 'method')
    // Who is logged in on a connection is in no field of a request, so that nothing stored can be for them, or of them.
    if (hasBody(exchange.said) || exchange.decision.reason === 'forced' || exchange.privately !== null)
      return this.#pass(exchange, 'bypass')
    return this.#answer(new Lookup(this.#parts, exchange, route))
  }

  /** What hears the answer to an exchange that passes the cache by, or null where nothing follows from it. */
  recorder(exchange: Exchange): Recorder | null {
    const { view, revision, matched, decision } = exchange
    if (isSafeMethod(view.method) || !caches(revision.table)) return null
    const parts = { tiers: this.#parts.tiers, counters: this.counters, now: Date.now }
    const passes = decision.reason === 'forced' || exchange.privately !== null
    if (view.method !== 'POST' || matched.route?.cache == null || matched.ambiguous || passes) {
      return new Effects(parts, exchange, () => null)
    }
    const { route } = matchRoute(revision.table, { ...view, method: 'GET' })
    if (route === null || route.cache === null) return new Effects(parts, exchange, () => null)
    const lookupOf = () =>
      isOfRoute(route, exchange.decision.upstream) ? new Lookup(this.#parts, exchange, route) : null
    return new Effects(parts, exchange, lookupOf)
  }

  #answer(lookup: Lookup): 'taken' {
    const { exchange, asked } = lookup
    const nowMs = Date.now()
    const stored = this.#parts.tiers.find(lookup, nowMs)
    const verdict = stored === null ? evaluateNothing(asked) : evaluate(asked, stored.meta, nowMs)
    switch (verdict?.kind) {
      case 'fresh':
        deliverStored(lookup, stored as StoredAnswer, HIT, nowMs)
        return 'taken'
      case 'stale':
        deliverStored(lookup, stored as StoredAnswer, STALE, nowMs)
        return 'taken'
      case 'stale-while-revalidate':
        deliverStored(lookup, stored as StoredAnswer, STALE, nowMs)
        this.#collapsing.revalidateInBackground(lookup, stored as StoredAnswer)
        return 'taken'
    }
    exchange.cache = 'miss'
    lookup.forwardReason = this.#reasonOf(lookup, stored, verdict)
    this.#collapsing.join(lookup, stored, verdict)
    return 'taken'
  }

  #reasonOf(lookup: Lookup, stored: StoredAnswer | null, verdict: Verdict | null): ForwardReason {
    if (stored === null) return this.#parts.tiers.knows(lookup.key) ? 'vary-miss' : 'uri-miss'
    return verdict?.why === 'expired' || verdict?.why === 'no-cache' ? 'stale' : 'request'
  }

  #pass(exchange: Exchange, reason: ForwardReason): 'pass' {
    exchange.cache = 'bypass'
    if (this.#parts.exposeStatus || exchange.decision.reason === 'forced') {
      exchange.cacheStatus = cacheStatus({ kind: 'forward', reason })
    }
    return 'pass'
  }

  /** Looks up again, for the fallback: that side may have a stored response of its own, or a miss in progress. */
  #fallBack(lookup: Lookup): void {
    const { exchange, cachingRoute, asked } = lookup
    lookup.release()
    exchange.decision = { ...exchange.decision, upstream: cachingRoute.from, reason: 'fallback' }
    this.#answer(new Lookup(this.#parts, exchange, cachingRoute, asked))
  }
}

function isOfRoute(route: Route, upstream: string): boolean {
  return upstream === route.from || isTarget(route, upstream)
}
