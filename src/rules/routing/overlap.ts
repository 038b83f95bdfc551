/**
 * Finds routes that a table can't hold together: same priority, host, path and number of conditions, and a request that matches
 * both; and routes that never match, since another one of higher priority takes all of their requests.
 */

import { coversHost } from '../patterns/host.ts'
import { canBothMatch, coversPath } from '../patterns/path.ts'
import { canBothPass, implies, sayTest } from '../patterns/value-test.ts'
import type { RouteClaim } from '../table/table.ts'
import type { Finding } from '../values/problem.ts'
import { allOf, type Steps } from '../values/steps.ts'
import { EarlierRivals, WiderRivals } from './rival-index.ts'
import { type Claiming, coarse, type PlacedRoute, push, type Rival, rivalOf, testsOf } from './rivals.ts'

export type { PlacedRoute } from './rivals.ts'

/**
 * Returns an error at each route that a later look cannot tell from an earlier one. Since more conditions win, a route
 * is hidden by another of its priority exactly where both make the same claim.
 */
export function overlapFindings(routes: readonly PlacedRoute[]): Finding[] {
  const findings = new Map<number, Finding>()
  for (const rivals of rivalsIn(routes)) {
    for (const [earlier, later] of overlapsAmong(rivals)) {
      if (!findings.has(later.placed.at)) findings.set(later.placed.at, describe(earlier, later))
    }
  }
  return [...findings.values()]
}

/** The claims by priority, host, path and number of conditions: only claims that are alike in all four can be tied. */
function rivalsIn(routes: readonly PlacedRoute[]): Iterable<Rival[]> {
  const groups = new Map<string, Rival[]>()
  for (const rival of rivalsOf(routes)) {
    for (const key of keysOf(rival)) push(groups, key, rival)
  }
  return groups.values()
}

/** Only claims that have one of these in common can be tied. */
function keysOf({ placed, claim: { path, hosts }, tests }: Rival<Claiming>): string[] {
  const kind = `${path.segments.map(coarse).join('/')}${path.rest ? '/*' : ''}`
  const alike = `${kind}\0${tests.size}\0${placed.priority}`
  return (hosts.length === 0 ? [''] : hosts.map((pattern) => pattern.key)).map((host) => `${host}\0${alike}`)
}

function* rivalsOf(routes: readonly PlacedRoute[]): Iterable<Rival> {
  for (const placed of routes) for (const claim of placed.claims) yield rivalOf(placed, claim)
}

/** The pairs among rivals that one request can meet both of, the earlier route first; for each later claim the first. */
function* overlapsAmong(rivals: readonly Rival[]): Iterable<[Rival, Rival]> {
  if (rivals.length < 2) return
  const earlier = new EarlierRivals(rivals)
  for (const [at, later] of rivals.entries()) {
    const first = firstIn(earlier.listsFor(later), (index) => overlap(rivals[index] as Rival, later))
    if (first !== null) yield [rivals[first] as Rival, later]
    earlier.add(later, at)
  }
}

/** The least number in some ascending lists that passes, or null. */
function firstIn(lists: Iterable<readonly number[]>, passes: (entry: number) => boolean): number | null {
  let first = Number.POSITIVE_INFINITY
  for (const list of lists) {
    for (const entry of list) {
      if (entry >= first) break
      if (passes(entry)) first = entry
    }
  }
  return first === Number.POSITIVE_INFINITY ? null : first
}

/** Whether one request can meet both claims, of two routes. */
function overlap(a: Rival<Claiming>, b: Rival<Claiming>): boolean {
  if (a.placed === b.placed || !canBothMatch(a.claim.path, b.claim.path)) return false
  for (const [subject, test] of a.tests) {
    const other = b.tests.get(subject)
    if (other !== undefined && !canBothPass(test, other)) return false
  }
  return true
}

function describe({ placed: earlier, claim }: Rival, { placed: later, claim: other }: Rival): Finding {
  const name = `${JSON.stringify(earlier.id)} (routes.${earlier.at})`
  const same = earlier.claims.length === 1 && later.claims.length === 1 && claimText(claim) === claimText(other)
  return {
    path: ['routes', later.at, 'match'],
    message: same
      ? `can never match: shadowed by ${name}, which matches the same requests`
      : `ambiguous: some requests match both this route and ${name}`,
    hint: 'add a condition or a priority to one of them',
    severity: 'error',
    at: 'key',
  }
}

function claimText(claim: RouteClaim): string {
  const tests = [...testsOf(claim)].map(([subject, test]) => `${subject} ${sayTest(test)}`)
  return [...claim.hosts.map((host) => host.key)].sort().join(' ') + tests.sort().join('\n')
}

/** Returns a warning at each route all of whose requests go to routes of a higher priority. */
export function hiddenFindings(routes: readonly PlacedRoute[]): Finding[] {
  return allOf(hiddenSteps(routes))
}

/** As `hiddenFindings`, a route at a time. */
export function* hiddenSteps(routes: readonly PlacedRoute[]): Steps<Finding[]> {
  if (routes.every(({ priority }) => priority === routes[0]?.priority)) return []
  const rivals: Rival[] = []
  const wider = new WiderRivals()
  for (const rival of rivalsOf(routes)) {
    wider.add(rival, rivals.push(rival) - 1)
    yield
  }
  yield* wider.sortSteps()
  const findings: Finding[] = []
  const above = (rival: Rival): Rival | null => {
    const first = firstIn(wider.listsFor(rival), (index) => hides(rivals[index] as Rival, rival))
    return first === null ? null : (rivals[first] as Rival)
  }
  for (const placed of routes) {
    const finding = hiddenFinding(placed, above)
    if (finding !== null) findings.push(finding)
    yield
  }
  return findings
}

/** @param aboveOf a claim of higher priority that has all requests of a claim, or null */
function hiddenFinding(placed: PlacedRoute, aboveOf: (rival: Rival) => Rival | null): Finding | null {
  const above = placed.claims.map((claim) => aboveOf(rivalOf(placed, claim)))
  const names = new Set(above.map((rival) => rival?.placed ?? null))
  if (names.has(null)) return null
  const said = [...(names as Set<PlacedRoute>)].map(({ id, at }) => `${JSON.stringify(id)} (routes.${at})`)
  const [verb, all] = said.length === 1 ? ['has', ''] : ['have', 'together ']
  return {
    path: ['routes', placed.at, 'match'],
    message: `can never match: ${said.join(', ')} ${verb} a higher priority, and ${all}${said.length === 1 ? 'matches' : 'match'} all of its requests`,
    severity: 'warning',
    at: 'key',
  }
}

function hides(a: Rival<Claiming>, b: Rival<Claiming>): boolean {
  if (a.placed.priority <= b.placed.priority || !coversPath(a.claim.path, b.claim.path)) return false
  if (b.placed.takesAmbiguousPaths && !a.placed.takesAmbiguousPaths) return false
  const { hosts } = a.claim
  const covered = b.claim.hosts.every((host) => hosts.some((wider) => coversHost(wider, host)))
  if (hosts.length > 0 && (b.claim.hosts.length === 0 || !covered)) return false
  for (const [subject, test] of a.tests) {
    const other = b.tests.get(subject)
    if (other === undefined || !implies(other, test)) return false
  }
  return true
}

/** What some routes of a table have to do with others: requests that both match, or those of the other one, or nothing. */
export type Clash = 'tied' | 'hidden' | null

/** Whether some of the routes of a table may be tied with others, as `overlapFindings` would tell, or else hide them or be hidden. */
export function* clashSteps(some: readonly Claiming[], all: readonly Claiming[]): Steps<Clash> {
  let found: Clash = null
  for (const placed of some) {
    for (const other of all) {
      yield
      if (other.id === placed.id) continue
      const clash = clashOf(placed, other)
      if (clash === 'tied') return clash
      found ??= clash
    }
  }
  return found
}

function clashOf(one: Claiming, other: Claiming): Clash {
  const [low, high] = one.priority < other.priority ? [one, other] : [other, one]
  const isTie = low.priority === high.priority
  const clash = low.claims.some((claim) =>
    high.claims.some((above) => {
      if (isTie) return canBothMatch(claim.path, above.path) && isTied(rivalOf(low, claim), rivalOf(high, above))
      return coversPath(above.path, claim.path) && hides(rivalOf(high, above), rivalOf(low, claim))
    }),
  )
  return !clash ? null : isTie ? 'tied' : 'hidden'
}

/** Whether two claims of the same priority are alike in what decides between claims, and one request can meet both. */
function isTied(one: Rival<Claiming>, other: Rival<Claiming>): boolean {
  const keys = new Set(keysOf(one))
  return keysOf(other).some((key) => keys.has(key)) && overlap(one, other)
}
