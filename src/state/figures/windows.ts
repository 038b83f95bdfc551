/**
 * Windows over the last minutes: totals are recorded at every tick, and a window is the difference to an earlier one.
 */
import type { FineCounts } from '../../rules/values/duration-buckets.ts'

/** Interval of ticks. */
export const WINDOW_TICK_MS = 10_000

/** Five minutes and the current step. */
export const WINDOW_STEPS = 31

/** Counters that only grow. */
export interface Sums {
  readonly exchanges: number
  /** 5xx responses; for attempts, failures. */
  readonly errors: number
  readonly cacheHits: number
  readonly cacheMisses: number
  /** Number and sum of durations. */
  readonly timed: number
  readonly durationMsSum: number
}

export const NO_SUMS: Sums = { exchanges: 0, errors: 0, cacheHits: 0, cacheMisses: 0, timed: 0, durationMsSum: 0 }

/** Sums within a window. */
export interface WindowSums extends Sums {
  /** The durations, one list per step. */
  readonly fine: readonly FineCounts[]
}

interface Step {
  /** Sums at the tick. */
  readonly sums: Sums
  /** Durations between the previous tick and this one. */
  readonly fine: FineCounts
}

const NONE: FineCounts = []

/** The state of one series at the last ticks. */
export class StepRing {
  readonly #steps: Step[] = []

  /**
   * Ends a step.
   * @param exchanges total count
   * @param sums returns the current sums; not called if nothing was counted in this step
   * @param takeFine returns the durations of this step
   */
  push(exchanges: number, sums: () => Sums, takeFine: () => FineCounts): void {
    const last = this.#steps.at(-1)
    if (last === undefined || last.sums.exchanges !== exchanges) this.#steps.push({ sums: sums(), fine: takeFine() })
    // An idle series costs one reference per tick.
    else this.#steps.push(last.fine === NONE ? last : { sums: last.sums, fine: NONE })
    if (this.#steps.length > WINDOW_STEPS) this.#steps.shift()
  }

  /** The sums some ticks ago, 0 before the first count, and the durations of the steps since. */
  ago(ticks: number): { readonly sums: Sums; readonly fine: FineCounts[] } {
    const at = this.#steps.length - ticks
    const fine = this.#steps.slice(Math.max(at + 1, 0)).flatMap((step) => (step.fine.length === 0 ? [] : [step.fine]))
    return { sums: this.#steps[at]?.sums ?? NO_SUMS, fine }
  }
}

/** The difference between two sums. */
export function addedSince(before: Sums, now: Sums): Sums {
  return {
    exchanges: now.exchanges - before.exchanges,
    errors: now.errors - before.errors,
    cacheHits: now.cacheHits - before.cacheHits,
    cacheMisses: now.cacheMisses - before.cacheMisses,
    timed: now.timed - before.timed,
    durationMsSum: now.durationMsSum - before.durationMsSum,
  }
}

/** The sum of several windows. */
export function sumWindows(windows: readonly WindowSums[]): WindowSums {
  return windows.reduce(
    (sum, one) => ({
      exchanges: sum.exchanges + one.exchanges,
      errors: sum.errors + one.errors,
      cacheHits: sum.cacheHits + one.cacheHits,
      cacheMisses: sum.cacheMisses + one.cacheMisses,
      timed: sum.timed + one.timed,
      durationMsSum: sum.durationMsSum + one.durationMsSum,
      fine: [...sum.fine, ...one.fine],
    }),
    { ...NO_SUMS, fine: [] },
  )
}
