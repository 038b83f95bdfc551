/**
 * Data planes in other processes: all of them apply a revision, or none does.
 */

import type { TlsMaterial } from '../../state/tls/material.ts'

/** A revision as it crosses to another process. Plain data. */
export interface RevisionText {
  readonly number: number
  readonly text: string
  /** Epoch milliseconds at which it takes effect. */
  readonly appliedAtMs: number
  /** What its TLS files hold; the same revision may come again with another one. */
  readonly material: TlsMaterial
}

/** The two phases. A text that is prepared is forgotten by the next one, by `commit` or by `abandon`. */
export interface Followers {
  /** Has each make ready what a text and its TLS files need. @returns null, or why one of them can't, for the operator */
  prepare(text: string, material: TlsMaterial): Promise<string | null>
  /** Puts the prepared text in force in each. Resolves when no exchange begins by another one any more. Never rejects. */
  commit(revision: RevisionText): Promise<void>
  abandon(): void
}

/** Where the data plane is in this process: the `LiveTable` itself tells it. */
export const NO_FOLLOWERS: Followers = {
  prepare: async () => null,
  commit: async () => {},
  abandon: () => {},
}
