/**
 * What an unsafe request does to the cache: it makes stored answers untrue (RFC 9111 section 4.4), and the answer to a POST
 * may serve later GETs (RFC 9110 section 9.3.3).
 */
import { randomUUID } from 'node:crypto'
import { invalidatedUrls } from '../../rules/caching/invalidation.ts'
import { hasAliasOf, passedFields } from '../../rules/caching/sent.ts'
import { mayStore, storedFields } from '../../rules/caching/storing.ts'
import type { Table } from '../../rules/table/table.ts'
import { madeFor } from '../../state/caching/content.ts'
import type { CacheCounters } from '../../state/caching/figures.ts'
import type { Position } from '../../state/caching/log-order.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { CacheTiers } from '../../state/caching/tiers.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import type { Exchange } from '../exchange.ts'
import type { Recorder } from '../recorder.ts'
import { GrowingBody } from './body.ts'
import { type Lookup, requestOf } from './lookup.ts'
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
  /** What was known when the request went: what has become untrue since must not be stored. */
  readonly #position: Position
  readonly #checked: number
  /** When all processes can know what the answer has made untrue. */
  #told: Promise<unknown> = Promise.resolve()
  #storing: Storing | null = null
  #body = new GrowingBody(0)

  /** @param lookupOf the GET that the answer to a POST may be stored for, or null; asked when the answer is there */
  constructor(parts: EffectParts, exchange: Exchange, lookupOf: () => Lookup | null) {
    this.#parts = parts
    this.#exchange = exchange
    this.#lookupOf = lookupOf
    this.#requestMs = parts.now()
    this.#position = parts.tiers.purges.position
    this.#checked = parts.tiers.purges.count
  }

  head(head: ResponseHead, fields: readonly string[]): void {
    // Which side it is that answers is known only now.
    this.#lookup = this.#lookupOf()
    const untrue = this.#lookup !== null && this.#parts.tiers.purges.touches(this.#lookup, this.#checked)
    this.#invalidate(head.status, fields)
    if (this.#lookup !== null && !untrue) this.#consider(this.#lookup, head, fields)
  }

  body(piece: Buffer): void {
    if (this.#storing === null) return
    const { maxBodyBytes } = (this.#lookup as Lookup).settings
    if (this.#body.length + piece.length > maxBodyBytes) this.abandon()
    else this.#body.append(piece, false)
  }

  end(): void {
    if (this.#storing === null) return
    const stored = completed(this.#storing, this.#body.whole())
    this.#parts.counters.stored++
    this.#keep(this.#lookup as Lookup, stored)
  }

  /** Here at once; for others behind what the same answer has made untrue. */
  #keep(lookup: Lookup, answer: StoredAnswer): void {
    const { tiers, now } = this.#parts
    const variants = tiers.keepHere(lookup, answer)
    if (tiers.remote === null) return
    void this.#told.then(() => {
      if (tiers.purges.touches(lookup, answer.checked)) return
      void tiers.keepThere(lookup, { ...answer, position: tiers.purges.position }, { variants, told: false }, now())
    })
  }

  abandon(): void {
    this.#storing = null
    this.#body.clear()
  }

  /** By URI, over all routes (RFC 9111 section 4.4). */
  #invalidate(status: number, rawHeaders: readonly string[]): void {
    const { tiers, counters, now } = this.#parts
    const urls = invalidatedUrls(requestOf(this.#exchange), { status, rawHeaders })
    counters.invalidations += urls.length
    const told = urls.map((url) =>
      tiers.invalidate({ id: randomUUID(), target: { what: 'url', url }, soft: false, atMs: now() }),
    )
    this.#told = Promise.all(told)
  }

  #consider(lookup: Lookup, head: ResponseHead, fields: readonly string[]): void {
    const { now, tiers } = this.#parts
    const { status, reason, contentLength } = head
    const answer = { status, rawHeaders: fields, requestMs: this.#requestMs, responseMs: now() }
    const verdict = mayStore(lookup.request(), answer, lookup.settings)
    const { route } = this.#exchange.matched
    const isRewritten = (route?.rewrite ?? null) !== null || lookup.cachingRoute.rewrite !== null
    // What a GET would send differs.
    if (isRewritten && route !== lookup.cachingRoute) return
    if (lookup.target !== this.#exchange.view.target || verdict.kind === 'skip') return
    const sent = passedFields(lookup.fields, this.#exchange.matched.route?.cache ?? lookup.settings, [])
    if (hasAliasOf(sent, verdict.meta.vary)) return
    if (contentLength > lookup.settings.maxBodyBytes) return
    const rawHeaders = storedFields(answer, verdict.leaveOut)
    this.#storing = {
      kind: 'answer',
      madeFor: madeFor(lookup, verdict.meta.vary),
      meta: verdict.meta,
      reason,
      rawHeaders,
      position: this.#position,
      // Its own is not one that has come since.
      checked: tiers.purges.count,
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
