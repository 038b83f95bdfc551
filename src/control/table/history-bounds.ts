/**
 * What a history lets go of where it is full. The inner revisions of runs go first: of hundreds of steps that one author made of
 * one route, the last one tells what became of it. Then go the oldest. Those that a person has marked stay.
 */
import type { KeepMark, RevisionRecord } from './revision-record.ts'

/** Limits of the history. */
export interface HistoryBounds {
  readonly revisions: number
  /** Total size of all texts, including those that forced revisions replaced. */
  readonly bytes: number
}

export const HISTORY_BOUNDS: HistoryBounds = Object.freeze({ revisions: 200, bytes: 64 * 1024 * 1024 })

/** As many in memory, where there is no folder for them. */
const MEMORY_BYTES = 8 * 1024 * 1024

/** @param keepRevisions how many are kept in a folder; 0: those that there are lie in memory only */
export function historyBounds(keepRevisions: number): HistoryBounds {
  if (keepRevisions === 0) return { revisions: HISTORY_BOUNDS.revisions, bytes: MEMORY_BYTES }
  return { ...HISTORY_BOUNDS, revisions: Math.max(ALWAYS_KEPT, keepRevisions) }
}

/** The newest revisions are always kept, whatever their size, and in memory too: without them nothing can be undone. */
export const ALWAYS_KEPT = 2

/** A revision, and whether a person has marked it. */
interface Marked {
  readonly record: RevisionRecord
  readonly mark: KeepMark | null
}

/** The oldest one inside of a run, else the oldest one; null where all of them stay. @param all oldest first */
export function mostDispensable<One extends Marked>(all: readonly One[]): One | null {
  const mayGo = (one: One, at: number): boolean => one.mark === null && at < all.length - ALWAYS_KEPT
  const isInner = ({ record }: One, at: number): boolean => (all[at + 1] as One).record.run <= record.number
  return all.find((one, at) => mayGo(one, at) && isInner(one, at)) ?? all.find(mayGo) ?? null
}
