/**
 * What an unsafe request does to the cache: it makes stored answers untrue (RFC 9111 section 4.4), and the answer to a POST
 * may serve later GETs (RFC 9110 section 9.3.3).
 */
import { invalidatedTargets } from '../../rules/caching/invalidation.ts'
import { cacheKey, sentTarget } from '../../rules/caching/key.ts'
import { hasAliasOf, passedFields } from '../../rules/caching/sent.ts'
import { mayStore, storedFields } from '../../rules/caching/storing.ts'
import { matchRoute } from '../../rules/routing/match.ts'
import type { Table } from '../../rules/table/table.ts'
import { madeFor } from '../../state/caching/content.ts'
import type { CacheCounters } from '../../state/caching/figures.ts'
import type { CacheTiers } from '../../state/caching/tiers.ts'
import type { ResponseHead } from '../../wire/http1.ts'
import type { Exchange } from '../exchange.ts'
import type { Recorder } from '../upstream/forward.ts'
import { type Lookup, prefixOf, requestOf } from './lookup.ts'
import { completed, type Storing } from './store.ts'

/** What effects need of the process. */
export interface EffectParts {
  readonly tiers: CacheTiers
  readonly counters: CacheCounters
  now(): number
}

/** Hears the answer to an unsafe request. */
export class Effects implements Recorder {
  readonly #parts: EffectParts
  readonly #exchange: Exchange
  readonly #lookupOf: () => Lookup | null
  #lookup: Lookup | null = null
  readonly #requestMs: number
  #storing: Storing | null = null
  #pieces: Buffer[] = []
  #bytes = 0

  /** @param lookupOf the GET that the answer to a POST may be stored for, or null; asked when the answer is there */
  constructor(parts: EffectParts, exchange: Exchange, lookupOf: () => Lookup | null) {
    this.#parts = parts
    this.#exchange = exchange
    this.#lookupOf = lookupOf
    this.#requestMs = parts.now()
  }

  head(head: ResponseHead, fields: readonly string[]): void {
    this.#invalidate(head.status, fields)
    // Which side it is that answers is known only now.
    this.#lookup = this.#lookupOf()
    if (this.#lookup !== null) this.#consider(this.#lookup, head, fields)
  }

  body(piece: Buffer): void {
    if (this.#storing === null) return
    this.#bytes += piece.length
    // A piece is a window of a much larger read buffer, which must not live as long as the entry.
    if (this.#bytes <= (this.#lookup as Lookup).settings.maxBodyBytes) this.#pieces.push(Buffer.from(piece))
    else this.abandon()
  }

  end(): void {
    if (this.#storing === null) return
    const stored = completed(this.#storing, Buffer.concat(this.#pieces, this.#bytes))
    this.#parts.counters.stored++
    void this.#parts.tiers.keep(this.#lookup as Lookup, stored, this.#parts.now())
  }

  abandon(): void {
    this.#storing = null
    this.#pieces = []
    this.#bytes = 0
  }

  #invalidate(status: number, rawHeaders: readonly string[]): void {
    const { tiers, counters } = this.#parts
    const { view, revision } = this.#exchange
    const request = requestOf(this.#exchange)
    for (const target of invalidatedTargets(request, { status, rawHeaders })) {
      // The answers to a GET lie under the route that claims a GET, which need not be the one of this method.
      const { route } = matchRoute(revision.table, { ...view, method: 'GET', target })
      if (route === null || route.cache === null) continue
      const upstreams = route.cache.shareAcrossUpstreams ? [''] : new Set([route.from, route.to])
      for (const upstream of upstreams) {
        counters.invalidations++
        const { key } = route.cache
        tiers.forget(cacheKey(prefixOf(route, upstream), { ...request, target: sentTarget(target, key) }, key))
      }
    }
  }

  #consider(lookup: Lookup, head: ResponseHead, fields: readonly string[]): void {
    const { now, tiers } = this.#parts
    const { status, reason, contentLength } = head
    const answer = { status, rawHeaders: fields, requestMs: this.#requestMs, responseMs: now() }
    const verdict = mayStore(lookup.request(), answer, lookup.settings)
    // What a GET would send differs.
    if (lookup.target !== this.#exchange.view.target || verdict.kind === 'skip') return
    const sent = passedFields(lookup.fields, this.#exchange.matched.route?.cache ?? lookup.settings, [])
    if (hasAliasOf(sent, verdict.meta.vary)) return
    if (contentLength > lookup.settings.maxBodyBytes) return
    const { generation, count: checked } = tiers.purges
    const rawHeaders = storedFields(answer, verdict.leaveOut)
    this.#storing = {
      kind: 'answer',
      madeFor: madeFor(lookup, verdict.meta.vary),
      meta: verdict.meta,
      reason,
      rawHeaders,
      generation,
      checked,
      refreshAfterMs: 0,
      written: null,
    }
  }
}

/** Whether some route of a table caches; known once per table. */
export function caches(table: Table): boolean {
  let known = CACHING.get(table)
  if (known === undefined) {
    known = table.routes.some((route) => route.cache !== null)
    CACHING.set(table, known)
  }
  return known
}

const CACHING = new WeakMap<Table, boolean>()
