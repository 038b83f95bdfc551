/**
 * The revisions of a table: each with its text, time, author and reason, in a folder beside the table file, bounded.
 *
 * An edit by the API is noted before the table is replaced and becomes a revision after it, so that a crash between the two
 * loses neither the edit's author nor its number: at the next start the table itself says whether it was made.
 */
import { etagOf } from '../../state/live-table.ts'
import { HistoryFolder } from './history-folder.ts'
import type { RecordedRevision, RevisionRecord } from './revision-record.ts'

/** How much is kept. */
export interface HistoryBounds {
  readonly revisions: number
  /** Of all texts together, with what forced revisions were written over. */
  readonly bytes: number
}

export const HISTORY_BOUNDS: HistoryBounds = Object.freeze({ revisions: 200, bytes: 64 * 1024 * 1024 })

/** The newest revisions are kept however large they are, and in memory too: without them nothing can be undone. */
const ALWAYS_KEPT = 2

interface Kept {
  readonly record: RevisionRecord
  readonly bytes: number
  isOnDisk: boolean
  /** Null where it is on disk only, as is what it was written over. */
  text: string | null
  overwritten: Buffer | null
}

/** The revisions that are kept. It never fails an edit: what can't be written is kept in memory, and `problem` says why. */
export class History {
  readonly #folder: HistoryFolder | null
  readonly #bounds: HistoryBounds
  /** By number, the oldest first. */
  readonly #kept = new Map<number, Kept>()
  /** What was noted for the revision that is about to be. */
  #prepared: Pick<Kept, 'isOnDisk' | 'overwritten'> = { isOnDisk: false, overwritten: null }
  /** Why revisions are not kept on disk, or null. */
  problem: string | null = null

  /** @param tableFile path of the table, beside which the folder lies; null keeps revisions in memory only */
  constructor(tableFile: string | null, bounds: HistoryBounds = HISTORY_BOUNDS) {
    this.#folder = tableFile === null ? null : new HistoryFolder(tableFile)
    this.#bounds = bounds
  }

  /**
   * Finds the revision that a text is: the newest one where it says the same, else the next, made by an edit of the file while
   * nobody watched. To be called once, before the table is put in force.
   */
  start(text: string, nowMs: number): RevisionRecord {
    this.#tryNow((folder) => folder.settleNow(text))
    const newest = this.newest()
    if (newest !== null && newest.text === text) return newest.record
    const number = (newest?.record.number ?? 0) + 1
    const record = { number, etag: etagOf(number, text), atMs: nowMs, author: 'file', reason: null, forced: false }
    const isOnDisk = this.#tryNow((folder) => folder.writeNow({ record, text }))
    this.#keep({ record, text }, { isOnDisk, overwritten: null })
    return record
  }

  /** Reads what is on disk. Returns the newest revision; to be called in place of `start` where the text in force is not known. */
  newest(): RecordedRevision | null {
    const folder = this.#folder
    let newest: RecordedRevision | null = null
    for (const number of folder?.numbers() ?? []) {
      const found = folder?.readNow(number) ?? null
      if (folder === null || found === null) continue
      const { record, text } = found
      const bytes = Buffer.byteLength(text) + (record.forced ? folder.sizeOfOverwritten(number) : 0)
      this.#kept.set(number, { record, bytes, isOnDisk: true, text, overwritten: null })
      this.#dropTexts()
      newest = found
    }
    return newest
  }

  /** The records, the newest first. */
  list(): RevisionRecord[] {
    return [...this.#kept.values()].map(({ record }) => record).reverse()
  }

  get(number: number): RevisionRecord | undefined {
    return this.#kept.get(number)?.record
  }

  /** The record of an entity tag as `If-Match` names it. */
  find(etag: string): RevisionRecord | undefined {
    return this.list().find((record) => record.etag === etag)
  }

  /** The text of a revision; null where it is not kept. One whose file has gone is kept no longer. */
  async textOf(number: number): Promise<string | null> {
    const kept = this.#kept.get(number)
    if (kept === undefined || kept.text !== null) return kept?.text ?? null
    const found = (await this.#folder?.read(number)) ?? null
    if (found === null) this.#kept.delete(number)
    return found?.text ?? null
  }

  /** The text that a forced revision was written over; null where there is none. */
  async overwritten(number: number): Promise<Buffer | null> {
    const kept = this.#kept.get(number)
    if (kept?.record.forced !== true) return null
    return kept.overwritten ?? (await this.#folder?.readOverwritten(number)) ?? null
  }

  /**
   * Notes what the next revision will be, before the table file is replaced.
   * @param overwritten what a forced edit writes over
   */
  async prepare(record: RevisionRecord, text: string, overwritten: Buffer | null = null): Promise<void> {
    const isOnDisk = await this.#try(async (folder) => {
      await this.#makeWhole(folder)
      await folder.prepare({ record, text }, overwritten)
    })
    this.#prepared = { isOnDisk, overwritten }
  }

  /** The prepared revision is in force. */
  async commit(record: RevisionRecord, text: string): Promise<void> {
    const { isOnDisk, overwritten } = this.#prepared
    const isCommitted = isOnDisk && (await this.#try((folder) => folder.commit(record.number)))
    this.#keep({ record, text }, { isOnDisk: isCommitted, overwritten })
  }

  /** The prepared revision did not come about. */
  async abandon(record: RevisionRecord): Promise<void> {
    await this.#folder?.abandon(record.number)
  }

  /** An edit of the file is in force. */
  async add(record: RevisionRecord, text: string): Promise<void> {
    await this.prepare(record, text)
    await this.commit(record, text)
  }

  #keep({ record, text }: RecordedRevision, where: Pick<Kept, 'isOnDisk' | 'overwritten'>): void {
    const size = Buffer.byteLength(text) + (where.overwritten?.length ?? 0)
    this.#kept.set(record.number, { record, bytes: size, text, ...where })
    let bytes = [...this.#kept.values()].reduce((sum, kept) => sum + kept.bytes, 0)
    for (const [number, kept] of this.#kept) {
      const tooMuch = this.#kept.size > this.#bounds.revisions || bytes > this.#bounds.bytes
      if (!tooMuch || this.#kept.size <= ALWAYS_KEPT) break
      this.#kept.delete(number)
      bytes -= kept.bytes
      if (kept.isOnDisk) void this.#folder?.remove(number)
    }
    this.#dropTexts()
  }

  /** Takes out of memory what the disk has, but for the newest. */
  #dropTexts(): void {
    for (const kept of [...this.#kept.values()].slice(0, -ALWAYS_KEPT)) {
      if (kept.isOnDisk) Object.assign(kept, { text: null, overwritten: null })
    }
  }

  /** Gives the disk what it could not take before, and what went with its folder where somebody has removed that. */
  async #makeWhole(folder: HistoryFolder): Promise<void> {
    const isNew = await folder.make()
    for (const [number, kept] of this.#kept) {
      if (isNew) kept.isOnDisk = false
      if (kept.isOnDisk) continue
      const { record, text, overwritten } = kept
      if (text === null) this.#kept.delete(number)
      else await folder.write({ record, text }, overwritten)
      kept.isOnDisk = true
    }
  }

  async #try(work: (folder: HistoryFolder) => Promise<void>): Promise<boolean> {
    if (this.#folder === null) return false
    try {
      await work(this.#folder)
      this.problem = null
      return true
    } catch (error) {
      return this.#failed(error as Error)
    }
  }

  #tryNow(work: (folder: HistoryFolder) => void): boolean {
    if (this.#folder === null) return false
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
