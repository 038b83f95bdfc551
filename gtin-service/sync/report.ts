/**
 * What a run of the sync did, for people and for machines. Plain values, which survive a crash in the state of the run.
 */
import type { RejectReason } from './records.ts'

/** The records of a feed. */
export interface Tally {
  /** Products and deletions, the rejected ones too. */
  records: number
  /** Records taken although their bytes were no UTF-8. */
  mended: number
  /** The first few are kept as samples, cut to a readable length. */
  readonly rejected: Partial<Record<RejectReason, { count: number; readonly samples: string[] }>>
}

const MAX_SAMPLES = 3
/** A record of the feed has some 450 characters: what is wrong with it should be among those that are kept. */
const SAMPLE_LENGTH = 600

export function emptyTally(): Tally {
  return { records: 0, mended: 0, rejected: {} }
}

/** Counts one rejected record. */
export function reject(tally: Tally, reason: RejectReason, line: string): void {
  const rejected = (tally.rejected[reason] ??= { count: 0, samples: [] })
  rejected.count++
  if (rejected.samples.length < MAX_SAMPLES) rejected.samples.push(line.slice(0, SAMPLE_LENGTH))
}

/** Records that are not in the data for being wrong; a duplicate's later record is. */
export function rejectedOf({ rejected: { duplicate: _, ...wrong } }: Tally): number {
  return Object.values(wrong).reduce((sum, { count }) => sum + count, 0)
}

/** What became of the products. */
export interface MergeCounts {
  readonly added: number
  readonly changed: number
  /** Told of again, as they were. */
  readonly unchanged: number
  readonly removed: number
  /** Left as they were, since their record was rejected. */
  readonly kept: number
}

/** Remembered records of one reason. */
export interface Unresolved {
  readonly reason: RejectReason
  readonly count: number
  /** The day of the feed that first brought one of them. */
  readonly since: string
  readonly sample: string
}

export interface SyncReport {
  /**
   * How the run ended:
   *
   * - `done`: the data is the feed's
   * - `stopped`: a guard refused the result, or the run was interrupted; the data is as before
   * - `failed`: feed or disk failed; the data is as before, and the next run goes on where this one ended
   */
  outcome: 'done' | 'stopped' | 'failed'
  /** Why it was stopped or failed; null when done. */
  why: string | null
  /** The feed, without a password. */
  readonly from: string
  /** Null for a run that ended before it knew which it would be. */
  mode: 'full' | 'incremental' | null
  /** First day of change that was asked for; null for all products. */
  since: string | null
  /** The day that the data shows now; null where there is none. */
  asOf: string | null
  /** Whether it went on with the changes of a run before. */
  resumed: boolean
  /** When the reading began, in milliseconds since 1970. */
  startedAtMs: number
  seconds: number
  /** The most memory that the process held, in bytes. */
  peakBytes: number
  /** Failed attempts that another one followed. */
  retries: number
  feed: Tally
  /** Null where it did not come so far. */
  merged: MergeCounts | null
  /** Records of earlier runs that could be taken now. */
  resolved: number
  /** Records that could not be taken yet, of this run and of earlier ones. They are tried again in each run. */
  unresolved: readonly Unresolved[]
  /** Products that lookups find at the end of the run, and what they take on disk. */
  products: number
  bytes: number
}

/** The report of a run that begins. */
export function newReport(from: string): SyncReport {
  const plan = { from, mode: null, since: null, resumed: false, startedAtMs: Date.now() } as const
  const course = { retries: 0, feed: emptyTally(), merged: null, resolved: 0, seconds: 0, peakBytes: 0 }
  return { outcome: 'done', why: null, ...plan, ...course, asOf: null, unresolved: [], products: 0, bytes: 0 }
}

/** The report in a few lines, with a newline at the end; the rest of it is in the data folder. */
export function reportText({ outcome, why, mode, since, asOf, feed, merged, ...report }: SyncReport): string {
  const what = mode === null ? '' : mode === 'full' ? 'full load, ' : `changes since ${since}, `
  const read = `${numberText(feed.records)} records read in ${report.seconds.toFixed(1)} s`
  const lines = [
    `sync ${outcome}: ${what}${read}; ${asOf === null ? 'no data yet' : `data as of ${asOf}`}`,
    ...(why === null ? [] : [`  why: ${why}`]),
    ...(merged === null ? [] : [`  products: ${mergedText(merged)}; ${numberText(report.products)} in all`]),
    ...Object.entries(feed.rejected).map(([reason, { count, samples }]) => {
      return `  ${reason}: ${numberText(count)}, ${samples[0]}`
    }),
    ...report.unresolved.map(({ reason, count, since: day, sample }) => {
      return `  unresolved since ${day}, ${reason}: ${numberText(count)}, ${sample}`
    }),
  ]
  return lines.map((line) => `${line.replaceAll(/\p{Cc}/gu, '?')}\n`).join('')
}

/** Such as `12 added, 3 removed`; the kinds that there are none of are left out. */
function mergedText(merged: MergeCounts): string {
  const kinds = ['added', 'changed', 'removed', 'unchanged', 'kept'] as const
  const told = kinds.filter((kind) => merged[kind] > 0).map((kind) => `${numberText(merged[kind])} ${kind}`)
  return told.length === 0 ? 'no changes' : told.join(', ')
}

function numberText(count: number): string {
  return count.toLocaleString('en-US')
}
