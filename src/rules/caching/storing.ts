/**
 * What may be stored, and what is stored of it (RFC 9111 section 3).
 */

import { isEntityTag } from '../http/entity-tag.ts'
import { fieldValues } from '../http/exchange.ts'
import { isOfConnection } from '../http/field-kinds.ts'
import { formatHttpDate } from '../http/http-date.ts'
import type { ForceWord } from '../table/table.ts'
import { parseCacheControl, parseRequestCacheControl, type ResponseDirectives } from './directives.ts'
import { assumedLifetime, birthOf, explicitLifetime, type Lifetime, singleDate } from './freshness.ts'
import type { AnswerHead, CachePolicySettings, CacheRequest, SkipReason, StoredMeta } from './meta.ts'
import { isOfOneRequest, isUnsafeError } from './resource.ts'
import { lowered, trimmed } from './sent.ts'
import { targetedDirectives } from './targeted.ts'
import { resolveSameOrigin, targetUri } from './uri.ts'
import { varySpec } from './vary.ts'

/** Whether an answer is stored. `leaveOut` names fields (lower case) that are not, besides the hop-by-hop ones. */
export type StoreVerdict =
  | { readonly kind: 'store'; readonly meta: StoredMeta; readonly leaveOut: readonly string[] }
  | { readonly kind: 'skip'; readonly why: SkipReason }

/** Final statuses that may be given an assumed lifetime (RFC 9110 section 15.1). */
const HEURISTICALLY_CACHEABLE: ReadonlySet<number> = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])

/** Those of them to which the route's `ttl` applies: an error that one odd request brings about must not last for all. */
const TTL_APPLIES: ReadonlySet<number> = new Set([200, 203, 300, 301, 308])

/** The final statuses that RFC 9110 section 15 defines, less 206 and 304: none of them asks more of a cache. */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  ...[200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308],
  ...[400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426],
  ...[500, 501, 502, 503, 504, 505],
])

/**
 * Decides whether an answer is stored (RFC 9111 section 3), and works out all that lookups need to know of it. It knows the
 * head only: whoever stores must drop the answer when its body turns out incomplete (RFC 9111 section 3.3).
 */
export function mayStore(request: CacheRequest, answer: AnswerHead, settings: CachePolicySettings): StoreVerdict {
  const targeted = targetedDirectives((name) => fieldValues(answer.rawHeaders, name))
  const said = targeted ?? parseCacheControl(fieldValues(answer.rawHeaders, 'cache-control'))
  const birth = birthOf(answer)
  const explicit = explicitLifetime(said, answer, birth.dateMs, targeted === null)
  const leaveOut = [...new Set([...said.noCacheFields, ...said.privateFields])]

  const flaw =
    flawOfMethod(request, answer, explicit, settings) ??
    flawOfStatus(answer) ??
    flawOfError(answer, settings) ??
    flawOfDirectives(request, answer, said, settings) ??
    flawOfCookies(answer, leaveOut, explicit, settings)
  if (flaw !== null) return skip(flaw)
  const vary = varySpec(answer.rawHeaders)
  if (vary === null) return skip('vary')

  const lifetime = lifetimeOf(answer, said, explicit, { settings, dateMs: birth.dateMs })
  if (lifetime === null) return skip('not-cacheable')
  const meta = metaOf({ request, answer, settings, said, lifetime, vary, ...birth })
  return isUseful(meta, answer.responseMs) ? { kind: 'store', meta, leaveOut } : skip('no-use')
}

function skip(why: SkipReason): StoreVerdict {
  return { kind: 'skip', why }
}

/** GET, and POST as RFC 9110 section 9.3.3 allows it for later GETs: explicit lifetime, Content-Location is the target. */
function flawOfMethod(
  request: CacheRequest,
  answer: AnswerHead,
  explicit: Lifetime | null,
  { storePost }: CachePolicySettings,
): SkipReason | null {
  if (request.method === 'GET') return null
  if (!storePost || request.method !== 'POST' || answer.status !== 200 || explicit === null) return 'method'
  const locations = fieldValues(answer.rawHeaders, 'content-location')
  if (locations.length !== 1) return 'method'
  return resolveSameOrigin(request, locations[0] as string) === targetUri(request).target ? null : 'method'
}

function flawOfStatus({ status, rawHeaders }: AnswerHead): SkipReason | null {
  if (status < 200 || status === 304 || isOfOneRequest(status)) return 'status'
  // With another status Content-Range means nothing (RFC 9110 section 14.4), but what clearly tells of a part is believed.
  return status === 206 || fieldValues(rawHeaders, 'content-range').some(isByteRange) ? 'partial' : null
}

function flawOfError({ status }: AnswerHead, { errors }: CachePolicySettings): SkipReason | null {
  return isUnsafeError(status) && errors === 'safe' ? 'error' : null
}

function isByteRange(contentRange: string): boolean {
  return /^bytes [0-9]+-[0-9]+\//i.test(contentRange)
}

function has(request: CacheRequest, name: string): boolean {
  return fieldValues(request.rawHeaders, name).length > 0
}

function isForced(settings: CachePolicySettings, word: ForceWord): boolean {
  return settings.mode === 'forced' && settings.force.has(word)
}

function flawOfDirectives(
  request: CacheRequest,
  answer: AnswerHead,
  said: ResponseDirectives,
  settings: CachePolicySettings,
): SkipReason | null {
  const asked = fieldValues(request.rawHeaders, 'cache-control')
  if (asked.length > 0 && parseRequestCacheControl(asked).noStore) return 'request-no-store'
  if (said.mustUnderstand && !UNDERSTOOD.has(answer.status)) return 'must-understand'
  // must-understand comes with a no-store for caches that don't know it (RFC 9111 section 5.2.2.3).
  if (said.noStore && !said.mustUnderstand && !isForced(settings, 'no-store')) return 'no-store'
  if (said.private && !isForced(settings, 'private')) return 'private'
  const shared = said.allowsAuthorization || isForced(settings, 'authorization')
  return has(request, 'authorization') && !shared ? 'authorization' : null
}

function flawOfCookies(
  answer: AnswerHead,
  leaveOut: string[],
  explicit: Lifetime | null,
  settings: CachePolicySettings,
): SkipReason | null {
  if (leaveOut.includes('set-cookie') || fieldValues(answer.rawHeaders, 'set-cookie').length === 0) return null
  switch (settings.setCookie) {
    case 'refuse':
      return 'set-cookie'
    case 'strip':
      leaveOut.push('set-cookie')
      return null
    case 'store':
      return explicit !== null || (settings.mode === 'forced' && settings.ttlMs !== null) ? null : 'set-cookie'
  }
}

/** The lifetime that counts, or null where the answer is not cacheable at all. */
function lifetimeOf(
  answer: AnswerHead,
  said: ResponseDirectives,
  explicit: Lifetime | null,
  by: { readonly settings: CachePolicySettings; readonly dateMs: number },
): Lifetime | null {
  const { settings, dateMs } = by
  const assumable = HEURISTICALLY_CACHEABLE.has(answer.status) || said.public
  const ttlMs = TTL_APPLIES.has(answer.status) || (said.public && answer.status < 400) ? settings.ttlMs : null
  if (settings.mode === 'forced' && ttlMs !== null) {
    return { ms: ttlMs, source: 'forced' }
  }
  if (explicit !== null) return explicit
  if (!assumable) return null
  const assumed = assumedLifetime(ttlMs, singleDate(answer.rawHeaders, 'last-modified', answer.responseMs), dateMs)
  return isUnsafeError(answer.status) && assumed.source === 'none' ? null : assumed
}

interface Known {
  readonly request: CacheRequest
  readonly answer: AnswerHead
  readonly settings: CachePolicySettings
  readonly said: ResponseDirectives
  readonly lifetime: Lifetime
  readonly vary: readonly string[]
  readonly dateMs: number
  readonly bornMs: number
}

function metaOf({ request, answer, settings, said, lifetime, vary, dateMs, bornMs }: Known): StoredMeta {
  const forced = lifetime.source === 'forced'
  // s-maxage means proxy-revalidate too (RFC 9111 section 5.2.2.10).
  const mustRevalidate = !forced && (said.mustRevalidate || said.proxyRevalidate || said.sMaxAge !== null)
  const noCache = !forced && said.noCache
  const mayBeStale = !mustRevalidate && !noCache
  // The operator's ttl counts from when the answer came: an upstream whose clock is off must not shorten it.
  const freshUntilMs = (forced || lifetime.source === 'ttl' ? answer.responseMs : bornMs) + lifetime.ms
  const staleWhileRevalidateMs = mayBeStale ? windowMs(said.staleWhileRevalidate, settings.staleWhileRevalidateMs) : 0
  const staleIfErrorMs = mayBeStale ? windowMs(said.staleIfError, settings.staleIfErrorMs) : null
  const lastModifiedMs = singleDate(answer.rawHeaders, 'last-modified', answer.responseMs)
  const etag = onlyEntityTag(answer.rawHeaders)
  const keepMs = mayBeStale || etag !== null || lastModifiedMs !== null ? settings.keepMs : 0
  const lastsMs = Math.max(freshUntilMs, answer.responseMs)
  return {
    status: answer.status,
    bornMs,
    storedMs: answer.responseMs,
    dateMs,
    freshUntilMs,
    lifetime: lifetime.source,
    noCache,
    mustRevalidate,
    staleWhileRevalidateMs: staleWhileRevalidateMs ?? 0,
    staleIfErrorMs,
    usefulUntilMs: lastsMs + Math.max(keepMs, staleWhileRevalidateMs ?? 0, staleIfErrorMs ?? 0),
    forAuthorized: isForAuthorized(request, said, lifetime, settings),
    etag,
    lastModified:
      lastModifiedMs === null ? null : trimmed(fieldValues(answer.rawHeaders, 'last-modified')[0] as string),
    lastModifiedMs,
    vary,
  }
}

/** The answer's own window counts where it names one; the route's is for answers that don't. */
function windowMs(saidSeconds: number | null, routeMs: number | null): number | null {
  return saidSeconds === null ? routeMs : saidSeconds * 1000
}

/** The entity tag of a response; null where it has none, or no well-formed single one. */
export function onlyEntityTag(rawHeaders: readonly string[]): string | null {
  const lines = fieldValues(rawHeaders, 'etag')
  const tag = lines.length === 1 ? trimmed(lines[0] as string) : ''
  return isEntityTag(tag) ? tag : null
}

/**
 * RFC 9111 section 3.5 speaks of answers to requests with Authorization only, and those are stored with permission. An
 * anonymous answer whose lifetime the upstream never stated is kept from them as well: that lifetime is our assumption.
 */
function isForAuthorized(
  request: CacheRequest,
  said: ResponseDirectives,
  lifetime: Lifetime,
  settings: CachePolicySettings,
): boolean {
  if (has(request, 'authorization') || said.allowsAuthorization) return true
  if (lifetime.source === 'forced') return settings.force.has('authorization')
  return lifetime.source === 's-maxage' || lifetime.source === 'max-age' || lifetime.source === 'expires'
}

/** Whether anything can ever be served from it: while fresh, after validation, or within a stale window it was given. */
function isUseful(meta: StoredMeta, nowMs: number): boolean {
  if (meta.etag !== null || meta.lastModifiedMs !== null) return true
  if (meta.noCache) return false
  const windowMs = Math.max(meta.staleWhileRevalidateMs, meta.staleIfErrorMs ?? 0)
  return meta.lifetime !== 'none' && meta.freshUntilMs + windowMs > nowMs
}

/**
 * The fields of an answer as they are stored: order, case and number as received, less the hop-by-hop ones, those that
 * Connection names, Age, and `leaveOut`. Where Date is missing the time of receipt is added (RFC 9110 section 6.6.1).
 */
export function storedFields(answer: AnswerHead, leaveOut: readonly string[]): string[] {
  const dropped = new Set(leaveOut)
  for (const token of fieldValues(answer.rawHeaders, 'connection').join(',').split(',')) {
    dropped.add(lowered(trimmed(token)))
  }
  const kept: string[] = []
  let hasDate = false
  for (let i = 0; i < answer.rawHeaders.length; i += 2) {
    const name = answer.rawHeaders[i] as string
    const lower = name.toLowerCase()
    // Each reuse writes Age anew; the fields of the connection are not part of the answer (RFC 9111 section 3.1).
    if (lower === 'age' || isOfConnection(name) || dropped.has(lower)) continue
    hasDate ||= lower === 'date'
    kept.push(name, answer.rawHeaders[i + 1] as string)
  }
  if (!hasDate) kept.push('Date', formatHttpDate(answer.responseMs))
  return kept
}
