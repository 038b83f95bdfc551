/**
 * A table as a list that is read from its top: the first claim that a request meets has it. Engines that ask their rules in order
 * decide by such a list as the table does by precedence.
 */
import type { HostPattern } from '../patterns/host.ts'
import { coversPath, type PathPattern } from '../patterns/path.ts'
import type { Condition } from '../patterns/predicates.ts'
import type { Route, Table } from '../table/table.ts'

/** What a route claims at hosts of one rank. */
export interface ListedClaim {
  readonly route: Route
  /** The place of the route in the table. */
  readonly index: number
  readonly path: PathPattern
  /** One of which must be the request's; empty for any. */
  readonly hosts: readonly HostPattern[]
  readonly conditions: readonly Condition[]
}

/** The claims of all routes, in the order of precedence: by priority, host, path, number of conditions. */
export function claimsInOrder({ routes }: Table): ListedClaim[] {
  const all = routes.flatMap((route, index) =>
    route.claims.flatMap(({ path, hosts, conditions }) =>
      byRank(hosts).map((alike) => ({ route, index, path, hosts: alike, conditions })),
    ),
  )
  return all.sort(
    (a, b) =>
      b.route.priority - a.route.priority ||
      compareHosts(a.hosts, b.hosts) ||
      comparePaths(a.path, b.path) ||
      b.conditions.length - a.conditions.length,
  )
}

/** Exact names can't both match, so they stand together; a longer suffix comes before a shorter one. */
function byRank(hosts: readonly HostPattern[]): readonly (readonly HostPattern[])[] {
  return hosts.length === 0 ? [[]] : [...Map.groupBy(hosts, (host) => rankOf(host).join()).values()]
}

function rankOf({ wildcard, name, port }: HostPattern): [kind: number, length: number, port: number] {
  return [wildcard ? 1 : 0, wildcard ? -name.length : 0, port === '' ? 1 : 0]
}

function compareHosts([a]: readonly HostPattern[], [b]: readonly HostPattern[]): number {
  if (a === undefined || b === undefined) return (a === undefined ? 1 : 0) - (b === undefined ? 1 : 0)
  const [one, other] = [rankOf(a), rankOf(b)]
  return one[0] - other[0] || one[1] - other[1] || one[2] - other[2]
}

/** Segment by segment: a literal before `:name`, then the end of the path, then `*`. */
function comparePaths(a: PathPattern, b: PathPattern): number {
  for (let at = 0; ; at++) {
    const [one, other] = [kindAt(a, at), kindAt(b, at)]
    if (one !== other || one >= END) return one - other
  }
}

const END = 2

function kindAt({ segments, rest }: PathPattern, at: number): number {
  if (at >= segments.length) return rest ? END + 1 : END
  return segments[at] === null ? 1 : 0
}

/** Whether one path may match both patterns. Patterns that read paths in other ways than exactly may, unless the opposite is plain. */
export function mayBothMatch(a: PathPattern, b: PathPattern): boolean {
  const isExact = isReadExactly(a) && isReadExactly(b)
  if (isExact && !lengthsMeet(a, b)) return false
  if (a.reading.ignoresParameters || b.reading.ignoresParameters) return true
  const length = Math.min(a.segments.length, b.segments.length)
  for (let at = 0; at < length; at++) {
    const [one, other] = [a.segments[at], b.segments[at]]
    if (typeof one !== 'string' || typeof other !== 'string') {
      // `:name` is never empty.
      if (isExact && (one === '' || other === '')) return false
      continue
    }
    if (one !== other && (isExact || one.toLowerCase() !== other.toLowerCase()) && one !== '' && other !== '')
      return false
    if (isExact && one !== other) return false
  }
  return true
}

function lengthsMeet(a: PathPattern, b: PathPattern): boolean {
  if (a.rest && b.rest) return true
  if (a.rest) return b.segments.length >= a.least
  if (b.rest) return a.segments.length >= b.least
  return a.segments.length === b.segments.length
}

/** Whether nothing of a path is ignored. */
export function isReadExactly({ reading }: PathPattern): boolean {
  return !reading.ignoresCase && !reading.ignoresParameters && !reading.ignoresFinalSlash
}

/**
 * The claims that may have requests with a path, up to the first that takes all of them.
 * @param claims in order
 */
export function chainOf(claims: Iterable<ListedClaim>, path: PathPattern): ListedClaim[] {
  const chain: ListedClaim[] = []
  for (const claim of claims) {
    if (!mayBothMatch(path, claim.path)) continue
    chain.push(claim)
    if (isAlone(claim, path)) break
  }
  return chain
}

/** Whether a claim takes all requests with a path. */
export function isAlone({ hosts, conditions, path: own }: ListedClaim, path: PathPattern): boolean {
  return hosts.length === 0 && conditions.length === 0 && covers(own, path)
}

/** Whether a path has every path of another. */
export function covers(wider: PathPattern, path: PathPattern): boolean {
  return wider === path || coversPath(wider, path)
}
