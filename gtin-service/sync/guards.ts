/**
 * The guards of a run: what is refused before it does harm, and why, in one line.
 */
import type { MergeCounts } from './merge.ts'
import { rejectedOf, type Tally } from './tally.ts'

/** What a feed is judged by. */
export interface FeedLimits {
  /** At most this share of the records (0 to 1) may be rejected. */
  readonly maxRejectShare: number
  /** The day that the feed shows, `YYYY-MM-DD`. */
  readonly asOf: string
  /** The day that the data shows, where changes are added to it; null for a full load. */
  readonly since: string | null
}

/** Why what was read must not be merged; null where it may. */
export function whyNotMerge(tally: Tally, { maxRejectShare, asOf, since }: FeedLimits): string | null {
  const rejected = rejectedOf(tally)
  if (rejected > tally.records * maxRejectShare) {
    const most = percent(maxRejectShare)
    return `${rejected} of ${tally.records} records were rejected, at most ${most} are allowed (--max-reject)`
  }
  if (since === null || asOf >= since) return null
  return `the feed is as of ${asOf}, older than the data (${since}); a full load (--full) would take it`
}

/** What a merge is judged by. */
export interface MergeLimits {
  /** At most this share of the products (0 to 1) may be removed. */
  readonly maxDropShare: number
  /** Products in force. */
  readonly before: number
  /** Products after the merge. */
  readonly after: number
}

/** Why what was merged must not be published; null where it may. */
export function whyNotPublish({ removed }: MergeCounts, { maxDropShare, before, after }: MergeLimits): string | null {
  if (removed > before * maxDropShare) {
    return `it would remove ${removed} of ${before} products, at most ${percent(maxDropShare)} are allowed (--max-drop)`
  }
  return after === 0 && before === 0 ? 'the feed has no products' : null
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(4))} %`
}
