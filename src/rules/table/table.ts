/**
 * The compiled, immutable routing table of a revision.
 */

import type { HostPattern } from '../patterns/host.ts'
import type { PathPattern } from '../patterns/path.ts'
import type { Condition } from '../patterns/predicates.ts'
import type { StickySource } from '../patterns/sticky.ts'
import type { RouteDocument, UpstreamDocument } from './schema.ts'

/** One instance of an upstream. */
export interface Server {
  /** Unique in its upstream: `host:port` unless the table gives an `id`. */
  readonly id: string
  /** The origin as written, e.g. `http://127.0.0.1:4001`. */
  readonly url: string
  readonly tls: boolean
  /** Host name or IP address, without the brackets of an IPv6 literal. */
  readonly hostname: string
  readonly port: number
  /** Where connections go: one of the addresses that the host name stands for; null leaves that to the system. */
  readonly address: string | null
  /** Addresses of the other family, which lead to the same servers. Absent: none are known. */
  readonly alternatives?: readonly string[]
  /** Relative share of the upstream's exchanges; at least 1. Default 1. */
  readonly weight: number
}

/** TLS settings of an upstream's https servers. */
export interface TlsSettings {
  /** Path of a PEM file with the certificate authorities to trust instead of the system's, or null. */
  readonly ca: string | null
  /** Paths of the PEM client certificate and its key, or null. */
  readonly cert: string | null
  readonly key: string | null
  /** Name for SNI and certificate check, or null for the server's host name. */
  readonly serverName: string | null
  /** False accepts any certificate. Default true. */
  readonly verify: boolean
}

/** The active health check of an upstream's servers. */
export interface HealthSettings {
  /** The request target that a probe asks for. */
  readonly path: string
  /** Milliseconds from the beginning of a probe of a server to that of the next. Default 5000. */
  readonly everyMs: number
  /** By so much of `everyMs` the time to the next probe differs at random, 0 to 0.5. Default 0.1. */
  readonly jitter: number
  /** Milliseconds until a probe counts as failed. Default 1000. */
  readonly timeoutMs: number
  /** Statuses of a good answer; null is any from 200 to 299. */
  readonly status: ReadonlySet<number> | null
  /** A text that the body of a good answer contains, in its first 64 KiB, or null. */
  readonly body: string | null
  /** What a server counts as before its first probes have told. Default healthy. */
  readonly start: 'healthy' | 'unhealthy'
  /** Good probes in a row until a server counts as healthy. Default 2. */
  readonly up: number
  /** Failed probes in a row until a server counts as unhealthy. Default 3. */
  readonly down: number
}

/** A named group of servers that answer alike. */
export interface Upstream {
  readonly name: string
  readonly servers: readonly Server[]
  /** Milliseconds until a connection must stand. Default 1000. */
  readonly connectTimeoutMs: number
  /** Milliseconds from the request's last byte until the answer's head must be complete. Default 60000. */
  readonly headersTimeoutMs: number
  /** Milliseconds without a byte in either direction after which an exchange is broken off. Default 60000. */
  readonly idleTimeoutMs: number
  /** Milliseconds from a request's arrival to the head of its answer, whatever is tried in between; null (default) for no limit. */
  readonly totalTimeoutMs: number | null
  /** `preserve` (default) passes Host as received, `upstream` sends the server's own, `{ literal }` a fixed one. */
  readonly host: 'preserve' | 'upstream' | { readonly literal: string }
  /** The origin that clients see; where set, Location values of the upstream's own origin are mapped to it. */
  readonly publicOrigin: string | null
  /** Takes more answers that break the rules of HTTP but can be read in one way only. Default false. */
  readonly lenient: boolean
  /** Requests tell of banyan in Via. Default false: nginx and IIS compress no answer to such a request. */
  readonly via: boolean
  readonly tls: TlsSettings
  /** Kept-alive idle connections per server. Default 256. */
  readonly maxIdleConnections: number
  readonly health: HealthSettings | null
  /** When a server that fails is left out; null never leaves one out. */
  readonly ejection: EjectionSettings | null
  /** Milliseconds in which a server that comes grows into its share. Default 0. */
  readonly slowStartMs: number
  /** Exchanges under way at once; null (default) for any number. */
  readonly maxConcurrent: number | null
  /** Who waits where those are reached: how many, and for how long. Default 100, and 1000 ms. */
  readonly queue: { readonly size: number; readonly timeoutMs: number }
  /** What routes.yaml says, as it says it. */
  readonly document: UpstreamDocument
}

/** The fallback of a route: the same request answered by `from` because `to` failed. */
export interface Fallback {
  readonly on: ReadonlySet<'connect' | 'timeout' | number>
  readonly methods: 'safe' | 'idempotent' | 'all'
  /** Bodies up to this many bytes are kept for the replay. Default 65536. */
  readonly maxReplayBytes: number
}

/** What `mode: forced` may override only by its own word; Set-Cookie's word is `setCookie`. */
export type ForceWord = 'no-store' | 'private' | 'authorization'

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
  /** Bodies above this many bytes pass and are not stored. Default 1 MiB. */
  readonly maxBodyBytes: number
  /** Lets the two sides of the split answer for each other. Default false. */
  readonly shareAcrossUpstreams: boolean
  /** What counts besides the URI, or of it; null for the URI as received. */
  readonly key: KeyRules | null
  /** The response field that carries tags, lower case, or null. */
  readonly tags: string | null
}

/** A rule that claims some requests and shares them between `from` and `to`. */
export interface Route {
  readonly id: string
  /** The path pattern; `/*` where the table gives none. */
  readonly path: PathPattern
  /** The host patterns; empty for any host. */
  readonly hosts: readonly HostPattern[]
  /** Everything that a request must meet, path and hosts included. */
  readonly conditions: readonly Condition[]
  /** Whether the route is asked about targets with more than one reading (`ambiguousPaths: allow`). */
  readonly takesAmbiguousPaths: boolean
  readonly from: string
  readonly to: string
  /** The share of this route's requests that go to `to`: 0 to 100, up to 4 decimals. */
  readonly percent: number
  /** floor(percent / 100 * 2^32): a unit is in the share when its hash is below. */
  readonly threshold: number
  /** The route's `group` if it has one, else its id. */
  readonly salt: string
  /** The chain of sticky sources; empty means `request`. */
  readonly sticky: readonly StickySource[]
  readonly fallback: Fallback | null
  /** When the share is sent to `from` at once, since `to` fails; null never does. */
  readonly breaker: BreakerSettings | null
  readonly cache: CacheSettings | null
  /** What routes.yaml says, as it says it. */
  readonly document: RouteDocument
}

/** A route at its place in the tree, with the conditions that the tree has not answered yet. */
export interface Claim {
  readonly route: Route
  readonly conditions: readonly Condition[]
}

/**
 * A place in a path tree, some segments deep. Of its children a literal is more specific than `:name`, and that than a
 * final `*`. Where all routes below have one path the tree ends early: `tail` is that path, and `claims` its routes.
 * Claims are in the order of their number of conditions, most first.
 */
export interface PathNode {
  readonly tail: PathPattern | null
  /** Routes of the tail; without a tail, routes whose path ends here. */
  readonly claims: readonly Claim[]
  readonly literals: ReadonlyMap<string, PathNode> | null
  readonly param: PathNode | null
  /** Routes whose final `*` stands here. */
  readonly restClaims: readonly Claim[]
}

/** Path trees by host; the most specific host is asked first. */
export interface HostTrees {
  /** By the `key` of the host patterns. */
  readonly byHost: ReadonlyMap<string, PathNode>
  /** The routes for any host. */
  readonly any: PathNode
  /** Whether `byHost` has any tree. */
  readonly hosted: boolean
}

/** What finds a request's route. */
export interface Matcher {
  readonly all: HostTrees
  /** The routes that take ambiguous paths, or null where there are none. */
  readonly ambiguous: HostTrees | null
}

/** One compiled revision of routes.yaml. Immutable. */
export interface Table {
  readonly upstreams: ReadonlyMap<string, Upstream>
  /** Upstream for whatever no route claims. */
  readonly default: string
  /** In the order of the file. */
  readonly routes: readonly Route[]
  readonly matcher: Matcher
}

/** When it opens, and how it closes again. */
export interface BreakerSettings {
  /** Failed exchanges as a share of all, 0 to 1, at which it opens. Default 0.5. */
  readonly failureRatio: number
  /** Fewer exchanges within the window say nothing. Default 20. */
  readonly minRequests: number
  /** Milliseconds that are looked back upon. Default 10000. */
  readonly windowMs: number
  /** Milliseconds that it stays open before a probe. Default 10000. */
  readonly pauseMs: number
  /** Probes in a row that must succeed, one at a time, until it closes. Default 3. */
  readonly probes: number
}

/** When a server is left out, and for how long. */
export interface EjectionSettings {
  /** Exchanges in a row that broke: no connection, no answer in time, one that broke off or was malformed. Default 5. */
  readonly failures: number
  /** Answers in a row that tell of a fault of the server's (`isServerFault`). Default 20. */
  readonly errors: number
  /** The first pause in milliseconds; each further one in a row is twice as long. Default 10000. */
  readonly pauseMs: number
  /** No pause is longer. Default five minutes. */
  readonly maxPauseMs: number
}
