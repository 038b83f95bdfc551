/**
 * The words of the cache: what it is asked, what comes back, what it knows of a stored answer, and the operator's settings.
 */
import type { CacheSettings, ForceWord } from '../table/table.ts'

/** A request as the cache sees it. */
export interface CacheRequest {
  /** As received: case-sensitive. */
  readonly method: string
  readonly scheme: 'http' | 'https'
  /** The Host in lower case with its port, or ''. */
  readonly host: string
  /** The request target as received. */
  readonly target: string
  /** Name, value, name, value. */
  readonly rawHeaders: readonly string[]
}

/** The head of an upstream's answer, and when it was asked for and came. */
export interface AnswerHead {
  readonly status: number
  /** Name, value, name, value. */
  readonly rawHeaders: readonly string[]
  /** Epoch milliseconds at which the request was sent. */
  readonly requestMs: number
  /** Epoch milliseconds at which the head was complete. */
  readonly responseMs: number
}

/**
 * Where a lifetime comes from.
 *
 * - `s-maxage`, `max-age`, `expires`: the answer says it (explicit)
 * - `forced`: the route's ttl, against the answer's word
 * - `ttl`: the route's ttl, where the answer says nothing
 * - `heuristic`: a tenth of the time since Last-Modified (RFC 9111 section 4.2.2)
 * - `none`: nothing gives one; each use needs validation
 */
export type LifetimeSource = 's-maxage' | 'max-age' | 'expires' | 'forced' | 'ttl' | 'heuristic' | 'none'

/**
 * Why an answer is not stored.
 *
 * - `method`: neither GET, nor (where the route says so) POST with an explicit lifetime and the target as its Content-Location
 * - `status`: an interim answer or a 304, or one that speaks of this request only
 * - `error`: an error other than 404, 410, 414 and 451, and the route does not say `errors: explicit`
 * - `partial`: a part of a representation (206, a Content-Range in bytes)
 * - `request-no-store`, `no-store`, `private`: a directive forbids it
 * - `must-understand`: the status is not one that this cache understands
 * - `authorization`: the request carries Authorization, and nothing allows sharing its answer
 * - `set-cookie`: it carries Set-Cookie, and the route does not say to store it
 * - `vary`: no other request can match it
 * - `not-cacheable`: a status that needs an explicit lifetime or `public`, and has neither
 * - `no-use`: it has neither a lifetime left nor a validator, so nothing could ever be served from it
 */
export type SkipReason =
  | 'method'
  | 'status'
  | 'error'
  | 'partial'
  | 'request-no-store'
  | 'no-store'
  | 'private'
  | 'must-understand'
  | 'authorization'
  | 'set-cookie'
  | 'vary'
  | 'not-cacheable'
  | 'no-use'

/**
 * All that a lookup needs of a stored answer, worked out once when it was stored. Plain values: it can be written to any
 * store as it is.
 */
export interface StoredMeta {
  readonly status: number
  /** Epoch milliseconds at which its age was 0 (RFC 9111 section 4.2.3). */
  readonly bornMs: number
  /** Epoch milliseconds at which it was received, or last validated. */
  readonly storedMs: number
  /** Its Date, or the time of receipt where that is missing or unreadable (RFC 9110 section 6.6.1). Epoch milliseconds. */
  readonly dateMs: number
  /** Epoch milliseconds: fresh before, stale from then on. */
  readonly freshUntilMs: number
  readonly lifetime: LifetimeSource
  /** Each use needs a successful validation (RFC 9111 section 5.2.2.4). */
  readonly noCache: boolean
  /** Never served stale: must-revalidate, proxy-revalidate or s-maxage (RFC 9111 section 4.2.4). */
  readonly mustRevalidate: boolean
  /** How long after its freshness it may be served while it is refreshed behind (RFC 5861 section 3). Milliseconds, or 0. */
  readonly staleWhileRevalidateMs: number
  /** How long after its freshness it may stand in for a failure (RFC 5861 section 4). Milliseconds; null where not said. */
  readonly staleIfErrorMs: number | null
  /** Epoch milliseconds after which it serves nothing any more, not even validation. */
  readonly usefulUntilMs: number
  /** It may answer requests that carry Authorization. */
  readonly forAuthorized: boolean
  /** A well-formed entity tag, or null. */
  readonly etag: string | null
  /** Last-Modified as received, or null where it is missing or unreadable. */
  readonly lastModified: string | null
  readonly lastModifiedMs: number | null
  /** The request fields that selected it, lower case, sorted (RFC 9111 section 4.1). */
  readonly vary: readonly string[]
}

const LIFETIMES: readonly unknown[] = [
  's-maxage',
  'max-age',
  'expires',
  'forced',
  'ttl',
  'heuristic',
  'none',
] satisfies LifetimeSource[]

const NUMBERS = [
  'status',
  'bornMs',
  'storedMs',
  'dateMs',
  'freshUntilMs',
  'staleWhileRevalidateMs',
  'usefulUntilMs',
] as const satisfies (keyof StoredMeta)[]
const BOOLEANS = ['noCache', 'mustRevalidate', 'forAuthorized'] as const satisfies (keyof StoredMeta)[]

/** Whether a value read from outside this process has the shape of a `StoredMeta`. By hand: it is on the way of each hit. */
export function isStoredMeta(value: unknown): value is StoredMeta {
  if (typeof value !== 'object' || value === null) return false
  const meta = value as Record<keyof StoredMeta, unknown>
  for (const name of NUMBERS) if (!Number.isFinite(meta[name])) return false
  for (const name of BOOLEANS) if (typeof meta[name] !== 'boolean') return false
  const status = meta.status as number
  return (
    Number.isInteger(status) &&
    status >= 200 &&
    status <= 599 &&
    LIFETIMES.includes(meta.lifetime) &&
    (meta.staleIfErrorMs === null || Number.isFinite(meta.staleIfErrorMs)) &&
    (meta.lastModifiedMs === null || Number.isFinite(meta.lastModifiedMs)) &&
    (meta.etag === null || isFieldValue(meta.etag)) &&
    (meta.lastModified === null || isFieldValue(meta.lastModified)) &&
    areNames(meta.vary)
  )
}

/** Whether a value is a list of names and values, in turn, that can be written as the header section of an answer. */
export function isHeaderList(value: unknown): value is readonly string[] {
  if (!Array.isArray(value) || value.length % 2 !== 0) return false
  for (let i = 0; i < value.length; i += 2) if (!isName(value[i]) || !isFieldValue(value[i + 1])) return false
  return true
}

/** Whether a value is a list of field names. */
export function areNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isName)
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value)
}

/** Bytes as Latin-1, without those that end a line (RFC 9110 section 5.5). */
export function isFieldValue(value: unknown): value is string {
  return typeof value === 'string' && /^[\t -~\x80-\xff]*$/.test(value)
}

/** A stored answer: what is known of it and its fields. */
export interface StoredHead {
  readonly meta: StoredMeta
  readonly rawHeaders: readonly string[]
}

/** A route's settings as the policy needs them. */
export type CachePolicySettings = Pick<
  CacheSettings,
  | 'mode'
  | 'force'
  | 'setCookie'
  | 'errors'
  | 'storePost'
  | 'ttlMs'
  | 'staleWhileRevalidateMs'
  | 'staleIfErrorMs'
  | 'keepMs'
>

/** The settings of a route that says no more than `cache: {}`. */
export const DEFAULT_CACHE_POLICY: CachePolicySettings = Object.freeze({
  mode: 'rfc9111',
  ttlMs: null,
  staleWhileRevalidateMs: null,
  staleIfErrorMs: null,
  force: new Set<ForceWord>(),
  setCookie: 'refuse',
  errors: 'safe',
  storePost: false,
  keepMs: 3_600_000,
})
