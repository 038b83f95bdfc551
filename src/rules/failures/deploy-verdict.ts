/**
 * Whether what answers on the new version fails more, or is slower, than the rest: the verdict that a deploy goes on or back by. It
 * is that of the guard of a ramp, by attempts: servers have no keys.
 */

import { ms } from '../ramp/guard.ts'
import { p95Lower, p95Upper } from '../ramp/latency-bounds.ts'
import { DEFAULT_GUARD } from '../ramp/plan.ts'
import { excessEvidence, upperRate } from '../ramp/rate-bounds.ts'
import { logMix, riskEvidence, type ShareFailures } from '../ramp/relative-risk.ts'
import type { FineCounts } from '../values/duration-buckets.ts'

/** What attempts can fail by, and its part of the false alarms. */
const METRICS = [
  { metric: 'failures', weight: 1 / 2, words: 'failed' },
  { metric: 'clientErrors', weight: 1 / 4, words: 'got 4xx' },
  { metric: 'redirects', weight: 1 / 4, words: 'got 3xx' },
] as const

type TallyMetric = (typeof METRICS)[number]['metric']

/** What was asked of some servers in a while, and how much of it failed. */
export interface Tally extends Readonly<Record<'exchanges' | TallyMetric, number>> {
  /** Responses by fine bucket of the time to their headers. */
  readonly latency: ReadonlyMap<number, number>
}

/** What is taken for a failure of the new version. */
export interface VerdictTerms {
  /** By so much its share of failures may be above the others', 0 to 1. */
  readonly maxErrors: number
  /** By so much its 95th percentile may be above the others', milliseconds. */
  readonly maxSlowerMs: number
  /** With fewer exchanges there is nothing to judge by. */
  readonly minExchanges: number
}

export type Verdict = 'pass' | 'fail' | 'not-enough-data'

/** The chance that a version as good as the rest is ever failed: half of it by counts, half of it by latency. */
const ALPHA = 0.01

/** How many times as long responses may take, beside others at the same time, and beside those before: load changes. */
const SLOWER = { others: DEFAULT_GUARD.tolerate.latency, before: 2 }

/** The new version may fail so many times as often: servers differ. */
const RATIO = 1.5

/** Shares that are told apart: what was counted at about the same one is added up. */
const SHARES = 200

/** Nothing was asked for. */
export const NO_TALLY: Tally = { exchanges: 0, failures: 0, clientErrors: 0, redirects: 0, latency: new Map() }

/** What was seen of a new version and of the rest while it was watched. */
export class Compared {
  readonly #before: Tally
  /** By share of the attempts. */
  readonly #seen = new Map<number, { here: Tally; others: Tally }>()
  #here = NO_TALLY
  #others = NO_TALLY

  /** @param before of what the new version has replaced: used where nothing else is asked meanwhile */
  constructor(before: Tally = NO_TALLY) {
    this.#before = before
  }

  /** What the new version was asked. */
  get here(): Tally {
    return this.#here
  }

  /** Adds what was asked of both since the last look. */
  add(here: Tally, others: Tally): void {
    this.#here = addTallies(this.#here, here)
    this.#others = addTallies(this.#others, others)
    const all = here.exchanges + others.exchanges
    if (all === 0) return
    const share = Math.round((here.exchanges / all) * SHARES)
    const seen = this.#seen.get(share)
    this.#seen.set(share, {
      here: addTallies(seen?.here ?? NO_TALLY, here),
      others: addTallies(seen?.others ?? NO_TALLY, others),
    })
  }

  /**
   * May be asked as often as one likes: a version that is as good as the rest is failed in at most 1 % of all deploys. A failure
   * falls on the new version with the chance of its share of the attempts; where all attempts are its own, it is judged by what
   * was counted before, widened by what is tolerated.
   */
  verdict({ maxErrors, maxSlowerMs, minExchanges }: VerdictTerms): {
    readonly verdict: Verdict
    readonly words: string
  } {
    const parts = METRICS.map((one) => ({ ...one, log: this.#evidence(one.metric, maxErrors) }))
    const worst = parts.reduce((most, one) => (one.log > most.log ? one : most))
    const { exchanges } = this.#here
    const hits = this.#here[worst.metric]
    const words = `${hits} of ${exchanges} requests ${worst.words}`
    const isShown = logMix(parts.map(({ log, weight }) => [log, weight])) >= Math.log(2 / ALPHA)
    if (isShown && hits / exchanges - this.#usual(worst.metric) > maxErrors) return { verdict: 'fail', words }
    const slow = this.#slow(maxSlowerMs)
    if (slow !== null) return { verdict: 'fail', words: slow }
    return { verdict: exchanges >= minExchanges ? 'pass' : 'not-enough-data', words }
  }

  /** By the bounds of both 95th percentiles, as for a ramp; null where it is not shown to be slower. */
  #slow(maxSlowerMs: number): string | null {
    const isCompared = this.#others.exchanges > 0
    const rest = isCompared ? this.#others : this.#before
    const lowerMs = p95Lower(fineOf(this.#here), ALPHA / 4)
    const upperMs = p95Upper(fineOf(rest), ALPHA / 4)
    if (lowerMs === null || upperMs === null) return null
    if (lowerMs <= upperMs * (isCompared ? SLOWER.others : SLOWER.before) || lowerMs <= upperMs + maxSlowerMs)
      return null
    return `95th percentile of at least ${ms(lowerMs)}, of the others at most ${ms(upperMs)},`
  }

  #evidence(metric: TallyMetric, maxErrors: number): number {
    if (this.#others.exchanges > 0) {
      const failures: ShareFailures[] = [...this.#seen].map(([share, { here, others }]) => {
        return { share: share / SHARES, to: here[metric], rest: others[metric] }
      })
      return riskEvidence(failures, RATIO)
    }
    const before = { of: this.#before.exchanges, hits: this.#before[metric] }
    const allowed = before.of === 0 ? maxErrors : Math.max(maxErrors, upperRate(before, ALPHA / 8) * RATIO)
    return excessEvidence({ of: this.#here.exchanges, hits: this.#here[metric] }, Math.min(allowed, 1))
  }

  /** The rest's rate of failures, at the same time or before. */
  #usual(metric: TallyMetric): number {
    const rest = this.#others.exchanges > 0 ? this.#others : this.#before
    return rest.exchanges === 0 ? 0 : rest[metric] / rest.exchanges
  }
}

/** Both together. */
export function addTallies(a: Tally, b: Tally): Tally {
  return combined(a, b, (one, other) => one + other)
}

/**
 * What has been added since an earlier count. A counter that is less than it was has begun at 0 anew: all of it is new, as
 * Prometheus reads it. Of one that was not there before it is not known how much is new: it counts from the next look on.
 */
export function tallySince(before: ReadonlyMap<string, Tally>, now: ReadonlyMap<string, Tally>): Tally {
  let sum = NO_TALLY
  for (const [id, tally] of now) {
    const old = before.get(id) ?? tally
    const isReset = tally.exchanges < old.exchanges || METRICS.some(({ metric }) => tally[metric] < old[metric])
    const added = combined(tally, isReset ? NO_TALLY : old, (one, other) => one - other)
    sum = addTallies(sum, added)
  }
  return sum
}

function combined(a: Tally, b: Tally, by: (one: number, other: number) => number): Tally {
  const latency = new Map(a.latency)
  for (const [bucket, count] of b.latency) latency.set(bucket, by(latency.get(bucket) ?? 0, count))
  return {
    exchanges: by(a.exchanges, b.exchanges),
    failures: by(a.failures, b.failures),
    clientErrors: by(a.clientErrors, b.clientErrors),
    redirects: by(a.redirects, b.redirects),
    latency,
  }
}

function fineOf({ latency }: Tally): FineCounts {
  return [...latency]
    .filter(([, count]) => count > 0)
    .toSorted(([one], [other]) => one - other)
    .flat()
}
