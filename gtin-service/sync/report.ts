/**
 * What a run of the sync did, for people and for machines.
 */
import type { MergeCounts } from './merge.ts'
import type { Tally } from './tally.ts'

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
  /** Products in force at the end of the run. */
  readonly products: number
  /** The file of the generation in force, in bytes. */
  readonly bytes: number
}

/** The report as lines of text, with a newline at the end. */
export function reportText(report: SyncReport): string {
  const { outcome, why, mode, since, asOf, seconds, feed, merged, products, bytes } = report
  const what = mode === 'full' ? 'full load' : `changes since ${since}`
  const lines = [
    `sync ${outcome}: ${what}, as of ${asOf ?? '-'}, ${seconds.toFixed(1)} s${report.resumed ? ', resumed' : ''}${report.retries > 0 ? `, ${report.retries} retries` : ''}`,
  ]
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
    for (const sample of samples) lines.push(`    ${sample.replaceAll(/\p{Cc}/gu, '?')}`)
  }
  lines.push(
    `  in force: ${spaced(products)} products, ${mebibytes(bytes)}; peak memory ${mebibytes(report.peakBytes)}`,
  )
  return `${lines.join('\n')}\n`
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`
}

/** `18,000,000`. */
export function spaced(count: number): string {
  return count.toLocaleString('en-US')
}
