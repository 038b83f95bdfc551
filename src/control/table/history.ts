/**
 * The revisions of a table: each with its text, time, author and reason, in the state folder, bounded.
 *
 * An edit by the API is recorded as pending before the table is replaced, and becomes a revision after that. So a crash in
 * between loses neither the author nor the number: at the next start the table shows whether the edit was made.
 */
import { etagOf } from '../../state/live-table.ts'
import { type Ownership, SOLE_OWNER } from '../ownership.ts'
import { ALWAYS_KEPT, HISTORY_BOUNDS, type HistoryBounds, mostDispensable } from './history-bounds.ts'
import { HistoryFolder } from './history-folder.ts'
import { type KeepMark, type RecordedRevision, type RevisionRecord, runOf } from './revision-record.ts'

/** A revision of another instance is waited for so long: it is recorded right after the table is replaced. */
const RECORD_PATIENCE_MS = 1_000
const RECORD_POLL_MS = 50

/** Marks of revisions to be kept. Their texts may have half of the room. */
const MAX_MARKS = 100

interface Kept {
  readonly record: RevisionRecord
  readonly bytes: number
  isOnDisk: boolean
  /** Null if it is on disk only, like the text that it replaced by force. */
  text: string | null
  overwritten: Buffer | null
  /** That it is to be kept, and whether that is on disk. */
  mark: KeepMark | null
  isMarkOnDisk: boolean
}

/** Why a revision could not be marked. */
export type MarkRefusal = 'no-such-revision' | 'too-many-kept'

/** The history. Edits never fail because of it: what can't be written is kept in memory, and `problem` says why. */
export class History {
  readonly #folder: HistoryFolder | null
  readonly #bounds: HistoryBounds
  readonly #ownership: Pick<Ownership, 'isOwner'>
  /** By number, oldest first. */
  readonly #kept = new Map<number, Kept>()
  /** State of the pending revision. */
  #prepared: Pick<Kept, 'isOnDisk' | 'overwritten'> = { isOnDisk: false, overwritten: null }
  /** Why revisions are not stored on disk, or null. */
  problem: string | null = null
  /** Called when there is another revision in it. */
  onKept: () => void = () => {}

  /**
   * @param folder path of the folder; null keeps revisions in memory only
   * @param ownership who writes it: where that is another instance, the folder is only read
   */
  constructor(
    folder: string | null,
    bounds: HistoryBounds = HISTORY_BOUNDS,
    ownership: Pick<Ownership, 'isOwner'> = SOLE_OWNER,
  ) {
    this.#ownership = ownership
    this.#folder = folder === null ? null : new HistoryFolder(folder)
    this.#bounds = bounds
  }

  /**
   * Returns the revision of the table's text: the newest one if it has the same text; otherwise a new one, for an edit of the
   * file while banyan was down. Call it once, before the table is activated.
   */
  start(text: string, nowMs: number): RevisionRecord {
    this.#tryNow((folder) => folder.settleNow(text))
    const newest = this.newest()
    if (newest !== null && newest.text === text) return newest.record
    const pending = this.#ownership.isOwner ? null : (this.#folder?.readPendingNow() ?? null)
    if (pending?.text === text) {
      this.#keep(pending, { isOnDisk: false, overwritten: null })
      return pending.record
    }
    const number = (newest?.record.number ?? 0) + 1
    const record = byFile(number, text, nowMs)
    const isOnDisk = this.#tryNow((folder) => folder.writeNow({ record, text }))
    this.#keep({ record, text }, { isOnDisk, overwritten: null })
    return record
  }

  /** Begins with a revision of another history, in memory only. Call it instead of `start`. */
  remember(record: RevisionRecord, text: string): void {
    this.#keep({ record, text }, { isOnDisk: false, overwritten: null })
  }

  /** Reads the folder and returns the newest revision. Call it instead of `start` if there is no valid table. */
  newest(): RecordedRevision | null {
    const folder = this.#folder
    let newest: RecordedRevision | null = null
    const marks = folder?.marksNow()
    for (const number of folder?.numbersNow() ?? []) {
      const found = folder?.readNow(number) ?? null
      if (folder === null || found === null) continue
      const { record, text } = found
      const bytes = Buffer.byteLength(text) + (record.forced ? folder.sizeOfOverwritten(number) : 0)
      this.#kept.set(number, { record, bytes, isOnDisk: true, text, overwritten: null, ...markOf(marks?.get(number)) })
      this.#dropTexts()
      newest = found
    }
    return newest
  }

  /** The records, newest first. */
  list(): RevisionRecord[] {
    return [...this.#kept.values()].map(({ record }) => record).reverse()
  }

  get(number: number): RevisionRecord | undefined {
    return this.#kept.get(number)?.record
  }

  /** Whether it lets go of revisions, or is about to: then it lacks some that others have. */
  get isFull(): boolean {
    const bytes = [...this.#kept.values()].reduce((sum, kept) => sum + kept.bytes, 0)
    return this.#kept.size >= this.#bounds.revisions || bytes >= this.#bounds.bytes / 2
  }

  /** The record with an entity tag, as in `If-Match`. */
  find(etag: string): RevisionRecord | undefined {
    return this.list().find((record) => record.etag === etag)
  }

  /** The text of a revision; null if it is not in the history. A revision whose file is missing is dropped. */
  async textOf(number: number): Promise<string | null> {
    const kept = this.#kept.get(number)
    if (kept === undefined || kept.text !== null) return kept?.text ?? null
    const found = (await this.#folder?.read(number)) ?? null
    if (found === null) this.#kept.delete(number)
    return found?.text ?? null
  }

  /**
   * The text that a revision was made of; null if it is not in the history. Where inner revisions of its run are not kept any
   * more, it is that before the run, or before what is left of it.
   */
  async textBefore(number: number): Promise<string | null> {
    const before = this.numberBefore(number)
    return before === null ? null : this.textOf(before)
  }

  /** Its number. */
  numberBefore(number: number): number | null {
    const run = this.#kept.get(number)?.record.run ?? number
    const before = [...this.#kept.keys()].findLast((one) => one < number) ?? 0
    return before > 0 && before >= Math.min(run, number) - 1 ? before : null
  }

  /** The mark of a revision; null if it has none. */
  markOf(number: number): KeepMark | null {
    return this.#kept.get(number)?.mark ?? null
  }

  /** Marks a revision to be kept, or with null no more. @returns null, or why not */
  async mark(number: number, mark: KeepMark | null): Promise<MarkRefusal | null> {
    const kept = this.#kept.get(number)
    if (kept === undefined) return 'no-such-revision'
    const marked = [...this.#kept.values()].filter((one) => one !== kept && one.mark !== null)
    const bytes = marked.reduce((sum, one) => sum + one.bytes, kept.bytes)
    if (mark !== null && (marked.length >= MAX_MARKS || bytes > this.#bounds.bytes / 2)) return 'too-many-kept'
    Object.assign(kept, { mark, isMarkOnDisk: false })
    kept.isMarkOnDisk = await this.#try(async (folder) => {
      await this.#makeWhole(folder)
      await folder.mark(number, mark)
    })
    return null
  }

  /** Like `textOf`, synchronous, for startup. */
  textNow(number: number): string | null {
    return this.#kept.get(number)?.text ?? this.#folder?.readNow(number)?.text ?? null
  }

  /** The text that a forced revision replaced; null if there is none. */
  async overwritten(number: number): Promise<Buffer | null> {
    const kept = this.#kept.get(number)
    if (kept?.record.forced !== true) return null
    return kept.overwritten ?? (await this.#folder?.readOverwritten(number)) ?? null
  }

  /**
   * Records the pending revision, before the table file is replaced.
   * @param overwritten the text that a forced edit replaces
   */
  async prepare(record: RevisionRecord, text: string, overwritten: Buffer | null = null): Promise<void> {
    const isOnDisk = await this.#try(async (folder) => {
      await this.#makeWhole(folder)
      await folder.prepare({ record, text }, overwritten)
    })
    this.#prepared = { isOnDisk, overwritten }
  }

  /** The pending revision is active now. */
  async commit(record: RevisionRecord, text: string): Promise<void> {
    const { isOnDisk, overwritten } = this.#prepared
    const isCommitted = isOnDisk && (await this.#try((folder) => folder.commit(record.number)))
    this.#keep({ record, text }, { isOnDisk: isCommitted, overwritten })
  }

  /** Drops the pending revision. */
  async abandon(record: RevisionRecord): Promise<void> {
    await this.#folder?.abandon(record.number)
  }

  /** Adds a revision that was made by an edit of the file. */
  async add(record: RevisionRecord, text: string): Promise<void> {
    await this.prepare(record, text)
    await this.commit(record, text)
  }

  /**
   * Adds the newest revision, as others have made it. What is here under a later number, or under the same one with another text,
   * is no part of the history: its file is kept under another name.
   */
  async follow(record: RevisionRecord, text: string): Promise<void> {
    this.#dropForeign()
    for (const { number, etag } of this.list()) {
      if (number < record.number || (number === record.number && etag === record.etag)) continue
      const kept = this.#kept.get(number)
      this.#kept.delete(number)
      if (kept?.isOnDisk === true && this.#ownership.isOwner) await this.#folder?.putAside(number)
    }
    await this.add(record, text)
  }

  /** Adds earlier revisions that others have made, and takes the place of what is here under the same numbers. */
  async learn(revisions: readonly RecordedRevision[]): Promise<void> {
    this.#dropForeign()
    for (const { record, text } of revisions) {
      const bytes = Buffer.byteLength(text)
      const before = this.#kept.get(record.number)
      const isOnDisk = await this.#try(async (folder) => {
        await this.#makeWhole(folder)
        if (before?.isOnDisk === true && before.record.etag !== record.etag) await folder.putAside(record.number)
        await folder.write({ record, text }, null)
      })
      const { mark, isMarkOnDisk } = before ?? markOf(undefined)
      this.#kept.set(record.number, { record, bytes, isOnDisk, text, overwritten: null, mark, isMarkOnDisk })
      this.#sort()
    }
  }

  /** What was begun with is of another history, and its numbers are. */
  #dropForeign(): void {
    for (const [number, { record }] of this.#kept) if (record.cluster === undefined) this.#kept.delete(number)
  }

  /** Writes what is in memory only: the folder has become this instance's own. */
  async save(): Promise<void> {
    await this.#try((folder) => this.#makeWhole(folder))
  }

  /** Tries again to store what is in memory only, and whether there is room for more: a disk that was full may have some again. */
  async retry(): Promise<void> {
    const newest = [...this.#kept.values()].at(-1)
    await this.#try(async (folder) => {
      await this.#makeWhole(folder)
      if (newest?.text == null) return
      await folder.tryRoom({ record: newest.record, text: newest.text })
    })
  }

  /** Reads what another instance has recorded since. */
  async refresh(): Promise<void> {
    const folder = this.#folder
    if (folder === null) return
    const [numbers, marks] = [await folder.numbers(), await folder.marks()]
    for (const [number, { isOnDisk }] of this.#kept)
      if (isOnDisk && !numbers.includes(number)) this.#kept.delete(number)
    for (const number of numbers) {
      const known = this.#kept.get(number)
      if (known?.isOnDisk === true) {
        Object.assign(known, markOf(marks.get(number)))
        continue
      }
      const found = await folder.read(number)
      if (found === null) continue
      const bytes = Buffer.byteLength(found.text)
      const mark = markOf(marks.get(number))
      this.#kept.set(number, { ...found, bytes, isOnDisk: true, overwritten: null, ...mark })
    }
    this.#sort()
  }

  #sort(): void {
    const inOrder = [...this.#kept].sort(([a], [b]) => a - b)
    this.#kept.clear()
    for (const [number, kept] of inOrder) this.#kept.set(number, kept)
    this.#dropTexts()
  }

  /**
   * The revision that another instance has made of a text, after a number.
   * @returns null if it has recorded none within a second
   */
  async recordOf(text: string, after: number): Promise<RevisionRecord | null> {
    const deadlineMs = performance.now() + RECORD_PATIENCE_MS
    for (;;) {
      await this.refresh()
      const pending = (await this.#folder?.readPending()) ?? null
      const known = [...this.list(), ...(pending === null ? [] : [pending.record])]
      const found = known.find(({ number, etag }) => number > after && etag === etagOf(number, text))
      if (found !== undefined) return found
      if (performance.now() >= deadlineMs) return null
      await new Promise((done) => setTimeout(done, RECORD_POLL_MS))
    }
  }

  /** The folder has become this instance's own. @returns the record of the table's text */
  async takeOver(text: string, nowMs: number): Promise<RevisionRecord> {
    await this.#try((folder) => folder.settle(text))
    await this.refresh()
    const newest = this.list()[0]
    if (newest !== undefined && newest.etag === etagOf(newest.number, text)) return newest
    const number = (newest?.number ?? 0) + 1
    const record = byFile(number, text, nowMs)
    await this.add(record, text)
    return record
  }

  #keep({ record, text }: RecordedRevision, where: Pick<Kept, 'isOnDisk' | 'overwritten'>): void {
    const size = Buffer.byteLength(text) + (where.overwritten?.length ?? 0)
    const before = this.#kept.get(record.number)
    // A Redis that is filled again has the same revision, in another epoch.
    const isSame = before !== undefined && before.record.etag === record.etag
    const { mark, isMarkOnDisk } = isSame ? before : markOf(undefined)
    this.#kept.set(record.number, { record, bytes: size, text, ...where, mark, isMarkOnDisk })
    let bytes = [...this.#kept.values()].reduce((sum, kept) => sum + kept.bytes, 0)
    while (this.#kept.size > this.#bounds.revisions || bytes > this.#bounds.bytes) {
      const kept = mostDispensable([...this.#kept.values()])
      if (kept === null) break
      const { number } = kept.record
      this.#kept.delete(number)
      bytes -= kept.bytes
      if (kept.isOnDisk && this.#ownership.isOwner) void this.#folder?.remove(number)
    }
    this.#dropTexts()
    this.onKept()
  }

  /** What goes into the record of a revision that follows the newest one. */
  runOf(record: Omit<RevisionRecord, 'run' | 'etag'>): number {
    return runOf(record, this.#kept.get(record.number - 1)?.record)
  }

  /** Frees texts that are on disk, except the newest. */
  #dropTexts(): void {
    for (const kept of [...this.#kept.values()].slice(0, -ALWAYS_KEPT)) {
      if (kept.isOnDisk) Object.assign(kept, { text: null, overwritten: null })
    }
  }

  /** Writes revisions that could not be written before, or that were lost with a removed folder. */
  async #makeWhole(folder: HistoryFolder): Promise<void> {
    const isNew = await folder.make()
    for (const [number, kept] of this.#kept) {
      if (isNew) Object.assign(kept, { isOnDisk: false, isMarkOnDisk: false })
      if (!kept.isOnDisk) await this.#writeAgain(folder, number, kept)
      if (kept.isMarkOnDisk || !this.#kept.has(number)) continue
      await folder.mark(number, kept.mark)
      kept.isMarkOnDisk = true
    }
  }

  async #writeAgain(folder: HistoryFolder, number: number, kept: Kept): Promise<void> {
    const { record, text, overwritten } = kept
    if (text === null) this.#kept.delete(number)
    else await folder.write({ record, text }, overwritten)
    kept.isOnDisk = true
  }

  async #try(work: (folder: HistoryFolder) => Promise<void>): Promise<boolean> {
    if (this.#folder === null || !this.#ownership.isOwner) return false
    try {
      await work(this.#folder)
      this.problem = null
      return true
    } catch (error) {
      return this.#failed(error as Error)
    }
  }

  #tryNow(work: (folder: HistoryFolder) => void): boolean {
    if (this.#folder === null || !this.#ownership.isOwner) return false
    try {
      work(this.#folder)
      return true
    } catch (error) {
      return this.#failed(error as Error)
    }
  }

  #failed({ message }: Error): false {
    this.problem = `revisions are not stored on disk: ${message}`
    return false
  }
}

/** @param mark as on disk */
function markOf(mark: KeepMark | undefined): Pick<Kept, 'mark' | 'isMarkOnDisk'> {
  return { mark: mark ?? null, isMarkOnDisk: true }
}

/** An edit of the file that nobody saw being made. @param atMs epoch milliseconds */
export function byFile(number: number, text: string, atMs: number): RevisionRecord {
  const told = { author: 'file', reason: null, forced: false, summary: null, run: number }
  return { number, etag: etagOf(number, text), atMs, ...told }
}
