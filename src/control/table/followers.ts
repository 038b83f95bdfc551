/**
 * Data planes in other processes: all of them apply a revision, or none does.
 */
import type { RouteSplice } from '../../rules/language/compile.ts'
import type { NumberChange } from '../../rules/language/numbers.ts'
import type { UpstreamDocument } from '../../rules/table/schema.ts'
import type { TlsMaterial } from '../../state/tls/material.ts'
import type { PackedDocument } from './apart-jobs.ts'

/** A revision as sent to another process: plain data. */
export interface RevisionText {
  readonly number: number
  readonly etag: string
  readonly text: string
  /** Epoch milliseconds at which it takes effect. */
  readonly appliedAtMs: number
  /** Content of its TLS files; if that changes, the same revision is sent again. */
  readonly material: TlsMaterial
}

/**
 * How a table is got at without parsing its text: it is the one in force, or that with other numbers or routes, or here is what was
 * parsed. All but the last hold in a process that has the revision `base`.
 */
export type TableMove =
  | { readonly kind: 'same'; readonly base: string }
  | { readonly kind: 'numbers'; readonly base: string; readonly changes: readonly NumberChange[] }
  | {
      readonly kind: 'routes'
      readonly base: string
      readonly splices: readonly RouteSplice[]
      /** Upstreams with other servers. */
      readonly upstreams?: Readonly<Record<string, UpstreamDocument>>
    }
  | {
      readonly kind: 'document'
      readonly document: PackedDocument
      /** What has become of its numbers since. */
      readonly changes: readonly NumberChange[]
    }

/** A table that is to be prepared. */
export interface ProposedTable {
  readonly text: string
  readonly move: TableMove
  readonly material: TlsMaterial
}

/** Why a table could not be prepared, for the operator. */
export interface Unprepared {
  /** Whether a process did not answer: it has nothing against the table. */
  readonly isLate: boolean
  readonly why: string
}

/** Two-phase commit. A prepared table is dropped by the next `prepare`, by `commit` or by `abandon`. */
export interface Followers {
  /** Prepares a table and its TLS files in each process. @returns null, or why one of them can't */
  prepare(proposed: ProposedTable): Promise<Unprepared | null>
  /** Activates the prepared table in each process. Resolves when no new request uses another one. Never rejects. */
  commit(revision: RevisionText): Promise<void>
  abandon(): void
}

/** For a data plane in this process, which follows the `LiveTable` itself. */
export const NO_FOLLOWERS: Followers = {
  prepare: async () => null,
  commit: async () => {},
  abandon: () => {},
}
