/**
 * The lookup of one client request: its key and variant, what it asks of the cache, and how it ends.
 */
import { type CacheFields, readCacheFields } from '../../rules/caching/fields.ts'
import { formParts } from '../../rules/caching/form.ts'
import { cacheKey, keyedTarget, keyParts, keyPrefix, sentTarget, targetPart } from '../../rules/caching/key.ts'
import type { CacheRequest } from '../../rules/caching/meta.ts'
import { cacheStatus, type ForwardReason, type Handling, type StatusDetails } from '../../rules/caching/status.ts'
import { varyKey } from '../../rules/caching/vary.ts'
import type { FailureCode } from '../../rules/failures/failure.ts'
import type { Side } from '../../rules/http/exchange.ts'
import { schemeOf, unnamedFields } from '../../rules/http/headers.ts'
import { answeringSide } from '../../rules/routing/decide.ts'
import { rewrites } from '../../rules/sending/sent.ts'
import type { CacheSettings, Route } from '../../rules/table/table.ts'
import { fingerprintOf } from '../../state/caching/fingerprint.ts'
import type { Place } from '../../state/caching/tiers.ts'
import type { Upstreams } from '../../state/upstreams/upstreams.ts'
import type { RequestOwner } from '../client/request.ts'
import type { Exchange } from '../exchange.ts'
import { sentValuesOf } from '../upstream/heads.ts'
import type { HeldBodies } from './held-bodies.ts'

/** What a lookup waits for: told when its client leaves. */
export interface LookupHost {
  left(lookup: Lookup): void
}

/** What the lookups of one process share. */
export interface LookupParts {
  readonly upstreams: Upstreams
  /** Clients are told in Cache-Status what the cache did. */
  readonly exposeStatus: boolean
  /** And under which key. */
  readonly exposeKey: boolean
  /** Step 7, once for each exchange. */
  over(exchange: Exchange): void
  readonly held: HeldBodies
}

/** A GET or HEAD of a route that caches. */
export class Lookup implements Place, RequestOwner {
  readonly #parts: LookupParts
  readonly exchange: Exchange
  readonly cachingRoute: Route
  readonly settings: CacheSettings
  readonly asked: CacheFields
  readonly upstream: string
  /** Of the route, as was decided for it. */
  readonly side: Side | null
  readonly key: string
  readonly print: string
  readonly parts: string
  /** The target that the upstream gets, but for what the route rewrites. */
  readonly target: string
  /** Of the request, less those that Connection names. */
  readonly fields: readonly string[]
  #vary: readonly string[] | null = null
  #selected = ''
  readonly limitsTime = false
  /** Why the upstream is asked, where it is (RFC 9211 section 2.2). */
  forwardReason: ForwardReason = 'uri-miss'
  /** What it waits for, or null. */
  host: LookupHost | null = null
  /** Milliseconds of `performance.now()` at which it began to wait for an upstream response. */
  waitingSinceMs = 0
  #ended = false

  /**
   * @param route that claimed the exchange, and caches
   * @param asked of its fields, where they have been read before
   */
  constructor(parts: LookupParts, exchange: Exchange, route: Route, asked?: CacheFields) {
    this.#parts = parts
    this.exchange = exchange
    this.cachingRoute = route
    this.settings = route.cache as CacheSettings
    const { view, said, decision, revision } = exchange
    this.fields = said.connection === null ? view.rawHeaders : unnamedFields(view.rawHeaders, said)
    this.asked = asked ?? readCacheFields(this.fields)
    // Who is known by a certificate is known as by Authorization (RFC 9111 section 3.5).
    if (exchange.clientField !== null && exchange.peer.subject !== null)
      this.asked = { ...this.asked, authorization: true }
    this.side = answeringSide(decision, route)
    this.upstream = this.settings.shareAcrossUpstreams ? '' : decision.upstream
    this.print = fingerprintOf(revision.table, route, this.upstream)
    const { key } = this.settings
    this.target = sentTarget(view.target, key)
    const request = requestOf(exchange)
    this.key = cacheKey(
      prefixOf(route, this.upstream),
      key === null ? request : { ...request, target: this.target },
      key,
    )
    const values = (name: string) => this.values(name)
    const host = { host: said.host, lower: view.host, trusted: exchange.peer.trusted }
    const rewritten = rewrites(route, this.side)
      ? targetPart(route.rewrite, keyedTarget(this.target, key), exchange)
      : ''
    this.parts = rewritten + formParts(host, values) + (key === null ? '' : keyParts(values, key))
  }

  /** The values of a field as the upstream gets them; `name` is in lower case. */
  values(name: string): readonly string[] {
    const { exchange, fields, side } = this
    const upstream = this.#parts.upstreams.get(exchange.decision.upstream)
    return sentValuesOf(exchange, fields, { upstream, side }, name)
  }

  selecting(vary: readonly string[]): string {
    if (vary === this.#vary) return this.#selected
    this.#selected = varyKey((name) => this.values(name), vary)
    this.#vary = vary
    return this.#selected
  }

  get route(): string {
    return this.cachingRoute.id
  }

  get url(): string {
    return this.key.slice(prefixOf(this.cachingRoute, this.upstream).length)
  }

  get held(): HeldBodies {
    return this.#parts.held
  }

  get isHead(): boolean {
    return this.exchange.view.method === 'HEAD'
  }

  /** The client asks for a 304 where that is enough. */
  get hasConditions(): boolean {
    return this.asked.ifNoneMatch !== null || this.asked.ifModifiedSince !== null
  }

  /** Its client has gone, or it has been answered. */
  get ended(): boolean {
    return this.#ended
  }

  request(): CacheRequest {
    return { ...requestOf(this.exchange), rawHeaders: this.fields }
  }

  /** The fields of Cache-Status where they are shown. */
  statusFields(handling: Handling, details: StatusDetails): string[] {
    if (!this.#parts.exposeStatus) return NO_FIELDS
    const shown = this.#parts.exposeKey ? { ...details, key: this.key.replaceAll('\n', ' ') } : details
    return ['Cache-Status', cacheStatus(handling, shown)]
  }

  /** Waits for `host`, which is told if the client leaves. */
  wait(host: LookupHost): void {
    const { request } = this.exchange
    const first = this.host === null
    this.host = host
    if (!first) return
    this.waitingSinceMs = performance.now()
    request.owner = this
    if (request.gone) this.onGone(false)
  }

  onGone(stalled: boolean): void {
    if (this.#ended) return
    const { host, exchange } = this
    exchange.failure = stalled ? 'client-stalled' : 'client-gone'
    if (exchange.answer.status === 0) exchange.latencyMs ??= performance.now() - this.waitingSinceMs
    exchange.answer.break()
    this.#end()
    host?.left(this)
  }

  /** What is looked up has no body. */
  onMalformed(): void {
    this.onGone(false)
  }

  /** Ends with an answer of banyan's own, or by breaking off the one that has begun. */
  fail(failure: FailureCode, cause: Error | null, status?: number): void {
    if (this.#ended) return
    const { exchange } = this
    exchange.failure = failure
    exchange.cause = cause
    exchange.answer.problem(failure, exchange.id, status)
    this.#end()
  }

  /** Its exchange goes on as another lookup: nothing more is done with this one. */
  release(): void {
    this.#ended = true
    if (this.host === null) return
    this.host = null
    this.exchange.request.owner = null
  }

  /** The answer is complete. */
  done(): void {
    if (!this.#ended) this.#end()
  }

  #end(): void {
    this.release()
    this.#parts.over(this.exchange)
  }
}

const NO_FIELDS: string[] = []

/** A request as the rules of the cache see it. */
export function requestOf({ view, peer, said }: Exchange): CacheRequest {
  const { method, host, target, rawHeaders } = view
  return { method, scheme: schemeOf(peer, said), host, target, rawHeaders }
}

/** By route of one table and upstream. */
const PREFIXES = new WeakMap<Route, Map<string, string>>()

/** The part of a key that is the same for all requests of a route and upstream. */
export function prefixOf(route: Route, upstream: string): string {
  let known = PREFIXES.get(route)
  if (known === undefined) {
    known = new Map()
    PREFIXES.set(route, known)
  }
  let prefix = known.get(upstream)
  if (prefix === undefined) {
    prefix = keyPrefix({ route: route.id, upstream })
    known.set(upstream, prefix)
  }
  return prefix
}
