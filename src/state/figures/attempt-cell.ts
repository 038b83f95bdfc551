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
 * How an attempt ended: the class of its answer, whole or given up by the client; or where the upstream broke it.
 *
 * - `aborted`: given up before there was an answer, by the client or for its sake
 * - `stale`: the server had just closed the kept-alive connection, which says nothing about how it is
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
/** From here on there is somebody to blame. */
const FIRST_FAILURE = OUTCOMES.indexOf('stale') + 1
const SERVER_ERROR = OUTCOMES.indexOf('5xx')

/** The outcome of an attempt that was answered. @param status 100 or more */
export function outcomeOf(status: number): Outcome {
  return CLASSES[Math.min(Math.floor(status / 100), CLASSES.length) - 1] as Outcome
}

/** What tells the attempts of a route apart. */
export interface AttemptLabels {
  /** Whose server was asked. */
  readonly upstream: string
  /** Of the decision at that time: an attempt for `fallback` is one at `from`. */
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

  /** Whether it is counted under these labels. */
  is(upstream: string, reason: Reason): boolean {
    return this.reason === reason && this.upstream === upstream
  }

  /** @param durationMs until the head of the answer, or until it broke; null where neither came, and for upgrades */
  count(outcome: Outcome, durationMs: number | null): void {
    this.#counts[OUTCOME_INDEX[outcome] ?? ABORTED]!++
    this.exchanges++
    if (durationMs !== null) this.durations.count(durationMs)
  }

  /** Each outcome that has occurred, with how often. */
  *counts(): Generator<{ outcome: Outcome; count: number }> {
    for (const [at, count] of this.#counts.entries()) if (count > 0) yield { outcome: OUTCOMES[at] as Outcome, count }
  }

  /** Those that broke at the upstream or were answered with class 5. */
  get failed(): number {
    return this.#counts.reduce((sum, count, at) => (at === SERVER_ERROR || at >= FIRST_FAILURE ? sum + count : sum), 0)
  }

  /** What has been counted since the last time; from now on it counts from 0. */
  take(): AttemptDelta {
    const labels = { upstream: this.upstream, reason: this.reason }
    this.exchanges = 0
    return { labels, counts: takeCounts(this.#counts), durations: this.durations.take() }
  }

  /** Counts what another cell has counted. */
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

/** What a cell has counted since it last told: plain data. */
export interface AttemptDelta {
  readonly labels: AttemptLabels
  readonly counts: readonly (readonly [at: number, count: number])[]
  readonly durations: DurationsDelta
}
