/**
 * The history in the state folder of a table: one file per revision, one per file that a forced revision replaced, one per mark of
 * a revision to be kept, and one for the pending revision.
 */
import { readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeFolder, makeFolderNow } from '../../state/make-folder.ts'
import { readFileWithin, readFileWithinNow } from '../../state/read-file.ts'
import { MAX_OVERWRITTEN_BYTES } from './durable-write.ts'
import { type KeepMark, printRevision, type RecordedRevision, readMark, readRevision } from './revision-record.ts'

const PENDING = 'pending.yaml'
/** More than a mark has. */
const MAX_MARK_BYTES = 64 * 1024
/** Synced before the table is replaced, and private, since the table may be private too. */
const SAFELY = { mode: 0o600, flush: true } as const

/** The folder. Methods throw file system errors, unless stated otherwise. */
export class HistoryFolder {
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  /** Creates it if it does not exist. Returns whether it was created. */
  async make(): Promise<boolean> {
    const isNew = await makeFolder(this.#path)
    this.#ignoreByGit()
    return isNew
  }

  /** Numbers of the stored revisions, in order. Synchronous, for startup. */
  numbersNow(): number[] {
    return numbersOf(this.#names())
  }

  /** The same while requests are served. Empty if the folder can't be read. */
  async numbers(): Promise<number[]> {
    return numbersOf(await readdir(this.#path).catch(() => []))
  }

  /** A revision; null if its file is missing, unreadable or damaged. Never throws. */
  async read(number: number): Promise<RecordedRevision | null> {
    return readFileWithin(this.#file(number), MAX_OVERWRITTEN_BYTES).then(
      (file) => ofNumber(String(file), number),
      noSuch,
    )
  }

  /** Like `read`, synchronous, for startup. */
  readNow(number: number): RecordedRevision | null {
    const file = this.#textNow(`${number}.yaml`)
    return file === null ? null : ofNumber(file, number)
  }

  /** The pending revision; null if there is none. Never throws. */
  async readPending(): Promise<RecordedRevision | null> {
    const file = await readFileWithin(join(this.#path, PENDING), MAX_OVERWRITTEN_BYTES).catch(noSuch)
    return file === null ? null : readRevision(String(file))
  }

  /** Like `readPending`, synchronous, for startup. */
  readPendingNow(): RecordedRevision | null {
    const file = this.#textNow(PENDING)
    return file === null ? null : readRevision(file)
  }

  /** The text that a forced revision replaced; null if there is none. Never throws. */
  async readOverwritten(number: number): Promise<Buffer | null> {
    return readFileWithin(this.#overwrittenFile(number), MAX_OVERWRITTEN_BYTES).catch(noSuch)
  }

  /** Its size in bytes; 0 if there is none. */
  sizeOfOverwritten(number: number): number {
    return statSync(this.#overwrittenFile(number), { throwIfNoEntry: false })?.size ?? 0
  }

  /** The marks of revisions to be kept. Synchronous, for startup. */
  marksNow(): Map<number, KeepMark> {
    const marks = numbersOf(this.#names(), 'kept').map((number) => [
      number,
      readMark(this.#textNow(`${number}.kept`) ?? ''),
    ])
    return new Map(marks.filter(([, mark]) => mark !== null) as [number, KeepMark][])
  }

  /** The same while requests are served. Never throws. */
  async marks(): Promise<Map<number, KeepMark>> {
    const marks = new Map<number, KeepMark>()
    for (const number of numbersOf(await readdir(this.#path).catch(() => []), 'kept')) {
      const file = await readFileWithin(this.#markFile(number), MAX_MARK_BYTES).catch(noSuch)
      const mark = readMark(String(file ?? ''))
      if (mark !== null) marks.set(number, mark)
    }
    return marks
  }

  /** Marks a revision, or takes its mark away. */
  async mark(number: number, mark: KeepMark | null): Promise<void> {
    const path = this.#markFile(number)
    if (mark === null) return rm(path, { force: true })
    // A mark that is half written must be none, and not one that is lost at the next start.
    await writeFile(`${path}.new`, JSON.stringify(mark), SAFELY)
    await rename(`${path}.new`, path)
  }

  async write(revision: RecordedRevision, overwritten: Buffer | null): Promise<void> {
    const { number } = revision.record
    if (overwritten !== null) await writeFile(this.#overwrittenFile(number), overwritten, SAFELY)
    await writeFile(this.#file(number), printRevision(revision), SAFELY)
  }

  /** Like `make` and `write`, synchronous, for startup. */
  writeNow(revision: RecordedRevision): void {
    makeFolderNow(this.#path)
    this.#ignoreByGit()
    writeFileSync(this.#file(revision.record.number), printRevision(revision), SAFELY)
  }

  /** Writes the pending revision. */
  async prepare(revision: RecordedRevision, overwritten: Buffer | null): Promise<void> {
    if (overwritten !== null) await writeFile(this.#overwrittenFile(revision.record.number), overwritten, SAFELY)
    await writeFile(join(this.#path, PENDING), printRevision(revision), SAFELY)
  }

  /** Whether an edit could begin: what is left of it, where the process is killed, is the revision that there is. @throws {Error} */
  async tryRoom(newest: RecordedRevision): Promise<void> {
    await this.prepare(newest, null)
    await remove(join(this.#path, PENDING))
  }

  /** Turns the pending revision into a stored one. */
  async commit(number: number): Promise<void> {
    await rename(join(this.#path, PENDING), this.#file(number))
  }

  /** Removes the pending revision. Never throws: the next start or the next edit removes what is left. */
  async abandon(number: number): Promise<void> {
    for (const path of [join(this.#path, PENDING), this.#overwrittenFile(number)]) await remove(path)
  }

  /** After a crash during an edit: keeps the pending revision if the table has its text, otherwise removes it. */
  settleNow(text: string): void {
    const file = this.#textNow(PENDING)
    if (file === null) return
    const pending = readRevision(file)
    const path = join(this.#path, PENDING)
    if (pending === null || pending.text !== text || this.numbersNow().includes(pending.record.number)) rmSync(path)
    else renameSync(path, this.#file(pending.record.number))
  }

  /** Like `settleNow`, after the crash of another instance. */
  async settle(text: string): Promise<void> {
    const pending = await this.readPending()
    if (pending?.text !== text || (await this.numbers()).includes(pending.record.number))
      await remove(join(this.#path, PENDING))
    else await this.commit(pending.record.number)
  }

  /** Keeps the file of a revision that is none any more. Never throws. */
  async putAside(number: number): Promise<void> {
    await rename(this.#file(number), join(this.#path, `${number}.lost-${Date.now()}`)).catch(noSuch)
  }

  /** Never throws: what is left is removed at the next start. */
  async remove(number: number): Promise<void> {
    for (const path of [this.#file(number), this.#overwrittenFile(number), this.#markFile(number)]) await remove(path)
  }

  /** Empty if there is no folder, or it can't be read: writing will report that. */
  #names(): string[] {
    try {
      return readdirSync(this.#path)
    } catch {
      return []
    }
  }

  #textNow(name: string): string | null {
    try {
      return readFileWithinNow(join(this.#path, name), MAX_OVERWRITTEN_BYTES).toString('utf8')
    } catch {
      return null
    }
  }

  /** Adds a .gitignore: in a repository, git has the history of the table. */
  #ignoreByGit(): void {
    try {
      writeFileSync(join(dirname(this.#path), '.gitignore'), '*\n', { flag: 'wx' })
    } catch {
      // It exists already, or the next write reports the error.
    }
  }

  #file(number: number): string {
    return join(this.#path, `${number}.yaml`)
  }

  #markFile(number: number): string {
    return join(this.#path, `${number}.kept`)
  }

  #overwrittenFile(number: number): string {
    return join(this.#path, `${number}.overwritten`)
  }
}

function numbersOf(names: readonly string[], kind: 'yaml' | 'kept' = 'yaml'): number[] {
  return names
    .flatMap((name) => /^([1-9][0-9]{0,14})\.(?:yaml|kept)$/.exec(name.endsWith(kind) ? name : '')?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b)
}

function ofNumber(file: string, number: number): RecordedRevision | null {
  const found = readRevision(file)
  return found?.record.number === number ? found : null
}

async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch(noSuch)
}

const noSuch = (): null => null
