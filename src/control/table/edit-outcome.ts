/**
 * The terms of an operation on the table, and its possible outcomes.
 */
import type { TableChange } from '../../rules/language/changes.ts'
import type { TableEdit } from '../../rules/language/edit.ts'
import type { RevertConflict } from '../../rules/language/revert.ts'
import type { Problems, TextFacts } from '../../rules/language/text.ts'
import type { Table } from '../../rules/table/table.ts'
import { errorsOf } from '../../rules/values/problem.ts'
import type { Revision } from '../../state/live-table.ts'
import type { TlsMaterial } from '../../state/tls/material.ts'
import type { Authorship } from '../control-log.ts'
import type { IfMatch } from '../http/preconditions.ts'
import type { FieldErrors } from '../http/problem.ts'
import type { WriteFlaw } from './durable-write.ts'
import type { TableMove } from './followers.ts'

/** How many have a copy of what was written, of those that were to have one. */
export interface Copies {
  readonly confirmed: number
  readonly wanted: number
}

/** The revision that an edit is meant for, its author and its reason. */
export interface EditTerms extends Authorship {
  /** Null: the last writer wins. */
  readonly ifMatch: IfMatch | null
  /** It holds as long as nothing but percents has changed since that revision. */
  readonly percentsMayMove?: boolean
  /** Reports the result without changing anything. */
  readonly dryRun?: boolean
  /** Overwrites an invalid file; its content is kept in the history. */
  readonly force?: boolean
}

/**
 * Outcome of an edit.
 *
 * - `not-owner`: another instance owns the state folder, and makes all edits
 * - `done`: the edit is in effect; `changed` is false if it changed nothing
 * - `would`: result of a dry run; nothing was changed
 * - `no-such-route`, `route-exists`: there is no route with that id, or there is one already
 * - `no-such-upstream`, `no-such-server`: there is no upstream with that name, or no server with that id
 * - `last-server`: an upstream needs at least one server
 * - `unmet`: If-Match or If-None-Match is not met; `known` says whether the route exists
 * - `no-such-revision`: its text is not in the history
 * - `no-predecessor`: the text before it is not in the history
 * - `conflict`: what a revision changed has been changed since; without conflicts only lines are in the way
 * - `not-revertible`: the values can't be edited alone
 * - `outdated`: If-Match names another revision than the current one
 * - `file-refused`: the file on disk is invalid, and was not overwritten
 * - `file-busy`: the file is being written to all the time
 * - `invalid`: the body has invalid values, each with its pointer
 * - `refused`: the edited table would be invalid; nothing was written
 * - `late`: it took too long to find out whether it is valid; nothing was written
 * - `not-written`: the file could not be replaced; nothing has changed
 */
export type EditOutcome =
  | { readonly kind: 'not-owner' }
  | {
      readonly kind: 'done'
      readonly revision: Revision
      readonly changed: boolean
      readonly before: Revision
      readonly changes: readonly TableChange[]
      /** Replicas of a cluster's Redis that were waited for; null where none were. */
      readonly replicas: Copies | null
    }
  | { readonly kind: 'would'; readonly before: Revision; readonly proposal: Proposal; readonly changed: boolean }
  | { readonly kind: 'no-such-route'; readonly revision: Revision; readonly id: string }
  | { readonly kind: 'route-exists'; readonly revision: Revision; readonly id: string }
  | { readonly kind: 'no-such-upstream'; readonly revision: Revision; readonly name: string }
  | { readonly kind: 'no-such-server'; readonly revision: Revision; readonly upstream: string; readonly id: string }
  | { readonly kind: 'last-server'; readonly upstream: string; readonly id: string }
  | { readonly kind: 'unmet'; readonly id: string; readonly known: boolean }
  | { readonly kind: 'no-such-revision'; readonly number: number }
  | { readonly kind: 'no-predecessor'; readonly number: number }
  | { readonly kind: 'conflict'; readonly number: number; readonly conflicts: readonly RevertConflict[] }
  | { readonly kind: 'not-revertible'; readonly number: number; readonly message: string }
  | { readonly kind: 'outdated'; readonly revision: Revision }
  | ({ readonly kind: 'file-refused' } & Problems)
  | { readonly kind: 'file-busy' }
  | ({ readonly kind: 'invalid' } & FieldErrors)
  | ({ readonly kind: 'refused' } & Problems)
  | { readonly kind: 'late'; readonly message: string }
  | { readonly kind: 'not-written'; readonly flaw: WriteFlaw; readonly message: string }

/** A valid text and its table. */
export interface Proposal {
  readonly text: string
  readonly table: Table
  /** Content of its TLS files. */
  readonly material: TlsMaterial
  readonly facts: TextFacts
  readonly move: TableMove
}

/** An edit: maps the current revision to the new text, or to an outcome that explains why there is none. */
export type Change = (revision: Revision) => Promise<ChangedText> | ChangedText

export type ChangedText =
  | {
      readonly kind: 'text'
      readonly text: string
      /** It was made of the text in force: what others change meanwhile is to stay. */
      readonly keepsOthers?: boolean
    }
  | {
      readonly kind: 'edit'
      readonly edit: TableEdit
      /** JSON Pointer of the part of the table that the request body describes: problems there are errors of the body. Null if there is none. */
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
          | 'no-predecessor'
          | 'conflict'
          | 'not-revertible'
          | 'invalid'
      }
    >

/** The problems as errors of a request body that describes this place, if all of them are inside it. */
export function fieldErrors(all: Problems, place: string | null): FieldErrors | null {
  const { problems: errors, more } = errorsOf(all)
  if (place === null || !errors.every(({ pointer }) => pointer === place || pointer.startsWith(`${place}/`)))
    return null
  const told = errors.map(({ pointer, message, hint }) => ({
    pointer: pointer.slice(place.length),
    detail: message,
    ...(hint === undefined ? {} : { hint }),
  }))
  return { errors: told, more }
}
