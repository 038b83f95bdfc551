/**
 * One series: count and duration under one set of labels, in total and over the last minutes.
 */
import { Durations } from './durations.ts'
import { addedSince, StepRing, type Sums, type WindowSums } from './windows.ts'

/** The figures of one set of labels. */
export abstract class Series {
  readonly durations = new Durations()
  /** How often anything was counted. */
  exchanges = 0
  readonly #steps = new StepRing()
  /** Since when nothing in the table has these labels, epoch milliseconds; null where something has. */
  goneMs: number | null = null

  /** What windows are made of, as it stands now. */
  abstract sums(): Sums

  /** Ends a step of the windows. */
  tick(): void {
    this.#steps.push(
      this.exchanges,
      () => this.sums(),
      () => this.durations.takeFine(),
    )
  }

  /** What was counted in the last so many whole steps and the one under way. */
  since(ticks: number): WindowSums {
    const before = this.#steps.ago(ticks)
    return { ...addedSince(before.sums, this.sums()), fine: [...before.fine, this.durations.fine()] }
  }
}

/** Adds counts to sums, name by name. */
export function addCounts<Name extends string>(
  sums: Partial<Record<Name, number>>,
  more: Partial<Record<Name, number>>,
): void {
  for (const [name, count] of Object.entries(more) as [Name, number][]) sums[name] = (sums[name] ?? 0) + count
}

/** The place of each word in a list. */
export function indexOf<Word extends string>(words: readonly Word[]): Record<Word, number> {
  return Object.fromEntries(words.map((word, at) => [word, at])) as Record<Word, number>
}

/** The counts that are not 0, with their places; the counts themselves begin at 0 again. */
export function takeCounts(counts: number[]): [at: number, count: number][] {
  const taken = [...counts.entries()].filter(([, count]) => count > 0)
  counts.fill(0)
  return taken
}
