/**
 * Drafts of edits: what an edit makes of a revision, read before it is known whether that revision is still in force.
 */
import type { TextFacts } from '../../rules/language/text.ts'
import type { Revision } from '../../state/live-table.ts'
import type { Change, ChangedText } from './edit-outcome.ts'
import type { ReadText } from './read-text.ts'
import { type Impossible, rebased, type TableReader } from './reader.ts'

/** What an edit makes of a revision: an outcome, or a text that was read. */
export interface Draft {
  readonly before: Revision
  readonly wanted: ChangedText
  readonly read: ReadText | Impossible | null
  /** What is known of the text of the revision besides its table. */
  readonly facts: TextFacts | null
}

/** Whether a draft says why there is no edit: of a revision that was in force since it was asked for, which is an answer. */
export function isRefused({ wanted, read }: Draft): boolean {
  return (wanted.kind !== 'text' && wanted.kind !== 'edit') || read === null || !('ok' in read) || !read.ok
}

/** Whether it was made without a parse. */
export function isQuick({ read }: Draft): boolean {
  return read !== null && 'move' in read && read.move.kind === 'numbers'
}

/** What an edit makes of a revision: at once where only numbers change. @param earlier of another revision */
export function draftOf(
  reader: TableReader,
  before: Revision,
  change: Change,
  earlier: Draft | null,
): Draft | Promise<Draft> {
  const again = earlier === null ? null : draftAgain(earlier, before)
  if (again !== null) return again
  const wanted = change(before)
  if (wanted instanceof Promise) return wanted.then((text) => readDraft(reader, before, text))
  if (wanted.kind === 'text' && earlier?.wanted.kind === 'text' && earlier.wanted.text === wanted.text) {
    const { read } = earlier
    if (read !== null && 'move' in read && read.move.kind === 'document')
      return { before, wanted, read, facts: reader.factsOf(before) }
  }
  const read = wanted.kind === 'edit' ? reader.editNow(before, wanted.edit) : null
  if (read !== null || (wanted.kind !== 'edit' && wanted.kind !== 'text')) return { before, wanted, read, facts: null }
  return readDraft(reader, before, wanted)
}

async function readDraft(reader: TableReader, before: Revision, wanted: ChangedText): Promise<Draft> {
  const facts = reader.factsOf(before)
  const read =
    wanted.kind === 'text'
      ? await reader.read(before, wanted.text)
      : wanted.kind === 'edit'
        ? await reader.edit(before, wanted.edit)
        : null
  return { before, wanted, read, facts }
}

/** A draft for a later revision, where the same edit of that is known without a parse. */
function draftAgain({ before, wanted, read, facts }: Draft, now: Revision): Draft | null {
  // Who puts a whole text in place wants just that one.
  if (wanted.kind !== 'edit' && !(wanted.kind === 'text' && wanted.keepsOthers === true)) return null
  if (facts === null || read === null || !('ok' in read)) return null
  const again = rebased({ before, facts, read }, now)
  return again && { ...again, wanted }
}
