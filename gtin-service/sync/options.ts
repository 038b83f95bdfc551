/**
 * What a run of the sync is told, and what it does unless told otherwise.
 */
import type { Progress } from './progress.ts'

/** What to sync, and how carefully. */
export interface SyncOptions {
  /** Where the enterprise product answers. */
  readonly from: URL
  /** The data folder; it is made where it isn't there. */
  readonly folder: string
  /** Read all products, although there is data that changes could be added to. */
  readonly full: boolean
  /** A run that would remove more than this share of the products (0 to 1) stops. */
  readonly maxDropShare: number
  /** A run that rejects more than this share of the records (0 to 1) stops. */
  readonly maxRejectShare: number
  readonly attempts: number
  readonly firstWaitMs: number
  readonly idleTimeoutMs: number
  readonly commitEvery: number
  readonly gzip: boolean
  /** Ends the run when aborted; the next one goes on where it was. */
  readonly signal: AbortSignal
  readonly onProgress: (progress: Progress) => void
  /** Told of what is worth a line while the run goes on. */
  readonly onEvent: (line: string) => void
}

/** All but where from and where to. */
export const SYNC_DEFAULTS = {
  full: false,
  maxDropShare: 0.05,
  maxRejectShare: 0.05,
  attempts: 8,
  firstWaitMs: 500,
  idleTimeoutMs: 60_000,
  commitEvery: 250_000,
  gzip: true,
} as const satisfies Partial<SyncOptions>
