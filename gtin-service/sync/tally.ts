/**
 * What a run has counted: records of the feed, those rejected with their reasons and some samples, and what became of the
 * data. Plain values, so that they survive a crash in the state of the run.
 */
import type { RejectReason } from './change.ts'

/** Records rejected for one reason. */
export interface Rejected {
  count: number
  /** The first few, cut to a readable length. */
  readonly samples: string[]
}

/** The records of a feed, or of a part of it. */
export interface Tally {
  /** Products and deletions, the rejected ones too. */
  records: number
  /** Records taken although their bytes were no UTF-8. */
  mended: number
  readonly rejected: Partial<Record<RejectReason, Rejected>>
}

const MAX_SAMPLES = 3
/** A record of the feed has some 450 characters: what is wrong with it should be among those that are kept. */
const SAMPLE_LENGTH = 600

export function emptyTally(): Tally {
  return { records: 0, mended: 0, rejected: {} }
}

/** Counts one rejected record. */
export function countRejected(tally: Tally, reason: RejectReason, sample: string): void {
  const rejected = (tally.rejected[reason] ??= { count: 0, samples: [] })
  rejected.count++
  if (rejected.samples.length < MAX_SAMPLES) rejected.samples.push(sample.slice(0, SAMPLE_LENGTH))
}

/** Adds a part to the whole. */
export function addTally(whole: Tally, part: Tally): void {
  whole.records += part.records
  whole.mended += part.mended
  for (const [reason, { count, samples }] of Object.entries(part.rejected)) {
    const rejected = (whole.rejected[reason as RejectReason] ??= { count: 0, samples: [] })
    rejected.count += count
    rejected.samples.push(...samples.slice(0, MAX_SAMPLES - rejected.samples.length))
  }
}

/** Records that are not in the data for being wrong; a duplicate's later record is. */
export function rejectedOf(tally: Tally): number {
  let count = 0
  for (const [reason, rejected] of Object.entries(tally.rejected)) if (reason !== 'duplicate') count += rejected.count
  return count
}
