/**
 * Compiles a valid document to a table: fills in defaults, compiles patterns and thresholds, builds the matcher.
 */

import { DEFAULT_COMPARED_HEADERS } from '../evidence/difference.ts'
import { VISITOR_COOKIE } from '../http/own-cookies.ts'
import { thresholdOf } from '../patterns/draw.ts'
import { type HostPattern, parseHost } from '../patterns/host.ts'
import { type Origin, parseOrigin, parseServerUrl, type ServerPlace } from '../patterns/origin.ts'
import { type PathPattern, type PathReading, parsePattern, readingOf } from '../patterns/path.ts'
import {
  anyOfCondition,
  type Condition,
  type MatchBlock,
  PREDICATES,
  type PredicateName,
} from '../patterns/predicates.ts'
import { parseSticky, type StickySource } from '../patterns/sticky.ts'
import { DEFAULT_GUARD, DEFAULT_HOLD_MS, DEFAULT_STEPS, type RampPlan, withHoldback } from '../ramp/plan.ts'
import { parseRequirement } from '../ramp/requirement.ts'
import { parseWindow } from '../ramp/window.ts'
import { compileRetirement } from '../retirement/retirement.ts'
import { compileFieldEdits } from '../rewriting/field-edits.ts'
import type { CookieChanges } from '../rewriting/map-back.ts'
import { planOf } from '../rewriting/path.ts'
import { compileQueryEdits } from '../rewriting/query.ts'
import { matcherSteps } from '../routing/match.ts'
import { compileTargets, drawsKeys } from '../routing/targets.ts'
import type { RouteDocument, TableDocument, UpstreamDocument } from '../table/schema.ts'
import {
  type AffinitySettings,
  type BreakerSettings,
  type CacheSettings,
  type EjectionSettings,
  type Fallback,
  type HealthSettings,
  type KeyRules,
  NO_UPSTREAM,
  type Route,
  type RouteRewrite,
  type RouteTimeouts,
  type Server,
  type ShadowSettings,
  type Table,
  type TlsSettings,
  type Upstream,
  type VisitorCookie,
} from '../table/table.ts'
import { sameValue } from '../values/plain.ts'
import { remember } from '../values/replaced.ts'
import { allOf, type Steps } from '../values/steps.ts'
import { parseDurationMs, parseSizeBytes } from '../values/units.ts'

/** Node.js servers, the most common ones, close idle connections after 5 s. */
const KEEP_ALIVE_MS = 4_000

/** Compiles a document in which no check has found an error. */
export function compileTable(document: TableDocument): Table {
  return allOf(compileSteps(document))
}

/**
 * As `compileTable`, a route or an upstream at a time: whoever serves meanwhile compiles a large table in pieces.
 * @param known a table to take over from what has stayed the same, the objects themselves
 */
export function* compileSteps(document: TableDocument, known: Table | null = null): Steps<Table> {
  const pool: Pool = new Map()
  const upstreams = new Map<string, Upstream>()
  for (const [name, said] of Object.entries(document.upstreams)) {
    const before = known?.upstreams.get(name)
    const stays = before !== undefined && isWrittenAlike(before.document, said)
    upstreams.set(name, stays ? before : compileUpstream(name, said))
    yield
  }
  const around = { default: defaultOf(document), upstreams, pool }
  const routes: Route[] = []
  const places = new Map<string, number>()
  let areMatchedAlike = known !== null && known.routes.length === (document.routes ?? []).length
  for (const [at, said] of (document.routes ?? []).entries()) {
    const before = known?.routes[known.places.get(said.id) ?? -1]
    const route = before !== undefined && isSame(before, said, around) ? before : compileRoute(said, around)
    places.set(said.id, at)
    routes.push(route)
    areMatchedAlike &&= isMatchedAlike(known?.routes[at], route)
    yield
  }
  const reading = upstreams.get(around.default)?.reading ?? compileReading({}, undefined)
  const stays = known !== null && areMatchedAlike && known.matcher.reading === reading
  const matcher = stays ? known.matcher : yield* matcherSteps(routes, reading)
  const { default: fallback } = around
  const defaultStatus = typeof document.default === 'string' ? 404 : document.default.status
  const visitor = compileVisitor(document.visitor ?? {})
  return tableOf({ upstreams, default: fallback, defaultStatus, routes, places, matcher, visitor })
}

/** What a table is made of. */
type TableParts = Omit<Table, 'visitorsAreDone' | 'addsToAnswers'>

function tableOf(parts: TableParts): Table {
  const { routes, upstreams } = parts
  return Object.freeze({
    ...parts,
    routes: Object.freeze(routes),
    visitorsAreDone: areVisitorsDone(routes),
    addsToAnswers:
      routes.some((route) => route.keysVisitors || route.tellSide !== null) ||
      [...upstreams.values()].some(({ affinity }) => affinity?.kind === 'cookie'),
  })
}

function areVisitorsDone(routes: readonly Route[]): boolean {
  return routes.every((route) => !route.keysVisitors || (route.movesAll && !drawsKeys(route)))
}

/**
 * The table with other numbers in some of its entries, which match the same requests and need the same cookies: it costs nothing
 * that grows with the table but a copy of its list of routes.
 * @param routes by their place
 */
export function withEntries(
  table: Table,
  routes: ReadonlyMap<number, RouteDocument>,
  upstreams: ReadonlyMap<string, UpstreamDocument>,
): Table {
  const all = new Map(table.upstreams)
  for (const [name, said] of upstreams) all.set(name, compileUpstream(name, said))
  const around = { default: table.default, upstreams: all, pool: new Map() }
  const list = [...table.routes]
  for (const [at, said] of routes) list[at] = compileRoute(said, around)
  const of = (entries: readonly Route[]): Route[] => [...routes.keys()].map((at) => entries[at] as Route)
  remember(table.routes, list, { gone: of(table.routes), come: of(list) })
  const movesVisitors = [...routes.keys()].some((at) => list[at]?.keysVisitors === true)
  const visitorsAreDone = movesVisitors ? areVisitorsDone(list) : table.visitorsAreDone
  return Object.freeze({ ...table, upstreams: all, routes: Object.freeze(list), visitorsAreDone })
}

/** Routes in the place of some others. Plain data. */
export interface RouteSplice {
  /** The place of the first of them. */
  readonly at: number
  /** How many there were. */
  readonly gone: number
  readonly come: readonly RouteDocument[]
}

/**
 * The table with other routes, as `compileTable` makes it of its document; it takes over all that stays.
 * @param splices each of what the ones before have made
 * @param others upstreams that it has by these names, and that are others now
 */
export function* withRoutesSteps(
  table: Table,
  splices: readonly RouteSplice[],
  others: Readonly<Record<string, UpstreamDocument>> = {},
): Steps<Table> {
  const routes = table.routes.map(({ document }) => document)
  for (const { at, gone, come } of splices) routes.splice(at, gone, ...come)
  yield
  const { default: name, defaultStatus, visitor } = table
  return yield* compileSteps(
    {
      version: 1,
      default: name === NO_UPSTREAM ? { status: defaultStatus } : name,
      upstreams: Object.fromEntries(
        [...table.upstreams].map(([upstream, { document }]) => [
          upstream,
          Object.hasOwn(others, upstream) ? (others[upstream] as UpstreamDocument) : document,
        ]),
      ),
      routes,
      visitor: visitor.document,
    },
    table,
  )
}

/** What a route is compiled from besides its entry. */
interface Around {
  /** The default upstream. */
  readonly default: string
  readonly upstreams: ReadonlyMap<string, Pick<Upstream, 'document'>>
  readonly pool: Pool
}

/** Whether an entry would be compiled to just this route. */
function isSame(route: Route, said: RouteDocument, around: Around): boolean {
  const from = said.from ?? around.default
  const reading = compileReading(said, around.upstreams.get(from)?.document)
  return route.from === from && route.reading === reading && isWrittenAlike(route.document, said)
}

/** Whether two entries have the same values in the same order, which decides between several targets. */
function isWrittenAlike(one: object, other: object): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other)
}

/** Whether one route can take the place of another in a matcher. */
export function isMatchedAlike(one: Route | undefined, other: Route): boolean {
  if (one === other) return true
  return (
    one?.priority === other.priority &&
    one.reading === other.reading &&
    one.takesAmbiguousPaths === other.takesAmbiguousPaths &&
    sameValue(one.document.match, other.document.match)
  )
}

function defaultOf({ default: said }: Pick<TableDocument, 'default'>): string {
  return typeof said === 'string' ? said : NO_UPSTREAM
}

const VISITOR_DAYS = 90

function compileVisitor(said: NonNullable<TableDocument['visitor']>): VisitorCookie {
  const ageMs = said.maxAge === undefined ? null : parseDurationMs(said.maxAge, Number.MAX_SAFE_INTEGER)
  return {
    name: said.name ?? VISITOR_COOKIE,
    attributes: {
      path: said.path ?? '/',
      domain: said.domain ?? null,
      maxAge: ageMs === null ? VISITOR_DAYS * 86_400 : ageMs / 1000,
      sameSite: said.sameSite ?? 'lax',
      httpOnly: said.httpOnly ?? true,
    },
    document: said,
  }
}

function compileUpstream(name: string, said: UpstreamDocument): Upstream {
  const { timeouts, tls, host } = said
  return Object.freeze({
    name,
    servers: Object.freeze(said.servers.map(compileServer)),
    connectTimeoutMs: ms(timeouts?.connect) ?? 1_000,
    headersTimeoutMs: ms(timeouts?.headers) ?? 60_000,
    idleTimeoutMs: ms(timeouts?.idle) ?? 60_000,
    upgradedTimeoutMs: ms(timeouts?.upgraded),
    totalTimeoutMs: ms(timeouts?.total),
    host: host === undefined || host === 'preserve' ? 'preserve' : host === 'upstream' ? host : { literal: host },
    publicOrigin: said.publicOrigin === undefined ? null : (parseOrigin(said.publicOrigin) as Origin).text,
    protocol: said.protocol ?? 'http1',
    lenient: said.lenient ?? false,
    reading: compileReading({}, said),
    via: said.via ?? false,
    headers: said.headers === undefined ? null : compileFieldEdits(said.headers, null),
    cookies: said.cookies === undefined ? null : compileCookies(said.cookies),
    tls: compileTls(tls ?? {}),
    maxIdleConnections: said.maxIdleConnections ?? 256,
    keepAliveMs: ms(said.keepAlive?.idle) ?? KEEP_ALIVE_MS,
    unsafeIsFresh: said.keepAlive?.fresh === 'unsafe',
    bufferRequestBytes: bytes(said.bufferRequests),
    maxHeaderBytes: bytes(said.maxHeaderSize) ?? 64 * 1024,
    maxHeaderFields: said.maxHeaderFields ?? 1_000,
    health: said.health === undefined ? null : compileHealth(said.health),
    ejection: said.ejection === false ? null : compileEjection(said.ejection ?? {}),
    slowStartMs: ms(said.slowStart) ?? 0,
    maxConcurrent: said.maxConcurrent ?? null,
    queue: { size: said.queue?.size ?? 100, timeoutMs: ms(said.queue?.timeout) ?? 1_000 },
    affinity: said.affinity === undefined ? null : compileAffinity(said.affinity),
    document: said,
  })
}

function compileAffinity(said: string): AffinitySettings {
  return said === 'ip' ? { kind: 'ip' } : { kind: 'cookie', session: said.slice('cookie:'.length) || null }
}

/** Compiles one entry of an upstream's `servers`. */
export function compileServer(said: UpstreamDocument['servers'][number]): Server {
  const { url, weight, id } = typeof said === 'string' ? ({ url: said } as const) : said
  const { text, tls, hostname, port, socketPath } = parseServerUrl(url) as ServerPlace
  const address = hostname.includes(':') ? `[${hostname}]` : hostname
  const own = socketPath === null ? `${address}:${port}` : text
  return { id: id ?? own, url: text, tls, hostname, port, socketPath, address: null, weight: weight ?? 1 }
}

function compileCookies({ domain, path, secure, sameSite }: NonNullable<UpstreamDocument['cookies']>): CookieChanges {
  return {
    domain: domain === undefined ? null : domain === 'none' ? '' : domain,
    path: path ?? null,
    secure: secure ?? null,
    sameSite: sameSite === undefined ? null : SAME_SITE[sameSite],
  }
}

const SAME_SITE = { strict: 'Strict', lax: 'Lax', none: 'None' } as const

function compileTls(said: NonNullable<UpstreamDocument['tls']>): TlsSettings {
  return {
    ca: said.ca ?? null,
    cert: said.cert ?? null,
    key: said.key ?? null,
    serverName: said.serverName ?? null,
    verify: said.verify ?? true,
    minVersion: said.minVersion ?? null,
    maxVersion: said.maxVersion ?? null,
    ciphers: said.ciphers ?? null,
  }
}

function compileHealth(said: NonNullable<UpstreamDocument['health']>): HealthSettings {
  return {
    path: said.path,
    everyMs: ms(said.every) ?? 5_000,
    jitter: (said.jitter ?? 10) / 100,
    timeoutMs: ms(said.timeout) ?? 1_000,
    status: said.status === undefined ? null : new Set([said.status].flat()),
    body: said.body ?? null,
    start: said.start ?? 'healthy',
    up: said.up ?? 2,
    down: said.down ?? 3,
  }
}

function compileEjection(said: Exclude<UpstreamDocument['ejection'], false | undefined>): EjectionSettings {
  return {
    failures: said.failures ?? 5,
    errors: said.errors ?? 20,
    pauseMs: ms(said.pause) ?? 10_000,
    maxPauseMs: ms(said.maxPause) ?? 300_000,
  }
}

/** The keys of a route or an upstream that say how paths are read. */
type ReadingKeys = Pick<UpstreamDocument, 'caseInsensitivePaths' | 'pathParameters' | 'trailingSlash'>

/** How paths are read: as a route says, or else as its upstream does. */
export function compileReading(route: ReadingKeys, upstream: ReadingKeys | undefined): PathReading {
  return readingOf({
    ignoresCase: route.caseInsensitivePaths ?? upstream?.caseInsensitivePaths ?? false,
    ignoresParameters: (route.pathParameters ?? upstream?.pathParameters) === 'ignore',
    ignoresFinalSlash: (route.trailingSlash ?? upstream?.trailingSlash) === 'ignore',
  })
}

/** Compiles one route. The default upstream has the rest where the route names no `from`. */
function compileRoute(said: RouteDocument, { default: fallback, upstreams, pool }: Around): Route {
  const from = said.from ?? fallback
  const reading = compileReading(said, upstreams.get(from)?.document)
  const claim = compileMatch(said.match, reading, pool)
  const percent = said.percent ?? 0
  const sticky = compileSticky(said.sticky, claim.params)
  return Object.freeze({
    id: said.id,
    priority: said.priority ?? 0,
    reading,
    ...claim,
    takesAmbiguousPaths: said.ambiguousPaths === 'allow',
    from,
    targets: Object.freeze(compileTargets(said.to)),
    percent,
    threshold: thresholdOf(percent),
    salt: said.group ?? said.id,
    noKey: said.noKey ?? 'from',
    movesAll: percent === 100 && said.noKey !== 'from',
    sticky,
    tellSide: said.tellSide ?? null,
    pinAfterWriteMs: ms(said.pinAfterWrite),
    keysVisitors: sticky.some(({ kind }) => kind === 'visitor'),
    fallback: said.fallback === undefined ? null : compileFallback(said.fallback),
    breaker: compileBreaker(said, from),
    rewrite: said.rewrite === undefined ? null : compileRewrite(said.rewrite, claim),
    answer: said.answer?.headers === undefined ? null : compileFieldEdits(said.answer.headers, claim.params),
    timeouts: said.timeouts === undefined ? null : compileRouteTimeouts(said.timeouts),
    cache: said.cache === undefined ? null : compileCache(said.cache),
    shadow: said.shadow === undefined ? null : compileShadow(said.shadow, reading, pool),
    ramp: said.ramp === undefined ? null : compileRamp(said.ramp),
    retire: said.retire === undefined ? null : compileRetirement(said.retire),
    document: said,
  })
}

/** Compiles what a route matches. `pool` has the conditions that routes share. */
export function compileMatch(
  match: RouteDocument['match'],
  reading: PathReading,
  pool: Pool,
): Pick<Route, 'claims' | 'params' | 'conditions'> {
  const written = pathsOf(match).map((text) => parsePattern(text, reading) as PathPattern)
  const params = [...new Set(written.flatMap((path) => path.params))]
  const paths = written.map((path) => ({ ...path, places: placesOf(path, params) }))
  const hosts = (said: MatchBlock) => (said.hosts ?? match.hosts ?? []).map((text) => parseHost(text) as HostPattern)
  const conditions = compileConditions(match, reading, pool)
  const own = conditions.filter(isTested)
  const blocks = (match.anyOf ?? [{}]).map((block) => ({
    hosts: hosts(block),
    conditions: [...own, ...compileConditions(block, reading, pool).filter(isTested)],
  }))
  const claims = paths.flatMap((path) => blocks.map((block) => ({ path, ...block })))
  return { claims, params, conditions }
}

/** The paths that a route names; every path without one. */
export function pathsOf({ path, paths }: RouteDocument['match']): readonly string[] {
  return paths ?? [path ?? '/*']
}

/** Where the values of a path stand among those of all paths of its route; null where they are in order, and all. */
function placesOf(path: PathPattern, params: readonly string[]): readonly number[] | null {
  const places = path.params.map((name) => params.indexOf(name))
  return places.length === params.length && places.every((place, at) => place === at) ? null : places
}

function isTested(condition: Condition): boolean {
  return condition.test !== null
}

function compileConditions(match: RouteDocument['match'], reading: PathReading, pool: Pool): Condition[] {
  const conditions = (Object.keys(PREDICATES) as PredicateName[]).flatMap((name) => {
    const argument = match[name]
    if (argument === undefined) return []
    // Each entry compiles what its own schema has accepted; the type checker sees the two only as unions.
    const compile = () => PREDICATES[name].compile(argument as never, reading)
    // Each path is another; `methods: [GET, HEAD]` is the same condition wherever it stands.
    return name === 'path' || name === 'paths'
      ? compile()
      : pooled(pool, `${name}\0${JSON.stringify(argument)}`, compile)
  })
  if (match.anyOf === undefined) return conditions
  return [...conditions, anyOfCondition(match.anyOf.map((block) => compileConditions(block, reading, pool)))]
}

/** Conditions by what the table says: routes share equal ones, so that large tables stay in the processor's caches. */
export type Pool = Map<string, Condition[]>

function pooled(pool: Pool, key: string, compile: () => Condition[]): Condition[] {
  const known = pool.get(key)
  if (known) return known
  const made = compile()
  pool.set(key, made)
  return made
}

/** `sticky: request` alone is the draw per request: the empty chain. */
function compileSticky(said: RouteDocument['sticky'], params: readonly string[]): StickySource[] {
  const chain = stickySources(said).map(({ source, ignore }) => parseSticky(source, params, ignore) as StickySource)
  return chain[0]?.kind === 'request' ? [] : chain
}

/** The sources of `sticky`, which is one source or a list. */
export function stickySources(said: RouteDocument['sticky']): { source: string; ignore?: readonly string[] }[] {
  const entries = said === undefined ? [] : Array.isArray(said) ? said : [said]
  return entries.map((entry) => (typeof entry === 'string' ? { source: entry } : entry))
}

function compileFallback(said: NonNullable<RouteDocument['fallback']>): Fallback {
  return {
    on: new Set(said.on ?? ['connect', 'timeout', 502, 503, 504]),
    methods: said.methods ?? 'safe',
    maxReplayBytes: bytes(said.maxReplay) ?? 64 * 1024,
  }
}

function compileRewrite(
  said: NonNullable<RouteDocument['rewrite']>,
  { claims, params }: Pick<Route, 'claims' | 'params'>,
): RouteRewrite {
  const to = said.path === undefined ? null : (parsePattern(said.path) as PathPattern)
  return {
    paths: to === null ? null : new Map(claims.map(({ path }) => [path.text, planOf(path, to)])),
    query: said.query === undefined ? null : compileQueryEdits(said.query, params),
    headers: said.headers === undefined ? null : compileFieldEdits(said.headers, params),
  }
}

function compileRouteTimeouts(said: NonNullable<RouteDocument['timeouts']>): RouteTimeouts {
  return { headersMs: ms(said.headers), idleMs: ms(said.idle), upgradedMs: ms(said.upgraded) }
}

/** Without a word about it, a breaker stands where `from` may answer for `to` anyway: where there is a fallback. */
function compileBreaker({ breaker, fallback, to }: RouteDocument, from: string): BreakerSettings | null {
  if (breaker === false || (breaker === undefined && fallback === undefined) || to === from) return null
  return {
    failureRatio: breaker?.failureRatio ?? 0.5,
    minRequests: breaker?.minRequests ?? 20,
    windowMs: ms(breaker?.window) ?? 10_000,
    pauseMs: ms(breaker?.pause) ?? 10_000,
    probes: breaker?.probes ?? 3,
  }
}

function compileCache(said: NonNullable<RouteDocument['cache']>): CacheSettings {
  return {
    mode: said.mode ?? 'rfc9111',
    force: new Set(said.force),
    setCookie: said.setCookie ?? 'refuse',
    errors: said.errors ?? 'safe',
    storePost: said.storePost ?? false,
    ttlMs: ms(said.ttl),
    staleWhileRevalidateMs: ms(said.staleWhileRevalidate),
    staleIfErrorMs: ms(said.staleIfError),
    keepMs: ms(said.keep) ?? 3_600_000,
    collapseWaitMs: ms(said.collapse?.wait) ?? 5000,
    maxBodyBytes: bytes(said.maxBody) ?? 1024 * 1024,
    shareAcrossUpstreams: said.shareAcrossUpstreams ?? false,
    key: said.key === undefined ? null : compileKey(said.key),
    normalize: said.normalize ?? [],
    tags: said.tags?.toLowerCase() ?? null,
  }
}

function compileKey(said: NonNullable<NonNullable<RouteDocument['cache']>['key']>): KeyRules {
  const { keep, drop } = said.query ?? {}
  return {
    query: keep ? { kind: 'keep', names: new Set(keep) } : drop ? { kind: 'drop', names: new Set(drop) } : null,
    anyQueryOrder: said.anyQueryOrder ?? false,
    headers: (said.headers ?? []).map((name) => name.toLowerCase()),
    cookies: said.cookies ?? [],
  }
}

function compileShadow(said: NonNullable<RouteDocument['shadow']>, reading: PathReading, pool: Pool): ShadowSettings {
  const { headers, ignore, unordered, tolerance } = said.compare ?? {}
  return {
    share: said.percent / 100,
    sides: said.sides ?? 'from',
    conditions: said.match === undefined ? [] : compileConditions(said.match, reading, pool),
    maxBodyBytes: bytes(said.maxBody) ?? 64 * 1024,
    noiseShare: (said.noise ?? 10) / 100,
    keepsValues: said.samples === 'values',
    compare: {
      headers: headers?.map((name) => name.toLowerCase()) ?? DEFAULT_COMPARED_HEADERS,
      ignore: (ignore ?? []).map((path) => (path.startsWith('header:') ? path.toLowerCase() : path)),
      unordered: unordered ?? [],
      tolerance: tolerance ?? 0,
      redact: said.redact ?? [],
    },
  }
}

/** Compiles `ramp` of a route. */
export function compileRamp(said: NonNullable<RouteDocument['ramp']>): RampPlan {
  const { steps = DEFAULT_STEPS, hold, approve = [], window, requires = [], holdback = 0, guard = {} } = said
  const { tolerate, hardStop } = DEFAULT_GUARD
  return {
    ...withHoldback({ steps, approve }, holdback),
    holdMs: ms(hold) ?? DEFAULT_HOLD_MS,
    window: window === undefined ? null : parseWindow(window),
    requires: requires.map(parseRequirement),
    guard: {
      alpha: guard.alpha ?? DEFAULT_GUARD.alpha,
      minKeys: guard.minKeys ?? DEFAULT_GUARD.minKeys,
      tolerate: {
        ratio: guard.tolerate?.ratio ?? tolerate.ratio,
        harm: guard.tolerate?.harm ?? tolerate.harm,
        latency: guard.tolerate?.latency ?? tolerate.latency,
        mismatch: guard.tolerate?.mismatch ?? tolerate.mismatch,
      },
      hardStop: { percent: guard.hardStop?.percent ?? hardStop.percent, of: guard.hardStop?.of ?? hardStop.of },
    },
  }
}

function ms(text: string | undefined): number | null {
  return text === undefined ? null : parseDurationMs(text)
}

function bytes(text: string | undefined): number | null {
  return text === undefined ? null : parseSizeBytes(text)
}
