/**
 * Windows over the last minutes: totals are recorded at every tick, and a window is the difference to an earlier one.
 */
import type { FineCounts } from './durations.ts'

/** Between two ticks. */
export const WINDOW_TICK_MS = 10_000

/** Five minutes and the step under way. */
export const WINDOW_STEPS = 31

/** Counters that only grow. */
export interface Sums {
  readonly exchanges: number
  /** Answers of class 5; of attempts, those that failed. */
  readonly errors: number
  readonly cacheHits: number
  readonly cacheMisses: number
  /** Of those that have a duration, and how many they are. */
  readonly timed: number
  readonly durationMsSum: number
}

export const NO_SUMS: Sums = { exchanges: 0, errors: 0, cacheHits: 0, cacheMisses: 0, timed: 0, durationMsSum: 0 }

/** What was added within a window. */
export interface WindowSums extends Sums {
  /** The durations, as many lists as were kept. */
  readonly fine: readonly FineCounts[]
}

interface Step {
  /** As they stood at the tick. */
  readonly sums: Sums
  /** Those between the tick before and this one. */
  readonly fine: FineCounts
}

const NONE: FineCounts = []

/** What one series of figures has counted by the last ticks. */
export class StepRing {
  readonly #steps: Step[] = []

  /**
   * Ends a step.
   * @param exchanges all that have been counted
   * @param sums makes the sums of now; not called where nothing was counted in this step
   * @param takeFine the durations of this step
   */
  push(exchanges: number, sums: () => Sums, takeFine: () => FineCounts): void {
    const last = this.#steps.at(-1)
    if (last === undefined || last.sums.exchanges !== exchanges) this.#steps.push({ sums: sums(), fine: takeFine() })
    // Idle series cost a reference for each tick.
    else this.#steps.push(last.fine === NONE ? last : { sums: last.sums, fine: NONE })
    if (this.#steps.length > WINDOW_STEPS) this.#steps.shift()
  }

  /** What stood so many ticks ago, 0 where nothing had been counted by then; and the durations of the steps since. */
  ago(ticks: number): { readonly sums: Sums; readonly fine: FineCounts[] } {
    const at = this.#steps.length - ticks
    const fine = this.#steps.slice(Math.max(at + 1, 0)).flatMap((step) => (step.fine.length === 0 ? [] : [step.fine]))
    return { sums: this.#steps[at]?.sums ?? NO_SUMS, fine }
  }
}

/** What was added between two sums. */
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

/** All of them together. */
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
