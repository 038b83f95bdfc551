/**
 * The terms of an operation on the table, and its possible outcomes.
 */

import type { TableEdit } from '../../rules/language/edit.ts'
import type { Problems } from '../../rules/language/text.ts'
import type { Table } from '../../rules/table/table.ts'
import type { Revision } from '../../state/live-table.ts'
import type { TlsMaterial } from '../../state/tls/material.ts'
import type { Authorship } from '../control-log.ts'
import type { IfMatch } from '../http/preconditions.ts'
import type { FieldErrors } from '../http/problem.ts'
import type { WriteFlaw } from './durable-write.ts'

/** On which revision an edit may be made, who asks for it and why. */
export interface EditTerms extends Authorship {
  /** Null where the last writer wins. */
  readonly ifMatch: IfMatch | null
  /** Only tells what would become of it. */
  readonly dryRun?: boolean
  /** Writes over a file that can't be put in force; what it holds is kept in the history. */
  readonly force?: boolean
}

/**
 * What became of an edit.
 *
 * - `done`: the revision in force says what was asked for; `changed` is false where it said so before
 * - `would`: so it would be; nothing was changed
 * - `no-such-route`, `route-exists`: the revision in force has no route of that id, or has one
 * - `no-such-upstream`, `no-such-server`: nor an upstream of that name, or a server of that id
 * - `last-server`: an upstream of the table has at least one server
 * - `unmet`: `known` says whether there is such a route, and the edit was to be made only where it is the other way round
 * - `no-such-revision`: its text is not kept
 * - `outdated`: If-Match names another revision than the one in force
 * - `file-refused`: the text on disk can't be put in force, and is not written over
 * - `file-busy`: somebody is writing to the file without a pause
 * - `invalid`: values of the body are wrong, each at its pointer
 * - `refused`: the table with the edit could not be put in force; nothing was written
 * - `not-written`: the file could not be replaced; nothing has changed
 */
export type EditOutcome =
  | { readonly kind: 'done'; readonly revision: Revision; readonly changed: boolean; readonly before: Revision }
  | { readonly kind: 'would'; readonly before: Revision; readonly proposal: Proposal; readonly changed: boolean }
  | { readonly kind: 'no-such-route'; readonly revision: Revision; readonly id: string }
  | { readonly kind: 'route-exists'; readonly revision: Revision; readonly id: string }
  | { readonly kind: 'no-such-upstream'; readonly revision: Revision; readonly name: string }
  | { readonly kind: 'no-such-server'; readonly revision: Revision; readonly upstream: string; readonly id: string }
  | { readonly kind: 'last-server'; readonly upstream: string; readonly id: string }
  | { readonly kind: 'unmet'; readonly id: string; readonly known: boolean }
  | { readonly kind: 'no-such-revision'; readonly number: number }
  | { readonly kind: 'outdated'; readonly revision: Revision }
  | ({ readonly kind: 'file-refused' } & Problems)
  | { readonly kind: 'file-busy' }
  | ({ readonly kind: 'invalid' } & FieldErrors)
  | ({ readonly kind: 'refused' } & Problems)
  | { readonly kind: 'not-written'; readonly flaw: WriteFlaw; readonly message: string }

/** A text that could be put in force, and the table that it means. */
export interface Proposal {
  readonly text: string
  readonly table: Table
  /** What its TLS files hold. */
  readonly material: TlsMaterial
  readonly warnings: Problems
}

/** An edit: from the revision in force to the text that is wanted, or to why there can be none. */
export type Change = (revision: Revision) => Promise<ChangedText> | ChangedText

export type ChangedText =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'edit'
      readonly edit: TableEdit
      /** JSON Pointer of what the request's body speaks of, where what is wrong is an error of the body; null where it speaks of nothing. */
      readonly place: string | null
    }
  | Extract<
      EditOutcome,
      {
        kind:
          | 'no-such-route'
          | 'route-exists'
          | 'unmet'
          | 'no-such-upstream'
          | 'no-such-server'
          | 'last-server'
          | 'no-such-revision'
          | 'invalid'
      }
    >
