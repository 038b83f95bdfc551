/**
 * Request -> route: the one with the highest priority wins, among those the most specific, by host, then path, then number of
 * conditions, regardless of their order in the file.
 */
import type { RequestView } from '../http/exchange.ts'
import {
  type PathPattern,
  type PathReading,
  paramsOf,
  patternTakes,
  readTarget,
  type Target,
} from '../patterns/path.ts'
import { type Condition, hostOf } from '../patterns/predicates.ts'
import { splitHost } from '../patterns/request-parts.ts'
import type { Claim, HostTrees, Matcher, PathNode, Plane, Route, RouteClaim, Table } from '../table/table.ts'
import type { Steps } from '../values/steps.ts'

/** What the table says to a request. */
export interface Match {
  /** The route that claims the request, or null. */
  readonly route: Route | null
  /** The path of the route that the request has; null without a route. */
  readonly path: PathPattern | null
  /** The values of the `:name`s of the route, decoded, in the order of its `params`; '' for one that `path` does not have. */
  readonly params: readonly string[]
  /** Whether the path has more than one reading; then only routes with `ambiguousPaths: allow` were asked. */
  readonly ambiguous: boolean
}

const NO_PARAMS: readonly string[] = []
const UNCLAIMED: Match = Object.freeze({ route: null, path: null, params: NO_PARAMS, ambiguous: false })
const AMBIGUOUS: Match = Object.freeze({ route: null, path: null, params: NO_PARAMS, ambiguous: true })

/**
 * Finds the route that claims a request. Never throws; costs the same however many paths and hosts the table has.
 * A table whose routes read paths in several ways is asked once for each of them.
 */
export function matchRoute(table: Table, view: RequestView): Match {
  const { planes, reading } = table.matcher
  const only = planes[0]
  if (only !== undefined && planes.length === 1 && only.reading === reading) return matchInOne(table, only, view)
  let best: Claim | null = null
  let bestTarget: Target | null = null
  let target: Target | null = null
  let read: PathReading | null = null
  for (let i = 0; i < planes.length; i++) {
    const plane = planes[i] as Plane
    if (best !== null && plane.priority < best.priority) break
    if (target === null || plane.reading !== read) {
      read = plane.reading
      target = readTarget(view.target, read)
    }
    if (target.segments === null) return UNCLAIMED
    const trees = target.ambiguity === null ? plane.all : plane.ambiguous
    if (trees === null) continue
    const claim = claimant(trees, target.authority ?? view.host, target.segments, view)
    if (claim === null || (best !== null && compareClaims(claim, best, view) > 0)) continue
    best = claim
    bestTarget = target
  }
  if (best !== null && bestTarget !== null) {
    const { at, path } = best
    const params = paramsOf(path, bestTarget.values ?? [])
    return { route: table.routes[at] as Route, path, params, ambiguous: bestTarget.ambiguity !== null }
  }
  const plain = target === null || read !== reading ? readTarget(view.target, reading) : target
  return plain.ambiguity === null ? UNCLAIMED : AMBIGUOUS
}

/** As `matchRoute`, for nearly all tables: one plane, which reads paths as the default upstream does. */
function matchInOne(table: Table, plane: Plane, view: RequestView): Match {
  const target = readTarget(view.target, plane.reading)
  if (target.segments === null) return UNCLAIMED
  const ambiguous = target.ambiguity !== null
  const trees = ambiguous ? plane.ambiguous : plane.all
  const claim = trees === null ? null : claimant(trees, target.authority ?? view.host, target.segments, view)
  if (claim === null) return ambiguous ? AMBIGUOUS : UNCLAIMED
  const { at, path } = claim
  const params = paramsOf(path, target.values as readonly string[])
  return { route: table.routes[at] as Route, path, params, ambiguous }
}

/** Asks the trees of the request's host, the most specific first, then the tree of the claims on any host. */
function claimant(trees: HostTrees, host: string, segments: readonly string[], view: RequestView): Claim | null {
  let claim: Claim | null = null
  if (trees.hosted) {
    for (const key of hostKeys(host)) {
      const tree = trees.byHost.get(key)
      if (tree !== undefined) claim = claimantBelow(tree, segments, 0, view)
      if (claim !== null) return claim
    }
  }
  return claimantBelow(trees.any, segments, 0, view)
}

const MAX_HOST_LENGTH = 253 + ':65535'.length + 1

/** The keys that trees for this host have, the most specific first: exact, then suffixes, longest first; each with its port first. */
function hostKeys(host: string): string[] {
  // A host beyond the length of any DNS name has no tree, and would make a search that grows with the square of it.
  if (host.length > MAX_HOST_LENGTH) return []
  const { name, port } = splitHost(host)
  const keys: string[] = []
  // A name that begins with a dot is no name, but looks like the key of a wildcard.
  for (let key = name.startsWith('.') ? suffixOf(name) : name; key !== ''; key = suffixOf(key)) {
    if (port !== '') keys.push(`${key}:${port}`)
    keys.push(key)
  }
  return keys
}

/** What is left of a name from its second label on, with the dot before it. */
function suffixOf(name: string): string {
  const dot = name.indexOf('.', 1)
  return dot === -1 ? '' : name.slice(dot)
}

/** Depth first, the more specific child first: visits each node at most once, so the table's size bounds the work. */
function claimantBelow(node: PathNode, segments: readonly string[], depth: number, view: RequestView): Claim | null {
  if (node.tail !== null) return patternTakes(node.tail, segments, depth) ? claimantAmong(node.claims, view) : null
  if (depth === segments.length) return claimantAmong(node.claims, view)
  const segment = segments[depth] as string
  const literal = node.literals === null ? undefined : node.literals.get(segment)
  if (literal !== undefined) {
    const claim = claimantBelow(literal, segments, depth + 1, view)
    if (claim !== null) return claim
  }
  if (node.param !== null && segment !== '') {
    const claim = claimantBelow(node.param, segments, depth + 1, view)
    if (claim !== null) return claim
  }
  return claimantAmong(node.restClaims, view)
}

function claimantAmong(claims: readonly Claim[], view: RequestView): Claim | null {
  for (let i = 0; i < claims.length; i++) {
    const claim = claims[i] as Claim
    if (meetsAll(claim, view)) return claim
  }
  return null
}

function meetsAll(claim: RouteClaim, view: RequestView): boolean {
  const { conditions } = claim
  for (let i = 0; i < conditions.length; i++) {
    if (!(conditions[i] as Condition).matches(view)) return false
  }
  return true
}

/**
 * Which of two claims that a request meets is to have it: negative for the first, 0 where a table can't hold both. The trees
 * follow the same order.
 */
function compareClaims(a: Claim, b: Claim, view: RequestView): number {
  if (a.priority !== b.priority) return b.priority - a.priority
  const keys = hostKeys(hostOf(view))
  const byHost = hostRank(a, keys) - hostRank(b, keys)
  if (byHost !== 0) return byHost
  const at = firstDifference(a.path, b.path)
  if (at !== -1) return kindAt(a.path, at) - kindAt(b.path, at)
  return b.conditions.length - a.conditions.length
}

/** What a path has at a place; the more specific is smaller. */
const KINDS = { literal: 0, param: 1, end: 2, rest: 3 } as const

function kindAt(path: PathPattern, at: number): number {
  if (at >= path.segments.length) return path.rest ? KINDS.rest : KINDS.end
  return path.segments[at] === null ? KINDS.param : KINDS.literal
}

/** The first place at which two paths differ in kind, or -1. */
function firstDifference(a: PathPattern, b: PathPattern): number {
  for (let at = 0; ; at++) {
    const kind = kindAt(a, at)
    if (kind !== kindAt(b, at)) return at
    if (kind >= KINDS.end) return -1
  }
}

/**
 * Builds what finds a request's route, a node of a tree at a time. The order of `routes` decides nothing between routes that
 * a table may hold together.
 * @param reading how the default upstream reads paths
 */
export function* matcherSteps(routes: readonly Route[], reading: PathReading): Steps<Matcher> {
  const planes: Plane[] = []
  const placed = routes.map((route, at) => ({ route, at }))
  for (const [priority, ofPriority] of Map.groupBy(placed, ({ route }) => route.priority)) {
    for (const [of, alike] of Map.groupBy(ofPriority, ({ route }) => route.reading)) {
      const lenient = alike.filter(({ route }) => route.takesAmbiguousPaths)
      const ambiguous = lenient.length === 0 ? null : yield* plant(lenient, of)
      planes.push({ priority, reading: of, all: yield* plant(alike, of), ambiguous })
    }
  }
  return { planes: planes.sort((a, b) => b.priority - a.priority), reading }
}

/** A route with its place in the table. */
interface Placed {
  readonly route: Route
  readonly at: number
}

function* plant(routes: readonly Placed[], reading: PathReading): Steps<HostTrees> {
  const byHost = new Map<string, Claim[]>()
  const any: Claim[] = []
  for (const { route, at } of routes) {
    for (const { path, hosts, conditions } of route.claims) {
      const claim = { at, priority: route.priority, path, hosts, conditions }
      if (hosts.length === 0) any.push(claim)
      for (const { key } of hosts) push(byHost, key, claim)
    }
    yield
  }
  const trees = new Map<string, PathNode>()
  for (const [key, claims] of byHost) trees.set(key, yield* grow(claims, 0, reading))
  return { byHost: trees, any: yield* grow(any, 0, reading), hosted: trees.size > 0 }
}

/** The tree of these claims, whose paths are alike in the segments before `depth`. */
function* grow(claims: Claim[], depth: number, reading: PathReading): Steps<PathNode> {
  yield
  const only = claims[0]?.path
  if (only !== undefined && claims.every(({ path }) => samePath(path, only))) {
    return { tail: only, claims: inOrder(claims), literals: null, param: null, restClaims: [] }
  }
  const literals = new Map<string, Claim[]>()
  const below: Claim[] = []
  const here: Claim[] = []
  const rest: Claim[] = []
  for (const claim of claims) {
    const { path } = claim
    if (depth === path.segments.length) (path.rest ? rest : here).push(claim)
    else if (path.segments[depth] === null) below.push(claim)
    else push(literals, path.segments[depth] as string, claim)
  }
  const children = new Map<string, PathNode>()
  for (const [segment, inner] of literals) children.set(segment, yield* grow(inner, depth + 1, reading))
  const restClaims = inOrder(rest)
  return {
    tail: null,
    claims: reading.ignoresFinalSlash ? [...inOrder(here), ...restClaims] : inOrder(here),
    literals: children,
    param: below.length === 0 ? null : yield* grow(below, depth + 1, reading),
    restClaims,
  }
}

function push(groups: Map<string, Claim[]>, key: string, claim: Claim): void {
  const group = groups.get(key)
  if (group) group.push(claim)
  else groups.set(key, [claim])
}

function samePath(a: PathPattern, b: PathPattern): boolean {
  return (
    a.rest === b.rest &&
    a.segments.length === b.segments.length &&
    a.segments.every((segment, at) => segment === b.segments[at])
  )
}

function inOrder(claims: Claim[]): Claim[] {
  return claims.sort((a, b) => b.conditions.length - a.conditions.length)
}

/** How one route fared with a request, for explain. */
export interface Candidate {
  readonly routeId: string
  /** Whether the request meets all that the route asks. */
  readonly matched: boolean
  /** Whether the route claims the request: it matched, and no more specific one did. */
  readonly won: boolean
  /** Why it did not win, as sentences for a person; empty for the winner. */
  readonly lost: readonly string[]
}

/** Every route of the table, in its order, with what decided for or against it. Agrees with `matchRoute`. */
export function explainMatch(table: Table, view: RequestView): Candidate[] {
  const winner = matchRoute(table, view).route
  const best = winner === null ? null : claimOf(winner, table.places.get(winner.id) as number, view)
  return table.routes.map((route, at) => {
    const shortfalls = shortfallsOf(route, view)
    const matched = shortfalls.length === 0
    const won = route === winner
    const claim = matched && best !== null && !won ? claimOf(route, at, view) : null
    const lost =
      claim === null || best === null || winner === null ? shortfalls : [whyBehind(claim, best, winner.id, view)]
    return { routeId: route.id, matched, won, lost }
  })
}

/** The most specific claim of a route that a request meets, or null. */
function claimOf({ reading, priority, claims }: Route, at: number, view: RequestView): Claim | null {
  const { segments } = readTarget(view.target, reading)
  const keys = hostKeys(hostOf(view))
  let best: Claim | null = null
  for (const { path, hosts, conditions } of claims) {
    const claim = { at, priority, path, hosts, conditions }
    const isHost = hosts.length === 0 || hostRank(claim, keys) < keys.length
    if (segments === null || !isHost || !patternTakes(path, segments) || !meetsAll(claim, view)) continue
    if (best === null || compareClaims(claim, best, view) < 0) best = claim
  }
  return best
}

function shortfallsOf(route: Route, view: RequestView): string[] {
  const { segments, ambiguity } = readTarget(view.target, route.reading)
  if (segments === null) return [`the target ${view.target} has no path`]
  if (ambiguity !== null && !route.takesAmbiguousPaths) {
    return [`the path has ${ambiguity}, and the route has no ambiguousPaths: allow`]
  }
  return route.conditions.filter((condition) => !condition.matches(view)).map((condition) => condition.shortfall(view))
}

/** Why a claim that the request meets stands behind that of the winner, by its id: priority first, then host, path, number of conditions. */
function whyBehind(own: Claim, winner: Claim, id: string, view: RequestView): string {
  const { priority } = winner
  if (priority !== own.priority) return `${id} has a higher priority: ${priority}, this route has ${own.priority}`
  const keys = hostKeys(hostOf(view))
  const [rank, other] = [hostRank(own, keys), hostRank(winner, keys)]
  if (other < rank) {
    const taken = rank === keys.length ? 'this route matches any host' : `this route names ${hostAt(own, keys, rank)}`
    return `${id} is more specific: it names the host ${hostAt(winner, keys, other)}, ${taken}`
  }
  const at = firstDifference(own.path, winner.path)
  if (at !== -1)
    return `${id} is more specific: its path has ${partAt(winner.path, at)} where this one has ${partAt(own.path, at)}`
  const [ownCount, otherCount] = [own.conditions.length, winner.conditions.length]
  const noun = otherCount === 1 ? 'condition' : 'conditions'
  return `${id} is more specific: it has ${otherCount} ${noun} besides host and path, this route ${ownCount}`
}

/** The place of a claim's best host among the keys of the request's host; beyond them for one on any host. */
function hostRank({ hosts }: RouteClaim, keys: readonly string[]): number {
  if (hosts.length === 0) return keys.length
  const own = new Set(hosts.map((host) => host.key))
  const rank = keys.findIndex((key) => own.has(key))
  return rank === -1 ? keys.length : rank
}

function hostAt({ hosts }: RouteClaim, keys: readonly string[], rank: number): string | undefined {
  return hosts.find((host) => host.key === keys[rank])?.text
}

/** What a path has at a place, as the table writes it. */
function partAt(path: PathPattern, at: number): string {
  if (kindAt(path, at) === KINDS.end) return 'its end'
  return path.text.split('/')[at + 1] as string
}
