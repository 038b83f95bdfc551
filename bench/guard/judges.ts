/**
 * The judges of the simulation: banyan's guard, and the rules of its peers for the same data.
 */
import { failureOf, type GuardTerms, missingFor } from '../../src/rules/ramp/guard.ts'
import { DEFAULT_GUARD } from '../../src/rules/ramp/plan.ts'
import { RampCounts } from '../../src/state/evidence/ramp-counts.ts'
import type { Outcome, Request } from './traffic.ts'

export type Side = 'to' | 'rest'

/** What a judge says at a look. */
export type Word = 'fail' | 'pass' | 'wait'

/** Watches one ramp. */
export interface Judge {
  /** Percents in their order. */
  readonly steps: readonly number[]
  /** The ramp stands at this percent from now on. */
  begin(step: number, atS: number): void
  /** Percent moves within a step. */
  move?(percent: number): void
  see(side: Side, request: Request, outcome: Outcome, atS: number): void
  compared?(isMismatch: boolean): void
  /** Called every second. */
  look(atS: number): Word
}

const MAX_KEYS = 1_000_000

/** banyan's guard, with `hold: 10m`. */
export class Guard implements Judge {
  readonly steps = [1, 5, 25, 50, 100, 100]
  readonly #terms: GuardTerms
  readonly #holdS: number
  readonly #isEager: boolean
  readonly #counts: RampCounts
  #at = 0
  #sinceS = 0
  /** Something was seen since the last look. */
  #hasSeen = false
  /** Something was seen that can be evidence against the new side by counts. */
  #hasNews = false
  #compared = 0
  #mismatched = 0

  /** @param isEager judges in full at each look, also where that can't find a failure */
  constructor(terms: GuardTerms = DEFAULT_GUARD, holdS = 600, isEager = false) {
    this.#terms = terms
    this.#holdS = holdS
    this.#isEager = isEager
    this.#counts = new RampCounts(MAX_KEYS, terms.hardStop.of)
  }

  begin(step: number, atS: number): void {
    this.#at = step
    this.#sinceS = atS
    this.move(this.steps[step] as number)
  }

  move(percent: number): void {
    this.#counts.step(percent / 100)
    this.#hasNews = true
  }

  see(side: Side, { key }: Request, { failure, latencyMs }: Outcome, atS: number): void {
    this.#counts.count({ key, hasKey: true, side, failure, latencyMs, isBrokenOff: false, nowMs: atS * 1000 })
    this.#hasSeen = true
    if (side === 'to' && failure !== null) this.#hasNews = true
  }

  compared(isMismatch: boolean): void {
    this.#compared++
    if (isMismatch) this.#mismatched++
    this.#hasNews = true
  }

  /** Looks for a failure every second; whether the step is passed is dearer to tell, and looked at every ten seconds. */
  look(atS: number): Word {
    const heldS = atS - this.#sinceS
    const mayPass = heldS >= this.#holdS && heldS % 10 === 0
    const mayFail = this.#isEager || (this.#hasSeen && this.#mayFail())
    this.#hasSeen = false
    if (!mayFail && !mayPass) return 'wait'
    this.#hasNews = false
    const compared = { field: '', rank: 1, of: this.#compared, hits: this.#mismatched }
    const evidence = { ...this.#counts.evidence(), mismatches: [compared] }
    if (mayFail && failureOf(evidence, this.#terms, this.steps.length) !== null) return 'fail'
    return mayPass && missingFor(evidence, this.#terms, this.steps[this.#at + 1] ?? null) === null ? 'pass' : 'wait'
  }

  /**
   * Whether this look can find a failure that the last one did not. By counts only something new can: while there is a control,
   * what fails there, and what fails nowhere, is no evidence against the new side. A hard stop and latency have conditions that are
   * cheap to check and seldom met; where there is no control, its percentile is 0 and that of latency is met.
   */
  #mayFail(): boolean {
    if (this.#hasNews) return true
    const { hardStop, tolerate } = this.#terms
    const { to } = this.#counts.recent
    if (to.hits / to.of >= hardStop.percent / 100) return true
    const { to: toMs, rest: restMs } = this.#counts.p95
    return toMs > tolerate.latency * restMs
  }
}

/** Counts of one interval. */
interface Interval {
  requests: number
  errors: number
  latencies: number[]
}

const interval = (): Interval => ({ requests: 0, errors: 0, latencies: [] })

function add(to: Interval, { failure, latencyMs }: Outcome): void {
  to.requests++
  if (failure === 'error') to.errors++
  to.latencies.push(latencyMs)
}

/**
 * Flagger's built-in checks with the values of its documentation (docs.flagger.app/usage/metrics and how-it-works): interval 1m,
 * success rate at least 99 %, p99 at most 500 ms, rolled back at 10 failed checks, weight 5 % by 5 to 50 %. An interval without
 * data halts it.
 */
export class Flagger implements Judge {
  readonly steps = [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 100]
  #now = interval()
  #sinceS = 0
  #failed = 0
  #at = 0

  begin(step: number, atS: number): void {
    this.#at = step
    this.#sinceS = atS
    this.#now = interval()
  }

  see(side: Side, _: Request, outcome: Outcome): void {
    if (side === 'to') add(this.#now, outcome)
  }

  look(atS: number): Word {
    if (atS - this.#sinceS < 60) return 'wait'
    // Promoted: it is no longer watched.
    if (this.#at === this.steps.length - 1) return 'pass'
    this.#sinceS = atS
    const { requests, errors, latencies } = this.#now
    this.#now = interval()
    if (requests === 0) return 'wait'
    const p99 = latencies.sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)] as number
    if (1 - errors / requests >= 0.99 && p99 <= 500) return 'pass'
    this.#failed++
    return this.#failed >= 10 ? 'fail' : 'wait'
  }
}

/**
 * Kayenta's Mann-Whitney classifier with its defaults: error rate and mean latency by the minute, 50 points for each step,
 * confidence 0.98, tolerance 0.25; it goes on at a score of 75 (marginal) and is passed at 95: of two metrics none may be high
 * (MannWhitneyClassifier.scala and MannWhitney.scala of spinnaker/kayenta).
 */
export class Kayenta implements Judge {
  readonly steps = [1, 5, 25, 50, 100]
  #at = 0
  #minuteS = 0
  #to = interval()
  #rest = interval()
  #points: { to: Interval; rest: Interval }[] = []

  begin(step: number, atS: number): void {
    this.#at = step
    this.#minuteS = atS
    this.#points = []
    this.#to = interval()
    this.#rest = interval()
  }

  see(side: Side, _: Request, outcome: Outcome): void {
    add(side === 'to' ? this.#to : this.#rest, outcome)
  }

  look(atS: number): Word {
    if (this.#at === this.steps.length - 1) return 'pass'
    if (atS - this.#minuteS < 60) return 'wait'
    this.#minuteS = atS
    this.#points.push({ to: this.#to, rest: this.#rest })
    this.#to = interval()
    this.#rest = interval()
    if (this.#points.length < 50) return 'wait'
    const isHigh = [errorRate, meanLatency].some((metric) => {
      const values = (side: Side): number[] =>
        this.#points.map((point) => metric(point[side])).filter((value) => !Number.isNaN(value))
      return isShifted(values('to'), values('rest'))
    })
    return isHigh ? 'fail' : 'pass'
  }
}

function errorRate({ requests, errors }: Interval): number {
  return errors / requests
}

function meanLatency({ requests, latencies }: Interval): number {
  return latencies.reduce((sum, one) => sum + one, 0) / requests
}

/** Quantile of the normal distribution for a two-sided confidence of 0.98. */
const Z_98 = 2.326

/**
 * Whether the confidence interval of the shift between two samples (Hodges and Lehmann, with the normal approximation of the
 * Mann-Whitney statistic) lies above a quarter of its estimate.
 */
function isShifted(one: readonly number[], other: readonly number[]): boolean {
  if (one.length === 0 || other.length === 0) return false
  const shifts = one.flatMap((a) => other.map((b) => a - b)).sort((a, b) => a - b)
  const pairs = shifts.length
  const spread = Z_98 * Math.sqrt((pairs * (one.length + other.length + 1)) / 12)
  const low = shifts[Math.max(0, Math.floor(pairs / 2 - spread))] as number
  const estimate = shifts[pairs >> 1] as number
  return low > 0.25 * Math.abs(estimate)
}

/**
 * A fixed difference, looked at every second: it fails with one percentage point more errors than the rest, and passes a step after
 * 30 s and 100 requests. What scripts around a proxy usually do.
 */
export class FixedDifference implements Judge {
  readonly steps = [1, 5, 25, 50, 100]
  #to = { requests: 0, errors: 0 }
  #rest = { requests: 0, errors: 0 }
  #sinceS = 0

  begin(_: number, atS: number): void {
    this.#sinceS = atS
    this.#to = { requests: 0, errors: 0 }
    this.#rest = { requests: 0, errors: 0 }
  }

  see(side: Side, _: Request, { failure }: Outcome): void {
    const tally = side === 'to' ? this.#to : this.#rest
    tally.requests++
    if (failure === 'error') tally.errors++
  }

  look(atS: number): Word {
    const usual = this.#rest.requests >= 100 ? this.#rest.errors / this.#rest.requests : 0
    if (this.#to.errors / Math.max(this.#to.requests, 100) - usual > 0.01) return 'fail'
    return this.#to.requests >= 100 && atS - this.#sinceS >= 30 ? 'pass' : 'wait'
  }
}
