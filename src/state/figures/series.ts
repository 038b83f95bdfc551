/**
 * One series: count and duration under one set of labels, in total and over the last minutes.
 */
import { Durations } from './durations.ts'
import { addedSince, StepRing, type Sums, type WindowSums } from './windows.ts'

/** Counts with one set of labels. */
export abstract class Series {
  readonly durations = new Durations()
  /** Number of counted events. */
  exchanges = 0
  readonly #steps = new StepRing()
  /** When its labels were removed from the table, epoch milliseconds; null if they are in it. */
  goneMs: number | null = null

  /** Current sums for windows. */
  abstract sums(): Sums

  /** Ends a step of the windows. */
  tick(): void {
    this.#steps.push(
      this.exchanges,
      () => this.sums(),
      () => this.durations.takeFine(),
    )
  }

  /** Sums over the last complete steps and the current one. */
  since(ticks: number): WindowSums {
    const before = this.#steps.ago(ticks)
    return { ...addedSince(before.sums, this.sums()), fine: [...before.fine, this.durations.fine()] }
  }

  /** Sums over the last complete steps, without the current one. */
  complete(ticks: number): WindowSums {
    const before = this.#steps.ago(ticks + 1)
    return { ...addedSince(before.sums, this.#steps.ago(1).sums), fine: before.fine }
  }
}

/** Adds counts to sums by name. */
export function addCounts<Name extends string>(
  sums: Partial<Record<Name, number>>,
  more: Partial<Record<Name, number>>,
): void {
  for (const [name, count] of Object.entries(more) as [Name, number][]) sums[name] = (sums[name] ?? 0) + count
}

/** The index of each word in a list. */
export function indexOf<Word extends string>(words: readonly Word[]): Record<Word, number> {
  return Object.fromEntries(words.map((word, at) => [word, at])) as Record<Word, number>
}

/** Returns the non-zero counts with their indexes, and resets all counts. */
export function takeCounts(counts: number[]): [at: number, count: number][] {
  const taken = [...counts.entries()].filter(([, count]) => count > 0)
  counts.fill(0)
  return taken
}
