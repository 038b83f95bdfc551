/**
 * Finds routes that a table can't hold together: same priority, host, path and number of conditions, and a request that matches
 * both; and routes that never match, since another one of higher priority takes all of their requests.
 */

import { coversHost } from '../patterns/host.ts'
import { canBothMatch, coversPath, type PathPattern } from '../patterns/path.ts'
import { canBothPass, implies, sayTest, type ValueTest } from '../patterns/value-test.ts'
import type { Route, RouteClaim } from '../table/table.ts'
import type { Finding } from '../values/problem.ts'
import { allOf, type Steps } from '../values/steps.ts'

/** What a route matches, with its index in the file. */
export interface PlacedRoute extends Claiming {
  readonly at: number
}

type Claiming = Pick<Route, 'id' | 'priority' | 'takesAmbiguousPaths' | 'claims'>

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

/** A claim with its tests by what they look at. */
interface Rival<Placed = PlacedRoute> {
  readonly placed: Placed
  readonly claim: RouteClaim
  readonly tests: ReadonlyMap<string, ValueTest>
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

function rivalsOf(routes: readonly PlacedRoute[]): Rival[] {
  return routes.flatMap((placed) => placed.claims.map((claim) => rivalOf(placed, claim)))
}

/** What a literal has in common with all others that it may be read as. */
function coarse(literal: string | null): string {
  return literal === null ? ':' : `=${literal.toLowerCase().split(';', 1)[0]}`
}

/** The pairs among rivals that one request can meet both of, the earlier route first; for each later claim the first. */
function* overlapsAmong(rivals: readonly Rival[]): Iterable<[Rival, Rival]> {
  if (rivals.length < 2) return
  const subject = commonSubject(rivals)
  if (subject === null) {
    yield* overlapsOf(rivals)
    return
  }
  // Thousands of routes that differ in one header's value are compared within each value, not each with each.
  const byValue = new Map<string, Rival[]>()
  for (const rival of rivals) for (const value of valuesOf(rival, subject)) push(byValue, value, rival)
  for (const group of byValue.values()) yield* overlapsOf(group)
}

function* overlapsOf(rivals: readonly Rival[]): Iterable<[Rival, Rival]> {
  for (const [index, later] of rivals.entries()) {
    for (let at = 0; at < index; at++) {
      const earlier = rivals[at] as Rival
      if (!overlap(earlier, later)) continue
      yield [earlier, later]
      break
    }
  }
}

/** A subject of which every rival lists the values that it wants, or null. */
function commonSubject(rivals: readonly Rival[]): string | null {
  const subjects = [...(rivals[0] as Rival).tests.keys()]
  return subjects.find((subject) => rivals.every((rival) => valuesOf(rival, subject).length > 0)) ?? null
}

function valuesOf({ tests }: Rival, subject: string): readonly string[] {
  const test = tests.get(subject)
  return test?.is === 'anyOf' ? test.values : []
}

function testsOf(claim: RouteClaim): Map<string, ValueTest> {
  return new Map(claim.conditions.flatMap(({ subject, test }) => (test === null ? [] : [[subject, test] as const])))
}

function push(groups: Map<string, Rival[]>, key: string, rival: Rival): void {
  const group = groups.get(key)
  if (group) group.push(rival)
  else groups.set(key, [rival])
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
  const byStart = new Map<string, Rival[]>()
  for (const placed of routes) {
    for (const rival of rivalsOf([placed])) push(byStart, startOf(rival.claim.path), rival)
    yield
  }
  const findings: Finding[] = []
  for (const placed of routes) {
    const finding = hiddenFinding(placed, byStart)
    if (finding !== null) findings.push(finding)
    yield
  }
  return findings
}

function hiddenFinding(placed: PlacedRoute, byStart: ReadonlyMap<string, Rival[]>): Finding | null {
  const above = placed.claims.map((claim) => aboveOf({ placed, claim, tests: testsOf(claim) }, byStart))
  const names = new Set(above.map((rival) => (rival === null ? null : rival.placed)))
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

/** A claim of higher priority that has all requests of a claim, or null. */
function aboveOf(rival: Rival, byStart: ReadonlyMap<string, Rival[]>): Rival | null {
  const starts = new Set([startOf(rival.claim.path), ANY_START])
  return [...starts].flatMap((start) => byStart.get(start) ?? []).find((other) => hides(other, rival)) ?? null
}

const ANY_START = ':'

/** The first segment, so that few claims are compared with each. */
function startOf({ segments }: PathPattern): string {
  return segments.length === 0 ? ANY_START : coarse(segments[0] as string | null)
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

function rivalOf<Placed>(placed: Placed, claim: RouteClaim): Rival<Placed> {
  return { placed, claim, tests: testsOf(claim) }
}

/** Whether two claims of the same priority are alike in what decides between claims, and one request can meet both. */
function isTied(one: Rival<Claiming>, other: Rival<Claiming>): boolean {
  const keys = new Set(keysOf(one))
  return keysOf(other).some((key) => keys.has(key)) && overlap(one, other)
}
