/**
 * The compiled, immutable routing table of a revision.
 */

import type { CompareSettings } from '../evidence/difference.ts'
import type { CookieAttributes } from '../http/own-cookies.ts'
import type { HostPattern } from '../patterns/host.ts'
import type { PathPattern, PathReading } from '../patterns/path.ts'
import type { Condition } from '../patterns/predicates.ts'
import type { StickySource } from '../patterns/sticky.ts'
import type { RampPlan } from '../ramp/plan.ts'
import type { Retirement } from '../retirement/retirement.ts'
import type { FieldEdits } from '../rewriting/field-edits.ts'
import type { CookieChanges } from '../rewriting/map-back.ts'
import type { PathPlan } from '../rewriting/path.ts'
import type { QueryEdits } from '../rewriting/query.ts'
import type { RouteDocument, TableDocument, UpstreamDocument } from './schema.ts'

/** One instance of an upstream. */
export interface Server {
  /** Unique in its upstream: `host:port` or `unix:/path` unless the table gives an `id`. */
  readonly id: string
  /** As written, e.g. `http://127.0.0.1:4001`. */
  readonly url: string
  readonly tls: boolean
  /** Host name or IP address, without the brackets of an IPv6 literal. */
  readonly hostname: string
  readonly port: number
  /** The path of its Unix socket; null for one at a host and port. */
  readonly socketPath: string | null
  /** The address to connect to, one of those of the host name; null to let the system resolve it. */
  readonly address: string | null
  /** Addresses of the other family for the same servers, if known. */
  readonly alternatives?: readonly string[]
  /** Relative share of the upstream's requests; at least 1. Default 1. */
  readonly weight: number
}

/** TLS settings of an upstream's https servers. */
export interface TlsSettings {
  /** Path of a PEM file with CA certificates to trust instead of the system's, or null. */
  readonly ca: string | null
  /** Paths of the PEM client certificate and its key, or null. */
  readonly cert: string | null
  readonly key: string | null
  /** Name for SNI and certificate verification, or null for the server's host name. */
  readonly serverName: string | null
  /** False accepts any certificate. Default true. */
  readonly verify: boolean
  /** Lowest and highest version, and ciphers, in the words of OpenSSL; null for the defaults of Node.js. */
  readonly minVersion: TlsVersion | null
  readonly maxVersion: TlsVersion | null
  readonly ciphers: string | null
}

export type TlsVersion = 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'

/** The active health check of an upstream's servers. */
export interface HealthSettings {
  /** The request target of a probe. */
  readonly path: string
  /** Interval between probes of a server in milliseconds. Default 5000. */
  readonly everyMs: number
  /** Random variation of the interval as a fraction of `everyMs`, 0 to 0.5. Default 0.1. */
  readonly jitter: number
  /** Probe timeout in milliseconds. Default 1000. */
  readonly timeoutMs: number
  /** Expected statuses; null for 200 to 299. */
  readonly status: ReadonlySet<number> | null
  /** A string that the first 64 KiB of the response body must contain, or null. */
  readonly body: string | null
  /** The state before the first probes. Default healthy. */
  readonly start: 'healthy' | 'unhealthy'
  /** Consecutive successful probes until a server is healthy. Default 2. */
  readonly up: number
  /** Consecutive failed probes until a server is unhealthy. Default 3. */
  readonly down: number
}

/** Stands for an upstream where there is none. No upstream has an empty name. */
export const NO_UPSTREAM = ''

/** A named group of equivalent servers. */
export interface Upstream {
  readonly name: string
  readonly servers: readonly Server[]
  /** Connect timeout in milliseconds. Default 1000. */
  readonly connectTimeoutMs: number
  /** Milliseconds from the last byte of the request to the response headers. Default 60000. */
  readonly headersTimeoutMs: number
  /** Milliseconds without a byte in either direction until an exchange is aborted. Default 60000. */
  readonly idleTimeoutMs: number
  /** The same after an upgrade; null for the idle timeout of route or upstream. */
  readonly upgradedTimeoutMs: number | null
  /** Milliseconds from the arrival of a request to the response headers, over all attempts; null (default) for no limit. */
  readonly totalTimeoutMs: number | null
  /** `preserve` (default) passes Host as received, `upstream` sends the server's own, `{ literal }` a fixed one. */
  readonly host: 'preserve' | 'upstream' | { readonly literal: string }
  /** The public origin; if set, the upstream's own origins in answers are mapped to it. */
  readonly publicOrigin: string | null
  /** What its servers speak: HTTP/1.1 (default), or HTTP/2 with TLS or without. */
  readonly protocol: 'http1' | 'h2' | 'h2c'
  /** Accepts more invalid but unambiguous responses. Default false. */
  readonly lenient: boolean
  /** How its paths are read. Default: exactly. */
  readonly reading: PathReading
  /** Adds Via to requests. Default false: nginx and IIS do not compress responses to requests with Via. */
  readonly via: boolean
  /** Request fields that are set or removed, or null. */
  readonly headers: FieldEdits | null
  /** Attributes of the cookies that it sets, or null to leave them. */
  readonly cookies: CookieChanges | null
  readonly tls: TlsSettings
  /** Idle keep-alive connections per server. Default 256. */
  readonly maxIdleConnections: number
  /** Milliseconds after which an idle connection is closed; a shorter hint of the server counts. Default 4000. */
  readonly keepAliveMs: number
  /** Unsafe requests never use an idle connection. Default false. */
  readonly unsafeIsFresh: boolean
  /** Chunked request bodies up to this size are sent with Content-Length; null: as they come. */
  readonly bufferRequestBytes: number | null
  /** Maximum size of response headers, and of trailers, in bytes. Default 65536. */
  readonly maxHeaderBytes: number
  /** Maximum number of response headers, and of trailers. Default 1000. */
  readonly maxHeaderFields: number
  readonly health: HealthSettings | null
  /** When a failing server is ejected; null for never. */
  readonly ejection: EjectionSettings | null
  /** Milliseconds over which a new server ramps up to its full share. Default 0. */
  readonly slowStartMs: number
  /** Maximum number of requests in flight; null (default) for no limit. */
  readonly maxConcurrent: number | null
  /** The queue above that limit: size and timeout. Default 100, and 1000 ms. */
  readonly queue: { readonly size: number; readonly timeoutMs: number }
  /** How a client stays with one server; null if it does not. */
  readonly affinity: AffinitySettings | null
  /** The entry of routes.yaml. */
  readonly document: UpstreamDocument
}

/**
 * How a client stays with one server: by the hash of its address, or by a cookie of banyan's own, which is set with the first
 * response, or with each that sets the cookie `session`.
 */
export type AffinitySettings = { readonly kind: 'ip' } | { readonly kind: 'cookie'; readonly session: string | null }

/** The fallback of a route: the same request answered by `from` because `to` failed. */
export interface Fallback {
  readonly on: ReadonlySet<'connect' | 'timeout' | number>
  readonly methods: 'safe' | 'idempotent' | 'all'
  /** Request bodies up to this size are buffered for the replay. Default 65536. */
  readonly maxReplayBytes: number
}

/** What `mode: forced` may override only by its own word; Set-Cookie's word is `setCookie`. */
export type ForceWord = 'no-store' | 'private' | 'authorization'

/** Request fields that a caching route may bring into a normal form. */
export type NormalizedField = 'accept-encoding' | 'accept-language'

/** How a route's cache keys differ from the URI. */
export interface KeyRules {
  /** Query parameters that count: all (null), all but some, or only some. Names are decoded. */
  readonly query: { readonly kind: 'keep' | 'drop'; readonly names: ReadonlySet<string> } | null
  /** Parameters of different names may stand in any order. Default false. */
  readonly anyQueryOrder: boolean
  /** Request fields that count, lower case. */
  readonly headers: readonly string[]
  /** Cookies that count. */
  readonly cookies: readonly string[]
}

/** The cache settings of a route. */
export interface CacheSettings {
  /** `rfc9111` (default) obeys the answer; `forced` is the operator's word against the upstream's. */
  readonly mode: 'rfc9111' | 'forced'
  /** What `forced` overrides besides lifetimes. Default: nothing. */
  readonly force: ReadonlySet<ForceWord>
  /**
   * An answer with Set-Cookie is not stored (`refuse`, the default), stored whole where a lifetime is explicit (`store`), or
   * stored without the field (`strip`).
   */
  readonly setCookie: 'refuse' | 'store' | 'strip'
  /**
   * Of errors only 404, 410, 414 and 451 are stored (`safe`, the default), or others too where they have a lifetime of
   * their own (`explicit`). What speaks of one request only is never stored.
   */
  readonly errors: 'safe' | 'explicit'
  /** The answer to a POST may be stored for later GETs (RFC 9110 section 9.3.3). Default false. */
  readonly storePost: boolean
  /** Freshness in milliseconds where the answer gives none of its own, or null. */
  readonly ttlMs: number | null
  readonly staleWhileRevalidateMs: number | null
  readonly staleIfErrorMs: number | null
  /** How long a stale answer is kept for validation and for failures, in milliseconds. Default an hour. */
  readonly keepMs: number
  /** How long a request waits for the upstream request of another one, in milliseconds; 0: never. Default 5000. */
  readonly collapseWaitMs: number
  /** Bodies above this many bytes pass and are not stored. Default 1 MiB. */
  readonly maxBodyBytes: number
  /** Lets the two sides of the split answer for each other. Default false. */
  readonly shareAcrossUpstreams: boolean
  /** What counts besides the URI, or of it; null for the URI as received. */
  readonly key: KeyRules | null
  /** Fields that are sent, and so compared, in a normal form. Default: none. */
  readonly normalize: readonly NormalizedField[]
  /** The response field that carries tags, lower case, or null. */
  readonly tags: string | null
}

/** How the requests of a route are copied to its other side, and what is compared of the two responses. */
export interface ShadowSettings {
  /** The share of GET and HEAD requests that are copied, in [0, 1]. */
  readonly share: number
  /** Which requests are copied: those answered by `from` (default), by `to`, or both. */
  readonly sides: 'from' | 'to' | 'both'
  /** Conditions beside those of the route. */
  readonly conditions: readonly Condition[]
  /** Of larger bodies only status and headers are compared. Default 64 KiB. */
  readonly maxBodyBytes: number
  /** The share of comparisons for which `from` is asked twice, in [0, 1]. Default 0.1. */
  readonly noiseShare: number
  /** Samples keep values, not only their hashes. Default false. */
  readonly keepsValues: boolean
  readonly compare: CompareSettings
}

/** Time limits of a route's exchanges in milliseconds, on either side; null for the upstream's. */
export interface RouteTimeouts {
  readonly headersMs: number | null
  readonly idleMs: number | null
  readonly upgradedMs: number | null
}

/** How the requests that go to a route's `to` differ from those that came. */
export interface RouteRewrite {
  /** By path of the route, as the table writes it; null where the path stays. */
  readonly paths: ReadonlyMap<string, PathPlan> | null
  readonly query: QueryEdits | null
  readonly headers: FieldEdits | null
}

/** An upstream that a route's share, or a part of it, goes to. */
export interface Target {
  readonly upstream: string
  /** Relative to the others. */
  readonly weight: number
  /** Keys whose second hash is below it, and not below that of the target before, go here. */
  readonly below: number
}

/** A rule that matches some requests and splits them between `from` and `to`. */
export interface Route {
  readonly id: string
  /** Routes of a higher priority are asked first. Default 0. */
  readonly priority: number
  /** How the paths of requests are read: as the route says, or else its `from`. */
  readonly reading: PathReading
  /** What the route matches: one claim for each of its paths with each block of `anyOf`. */
  readonly claims: readonly RouteClaim[]
  /** The `:name`s of all its paths, those of the first path first. */
  readonly params: readonly string[]
  /** All conditions, including path, hosts and `anyOf`. */
  readonly conditions: readonly Condition[]
  /** Whether the route may match ambiguous targets (`ambiguousPaths: allow`). */
  readonly takesAmbiguousPaths: boolean
  /** `NO_UPSTREAM` where there is no old application any more. */
  readonly from: string
  /** The upstreams of its `to`: at least one. */
  readonly targets: readonly Target[]
  /** The percent of this route's requests that go to `to`: 0 to 100, up to 4 decimals. */
  readonly percent: number
  /** floor(percent / 100 * 2^32): requests whose hash is below go to `to`. */
  readonly threshold: number
  /** The route's `group` if it has one, else its id. */
  readonly salt: string
  /** Where requests without a key go below 100 per cent, and at 100 where the route says `from`. Default: `from`. */
  readonly noKey: 'from' | 'random' | 'to'
  /** All requests go to `to`, with a key or without: 100 per cent, unless `noKey: from` is said. */
  readonly movesAll: boolean
  /** The chain of sticky sources; empty means `request`. */
  readonly sticky: readonly StickySource[]
  /** How clients are told which side has responded; null if they are not. */
  readonly tellSide: 'header' | 'cookie' | null
  /** How long reads of a key stay on the side that took its last write, in milliseconds; null for not at all. */
  readonly pinAfterWriteMs: number | null
  /** A cookie is the key of visitors without another one. */
  readonly keysVisitors: boolean
  readonly fallback: Fallback | null
  /** When all requests go to `from` because `to` fails; null for never. */
  readonly breaker: BreakerSettings | null
  /** Null where `to` gets what came. */
  readonly rewrite: RouteRewrite | null
  /** Fields that are set or removed in the answers of `to`, or null. */
  readonly answer: FieldEdits | null
  /** Null where the upstreams' own apply. */
  readonly timeouts: RouteTimeouts | null
  readonly cache: CacheSettings | null
  /** Null where no request is copied. */
  readonly shadow: ShadowSettings | null
  /** Null where there is no plan. */
  readonly ramp: RampPlan | null
  /** Null where its endpoint does not end. */
  readonly retire: Retirement | null
  /** The entry of routes.yaml. */
  readonly document: RouteDocument
}

/** Requests with this path, at one of these hosts, that meet these conditions. */
export interface RouteClaim {
  /** `/*` if the table gives none. */
  readonly path: PathPattern
  /** Empty for any host. */
  readonly hosts: readonly HostPattern[]
  /** Those besides path and hosts. */
  readonly conditions: readonly Condition[]
}

/** A claim at its place in a tree. */
export interface Claim extends RouteClaim {
  /** The place of its route in the table: routes change more often than what they match. */
  readonly at: number
  /** Of its route. */
  readonly priority: number
}

/**
 * A place in a path tree, some segments deep. Of its children a literal is more specific than `:name`, and that than a
 * final `*`. Where all claims below have one path the tree ends early: `tail` is that path, and `claims` are those.
 * Claims are in the order of their number of conditions, most first.
 */
export interface PathNode {
  readonly tail: PathPattern | null
  /** Claims of the tail; without a tail, those whose path ends here, and, where a final slash is ignored, those of `restClaims`. */
  readonly claims: readonly Claim[]
  readonly literals: ReadonlyMap<string, PathNode> | null
  readonly param: PathNode | null
  /** Claims whose final `*` is here. */
  readonly restClaims: readonly Claim[]
}

/** Path trees by host; the most specific host is tried first. */
export interface HostTrees {
  /** By the `key` of the host patterns. */
  readonly byHost: ReadonlyMap<string, PathNode>
  /** The claims on any host. */
  readonly any: PathNode
  /** Whether `byHost` is not empty. */
  readonly hosted: boolean
}

/** The routes of one priority that read paths in one way. */
export interface Plane {
  readonly priority: number
  readonly reading: PathReading
  readonly all: HostTrees
  /** The routes that may match ambiguous paths, or null if there are none. */
  readonly ambiguous: HostTrees | null
}

/** Finds the route of a request. */
export interface Matcher {
  /** The highest priority first. Nearly all tables have one. */
  readonly planes: readonly Plane[]
  /** How the default upstream reads paths. */
  readonly reading: PathReading
}

/** The cookie that is the key of visitors without another one. */
export interface VisitorCookie {
  readonly name: string
  readonly attributes: CookieAttributes
  /** The entry of routes.yaml. */
  readonly document: NonNullable<TableDocument['visitor']>
}

/** One compiled revision of routes.yaml. Immutable. */
export interface Table {
  readonly upstreams: ReadonlyMap<string, Upstream>
  /** The upstream for requests that match no route; `NO_UPSTREAM` where they are answered with `defaultStatus`. */
  readonly default: string
  readonly defaultStatus: number
  /** In the order of the file. */
  readonly routes: readonly Route[]
  /** By id, the places of the routes in `routes`. */
  readonly places: ReadonlyMap<string, number>
  readonly matcher: Matcher
  readonly visitor: VisitorCookie
  /** No route draws on the visitor cookie any more: all those that did have moved everybody, to one upstream. */
  readonly visitorsAreDone: boolean
  /** Answers may get cookies or headers that are for their client alone. */
  readonly addsToAnswers: boolean
}

/** Settings of a circuit breaker. */
export interface BreakerSettings {
  /** Ratio of failed requests at which it opens, 0 to 1. Default 0.5. */
  readonly failureRatio: number
  /** Minimum number of requests in the window. Default 20. */
  readonly minRequests: number
  /** The sliding window in milliseconds. Default 10000. */
  readonly windowMs: number
  /** Milliseconds from opening to the first probe. Default 10000. */
  readonly pauseMs: number
  /** Consecutive successful probes, one at a time, until it closes. Default 3. */
  readonly probes: number
}

/** When a server is ejected, and for how long. */
export interface EjectionSettings {
  /** Consecutive failures: no connection, a timeout, an aborted or malformed response. Default 5. */
  readonly failures: number
  /** Consecutive responses that indicate a server fault (`isServerFault`). Default 20. */
  readonly errors: number
  /** The first pause in milliseconds; it doubles on each consecutive ejection. Default 10000. */
  readonly pauseMs: number
  /** The longest pause. Default five minutes. */
  readonly maxPauseMs: number
}

/** The route with an id, or null. */
export function routeWith({ routes, places }: Pick<Table, 'routes' | 'places'>, id: string): Route | null {
  return routes[places.get(id) ?? -1] ?? null
}
