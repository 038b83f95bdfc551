/**
 * A revision as a file: a comment line with its metadata, followed by the unchanged text.
 */
import { etagOf } from '../../state/live-table.ts'

/** What is known of a revision besides its text. */
export interface RevisionRecord {
  readonly number: number
  readonly etag: string
  /** Epoch milliseconds at which it took effect. */
  readonly atMs: number
  /** A token's name, `anonymous` where no token is asked for, or `file`. */
  readonly author: string
  readonly reason: string | null
  /** It was written over a text that could not be put in force; the history's `overwritten` has that text. */
  readonly forced: boolean
}

/** A revision with its text. */
export interface RecordedRevision {
  readonly record: RevisionRecord
  readonly text: string
}

const MARK = '# banyan '

/** The file of a revision. */
export function printRevision({ record, text }: RecordedRevision): string {
  return `${MARK}${JSON.stringify(record)}\n${text}`
}

/**
 * Reads what `printRevision` has written. Null where it is anything else: half of a file that a crash or a full disk has
 * left, or a text that somebody has changed, which no revision ever said.
 */
export function readRevision(file: string): RecordedRevision | null {
  const end = file.indexOf('\n')
  if (end === -1 || !file.startsWith(MARK)) return null
  const record = recordOf(file.slice(MARK.length, end))
  const text = file.slice(end + 1)
  return record === null || record.etag !== etagOf(record.number, text) ? null : { record, text }
}

function recordOf(json: string): RevisionRecord | null {
  let said: Partial<RevisionRecord> | null
  try {
    said = JSON.parse(json) as Partial<RevisionRecord> | null
  } catch {
    return null
  }
  const { number, etag, atMs, author, reason = null, forced = false } = said ?? {}
  if (typeof number !== 'number' || typeof etag !== 'string' || typeof atMs !== 'number') return null
  return { number, etag, atMs, author: String(author), reason: reason === null ? null : String(reason), forced }
}
