/**
 * A revision as a file: a comment line with its metadata, followed by the unchanged text.
 */
import { etagOf } from '../../state/live-table.ts'

/** Metadata of a revision. */
export interface RevisionRecord {
  readonly number: number
  readonly etag: string
  /** When it became active, epoch milliseconds. */
  readonly atMs: number
  /** Name of the token, `anonymous` if tokens are not required, or `file`. */
  readonly author: string
  readonly reason: string | null
  /** It replaced an invalid file; the history's `overwritten` has its text. */
  readonly forced: boolean
}

/** A revision with its text. */
export interface RecordedRevision {
  readonly record: RevisionRecord
  readonly text: string
}

const MARK = '# banyan '

/** Formats a revision as a file. */
export function printRevision({ record, text }: RecordedRevision): string {
  return `${MARK}${JSON.stringify(record)}\n${text}`
}

/**
 * Parses the output of `printRevision`. Null for anything else: an incomplete file after a crash or on a full disk, or one that
 * was edited.
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
