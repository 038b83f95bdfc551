/**
 * What a stored answer may do for a request (RFC 9111 section 4, RFC 5861): serve, serve while it is refreshed, or be validated.
 */
import type { RequestDirectives } from './directives.ts'
import { type CacheFields, NOTHING_ASKED } from './fields.ts'
import { ageMsOf } from './freshness.ts'
import type { StoredMeta } from './meta.ts'

/**
 * What to do with the stored answer that the key found.
 *
 * - `fresh`: answer with it
 * - `stale`: answer with it, although it is stale: the client takes that (max-stale)
 * - `stale-while-revalidate`: answer with it, and refresh it once behind
 * - `validate`: ask the upstream with its validators first
 * - `miss`: it can't answer this request; pass the request on as it is
 * - `only-if-cached`: neither it nor the upstream may answer: 504 (RFC 9111 section 5.2.1.7)
 *
 * `why` is a closed set: log, metrics and Cache-Status use these words.
 */
export type Verdict =
  | { readonly kind: 'fresh'; readonly why: 'fresh' }
  | { readonly kind: 'stale'; readonly why: 'max-stale' }
  | { readonly kind: 'stale-while-revalidate'; readonly why: 'stale-while-revalidate' }
  | { readonly kind: 'validate'; readonly why: ValidateReason }
  | { readonly kind: 'miss'; readonly why: 'precondition' | 'authorization' }
  | {
      readonly kind: 'only-if-cached'
      readonly why: ValidateReason | 'precondition' | 'authorization' | 'nothing-stored'
    }

/** Why a stored answer needs validation: it is `expired`, says `no-cache`, or the request asks for better. */
export type ValidateReason = 'expired' | 'no-cache' | 'request-no-cache' | 'request-max-age' | 'request-min-fresh'

// One object per verdict, made once: a hit allocates none.
const FRESH: Verdict = Object.freeze({ kind: 'fresh', why: 'fresh' })
const MAX_STALE: Verdict = Object.freeze({ kind: 'stale', why: 'max-stale' })
const REVALIDATE_BEHIND: Verdict = Object.freeze({ kind: 'stale-while-revalidate', why: 'stale-while-revalidate' })
const EXPIRED: Verdict = Object.freeze({ kind: 'validate', why: 'expired' })
const NO_CACHE: Verdict = Object.freeze({ kind: 'validate', why: 'no-cache' })
const REQUEST_NO_CACHE: Verdict = Object.freeze({ kind: 'validate', why: 'request-no-cache' })
const REQUEST_MAX_AGE: Verdict = Object.freeze({ kind: 'validate', why: 'request-max-age' })
const REQUEST_MIN_FRESH: Verdict = Object.freeze({ kind: 'validate', why: 'request-min-fresh' })
const PRECONDITION: Verdict = Object.freeze({ kind: 'miss', why: 'precondition' })
const AUTHORIZATION: Verdict = Object.freeze({ kind: 'miss', why: 'authorization' })

/**
 * Decides what the stored answer of the right key and variant does for a GET or HEAD.
 * @param asked of `readCacheFields`
 * @param nowMs epoch milliseconds
 */
export function evaluate(asked: CacheFields, meta: StoredMeta, nowMs: number): Verdict {
  if (asked === NOTHING_ASKED) {
    return nowMs < meta.freshUntilMs && !meta.noCache ? FRESH : unaskedVerdict(meta, nowMs)
  }
  const verdict = askedVerdict(asked, meta, nowMs)
  return asked.directives?.onlyIfCached === true ? withoutUpstream(verdict) : verdict
}

/** What a request does for which nothing is stored: null, or 504 where it takes stored answers only. */
export function evaluateNothing(asked: CacheFields): Verdict | null {
  return asked.directives?.onlyIfCached === true ? { kind: 'only-if-cached', why: 'nothing-stored' } : null
}

function withoutUpstream(verdict: Verdict): Verdict {
  return verdict.kind === 'validate' || verdict.kind === 'miss' ? { kind: 'only-if-cached', why: verdict.why } : verdict
}

function askedVerdict(asked: CacheFields, meta: StoredMeta, nowMs: number): Verdict {
  if (asked.originPrecondition) return PRECONDITION
  if (asked.authorization && !meta.forAuthorized) return AUTHORIZATION
  const { directives } = asked
  if (directives === null) return unaskedVerdict(meta, nowMs)
  return (
    refusedByRequest(directives, meta, nowMs) ??
    (takesStale(directives, meta, nowMs) ? MAX_STALE : unaskedVerdict(meta, nowMs, acceptsStale(directives)))
  )
}

function unaskedVerdict(meta: StoredMeta, nowMs: number, staleAccepted = true): Verdict {
  if (meta.noCache) return NO_CACHE
  if (nowMs < meta.freshUntilMs) return FRESH
  // The window is 0 where the answer must not be served stale.
  return staleAccepted && nowMs < meta.freshUntilMs + meta.staleWhileRevalidateMs ? REVALIDATE_BEHIND : EXPIRED
}

/** The constraints of RFC 9111 section 5.2.1 that the stored answer does not meet, or null. */
function refusedByRequest(directives: RequestDirectives, meta: StoredMeta, nowMs: number): Verdict | null {
  const { noCache, maxAge, minFresh } = directives
  if (noCache) return REQUEST_NO_CACHE
  // max-age=0 is what a reload sends: it asks for validation, even of an answer that came this very millisecond.
  if (maxAge !== null && (maxAge === 0 || ageMsOf(meta, nowMs) > maxAge * 1000)) return REQUEST_MAX_AGE
  return minFresh !== null && meta.freshUntilMs - nowMs < minFresh * 1000 ? REQUEST_MIN_FRESH : null
}

/** A request with max-age and no max-stale wants nothing stale (RFC 9111 section 5.2.1.1). */
function acceptsStale(directives: RequestDirectives): boolean {
  return directives.maxAge === null || directives.maxStale !== null
}

function takesStale({ maxStale }: RequestDirectives, meta: StoredMeta, nowMs: number): boolean {
  if (maxStale === null || meta.mustRevalidate || meta.noCache || nowMs < meta.freshUntilMs) return false
  return nowMs - meta.freshUntilMs <= maxStale * 1000
}

/** How the upstream failed: with a status, or `unreachable` (connect failure, timeout, broken connection, open breaker). */
export type UpstreamFailure = 'unreachable' | number

/**
 * Whether a stored answer stands in for a failure.
 *
 * - `fresh`: it was only asked to be validated, and is still fresh
 * - `stale-if-error`: within the window that the answer, the route or the request names (RFC 5861 section 4)
 * - `disconnected`: no window is named, and the upstream can't be reached (RFC 9111 section 4.2.4)
 *
 * It does not where it says `no-cache` or `must-revalidate` (any directive of that effect), where the request asks for
 * better (`request`), where its window is over or it has none for a status (`window`), or where that status is no failure
 * (`status`).
 */
export type StaleVerdict =
  | { readonly kind: 'serve'; readonly why: 'fresh' | 'stale-if-error' | 'disconnected' }
  | { readonly kind: 'refuse'; readonly why: 'no-cache' | 'must-revalidate' | 'request' | 'window' | 'status' }

/** The statuses that count as errors (RFC 5861 section 4). */
const ERROR_STATUSES: ReadonlySet<number> = new Set([500, 502, 503, 504])

/** Decides whether a stored answer is served because the upstream failed. */
export function mayServeStaleOnError(
  asked: CacheFields,
  meta: StoredMeta,
  failure: UpstreamFailure,
  nowMs: number,
): StaleVerdict {
  if (failure !== 'unreachable' && !ERROR_STATUSES.has(failure)) return { kind: 'refuse', why: 'status' }
  if (meta.noCache) return { kind: 'refuse', why: 'no-cache' }
  const { directives } = asked
  if (directives?.noCache || asked.originPrecondition) return { kind: 'refuse', why: 'request' }
  if (asked.authorization && !meta.forAuthorized) return { kind: 'refuse', why: 'request' }
  const refused = directives !== null && refusedByRequest(directives, meta, nowMs) !== null
  const staleMs = nowMs - meta.freshUntilMs
  if (staleMs < 0) return refused ? { kind: 'refuse', why: 'request' } : { kind: 'serve', why: 'fresh' }
  if (meta.mustRevalidate) return { kind: 'refuse', why: 'must-revalidate' }

  // A request's own stale-if-error holds against its other wishes: RFC 5861 says "regardless of other freshness".
  const askedMs = directives?.staleIfError == null ? null : directives.staleIfError * 1000
  if (askedMs !== null && staleMs < askedMs) return { kind: 'serve', why: 'stale-if-error' }
  if (refused) return { kind: 'refuse', why: 'request' }
  if (meta.staleIfErrorMs !== null) {
    return staleMs < meta.staleIfErrorMs ? { kind: 'serve', why: 'stale-if-error' } : { kind: 'refuse', why: 'window' }
  }
  return failure === 'unreachable' && askedMs === null
    ? { kind: 'serve', why: 'disconnected' }
    : { kind: 'refuse', why: 'window' }
}

/** Whether an answer asks the upstream before it serves anybody: what the upstream then says refreshes it. */
export function needsRefresh(meta: StoredMeta, nowMs: number): boolean {
  return meta.noCache || nowMs >= meta.freshUntilMs
}

/** The same answer as stale from now on: what a soft purge leaves. Its stale windows begin now. */
export function asStale(meta: StoredMeta, nowMs: number): StoredMeta {
  if (meta.freshUntilMs <= nowMs) return meta
  return { ...meta, freshUntilMs: nowMs, usefulUntilMs: meta.usefulUntilMs - (meta.freshUntilMs - nowMs) }
}
