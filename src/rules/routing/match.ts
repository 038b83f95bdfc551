/**
 * Request -> route: the most specific one wins, by host, then path, then number of conditions, regardless of their order in the file.
 */
import type { RequestView } from '../http/exchange.ts'
import { type PathPattern, paramsOf, patternTakes, readTarget } from '../patterns/path.ts'
import { type Condition, hostOf } from '../patterns/predicates.ts'
import { splitHost } from '../patterns/request-parts.ts'
import type { Claim, HostTrees, Matcher, PathNode, Route, Table } from '../table/table.ts'
import type { Steps } from '../values/steps.ts'

/** What the table says to a request. */
export interface Match {
  /** The route that claims the request, or null. */
  readonly route: Route | null
  /** The values of the `:name`s of the route's path, decoded, in the order of the path. */
  readonly params: readonly string[]
  /** Whether the path has more than one reading; then only routes with `ambiguousPaths: allow` were asked. */
  readonly ambiguous: boolean
}

const NO_PARAMS: readonly string[] = []
const UNCLAIMED: Match = Object.freeze({ route: null, params: NO_PARAMS, ambiguous: false })
const AMBIGUOUS: Match = Object.freeze({ route: null, params: NO_PARAMS, ambiguous: true })

/** Finds the route that claims a request. Never throws; costs the same however many paths and hosts the table has. */
export function matchRoute(table: Table, view: RequestView): Match {
  const target = readTarget(view.target)
  if (target.segments === null) return UNCLAIMED
  const ambiguous = target.ambiguity !== null
  const trees = ambiguous ? table.matcher.ambiguous : table.matcher.all
  const route = trees === null ? null : claimant(trees, target.authority ?? view.host, target.segments, view)
  if (route === null) return ambiguous ? AMBIGUOUS : UNCLAIMED
  return { route, params: paramsOf(route.path, target.segments), ambiguous }
}

/** Asks the trees of the request's host, the most specific first, then the tree of the routes without hosts. */
function claimant(trees: HostTrees, host: string, segments: readonly string[], view: RequestView): Route | null {
  let route: Route | null = null
  if (trees.hosted) {
    for (const key of hostKeys(host)) {
      const tree = trees.byHost.get(key)
      if (tree !== undefined) route = claimantBelow(tree, segments, 0, view)
      if (route !== null) return route
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
function claimantBelow(node: PathNode, segments: readonly string[], depth: number, view: RequestView): Route | null {
  if (node.tail !== null) return patternTakes(node.tail, segments, depth) ? claimantAmong(node.claims, view) : null
  if (depth === segments.length) return claimantAmong(node.claims, view)
  const segment = segments[depth] as string
  const literal = node.literals === null ? undefined : node.literals.get(segment)
  if (literal !== undefined) {
    const route = claimantBelow(literal, segments, depth + 1, view)
    if (route !== null) return route
  }
  if (node.param !== null && segment !== '') {
    const route = claimantBelow(node.param, segments, depth + 1, view)
    if (route !== null) return route
  }
  return claimantAmong(node.restClaims, view)
}

function claimantAmong(claims: readonly Claim[], view: RequestView): Route | null {
  for (let i = 0; i < claims.length; i++) {
    const claim = claims[i] as Claim
    if (meetsAll(claim, view)) return claim.route
  }
  return null
}

function meetsAll(claim: Claim, view: RequestView): boolean {
  const { conditions } = claim
  for (let i = 0; i < conditions.length; i++) {
    if (!(conditions[i] as Condition).matches(view)) return false
  }
  return true
}

/**
 * Builds what finds a request's route, a node of a tree at a time. The order of `routes` decides nothing between routes that
 * a table may hold together.
 */
export function* matcherSteps(routes: readonly Route[]): Steps<Matcher> {
  const lenient = routes.filter((route) => route.takesAmbiguousPaths)
  return { all: yield* plant(routes), ambiguous: lenient.length === 0 ? null : yield* plant(lenient) }
}

function* plant(routes: readonly Route[]): Steps<HostTrees> {
  const byHost = new Map<string, Claim[]>()
  const any: Claim[] = []
  for (const route of routes) {
    const claim = { route, conditions: route.conditions.filter(isTested) }
    if (route.hosts.length === 0) any.push(claim)
    for (const { key } of route.hosts) push(byHost, key, claim)
  }
  const trees = new Map<string, PathNode>()
  for (const [key, claims] of byHost) trees.set(key, yield* grow(claims, 0))
  return { byHost: trees, any: yield* grow(any, 0), hosted: trees.size > 0 }
}

/** The tree of these claims, whose paths are alike in the segments before `depth`. */
function* grow(claims: Claim[], depth: number): Steps<PathNode> {
  yield
  const only = claims[0]?.route.path
  if (only !== undefined && claims.every(({ route }) => samePath(route.path, only))) {
    return { tail: only, claims: inOrder(claims), literals: null, param: null, restClaims: [] }
  }
  const literals = new Map<string, Claim[]>()
  const below: Claim[] = []
  const here: Claim[] = []
  const rest: Claim[] = []
  for (const claim of claims) {
    const { path } = claim.route
    if (depth === path.segments.length) (path.rest ? rest : here).push(claim)
    else if (path.segments[depth] === null) below.push(claim)
    else push(literals, path.segments[depth] as string, claim)
  }
  const children = new Map<string, PathNode>()
  for (const [segment, inner] of literals) children.set(segment, yield* grow(inner, depth + 1))
  return {
    tail: null,
    claims: inOrder(here),
    literals: children,
    param: below.length === 0 ? null : yield* grow(below, depth + 1),
    restClaims: inOrder(rest),
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
  return table.routes.map((route) => {
    const shortfalls = shortfallsOf(route, view)
    const matched = shortfalls.length === 0
    const won = route === winner
    const lost = matched && winner !== null && !won ? [whyBehind(route, winner, view)] : shortfalls
    return { routeId: route.id, matched, won, lost }
  })
}

function shortfallsOf(route: Route, view: RequestView): string[] {
  const { segments, ambiguity } = readTarget(view.target)
  if (segments === null) return [`the target ${view.target} has no path`]
  if (ambiguity !== null && !route.takesAmbiguousPaths) {
    return [`the path has ${ambiguity}, and the route has no ambiguousPaths: allow`]
  }
  return route.conditions.filter((condition) => !condition.matches(view)).map((condition) => condition.shortfall(view))
}

/** On what a route that matched is less specific than the winner: host first, then path, then number of conditions. */
function whyBehind(route: Route, winner: Route, view: RequestView): string {
  const keys = hostKeys(hostOf(view))
  const [own, other] = [hostRank(route, keys), hostRank(winner, keys)]
  if (other < own) {
    const taken = own === keys.length ? 'this route matches any host' : `this route names ${hostAt(route, keys, own)}`
    return `${winner.id} is more specific: it names the host ${hostAt(winner, keys, other)}, ${taken}`
  }
  const [ownParts, otherParts] = [route.path.text.split('/'), winner.path.text.split('/')]
  const at = otherParts.findIndex((part, index) => kindOf(part) !== kindOf(ownParts[index]))
  if (at !== -1)
    return `${winner.id} is more specific: its path has ${otherParts[at]} where this one has ${ownParts[at]}`
  const [ownCount, otherCount] = [route, winner].map((each) => each.conditions.filter(isTested).length)
  const noun = otherCount === 1 ? 'condition' : 'conditions'
  return `${winner.id} is more specific: it has ${otherCount} ${noun} besides host and path, this route ${ownCount}`
}

/** The place of a route's best host among the keys of the request's host; beyond them for a route that takes any. */
function hostRank(route: Route, keys: readonly string[]): number {
  const own = new Set(route.hosts.map((host) => host.key))
  const rank = keys.findIndex((key) => own.has(key))
  return rank === -1 ? keys.length : rank
}

function hostAt(route: Route, keys: readonly string[], rank: number): string | undefined {
  return route.hosts.find((host) => host.key === keys[rank])?.text
}

function kindOf(part: string | undefined): string {
  return part === undefined ? 'none' : part.startsWith(':') ? ':' : part === '*' ? '*' : 'literal'
}

function isTested(condition: Condition): boolean {
  return condition.test !== null
}
