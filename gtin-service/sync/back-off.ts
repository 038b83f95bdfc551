/**
 * How long to wait: between attempts that fail, and between runs of a schedule.
 */

const MAX_WAIT_MS = 30_000

/** What waiting depends on beside the attempt. */
export interface Patience {
  /** The longest first wait, in milliseconds. */
  readonly firstMs: number
  /** In [0, 1): the draw of this wait. */
  readonly chance: number
  /** The server's word; null where it said nothing. */
  readonly retryAfterMs: number | null
}

/**
 * Milliseconds before the next attempt, after `failures` (from 1) in a row: drawn from zero to twice as much each time, at
 * most half a minute, so that clients which failed together don't come back together; never before the server said.
 */
export function waitMs(failures: number, { firstMs, chance, retryAfterMs }: Patience): number {
  const most = Math.min(MAX_WAIT_MS, firstMs * 2 ** (failures - 1))
  return Math.max(retryAfterMs ?? 0, Math.round(chance * most))
}

/** The share of an interval that a run may come early or late, so that many services don't all ask at one moment. */
const JITTER = 0.1
const MAX_RETRY_MS = 600_000

/** When runs of a schedule are due. */
export interface Schedule {
  readonly everyMs: number
  /** In [0, 1): the draw of this wait. */
  readonly chance: number
}

/**
 * Milliseconds until the next run. `sinceMs`: how long ago the last good run began; null where there was none. After a
 * failure it comes sooner than planned: within ten minutes, or a tenth of the interval where that is less.
 */
export function nextRunMs(sinceMs: number | null, failed: boolean, { everyMs, chance }: Schedule): number {
  if (failed) return Math.round(Math.min(MAX_RETRY_MS, everyMs / 10) * (0.5 + chance / 2))
  if (sinceMs === null) return 0
  return Math.max(0, Math.round(everyMs * (1 - JITTER + 2 * JITTER * chance)) - sinceMs)
}
