/**
 * What a ramp requires before it takes a step: `comparisons 1000`, or `ROUTE at PERCENT` of another route.
 */
import { type Flaw, flawOfPercent } from '../values/units.ts'
import type { Hits } from './rate-bounds.ts'

export type Requirement =
  /** So many comparisons of the route's two sides, of which no more differ at a field than the guard tolerates, noise apart. */
  | { readonly kind: 'comparisons'; readonly count: number }
  /** Another route has moved so far. */
  | { readonly kind: 'route'; readonly route: string; readonly percent: number }

/** A field that differs. */
export interface WorstField {
  readonly path: string
  /** False: it may turn out to be noise. */
  readonly isMismatch: boolean
}

/** What requirements are met by. */
export interface RequiredFacts {
  /** Comparisons of the route that are stored, and those that differ at its worst field of those that aren't noise; `blind`: those that tell nothing of the fields of a body. */
  readonly comparisons: Hits & { readonly blind: number; readonly worst: WorstField | null }
  /** Percent of the comparisons that may be mismatches. */
  readonly tolerated: number
  /** Percent of a route; null for one that the table does not have. */
  percentOf(route: string): number | null
}

const COMPARISONS = /^comparisons +([1-9][0-9]{0,8})$/
const ROUTE = /^(\S+) +at +([0-9.]+) ?%?$/

/** Why a text is no requirement, or null. */
export function flawOfRequirement(text: string): Flaw | null {
  return readRequirement(text) === null
    ? { message: `invalid requirement '${text}'`, hint: "'comparisons 1000', or 'ROUTE at 100'" }
    : null
}

/** A requirement. @throws {RangeError} for a text that has a flaw */
export function parseRequirement(text: string): Requirement {
  const read = readRequirement(text)
  if (read === null) throw new RangeError(`invalid requirement '${text}'`)
  return read
}

function readRequirement(text: string): Requirement | null {
  const count = COMPARISONS.exec(text.trim())?.[1]
  if (count !== undefined) return { kind: 'comparisons', count: Number(count) }
  const [, route, said] = ROUTE.exec(text.trim()) ?? []
  const percent = Number(said)
  if (route === undefined || Number.isNaN(percent) || flawOfPercent(percent) !== null) return null
  return { kind: 'route', route, percent }
}

/** A requirement as it is written. */
export function printRequirement(one: Requirement): string {
  return one.kind === 'comparisons' ? `comparisons ${one.count}` : `${one.route} at ${one.percent}`
}

/** What is missing, for people; null where a requirement is met. */
export function missingFor(one: Requirement, { comparisons, tolerated, percentOf }: RequiredFacts): string | null {
  if (one.kind === 'route') {
    const percent = percentOf(one.route)
    if (percent === null) return `it requires ${one.route} at ${one.percent} %, and there is no such route`
    return percent >= one.percent ? null : `it requires ${one.route} at ${one.percent} %, which is at ${percent} %`
  }
  const { of, hits, blind, worst } = comparisons
  if (of - blind < one.count) {
    const more = blind === 0 ? '' : `; ${blind} more differ as a whole, and tell of no field`
    return `${of - blind} of the ${one.count} comparisons that it requires${more}`
  }
  if (hits <= (of * tolerated) / 100) return null
  const field = worst === null || worst.path === '' ? 'body' : worst.path
  const unknown = worst?.isMismatch === false ? ' (not known yet whether that is noise)' : ''
  return `${hits} of ${of} comparisons differ at ${field}${unknown}, and ${tolerated} % are tolerated`
}
