/**
 * Drafts of edits: what an edit makes of a revision, read before it is known whether that revision is still in force.
 */
import type { Revision } from '../../state/live-table.ts'
import type { Change, ChangedText } from './edit-outcome.ts'
import type { ReadText } from './read-text.ts'
import type { Impossible, TableReader } from './reader.ts'

/** What an edit makes of a revision: an outcome, or a text that was read. */
export interface Draft {
  readonly before: Revision
  readonly wanted: ChangedText
  readonly read: ReadText | Impossible | null
}

/** What an edit makes of a revision: at once where only numbers change. @param earlier of another revision */
export function draftOf(
  reader: TableReader,
  before: Revision,
  change: Change,
  earlier: Draft | null,
): Draft | Promise<Draft> {
  const wanted = change(before)
  if (wanted instanceof Promise) return wanted.then((text) => readDraft(reader, before, text))
  if (wanted.kind === 'text' && earlier?.wanted.kind === 'text' && earlier.wanted.text === wanted.text) {
    const { read } = earlier
    if (read !== null && 'move' in read && read.move.kind === 'document') return { before, wanted, read }
  }
  const read = wanted.kind === 'edit' ? reader.editNow(before, wanted.edit) : null
  if (read !== null || (wanted.kind !== 'edit' && wanted.kind !== 'text')) return { before, wanted, read }
  return readDraft(reader, before, wanted)
}

async function readDraft(reader: TableReader, before: Revision, wanted: ChangedText): Promise<Draft> {
  if (wanted.kind === 'text') return { before, wanted, read: await reader.read(before, wanted.text) }
  if (wanted.kind === 'edit') return { before, wanted, read: await reader.edit(before, wanted.edit) }
  return { before, wanted, read: null }
}
