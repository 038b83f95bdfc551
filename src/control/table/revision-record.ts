/**
 * A revision as a file: a comment line with its metadata, followed by the unchanged text.
 */
import type { ChangeSummary } from '../../rules/language/changes.ts'
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
  /** What it changed; null where that is not known: in records of earlier releases, or an edit of the file while banyan was down. */
  readonly summary: ChangeSummary | null
  /** The first revision of its run: of the edits, one after the other, that one author made of one route or upstream. */
  readonly run: number
  /** Of a cluster's revision. */
  readonly cluster?: ClusterMark
}

/** That a person wants a revision kept. */
export interface KeepMark {
  readonly by: string
  readonly atMs: number
  readonly reason: string | null
}

/** Edits of one run are no further apart. */
const RUN_GAP_MS = 3_600_000

/** The `run` of a revision that follows another one. */
export function runOf(record: Omit<RevisionRecord, 'run' | 'etag'>, previous: RevisionRecord | undefined): number {
  const isNext = previous?.number === record.number - 1 && record.atMs - previous.atMs <= RUN_GAP_MS
  const isSame = previous?.author === record.author && subjectOf(previous) === subjectOf(record)
  const isOne = subjectOf(record) !== null && !record.forced && previous?.forced === false
  return isNext && isSame && isOne ? previous.run : record.number
}

/** The one thing that a revision changed; null where it changed several, or it is not known what. */
function subjectOf({ summary }: Pick<RevisionRecord, 'summary'>): string | null {
  const [only, ...others] = summary?.changes ?? []
  return only === undefined || others.length > 0 ? null : `${only.what} ${only.name}`
}

/** Parses a mark; null for anything else. */
export function readMark(json: string): KeepMark | null {
  try {
    const { by, atMs, reason } = JSON.parse(json) as Partial<KeepMark>
    if (typeof by !== 'string' || typeof atMs !== 'number') return null
    return { by, atMs, reason: typeof reason === 'string' ? reason : null }
  } catch {
    return null
  }
}

/** Of this module. What a later release has written has a greater one, and is refused. */
export const CLUSTER_FORMAT = 1

/** What places a revision in the history of a cluster. */
export interface ClusterMark {
  readonly format: number
  /** Of the cluster. */
  readonly id: string
  readonly epoch: number
  /** Tells two revisions of one number apart. */
  readonly nonce: string
  /** Of one that has filled a Redis again: the epoch that it was made in. */
  readonly refillOf?: number
  /** The epochs of its history, each with the number of the revision that it began with, the oldest first. Where it says none, only its own is known. */
  readonly epochs?: readonly EpochStart[]
}

/** An epoch, and the number of its first revision. */
export type EpochStart = readonly [epoch: number, number: number]

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

/** The format of a cluster's revision, which may be of a later release; 0 for none. */
export function formatOf(file: string): number {
  const end = file.indexOf('\n')
  try {
    const said = file.startsWith(MARK)
      ? (JSON.parse(file.slice(MARK.length, end)) as Partial<RevisionRecord> | null)
      : null
    return Number(said?.cluster?.format) || 0
  } catch {
    return 0
  }
}

function recordOf(json: string): RevisionRecord | null {
  let said: Partial<RevisionRecord> | null
  try {
    said = JSON.parse(json) as Partial<RevisionRecord> | null
  } catch {
    return null
  }
  const {
    number,
    etag,
    atMs,
    author,
    reason = null,
    forced = false,
    summary = null,
    run = number,
    cluster,
  } = said ?? {}
  if (typeof number !== 'number' || typeof etag !== 'string' || typeof atMs !== 'number') return null
  const record = {
    number,
    etag,
    atMs,
    author: String(author),
    reason: reason === null ? null : String(reason),
    forced,
    summary: isSummary(summary) ? summary : null,
    run: typeof run === 'number' && run <= number ? run : number,
  }
  if (cluster === undefined) return record
  return typeof cluster === 'object' && cluster !== null && isMark(cluster) ? { ...record, cluster } : null
}

/** A file that somebody has edited must not end the process. */
function isSummary(said: unknown): said is ChangeSummary {
  const { changes, more } = (said ?? {}) as Partial<ChangeSummary>
  if (!Array.isArray(changes) || typeof more !== 'number') return false
  const isText = (one: unknown): boolean => typeof one === 'string'
  const isValue = (one: unknown): boolean => one === null || typeof one === 'string'
  return changes.every((one) => {
    const isChange = [one?.what, one?.name, one?.change].every(isText) && Array.isArray(one.keys)
    return (
      isChange &&
      one.keys.every(
        (key: Record<string, unknown> | null) => isText(key?.key) && isValue(key?.before) && isValue(key?.after),
      )
    )
  })
}

function isMark({ format, id, epoch, nonce, refillOf = 0, epochs = [] }: Partial<ClusterMark>): boolean {
  const areStarts =
    Array.isArray(epochs) && epochs.every((one) => Array.isArray(one) && one.every(Number.isSafeInteger))
  const fits = format === CLUSTER_FORMAT && areStarts && [epoch, refillOf].every(Number.isSafeInteger)
  return fits && [id, nonce].every((name) => typeof name === 'string' && /^[\w-]{1,64}$/.test(name))
}
