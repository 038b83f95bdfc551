/**
 * The revisions of a table: each with its text, time, author and reason, in a folder beside the table file, bounded.
 *
 * A file is one revision: a comment line that says what is known of it, then the text as it was. An edit by the API is noted
 * as `pending` before the table is replaced and becomes a revision after it, so that a crash between the two loses neither
 * the edit's author nor its number: at the next start the table itself says whether it was made.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { etagOf } from '../state/live-table.ts'

/** What is known of a revision besides its text. */
export interface RevisionRecord {
  readonly number: number
  readonly etag: string
  /** Epoch milliseconds at which it took effect. */
  readonly atMs: number
  /** A token's name, `anonymous` where no token is asked for, or `file`. */
  readonly author: string
  readonly reason: string | null
  /** It was written over a text that could not be put in force; `overwritten` has that text. */
  readonly forced: boolean
}

/** How much is kept. */
export interface HistoryBounds {
  readonly revisions: number
  /** Of all texts together. */
  readonly bytes: number
}

export const HISTORY_BOUNDS: HistoryBounds = Object.freeze({ revisions: 200, bytes: 64 * 1024 * 1024 })

/** The newest revisions are kept however large they are: without them nothing can be undone. */
const ALWAYS_KEPT = 2

const FOLDER = '.banyan'
const PENDING = 'pending.yaml'
const MARK = '# banyan '

interface Kept {
  readonly record: RevisionRecord
  readonly bytes: number
  /** Null where it is on disk. */
  readonly text: string | null
}

/** The revisions that are kept. It never fails an edit: what can't be written is kept in memory, and `problem` says why. */
export class History {
  readonly #folder: string | null
  readonly #bounds: HistoryBounds
  /** By number, the oldest first. */
  readonly #kept = new Map<number, Kept>()
  #prepared = false
  /** Why revisions are not kept on disk, or null. */
  problem: string | null = null

  /** @param tableFile path of the table, beside which the folder lies; null keeps revisions in memory only */
  constructor(tableFile: string | null, bounds: HistoryBounds = HISTORY_BOUNDS) {
    this.#folder = tableFile === null ? null : join(dirname(tableFile), FOLDER, basename(tableFile))
    this.#bounds = bounds
  }

  /**
   * Finds the revision that a text is: the newest one where it says the same, else the next, made by an edit of the file while
   * nobody watched. To be called once, before the table is put in force.
   */
  start(text: string, nowMs: number): RevisionRecord {
    const newest = this.#load(text)
    if (newest !== null && newest.text === text) return newest.record
    const number = (newest?.record.number ?? 0) + 1
    const record = { number, etag: etagOf(number, text), atMs: nowMs, author: 'file', reason: null, forced: false }
    this.#keep(
      record,
      text,
      this.#tryNow(() => this.#writeNow(record, text)),
    )
    return record
  }

  /** The newest revision on disk, where the text in force is not known yet. To be called in place of `start`. */
  newest(): { record: RevisionRecord; text: string } | null {
    return this.#load(null)
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

  /** The text of a revision; null where it is not kept, or can't be read. */
  async textOf(number: number): Promise<string | null> {
    const kept = this.#kept.get(number)
    if (kept === undefined || kept.text !== null) return kept?.text ?? null
    return readFile(this.#path(`${number}.yaml`), 'utf8').then(bodyOf, () => null)
  }

  /** The text that a forced revision was written over; null where there is none. */
  async overwritten(number: number): Promise<Buffer | null> {
    if (this.#folder === null || this.#kept.get(number)?.record.forced !== true) return null
    return readFile(this.#path(`${number}.overwritten`)).catch(() => null)
  }

  /**
   * Notes what the next revision will be, before the table file is replaced.
   * @param overwritten what a forced edit writes over
   */
  async prepare(record: RevisionRecord, text: string, overwritten: Buffer | null = null): Promise<void> {
    this.#prepared = await this.#try(async () => {
      await this.#makeFolder()
      if (overwritten !== null) await writeFile(this.#path(`${record.number}.overwritten`), overwritten)
      const handle = await open(this.#path(PENDING), 'w', 0o600)
      try {
        await handle.writeFile(headOf(record) + text)
        await handle.sync()
      } finally {
        await handle.close()
      }
    })
  }

  /** The prepared revision is in force. */
  async commit(record: RevisionRecord, text: string): Promise<void> {
    const path = `${record.number}.yaml`
    const onDisk = this.#prepared && (await this.#try(() => rename(this.#path(PENDING), this.#path(path))))
    this.#keep(record, text, onDisk)
  }

  /** The prepared revision did not come about. */
  async abandon(): Promise<void> {
    if (this.#folder !== null) await rm(this.#path(PENDING), { force: true }).catch(() => {})
  }

  /** An edit of the file is in force. */
  async add(record: RevisionRecord, text: string): Promise<void> {
    await this.prepare(record, text)
    await this.commit(record, text)
  }

  #keep(record: RevisionRecord, text: string, onDisk: boolean): void {
    this.#kept.set(record.number, { record, bytes: Buffer.byteLength(text), text: onDisk ? null : text })
    let bytes = [...this.#kept.values()].reduce((sum, kept) => sum + kept.bytes, 0)
    for (const [number, kept] of this.#kept) {
      const tooMuch = this.#kept.size > this.#bounds.revisions || bytes > this.#bounds.bytes
      if (!tooMuch || this.#kept.size <= ALWAYS_KEPT) break
      this.#kept.delete(number)
      bytes -= kept.bytes
      if (kept.text === null) void this.#remove(number)
    }
  }

  async #remove(number: number): Promise<void> {
    for (const name of [`${number}.yaml`, `${number}.overwritten`]) {
      await rm(this.#path(name), { force: true }).catch(() => {})
    }
  }

  /** Reads what is there. Returns the newest revision with its text, or null. */
  #load(text: string | null): { record: RevisionRecord; text: string } | null {
    if (this.#folder === null) return null
    let names: string[]
    try {
      names = readdirSync(this.#folder)
    } catch {
      // No folder yet. One that can't be read can't be written either, and then `problem` will say so.
      return null
    }
    if (text !== null && names.includes(PENDING)) this.#settlePending(text, names)
    const numbers = names.flatMap((name) => /^([1-9][0-9]{0,14})\.yaml$/.exec(name)?.[1] ?? []).map(Number)
    let newest: { record: RevisionRecord; text: string } | null = null
    for (const number of numbers.sort((a, b) => a - b)) {
      const found = this.#read(`${number}.yaml`)
      if (found === null || found.record.number !== number) continue
      this.#kept.set(number, { record: found.record, bytes: Buffer.byteLength(found.text), text: null })
      newest = found
    }
    return newest
  }

  /** The process died between noting an edit and its end: the table says whether the edit was made. */
  #settlePending(text: string, names: string[]): void {
    const pending = this.#read(PENDING)
    const name = `${pending?.record.number}.yaml`
    if (pending === null || pending.text !== text || names.includes(name)) {
      this.#tryNow(() => rmSync(this.#path(PENDING), { force: true }))
    } else if (this.#tryNow(() => renameSync(this.#path(PENDING), this.#path(name)))) names.push(name)
  }

  #read(name: string): { record: RevisionRecord; text: string } | null {
    try {
      const path = this.#path(name)
      if (!statSync(path).isFile()) return null
      const text = readFileSync(path, 'utf8')
      const record = recordOf(text)
      return record === null ? null : { record, text: bodyOf(text) }
    } catch {
      return null
    }
  }

  #writeNow(record: RevisionRecord, text: string): void {
    if (this.#folder === null) throw new Error('revisions are kept in memory only')
    mkdirSync(this.#folder, { recursive: true })
    this.#ignoreByGit()
    writeFileSync(this.#path(`${record.number}.yaml`), headOf(record) + text, { mode: 0o600 })
  }

  async #makeFolder(): Promise<void> {
    await mkdir(this.#folder as string, { recursive: true })
    this.#ignoreByGit()
  }

  /** Tables live in repositories, and their history there is git's. */
  #ignoreByGit(): void {
    const path = join(dirname(this.#folder as string), '.gitignore')
    try {
      writeFileSync(path, '*\n', { flag: 'wx' })
    } catch {
      // It is there already, or the next write says what is wrong.
    }
  }

  #path(name: string): string {
    return join(this.#folder as string, name)
  }

  async #try(work: () => Promise<unknown>): Promise<boolean> {
    if (this.#folder === null) return false
    try {
      await work()
      this.problem = null
      return true
    } catch (error) {
      this.problem = `revisions are not kept on disk: ${(error as Error).message}`
      return false
    }
  }

  #tryNow(work: () => void): boolean {
    if (this.#folder === null) return false
    try {
      work()
      return true
    } catch (error) {
      this.problem = `revisions are not kept on disk: ${(error as Error).message}`
      return false
    }
  }
}

function headOf(record: RevisionRecord): string {
  return `${MARK}${JSON.stringify(record)}\n`
}

function bodyOf(text: string): string {
  return text.slice(text.indexOf('\n') + 1)
}

function recordOf(text: string): RevisionRecord | null {
  const line = text.slice(0, Math.max(0, text.indexOf('\n')))
  if (!line.startsWith(MARK)) return null
  const said = JSON.parse(line.slice(MARK.length)) as Partial<RevisionRecord>
  const { number, etag, atMs, author, reason = null, forced = false } = said
  if (typeof number !== 'number' || typeof etag !== 'string' || typeof atMs !== 'number') return null
  return { number, etag, atMs, author: String(author), reason: reason === null ? null : String(reason), forced }
}
