/**
 * Step 4: look up, and copy answers while they pass. What may be stored and served is decided in rules/cache-*.
 */
import { type CacheFields, readCacheFields } from '../rules/cache-fields.ts'
import { ageOf } from '../rules/cache-freshness.ts'
import { invalidatedTargets, isSafeMethod } from '../rules/cache-invalidation.ts'
import { cacheKey, isLookedUp, keyPrefix } from '../rules/cache-key.ts'
import type { CachePolicySettings, CacheRequest } from '../rules/cache-meta.ts'
import { DEFAULT_CACHE_POLICY } from '../rules/cache-meta.ts'
import { evaluate, evaluateNothing } from '../rules/cache-policy.ts'
import { mayStore, storedFields } from '../rules/cache-storing.ts'
import { answerConditional, notModifiedFields } from '../rules/cache-validation.ts'
import { varyKey } from '../rules/cache-vary.ts'
import { matchRoute } from '../rules/match.ts'
import type { CacheSettings, Table } from '../rules/table.ts'
import type { CacheStore, StoredAnswer } from '../state/cache-store.ts'
import type { ResponseHead } from '../wire/http1.ts'
import type { Exchange } from './exchange.ts'

/** Takes a copy of an answer as it passes. */
export interface Recorder {
  head(head: ResponseHead): void
  body(piece: Buffer): void
  end(): void
  /** The answer broke off or was replaced: nothing of it is stored. */
  abandon(): void
}

/** The cache of a data plane. Memory only, fresh answers only: what is stale is fetched anew. */
export class ResponseCache {
  readonly #store: CacheStore

  constructor(store: CacheStore) {
    this.#store = store
  }

  /**
   * Answers an exchange from the store, where that may be.
   * @returns false where the upstream is to be asked
   */
  answer(exchange: Exchange): boolean {
    const cache = exchange.matched.route?.cache ?? null
    if (cache === null || exchange.upgrade !== null) return false
    if (!isLookedUp(exchange.view.method) || hasBody(exchange)) {
      exchange.cache = 'bypass'
      return false
    }
    exchange.cache = 'miss'
    const nowMs = Date.now()
    const asked = readCacheFields(exchange.view.rawHeaders)
    const stored = this.#find(keyOf(exchange, cache), exchange)
    const verdict = stored === null ? evaluateNothing(asked) : evaluate(asked, stored.meta, nowMs)
    if (verdict?.kind === 'only-if-cached') {
      exchange.failure = 'only-if-cached'
      exchange.answer.problem('only-if-cached', exchange.id)
      return true
    }
    if (stored === null || (verdict?.kind !== 'fresh' && verdict?.kind !== 'stale')) return false
    // A part of a stored answer is the origin's to cut out, for now.
    if (asked.range !== null && exchange.view.method === 'GET') return false
    exchange.cache = verdict.kind === 'fresh' ? 'hit' : 'stale'
    reuse(exchange, stored, asked, nowMs)
    return true
  }

  /** What takes a copy of the exchange's answer, or null where nothing is to be copied. */
  recorder(exchange: Exchange): Recorder | null {
    if (!isSafeMethod(exchange.view.method)) {
      return caches(exchange.revision.table) ? new Invalidation(this.#store, exchange) : null
    }
    const cache = exchange.matched.route?.cache ?? null
    if (cache === null || exchange.upgrade !== null) return null
    if (exchange.view.method !== 'GET' || hasBody(exchange)) return null
    return new Copy(this.#store, exchange, cache)
  }

  #find(key: string, exchange: Exchange): StoredAnswer | null {
    const found = this.#store.get(key)
    if (found === undefined) return null
    if (!('vary' in found)) return found
    const variant = this.#store.get(variantKey(key, exchange, found.vary))
    return variant === undefined || 'vary' in variant ? null : variant
  }
}

/** Stores what passes, once it is complete. */
class Copy implements Recorder {
  readonly #store: CacheStore
  readonly #exchange: Exchange
  readonly #cache: CacheSettings
  readonly #requestMs = Date.now()
  #pieces: Buffer[] | null = null
  #bytes = 0
  #answer: Omit<StoredAnswer, 'body'> | null = null

  constructor(store: CacheStore, exchange: Exchange, cache: CacheSettings) {
    this.#store = store
    this.#exchange = exchange
    this.#cache = cache
  }

  head(head: ResponseHead): void {
    const { status, rawHeaders, reason, contentLength } = head
    const answer = { status, rawHeaders, requestMs: this.#requestMs, responseMs: Date.now() }
    const verdict = mayStore(requestOf(this.#exchange), answer, policyOf(this.#cache))
    if (verdict.kind === 'skip' || contentLength > this.#cache.maxBodyBytes) return
    this.#answer = { meta: verdict.meta, reason, rawHeaders: storedFields(answer, verdict.leaveOut) }
    this.#pieces = []
  }

  body(piece: Buffer): void {
    if (this.#pieces === null) return
    this.#bytes += piece.length
    if (this.#bytes > this.#cache.maxBodyBytes) this.abandon()
    // A piece is a window of a much larger read buffer, which must not live as long as the entry.
    else this.#pieces.push(Buffer.from(piece))
  }

  end(): void {
    if (this.#answer === null || this.#pieces === null) return
    const stored = { ...this.#answer, body: Buffer.concat(this.#pieces, this.#bytes) }
    const key = keyOf(this.#exchange, this.#cache)
    const { vary } = stored.meta
    if (vary.length === 0) this.#store.set(key, stored)
    else {
      this.#store.set(key, { vary })
      this.#store.set(variantKey(key, this.#exchange, vary), stored)
    }
  }

  abandon(): void {
    this.#pieces = null
    this.#answer = null
  }
}

/** A successful unsafe request makes stored answers untrue (RFC 9111 section 4.4), whichever side gave them. */
class Invalidation implements Recorder {
  readonly #store: CacheStore
  readonly #exchange: Exchange

  constructor(store: CacheStore, exchange: Exchange) {
    this.#store = store
    this.#exchange = exchange
  }

  head(head: ResponseHead): void {
    const { view, revision } = this.#exchange
    const request = requestOf(this.#exchange)
    for (const target of invalidatedTargets(request, head)) {
      // The answers to a GET lie under the route that claims a GET, which need not be the one of this method.
      const { route } = matchRoute(revision.table, { ...view, method: 'GET', target })
      if (route === null || route.cache === null) continue
      for (const upstream of new Set([route.from, route.to])) {
        this.#store.delete(cacheKey(prefixOf(route.id, upstream, route.cache), { ...request, target }, null))
      }
    }
  }

  body(): void {}
  end(): void {}
  abandon(): void {}
}

/** Whether some route of a table caches; known once per table. */
function caches(table: Table): boolean {
  let known = CACHING.get(table)
  if (known === undefined) {
    known = table.routes.some((route) => route.cache !== null)
    CACHING.set(table, known)
  }
  return known
}

const CACHING = new WeakMap<Table, boolean>()

function reuse(exchange: Exchange, stored: StoredAnswer, asked: CacheFields, nowMs: number): void {
  const { answer, view } = exchange
  const age = ['Age', String(ageOf(stored.meta, nowMs)), 'Via', '1.1 banyan']
  if (answerConditional(asked, stored.meta, nowMs) === 'not-modified') {
    answer.begin(304, 'Not Modified', [...notModifiedFields(stored), ...age])
  } else {
    answer.begin(stored.meta.status, stored.reason, withLength(stored, age))
    if (view.method !== 'HEAD' && stored.body.length > 0) answer.body(stored.body)
  }
  answer.end([])
}

/** A body that came chunked is whole now: its length is known, and a HEAD may be told it. */
function withLength(stored: StoredAnswer, more: readonly string[]): string[] {
  const fields = [...stored.rawHeaders, ...more]
  const { status } = stored.meta
  if (status === 204 || fields.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-length')) return fields
  fields.push('Content-Length', String(stored.body.length))
  return fields
}

function hasBody({ said }: Exchange): boolean {
  return said.transferEncoding !== null || (said.contentLength !== null && said.contentLength !== '0')
}

function requestOf({ view, peer }: Exchange): CacheRequest {
  const { method, host, target, rawHeaders } = view
  return { method, scheme: peer.tls ? 'https' : 'http', host, target, rawHeaders }
}

function keyOf(exchange: Exchange, cache: CacheSettings): string {
  const { routeId, upstream } = exchange.decision
  return cacheKey(prefixOf(routeId ?? '', upstream, cache), requestOf(exchange), null)
}

/** The upstream is part of every key: the two sides of a split never answer for each other. */
function prefixOf(route: string, upstream: string, cache: CacheSettings): string {
  return keyPrefix({ upstream: cache.shareAcrossUpstreams ? '' : upstream, generation: 0, route })
}

function variantKey(key: string, exchange: Exchange, vary: readonly string[]): string {
  return `${key}\nv:${varyKey(exchange.view.rawHeaders, vary)}`
}

function policyOf(cache: CacheSettings): CachePolicySettings {
  return { ...DEFAULT_CACHE_POLICY, ttlMs: cache.ttlMs }
}
