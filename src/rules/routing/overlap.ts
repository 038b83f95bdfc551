/**
 * Finds ambiguous routes: same host, same path, same number of conditions, and a request that matches both.
 */

import { canBothPass, sayTest, type ValueTest } from '../patterns/value-test.ts'
import type { Route } from '../table/table.ts'
import type { Finding } from '../values/problem.ts'

/** What a route claims, with its index in the file. */
export interface PlacedClaim extends Pick<Route, 'id' | 'path' | 'hosts' | 'conditions'> {
  readonly at: number
}

/**
 * Returns an error at each route that a later look cannot tell from an earlier one. Since more conditions win, a route
 * is hidden by another exactly where both make the same claim.
 */
export function overlapFindings(routes: readonly PlacedClaim[]): Finding[] {
  const findings = new Map<number, Finding>()
  for (const rivals of rivalsIn(routes)) {
    for (const [earlier, later] of overlapsAmong(rivals)) {
      if (!findings.has(later.at)) findings.set(later.at, describe(earlier, later))
    }
  }
  return [...findings.values()]
}

/** A claim with its tests by what they look at. */
interface Rival {
  readonly placed: PlacedClaim
  readonly tests: ReadonlyMap<string, ValueTest>
}

/** The routes by host, path and number of conditions: only routes that are alike in all three can be tied. */
function rivalsIn(routes: readonly PlacedClaim[]): Iterable<Rival[]> {
  const groups = new Map<string, Rival[]>()
  for (const placed of routes) {
    const { path, hosts } = placed
    const rival = { placed, tests: testsOf(placed) }
    const shape = path.segments.map((literal) => (literal === null ? ':' : `=${literal}`)).join('/')
    const claim = `${shape}${path.rest ? '/*' : ''}\0${rival.tests.size}`
    for (const host of hosts.length === 0 ? [''] : hosts.map((pattern) => pattern.key))
      push(groups, `${host}\0${claim}`, rival)
  }
  return groups.values()
}

/** The pairs among rivals that one request can meet both of, the earlier route first; for each later one the first. */
function* overlapsAmong(rivals: readonly Rival[]): Iterable<[PlacedClaim, PlacedClaim]> {
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

function* overlapsOf(rivals: readonly Rival[]): Iterable<[PlacedClaim, PlacedClaim]> {
  for (const [index, later] of rivals.entries()) {
    for (let at = 0; at < index; at++) {
      const earlier = rivals[at] as Rival
      if (!overlap(earlier, later)) continue
      yield [earlier.placed, later.placed]
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

function testsOf(claim: PlacedClaim): Map<string, ValueTest> {
  return new Map(claim.conditions.flatMap(({ subject, test }) => (test === null ? [] : [[subject, test] as const])))
}

function push(groups: Map<string, Rival[]>, key: string, rival: Rival): void {
  const group = groups.get(key)
  if (group) group.push(rival)
  else groups.set(key, [rival])
}

/** Whether one request can meet the tests of both. */
function overlap(a: Rival, b: Rival): boolean {
  for (const [subject, test] of a.tests) {
    const other = b.tests.get(subject)
    if (other !== undefined && !canBothPass(test, other)) return false
  }
  return true
}

function describe(earlier: PlacedClaim, later: PlacedClaim): Finding {
  const name = `${JSON.stringify(earlier.id)} (routes.${earlier.at})`
  const same = claimText(earlier) === claimText(later)
  return {
    path: ['routes', later.at, 'match'],
    message: same
      ? `can never match: shadowed by ${name}, which matches the same requests`
      : `ambiguous: some requests match both this route and ${name}`,
    hint: 'add a condition to one of them',
    severity: 'error',
    at: 'key',
  }
}

function claimText(claim: PlacedClaim): string {
  const tests = [...testsOf(claim)].map(([subject, test]) => `${subject} ${sayTest(test)}`)
  return [...claim.hosts.map((host) => host.key)].sort().join(' ') + tests.sort().join('\n')
}
