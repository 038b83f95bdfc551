/**
 * Data planes in other processes: all of them apply a revision, or none does.
 */

import type { TlsMaterial } from '../../state/tls/material.ts'

/** A revision as sent to another process: plain data. */
export interface RevisionText {
  readonly number: number
  readonly text: string
  /** Epoch milliseconds at which it takes effect. */
  readonly appliedAtMs: number
  /** Content of its TLS files; if that changes, the same revision is sent again. */
  readonly material: TlsMaterial
}

/** Two-phase commit. A prepared text is dropped by the next `prepare`, by `commit` or by `abandon`. */
export interface Followers {
  /** Prepares a text and its TLS files in each process. @returns null, or the reason why one of them can't, for the operator */
  prepare(text: string, material: TlsMaterial): Promise<string | null>
  /** Activates the prepared text in each process. Resolves when no new request uses another one. Never rejects. */
  commit(revision: RevisionText): Promise<void>
  abandon(): void
}

/** For a data plane in this process, which follows the `LiveTable` itself. */
export const NO_FOLLOWERS: Followers = {
  prepare: async () => null,
  commit: async () => {},
  abandon: () => {},
}
