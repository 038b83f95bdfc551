/**
 * A ramp while it is known, and what its guard says of all its routes together.
 */
import { type FieldMismatches, type GuardTerms, type GuardVerdict, judgeRamp } from '../../rules/ramp/guard.ts'
import { percentOf, type RampPlan, stepAfter } from '../../rules/ramp/plan.ts'
import { missingFor, type RequiredFacts } from '../../rules/ramp/requirement.ts'
import { type Route, routeWith, type Table } from '../../rules/table/table.ts'
import { RampCounts } from '../../state/evidence/ramp-counts.ts'
import { type Evidence, type PathEvidence, pathsOf } from '../figures/evidence.ts'
import { MAX_FIELDS, type RampedRoute, type RampRecord } from './record.ts'

/** Keys of one route that are remembered: about 100 MiB. */
const MAX_KEYS = 1_000_000

/** Longest words of a verdict about several routes. */
const MAX_WORDS = 400

/** One ramp. */
export interface Run {
  record: RampRecord
  /** By route. */
  counts: ReadonlyMap<string, RampCounts>
  /** The plan that it was started with; null for that of the table. */
  readonly ownPlan: RampPlan | null
  /** What is stored of it, as far as this instance knows; null for nothing. */
  stored: Pick<RampRecord, 'changes' | 'heldMs'> | null
  verdict: GuardVerdict | null
  savedMs: number
  /** Why the last look failed, or null. */
  problem: string | null
}

/** @param terms of the guard; without a plan any */
export function newRun(record: RampRecord, ownPlan: RampPlan | null, { hardStop }: GuardTerms): Run {
  const counts = record.routes.map(({ route }) => [route, new RampCounts(MAX_KEYS, hardStop.of)] as const)
  return { record, counts: new Map(counts), ownPlan, stored: null, verdict: null, savedMs: 0, problem: null }
}

/**
 * Forgets what was counted of routes, and begins the step again. Not at 100 %: nobody is left to count what `to` is compared with
 * there, so that only the step begins again.
 */
export function countAnew(run: Run, routes: readonly string[], { hardStop }: GuardTerms): void {
  const { step, percent } = run.record
  const counts = new Map(run.counts)
  for (const route of routes) {
    const known = percent < 100 ? undefined : counts.get(route)
    const counted = known ?? new RampCounts(MAX_KEYS, hardStop.of)
    if (step !== null) counted.step(percent / 100)
    counts.set(route, counted)
  }
  run.counts = counts
  run.record = { ...run.record, heldMs: 0, isApproved: false }
  run.verdict = null
}

/** Whether too many keys were seen to count any more. */
export function isFull({ counts }: Run): boolean {
  return counts.values().some((one) => one.isFull)
}

/** The routes that have the same draw as this one, itself included: they move together. */
export function groupOf({ routes }: Pick<Table, 'routes'>, { salt }: Pick<Route, 'salt'>): Route[] {
  return routes.filter((one) => one.salt === salt)
}

/**
 * What the guard says. Of several routes each gets its part of alpha, so that together they have no more; one that fails fails all.
 */
export function judgeRun(run: Run, plan: RampPlan, evidence: Evidence): GuardVerdict {
  const { record, counts } = run
  const next = stepAfter(plan, record)
  const several = record.routes.length
  const terms = { ...plan.guard, alpha: plan.guard.alpha / several }
  const verdicts = record.routes.map(({ route, fields }) => {
    const counted = { steps: [], recent: NO_KEYS, ...counts.get(route)?.evidence() }
    const mismatches = mismatchesOf(route, fields, evidence)
    const verdict = judgeRamp(
      { ...counted, mismatches },
      terms,
      plan.steps.length,
      next === null ? null : percentOf(next),
      record.step === 'all',
    )
    return several === 1 ? verdict : { ...verdict, words: `${route}: ${verdict.words}` }
  })
  const worst =
    verdicts.find(({ verdict }) => verdict === 'fail') ?? verdicts.find(({ verdict }) => verdict === 'not-enough')
  if (worst !== undefined) return worst
  const words = verdicts.map((verdict) => verdict.words).join('; ')
  return { verdict: 'pass', ground: null, words: words.length > MAX_WORDS ? `${words.slice(0, MAX_WORDS)}...` : words }
}

const NO_KEYS = { to: { of: 0, hits: 0 }, rest: { of: 0, hits: 0 }, meanwhile: 0 }

/** What a plan requires and does not have, for people; null where all is met. */
export function unmetOf({ routes }: RampRecord, plan: RampPlan, table: Table, evidence: Evidence): string | null {
  const percents = (id: string): number | null => routeWith(table, id)?.percent ?? null
  for (const { route } of routes) {
    const facts = {
      comparisons: comparedOf(route, evidence),
      tolerated: plan.guard.tolerate.mismatch,
      percentOf: percents,
    }
    for (const one of plan.requires) {
      const missing = missingFor(one, facts)
      if (missing !== null) return routes.length === 1 ? missing : `${route}: ${missing}`
    }
  }
  return null
}

/**
 * Adds the fields that differ now and were not known before. Those that were known when there were more comparisons than now
 * count from now on: their evidence has begun anew, or lost its oldest hours.
 * @returns the same list where there is nothing to do
 */
export function fieldsSeen({ route, fields }: Pick<RampedRoute, 'route' | 'fields'>, evidence: Evidence) {
  const found = evidence.of(route)
  const of = found?.comparisons ?? 0
  const more = new Map(
    found === null ? [] : pathsOf(found).map(({ path, kind, count }) => [fieldOf(path, kind), count]),
  )
  const known = fields.some((one) => one.of > of)
    ? fields.map((one) => (one.of > of ? { ...one, of, hits: more.get(one.field) ?? 0 } : one))
    : fields
  for (const { field } of fields) more.delete(field)
  if (more.size === 0) return known
  return [...known, ...[...more].map(([field, hits]) => ({ field, of, hits }))].slice(0, MAX_FIELDS)
}

/** Mismatches since each field was first seen; fields that are noise are left out. */
function mismatchesOf(route: string, fields: RampedRoute['fields'], evidence: Evidence): FieldMismatches[] {
  const found = evidence.of(route)
  if (found === null) return []
  const now = new Map(pathsOf(found).map((path) => [fieldOf(path.path, path.kind), path]))
  return fields.flatMap(({ field, of, hits }, at): FieldMismatches[] => {
    const path = now.get(field)
    if (path === undefined || path.verdict !== 'mismatch' || found.comparisons <= of) return []
    return [{ field: path.path, rank: at + 1, of: found.comparisons - of, hits: Math.max(0, path.count - hits) }]
  })
}

/** Stored comparisons of a route, and those that differed at its worst field. A field that may be noise, or may not, is no evidence for a step. */
function comparedOf(route: string, evidence: Evidence): RequiredFacts['comparisons'] {
  const found = evidence.of(route)
  if (found === null) return { of: 0, hits: 0, blind: 0, worst: null }
  const { comparisons: of, blind } = found
  const worst = pathsOf(found)
    .filter(({ verdict }) => verdict !== 'noise')
    .reduce<PathEvidence | null>((most, path) => (path.count > (most?.count ?? 0) ? path : most), null)
  // More fields differ than are counted one by one, noise or not.
  if (found.morePaths > (worst?.count ?? 0)) {
    return { of, hits: found.morePaths, blind, worst: { path: 'further fields', isMismatch: false } }
  }
  if (worst === null) return { of, hits: 0, blind, worst }
  const { path, count, verdict } = worst
  return { of, hits: count, blind, worst: { path, isMismatch: verdict === 'mismatch' } }
}

function fieldOf(path: string, kind: string): string {
  return `${path} ${kind}`
}
