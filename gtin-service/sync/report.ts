/**
 * What a run of the sync did, for people and for machines.
 */
import type { RejectReason } from './records.ts'

/** The records of a feed. Plain values, so that they survive a crash in the state of the run. */
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
  added: number
  changed: number
  /** Told of again, as they were. */
  unchanged: number
  removed: number
  /** Left as they were, since their record was rejected. */
  kept: number
}

/** Remembered records of one reason. */
export interface Unresolved {
  readonly reason: RejectReason
  readonly count: number
  /** The day of the feed that first brought one of them. */
  readonly since: string
  readonly sample: string
}

/**
 * How a run ended:
 *
 * - `done`: the data is the feed's
 * - `stopped`: a guard refused the result, or the run was told to end; the data is as before
 * - `failed`: feed or disk failed; the data is as before, and the next run goes on where this one ended
 */
export type Outcome = 'done' | 'stopped' | 'failed'

export interface SyncReport {
  readonly outcome: Outcome
  /** Why it was stopped or failed; null when done. */
  readonly why: string | null
  /** The feed, without a password. */
  readonly from: string
  readonly mode: 'full' | 'incremental'
  /** First day of change that was asked for; null for all products. */
  readonly since: string | null
  /** The day that the data shows now; null where there is none. */
  readonly asOf: string | null
  /** Whether it went on with the changes of a run before. */
  readonly resumed: boolean
  readonly startedAtMs: number
  readonly seconds: number
  /** The most memory that the process held, in bytes. */
  readonly peakBytes: number
  /** Failed attempts that another one followed. */
  readonly retries: number
  readonly feed: Tally
  /** Null where it did not come so far. */
  readonly merged: MergeCounts | null
  /** Records of earlier runs that could be taken now. */
  readonly resolved: number
  /** Records that could not be taken yet, of this run and of earlier ones. They are tried again in each run. */
  readonly unresolved: readonly Unresolved[]
  /** Products in force at the end of the run. */
  readonly products: number
  /** What they take on disk. */
  readonly bytes: number
}

/** The report as lines of text, with a newline at the end. */
export function reportText(report: SyncReport): string {
  const { outcome, why, since, asOf, seconds, feed, merged, products, bytes, resumed, retries } = report
  const what = report.mode === 'full' ? 'full load' : `changes since ${since}`
  const more = `${resumed ? ', resumed' : ''}${retries > 0 ? `, ${retries} retries` : ''}`
  const lines = [`sync ${outcome}: ${what}, as of ${asOf ?? '-'}, ${seconds.toFixed(1)} s${more}`]
  if (why !== null) lines.push(`  why: ${why}`)
  lines.push(
    `  feed: ${spaced(feed.records)} records${feed.mended > 0 ? `, ${spaced(feed.mended)} read as Latin-1` : ''}`,
  )
  if (merged !== null) {
    const { added, changed, unchanged, removed, kept } = merged
    const parts = [`${spaced(added)} added`, `${spaced(changed)} changed`, `${spaced(unchanged)} unchanged`]
    parts.push(`${spaced(removed)} removed`, `${spaced(kept)} kept as they were, their record rejected`)
    lines.push(`  products: ${parts.join(', ')}`)
  }
  for (const [reason, { count, samples }] of Object.entries(feed.rejected)) {
    lines.push(`  ${reason === 'duplicate' ? 'replaced' : 'rejected'}, ${reason}: ${spaced(count)}`)
    for (const sample of samples) lines.push(`    ${printable(sample)}`)
  }
  if (report.resolved > 0) lines.push(`  resolved: ${spaced(report.resolved)} records that were rejected before`)
  for (const { reason, count, since, sample } of report.unresolved) {
    lines.push(`  unresolved, ${reason}: ${spaced(count)} since ${since}`, `    ${printable(sample)}`)
  }
  lines.push(
    `  in force: ${spaced(products)} products, ${mebibytes(bytes)}; peak memory ${mebibytes(report.peakBytes)}`,
  )
  return `${lines.join('\n')}\n`
}

function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '?')
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`
}

/** `18,000,000`. */
export function spaced(count: number): string {
  return count.toLocaleString('en-US')
}
