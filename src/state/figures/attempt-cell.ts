/**
 * Counters of the attempts of one route at one upstream, and their labels.
 */
import { FAILURES, type FailureCode } from '../../rules/failures/failure.ts'
import type { Reason } from '../../rules/http/exchange.ts'
import type { DurationsDelta } from './durations.ts'
import { indexOf, Series, takeCounts } from './series.ts'
import type { Sums } from './windows.ts'

const CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const

/**
 * How an attempt ended: the status class of its response, complete or aborted by the client; or the failure at the upstream.
 *
 * - `aborted`: ended before a response, by the client or because of it
 * - `stale`: the server had just closed the idle connection, which does not count as a failure
 */
export type Outcome = (typeof CLASSES)[number] | 'aborted' | 'stale' | FailureCode

/** In the order of their counters. */
const OUTCOMES: readonly Outcome[] = [
  ...CLASSES,
  'aborted',
  'stale',
  ...(Object.keys(FAILURES) as FailureCode[]).filter((code) => FAILURES[code].culprit === 'upstream'),
]

const OUTCOME_INDEX: Readonly<Partial<Record<Outcome, number>>> = indexOf(OUTCOMES)
const ABORTED = OUTCOMES.indexOf('aborted')
/** Outcomes from here on are failures. */
const FIRST_FAILURE = OUTCOMES.indexOf('stale') + 1
const SERVER_ERROR = OUTCOMES.indexOf('5xx')

/** The outcome of an attempt with a response. @param status 100 or more */
export function outcomeOf(status: number): Outcome {
  return CLASSES[Math.min(Math.floor(status / 100), CLASSES.length) - 1] as Outcome
}

/** Labels of the attempts of a route. */
export interface AttemptLabels {
  /** The upstream of the server. */
  readonly upstream: string
  /** Reason of the decision at that time: an attempt with `fallback` is one at `from`. */
  readonly reason: Reason
}

/** The attempts of one route at one upstream, by reason. */
export class AttemptCell extends Series implements AttemptLabels {
  readonly upstream: string
  readonly reason: Reason
  readonly #counts: number[] = new Array(OUTCOMES.length).fill(0)

  constructor({ upstream, reason }: AttemptLabels) {
    super()
    this.upstream = upstream
    this.reason = reason
  }

  /** Whether it has these labels. */
  is(upstream: string, reason: Reason): boolean {
    return this.reason === reason && this.upstream === upstream
  }

  /** @param durationMs until the response headers or the failure; null if there was neither, and for upgrades */
  count(outcome: Outcome, durationMs: number | null): void {
    this.#counts[OUTCOME_INDEX[outcome] ?? ABORTED]!++
    this.exchanges++
    if (durationMs !== null) this.durations.count(durationMs)
  }

  /** The outcomes that have occurred, with their counts. */
  *counts(): Generator<{ outcome: Outcome; count: number }> {
    for (const [at, count] of this.#counts.entries()) if (count > 0) yield { outcome: OUTCOMES[at] as Outcome, count }
  }

  /** Attempts that failed at the upstream or got a 5xx response. */
  get failed(): number {
    return this.#counts.reduce((sum, count, at) => (at === SERVER_ERROR || at >= FIRST_FAILURE ? sum + count : sum), 0)
  }

  /** Returns the counts since the last call and resets them. */
  take(): AttemptDelta {
    const labels = { upstream: this.upstream, reason: this.reason }
    this.exchanges = 0
    return { labels, counts: takeCounts(this.#counts), durations: this.durations.take() }
  }

  /** Adds the counts of another cell. */
  add({ counts, durations }: AttemptDelta): void {
    for (const [at, count] of counts) {
      this.#counts[at]! += count
      this.exchanges += count
    }
    this.durations.add(durations)
  }

  override sums(): Sums {
    const { exchanges, failed, durations } = this
    const { timed, sumMs } = durations
    return { exchanges, errors: failed, cacheHits: 0, cacheMisses: 0, timed, durationMsSum: sumMs }
  }
}

/** Counts of a cell since its last report: plain data. */
export interface AttemptDelta {
  readonly labels: AttemptLabels
  readonly counts: readonly (readonly [at: number, count: number])[]
  readonly durations: DurationsDelta
}
