/**
 * The shape of answers about revisions and edits.
 */

/** What a revision changed, in brief. */
export interface SummaryAnswer {
  readonly changes: readonly BriefChangeAnswer[]
  readonly more: number
}

/** A change, its values as short text. */
export interface BriefChangeAnswer {
  readonly what: string
  readonly name: string
  readonly change: string
  readonly keys: readonly { readonly key: string; readonly before: string | null; readonly after: string | null }[]
}

/** A change of a table. */
export interface ChangeAnswer {
  readonly what: string
  readonly name: string
  readonly change: string
  readonly keys?: readonly { readonly key: string; readonly before: unknown; readonly after: unknown }[] | undefined
}

/** A revision in `GET /revisions`. */
export interface RevisionAnswer {
  readonly revision: number
  readonly at: string
  readonly author: string
  readonly reason: string | null
  readonly forced: boolean
  /** Null where the revision before it is not stored. */
  readonly summary: SummaryAnswer | null
  readonly run: number
  readonly kept: { readonly by: string; readonly at: string; readonly reason: string | null } | null
}

/** `GET /revisions`. */
export interface RevisionsAnswer {
  readonly current: number
  readonly revisions: readonly RevisionAnswer[]
  readonly problem: string | null
}

/** What an edit would change. */
export interface DryRunAnswer {
  readonly revision: number
  readonly changed: boolean
  readonly diff: string
  readonly warnings: readonly { readonly message: string }[]
  readonly simulation: {
    readonly exchanges: number
    readonly moved: number
    readonly movedPercent: number | null
    readonly units: { readonly seen: number; readonly moved: number }
    readonly withoutKey: { readonly seen: number; readonly moved: number }
    readonly silenced: readonly string[]
    readonly caches: readonly { readonly route: string; readonly upstream: string; readonly why: string }[]
  }
}
