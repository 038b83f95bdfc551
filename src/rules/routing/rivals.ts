/**
 * Claims of routes, as they are compared with one another.
 */
import type { ValueTest } from '../patterns/value-test.ts'
import type { Route, RouteClaim } from '../table/table.ts'

export type Claiming = Pick<Route, 'id' | 'priority' | 'takesAmbiguousPaths' | 'claims'>

/** What a route matches, with its index in the file. */
export interface PlacedRoute extends Claiming {
  readonly at: number
}

/** A claim with its tests by what they look at. */
export interface Rival<Placed = PlacedRoute> {
  readonly placed: Placed
  readonly claim: RouteClaim
  readonly tests: ReadonlyMap<string, ValueTest>
}

export function rivalOf<Placed>(placed: Placed, claim: RouteClaim): Rival<Placed> {
  return { placed, claim, tests: testsOf(claim) }
}

export function testsOf(claim: RouteClaim): Map<string, ValueTest> {
  return new Map(claim.conditions.flatMap(({ subject, test }) => (test === null ? [] : [[subject, test] as const])))
}

/** What a literal has in common with all others that it may be read as. */
export function coarse(literal: string | null): string {
  return literal === null ? ':' : `=${literal.toLowerCase().split(';', 1)[0]}`
}

export function push<Entry>(groups: Map<string, Entry[]>, key: string, entry: Entry): void {
  const group = groups.get(key)
  if (group) group.push(entry)
  else groups.set(key, [entry])
}
