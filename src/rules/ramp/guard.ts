/**
 * The guard of a ramp: what the evidence about a route's two sides says, in numbers and in words.
 *
 * The unit is the key, not the request: under sticky keys failures come in lumps, and a judge that counts requests takes good
 * versions back. All counts are additive over processes and instances.
 */
import type { FineCounts } from '../values/duration-buckets.ts'
import { p95Lower, p95Of, p95Upper } from './latency-bounds.ts'
import { excessEvidence, type Hits, lowerRate, upperRate } from './rate-bounds.ts'
import { logMean, logMix, riskEvidence, type ShareFailures } from './relative-risk.ts'

/** What a key can fail by; each is judged apart. */
export const METRICS = ['error', 'client-error', 'redirect'] as const

/** 5xx, broken exchanges and fallbacks; 4xx; 3xx. */
export type Metric = (typeof METRICS)[number]

/** Settings of a guard: `ramp.guard` of a route. */
export interface GuardTerms {
  /** The chance that a version as good as the other is ever taken back, 0 to 1. */
  readonly alpha: number
  /** A step is not passed with fewer different keys on the new side. */
  readonly minKeys: number
  readonly tolerate: {
    /** How many times as often the new side may fail. */
    readonly ratio: number
    /** By how many percentage points the next step may make the route's requests fail more often. */
    readonly harm: number
    /** How many times as slow the new side's 95th percentile may be. */
    readonly latency: number
    /** Percent of the comparisons that may be mismatches. */
    readonly mismatch: number
  }
  readonly hardStop: {
    /** Percent of the newest keys that fail. */
    readonly percent: number
    /** How many of the newest keys are looked at. */
    readonly of: number
  }
}

/** Two numbers of keys. */
export interface OfSides {
  readonly to: number
  readonly rest: number
}

/** What was counted while a ramp stood at one percent. */
export interface StepEvidence {
  /** Part of the keys on the new side, 0 to 1. */
  readonly share: number
  /** Different keys seen at this step. */
  readonly keys: OfSides
  /** Keys that failed for the first time in this ramp. */
  readonly failed: Readonly<Record<Metric, OfSides>>
  /** Requests without a key, which the draw does not decide: at most one for each client and minute, and what they failed by. */
  readonly withoutKey: { readonly seen: OfSides; readonly failed: Readonly<Record<Metric, OfSides>> }
  /** Latencies, at most one for each key and minute. */
  readonly latency: { readonly to: FineCounts; readonly rest: FineCounts }
}

/** The newest keys of each side, each with its newest outcome: how many, and how many of them failed. */
export interface RecentKeys {
  readonly to: Hits
  readonly rest: Hits
  /**
   * Part of the rest's newest keys that failed when those of `to` came, on average. At a small share these took long to come, and
   * the rest may have failed and recovered meanwhile.
   */
  readonly meanwhile: number
}

/** Comparisons since a field was first seen to differ, and those of them in which it differed. */
export interface FieldMismatches extends Hits {
  readonly field: string
  /** From 1: fields in the order in which they were first seen. */
  readonly rank: number
}

/** Everything that a guard looks at. */
export interface RampEvidence {
  /** Steps in their order; the last one is the current one. */
  readonly steps: readonly StepEvidence[]
  readonly recent: RecentKeys
  /** Those fields that are no noise. */
  readonly mismatches: readonly FieldMismatches[]
}

/** `harm`: not yet shown that the next step is harmless; `outage`: both sides fail. */
export type Ground = Metric | 'latency' | 'mismatch' | 'no-key' | 'hard-stop' | 'keys' | 'harm' | 'outage'

export interface GuardVerdict {
  readonly verdict: 'pass' | 'fail' | 'not-enough'
  /** What it is for; null for a pass. */
  readonly ground: Ground | null
  /** The numbers, for people. */
  readonly words: string
}

/** How the false alarms that alpha allows are shared: half of them to latency, and of the other half this to each count. */
const WEIGHTS: Readonly<Record<Metric | 'mismatch' | 'no-key', number>> = {
  error: 1 / 2,
  'client-error': 1 / 8,
  redirect: 1 / 8,
  mismatch: 1 / 8,
  'no-key': 1 / 8,
}

/** What counts are evidence of. */
type Counted = keyof typeof WEIGHTS

/**
 * What the evidence says. A version that is not worse than tolerated is failed in at most `alpha` of all ramps, at whatever
 * times this is called (Ville's inequality, over all counts and steps together).
 * @param steps how many steps the ramp has
 * @param next percent of the next step; null at the last one
 * @param movesKeyless at this step requests without a key move, too: some of them must have been seen
 */
export function judgeRamp(
  evidence: RampEvidence,
  terms: GuardTerms,
  steps: number,
  next: number | null,
  movesKeyless = false,
): GuardVerdict {
  const failure = failureOf(evidence, terms, steps)
  if (failure !== null) return { verdict: 'fail', ...failure }
  const missing = missingFor(evidence, terms, next, movesKeyless)
  if (missing !== null) return { verdict: 'not-enough', ...missing }
  return { verdict: 'pass', ground: null, words: wordsOfCounts(evidence, 'error', currentOf(evidence).share >= 1) }
}

/** What a verdict is for, and its numbers for people. */
export interface Finding {
  readonly ground: Ground
  readonly words: string
}

/** Why the new side fails, or null: the part of `judgeRamp` that ends a ramp. */
export function failureOf(evidence: RampEvidence, terms: GuardTerms, steps: number): Finding | null {
  return failureOfCounts(evidence, terms) ?? failureOfLatency(evidence, terms, steps) ?? hardStop(evidence, terms)
}

/** By counts of keys: together they have half of alpha. */
function failureOfCounts(evidence: RampEvidence, terms: GuardTerms): Finding | null {
  const parts = evidenceOfCounts(evidence, terms)
  const all = logMix(parts.map(({ log, what }) => [log, WEIGHTS[what]]))
  if (all < Math.log(2 / terms.alpha)) return null
  const strongest = parts.reduce((most, part) =>
    WEIGHTS[part.what] * Math.exp(part.log - all) > WEIGHTS[most.what] * Math.exp(most.log - all) ? part : most,
  )
  return { ground: strongest.what, words: `${wordsOf(evidence, strongest.what)}, evidence ${odds(strongest.log)}` }
}

function evidenceOfCounts(evidence: RampEvidence, terms: GuardTerms): { what: Counted; log: number }[] {
  const { ratio, mismatch } = terms.tolerate
  const ofMetrics = METRICS.map((what) => ({
    what,
    log: riskEvidence(failuresOf(evidence, what), ratio) + evidenceWithoutControl(evidence, what, terms),
  }))
  return [
    ...ofMetrics,
    { what: 'mismatch', log: evidenceOfMismatches(evidence.mismatches, mismatch / 100) },
    { what: 'no-key', log: logMean(METRICS.map((what) => evidenceOfKeyless(evidence, what, terms))) },
  ]
}

/**
 * Requests without a key move all at once, at the step `all`: what the new side does with them is judged against what the rest did
 * with them before, widened by what is tolerated. Where they were on the new side from the start there is nothing to compare with.
 */
function evidenceOfKeyless(evidence: RampEvidence, metric: Metric, { alpha, tolerate }: GuardTerms): number {
  const { to, rest } = keylessOf(evidence, metric)
  if (rest.of === 0) return 0
  return excessEvidence(to, Math.min(upperRate(rest, alpha / 24) * tolerate.ratio, 1))
}

function keylessOf({ steps }: RampEvidence, metric: Metric): { readonly to: Hits; readonly rest: Hits } {
  const sum = (side: keyof OfSides): Hits => ({
    of: steps.reduce((all, { withoutKey }) => all + withoutKey.seen[side], 0),
    hits: steps.reduce((all, { withoutKey }) => all + withoutKey.failed[metric][side], 0),
  })
  return { to: sum('to'), rest: sum('rest') }
}

/**
 * Any number of fields may differ, and which ones is known only when they do. A weighted mean of their evidence is evidence again,
 * if the weights are fixed before: those of the first, second, third field that is seen are 1/2, 1/6, 1/12, which sum up to 1, and
 * what made a field known does not count (Vovk and Wang, "E-values: calibration, combination and applications", arXiv 1912.06116).
 */
function evidenceOfMismatches(fields: readonly FieldMismatches[], tolerated: number): number {
  const parts = fields.map((field) => [excessEvidence(field, tolerated), weightOf(field)] as const)
  const rest = 1 - parts.reduce((sum, [, weight]) => sum + weight, 0)
  return logMix([...parts, [0, Math.max(rest, 0)]])
}

function weightOf({ rank }: FieldMismatches): number {
  return 1 / (rank * (rank + 1))
}

/**
 * At the last steps nobody is left to compare with: the new side is judged against the control as it stood at the step before,
 * widened by what is tolerated.
 */
function evidenceWithoutControl(evidence: RampEvidence, metric: Metric, terms: GuardTerms): number {
  const control = frozenControl(evidence)
  const current = currentOf(evidence)
  if (control === null || current.share < 1) return 0
  const usual = upperRate({ of: control.keys.rest, hits: control.failed[metric].rest }, terms.alpha / 8)
  const allowed = Math.min(usual * terms.tolerate.ratio, 1)
  return excessEvidence({ of: current.keys.to, hits: current.failed[metric].to }, allowed)
}

/** The last step with a control, if the current one has none. */
function frozenControl({ steps }: RampEvidence): StepEvidence | null {
  return steps.findLast((step) => step.share < 1 && step.keys.rest > 0) ?? null
}

/** By the 95th percentile: the other half of alpha, shared by the steps and by the two bounds. */
function failureOfLatency(evidence: RampEvidence, terms: GuardTerms, steps: number): Finding | null {
  const current = currentOf(evidence)
  const control = current.share < 1 ? current : frozenControl(evidence)
  if (control === null) return null
  const { latency } = terms.tolerate
  const [to, rest] = [p95Of(current.latency.to), p95Of(control.latency.rest)]
  // The lower bound is at most the one, the upper bound at least the other.
  if (to === null || rest === null || to <= latency * rest) return null
  const alpha = terms.alpha / 4 / Math.max(1, steps)
  const lowerMs = p95Lower(current.latency.to, alpha)
  const upperMs = p95Upper(control.latency.rest, alpha)
  if (lowerMs === null || upperMs === null || lowerMs <= latency * upperMs) return null
  return {
    ground: 'latency',
    words: `the new side has a 95th percentile of at least ${ms(lowerMs)}, the rest of at most ${ms(upperMs)}`,
  }
}

/**
 * Stops what has begun to fail so much that evidence of the whole ramp would come late: keys that failed before count no more
 * there. Where every twentieth request fails anyway, a fifth of the newest keys do by chance every now and then: it must be more
 * than that.
 */
function hardStop(evidence: RampEvidence, terms: GuardTerms): Finding | null {
  const { recent } = evidence
  if (!failsHard(recent, terms) || isChance(evidence, terms)) return null
  const isCompared = currentOf(evidence).share < 1
  if (isCompared && failsAlike(recent, terms)) return null
  const words = `${recent.to.hits} of the last ${recent.to.of} keys of the new side fail`
  const ofRest = isCompared ? `, ${recent.rest.hits} of the last ${recent.rest.of} of the rest` : ''
  return { ground: 'hard-stop', words: words + ofRest }
}

function failsHard({ to }: RecentKeys, { hardStop: { percent, of } }: GuardTerms): boolean {
  return to.of >= of && to.hits / to.of >= percent / 100
}

/**
 * Whether one of so many runs of newest keys may have as many failures where the new side fails as often as tolerated. By
 * Markov's inequality and a union bound over all runs: the n-th one has alpha / (8 n^2).
 */
function isChance({ steps, recent }: RampEvidence, { alpha, tolerate }: GuardTerms): boolean {
  const sum = (of: (step: StepEvidence) => number): number => steps.reduce((all, step) => all + of(step), 0)
  const control = { of: sum(({ keys }) => keys.rest), hits: sum(({ failed }) => failed.error.rest) }
  const allowed = Math.min(upperRate(control, alpha / 8) * tolerate.ratio, 1)
  const runs = Math.max(
    1,
    sum(({ keys }) => keys.to),
  )
  return excessEvidence(recent.to, allowed) < Math.log((8 * runs ** 2) / alpha)
}

/**
 * The control fails at least half as often, now or when the new side's newest keys came; or so few keys don't tell: an outage of
 * both sides begins at one of them.
 */
function failsAlike({ to, rest, meanwhile }: RecentKeys, { alpha, tolerate }: GuardTerms): boolean {
  if (rest.of === 0) return false
  const usual = Math.max(rest.hits / rest.of, meanwhile)
  if (usual >= to.hits / to.of / 2) return true
  const failures = { share: to.of / (to.of + rest.of), to: to.hits, rest: usual * rest.of }
  return riskEvidence([failures], tolerate.ratio) < Math.log(2 / alpha)
}

/** What is missing for the next step of a ramp that does not fail, or null: the part of `judgeRamp` that passes a step. */
export function missingFor(
  evidence: RampEvidence,
  terms: GuardTerms,
  next: number | null,
  movesKeyless = false,
): Finding | null {
  const { recent } = evidence
  const { minKeys, tolerate } = terms
  const current = currentOf(evidence)
  if (current.share < 1 && failsHard(recent, terms) && failsAlike(recent, terms))
    return {
      ground: 'outage',
      words: `both sides fail: ${recent.to.hits} of the last ${recent.to.of} keys of the new side, ${recent.rest.hits} of ${recent.rest.of} of the rest`,
    }
  if (current.keys.to < minKeys)
    return { ground: 'keys', words: `${current.keys.to} different keys of the new side, ${minKeys} are needed` }
  const keyless = keylessOf(evidence, 'error')
  if ((movesKeyless || keyless.to.of > 0) && keyless.rest.of >= minKeys && keyless.to.of < minKeys)
    return {
      ground: 'no-key',
      words: `${keyless.to.of} requests without a key at the new side, ${minKeys} are needed`,
    }
  if (next === null || current.share >= 1) return null
  const harm = next * excessUpTo(current, terms.alpha)
  if (harm <= tolerate.harm) return null
  return {
    ground: 'harm',
    words: `${wordsOf(evidence, 'error')}: up to ${harm.toPrecision(2)} percentage points more failures at ${next} %, ${tolerate.harm} are tolerated`,
  }
}

/** How much more often, per key, the new side may fail than the rest, as far as the counts of a step tell. */
function excessUpTo({ keys, failed }: StepEvidence, alpha: number): number {
  const to = upperRate({ of: keys.to, hits: failed.error.to }, alpha / 2)
  const rest = lowerRate({ of: keys.rest, hits: failed.error.rest }, alpha / 2)
  return Math.max(0, to - rest)
}

function currentOf({ steps }: RampEvidence): StepEvidence {
  const current = steps.at(-1)
  if (current === undefined) throw new Error('a ramp without a step has nothing to judge')
  return current
}

/** Added up by share: a ramp may come to the same one again. */
function failuresOf({ steps }: RampEvidence, metric: Metric): ShareFailures[] {
  const sums = new Map<number, OfSides>()
  for (const { share, failed } of steps) {
    const { to, rest } = sums.get(share) ?? { to: 0, rest: 0 }
    sums.set(share, { to: to + failed[metric].to, rest: rest + failed[metric].rest })
  }
  return [...sums].map(([share, sides]) => ({ share, ...sides }))
}

const FAILS: Readonly<Record<Metric, string>> = {
  error: 'fails',
  'client-error': 'answers 4xx to',
  redirect: 'redirects',
}

function wordsOf(evidence: RampEvidence, what: Counted): string {
  if (what === 'no-key') return wordsOfKeyless(evidence)
  if (what !== 'mismatch') return wordsOfCounts(evidence, what, currentOf(evidence).share >= 1)
  const worst = evidence.mismatches.toSorted((a, b) => b.hits / b.of - a.hits / a.of)[0]
  if (worst === undefined) return 'the new side answers otherwise'
  const { of, hits, field } = worst
  return `the new side answers otherwise in ${count(hits)} of ${count(of)} comparisons${field === '' ? '' : `, at ${field}`}`
}

/** The metric by which the new side fails most. */
function wordsOfKeyless(evidence: RampEvidence): string {
  const all = METRICS.map((metric) => ({ metric, ...keylessOf(evidence, metric) }))
  const { metric, to, rest } = all.reduce((most, one) => (excessOf(one) > excessOf(most) ? one : most))
  return `the new side ${FAILS[metric]} ${count(to.hits)} of ${count(to.of)} requests without a key, the rest ${count(rest.hits)} of ${count(rest.of)}`
}

function excessOf({ to, rest }: { readonly to: Hits; readonly rest: Hits }): number {
  return to.hits / Math.max(to.of, 1) - rest.hits / Math.max(rest.of, 1)
}

/** "the new side fails 31 of 412 keys, the rest 18 of 7,904: 4.2 x". */
function wordsOfCounts({ steps }: RampEvidence, metric: Metric, isWithoutControl: boolean): string {
  const counted = isWithoutControl ? steps : steps.filter(({ share }) => share < 1)
  const sum = (side: keyof OfSides): Hits => ({
    of: counted.reduce((all, { keys }) => all + keys[side], 0),
    hits: counted.reduce((all, { failed }) => all + failed[metric][side], 0),
  })
  const [to, rest] = [sum('to'), sum('rest')]
  const text = `the new side ${FAILS[metric]} ${count(to.hits)} of ${count(to.of)} keys, the rest ${count(rest.hits)} of ${count(rest.of)}`
  if (to.of === 0 || rest.hits === 0) return text
  const times = to.hits / to.of / (rest.hits / rest.of)
  return `${text}: ${times.toPrecision(2)} x`
}

function odds(log: number): string {
  return log > Math.log(1e9) ? 'above 1,000,000,000 : 1' : `${count(Math.max(1, Math.round(Math.exp(log))))} : 1`
}

function count(value: number): string {
  return String(value).replace(/\B(?=(?:\d{3})+$)/g, ',')
}

/** Milliseconds, for people. */
export function ms(value: number): string {
  return `${value >= 100 ? Math.round(value) : value.toPrecision(3)} ms`
}
