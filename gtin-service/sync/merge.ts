/**
 * Merges the changes of a run into the data so far: one pass over both in order of key, record by record, into a new
 * generation.
 */
import type { GtinKey } from '../gtin.ts'
import type { Generation, GenerationCursor } from '../store/generation.ts'
import type { GenerationWriter } from '../store/generation-writer.ts'
import { KEEP, PUT, type RunCursor } from './runs.ts'

/** What became of the products. */
export interface MergeCounts {
  added: number
  changed: number
  /** Told of again, as they were. */
  unchanged: number
  removed: number
  /** Left as they were, since their record was rejected. */
  kept: number
}

/** What to merge. */
export interface MergeParts {
  /** The data so far, or null. */
  readonly base: Generation | null
  /** The changes, older runs first. */
  readonly runs: readonly RunCursor[]
  /** Whether the changes are all there is, so that products they don't name are removed. */
  readonly full: boolean
  readonly writer: GenerationWriter
  /** Told of each product whose change in one run another run has replaced. */
  readonly onDuplicate: (key: GtinKey) => void
  /** Called every some ten thousand records; what it throws ends the merge. */
  readonly onStep: (products: number) => void
}

const RECORDS_PER_STEP = 50_000

/** Writes the merged records; the writer is left to be finished. Rejects with what cursors and writer throw. */
export async function merge(parts: MergeParts): Promise<MergeCounts> {
  const counts: MergeCounts = { added: 0, changed: 0, unchanged: 0, removed: 0, kept: 0 }
  const base = parts.base?.records() ?? null
  let baseKey = nextKey(base)
  for (const run of parts.runs) run.next()
  for (let steps = 1; ; steps++) {
    const change = latestOfLowest(parts)
    const changeKey = change?.key ?? Number.POSITIVE_INFINITY
    if (baseKey < changeKey) {
      if (parts.full) counts.removed++
      else copyBase(parts.writer, base as GenerationCursor)
      baseKey = nextKey(base)
    } else if (change !== null) {
      const before = baseKey === changeKey ? base : null
      apply(change, before, parts.writer, counts)
      if (before !== null) baseKey = nextKey(base)
      for (const run of parts.runs) {
        if (run.key !== changeKey || run === change) continue
        if (run.action !== KEEP) parts.onDuplicate(run.key)
        run.next()
      }
      change.next()
    } else return counts
    if (steps % RECORDS_PER_STEP === 0) {
      parts.onStep(parts.writer.products)
      // Signals and timers get their turn.
      await new Promise(setImmediate)
    }
  }
}

function nextKey(cursor: GenerationCursor | null): number {
  return cursor?.next() ? cursor.key : Number.POSITIVE_INFINITY
}

/** The change that counts for the lowest key of all runs: the last one, where KEEP gives way to the others. Null at the end. */
function latestOfLowest({ runs }: MergeParts): RunCursor | null {
  let latest: RunCursor | null = null
  for (const run of runs) {
    if (run.key === Number.POSITIVE_INFINITY) continue
    if (latest === null || run.key < latest.key) latest = run
    else if (run.key === latest.key && run.action !== KEEP) latest = run
  }
  return latest
}

function apply(
  change: RunCursor,
  before: GenerationCursor | null,
  writer: GenerationWriter,
  counts: MergeCounts,
): void {
  if (change.action === PUT) {
    writer.add(change.key, change.bytes, change.start, change.end)
    if (before === null) counts.added++
    else if (isSame(change, before)) counts.unchanged++
    else counts.changed++
  } else if (before === null) return
  else if (change.action === KEEP) {
    copyBase(writer, before)
    counts.kept++
  } else counts.removed++
}

function copyBase(writer: GenerationWriter, base: GenerationCursor): void {
  writer.add(base.key, base.bytes, base.start, base.end)
}

/** Equal products are equal bytes: the run's dictionary goes on where that of the data so far ended. */
function isSame(a: RunCursor, b: GenerationCursor): boolean {
  return a.bytes.compare(b.bytes, b.start, b.end, a.start, a.end) === 0
}
