/**
 * Finds routes that nothing tells apart: same host, same path, as many conditions, and a request that meets both.
 */

import type { Condition } from '../patterns/predicates.ts'
import { canBothPass, sayTest } from '../patterns/value-test.ts'
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

/** The routes by host, path and number of conditions: only routes that are alike in all three can be tied. */
function rivalsIn(routes: readonly PlacedClaim[]): Iterable<PlacedClaim[]> {
  const groups = new Map<string, PlacedClaim[]>()
  for (const placed of routes) {
    const { path, hosts } = placed
    const shape = path.segments.map((literal) => (literal === null ? ':' : `=${literal}`)).join('/')
    const claim = `${shape}${path.rest ? '/*' : ''}\0${testsOf(placed).length}`
    for (const host of hosts.length === 0 ? [''] : hosts.map((pattern) => pattern.key)) {
      const key = `${host}\0${claim}`
      const group = groups.get(key)
      if (group) group.push(placed)
      else groups.set(key, [placed])
    }
  }
  return groups.values()
}

/** The pairs among rivals that one request can meet both of, the earlier route first. */
function* overlapsAmong(rivals: readonly PlacedClaim[]): Iterable<[PlacedClaim, PlacedClaim]> {
  if (rivals.length < 2) return
  const subject = commonSubject(rivals)
  if (subject === null) {
    for (const [index, later] of rivals.entries()) {
      for (const earlier of rivals.slice(0, index)) if (overlap(earlier, later)) yield [earlier, later]
    }
    return
  }
  // Thousands of routes that differ in one header's value are compared within each value, not each with each.
  const byValue = new Map<string, PlacedClaim[]>()
  for (const placed of rivals) {
    for (const value of valuesOf(placed, subject)) {
      const group = byValue.get(value)
      if (group) group.push(placed)
      else byValue.set(value, [placed])
    }
  }
  for (const group of byValue.values()) {
    for (const [index, later] of group.entries()) {
      for (const earlier of group.slice(0, index)) if (overlap(earlier, later)) yield [earlier, later]
    }
  }
}

/** A subject of which every rival lists the values that it wants, or null. */
function commonSubject(rivals: readonly PlacedClaim[]): string | null {
  const first = rivals[0] as PlacedClaim
  const subjects = testsOf(first).map((condition) => condition.subject)
  return subjects.find((subject) => rivals.every((claim) => valuesOf(claim, subject).length > 0)) ?? null
}

function valuesOf(claim: PlacedClaim, subject: string): readonly string[] {
  const test = claim.conditions.find((condition) => condition.subject === subject)?.test
  return test?.is === 'anyOf' ? test.values : []
}

function testsOf(claim: PlacedClaim): Condition[] {
  return claim.conditions.filter((condition) => condition.test !== null)
}

/** Whether one request can meet the tests of both. */
function overlap(a: PlacedClaim, b: PlacedClaim): boolean {
  return testsOf(a).every((condition) => {
    const other = b.conditions.find((candidate) => candidate.subject === condition.subject)
    return !condition.test || !other?.test || canBothPass(condition.test, other.test)
  })
}

function describe(earlier: PlacedClaim, later: PlacedClaim): Finding {
  const name = `${earlier.id} (routes.${earlier.at})`
  const same = claimText(earlier) === claimText(later)
  return {
    path: ['routes', later.at, 'match'],
    message: same
      ? `can never match: hidden by ${name}, which claims the same requests`
      : `nothing tells it apart from ${name} where a request meets both`,
    hint: 'add a condition to one of them',
    severity: 'error',
    at: 'key',
  }
}

function claimText(claim: PlacedClaim): string {
  const tests = testsOf(claim).map(({ subject, test }) => `${subject} ${test && sayTest(test)}`)
  return [...claim.hosts.map((host) => host.key)].sort().join(' ') + tests.sort().join('\n')
}
