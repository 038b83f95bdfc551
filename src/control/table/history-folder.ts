/**
 * The history folder beside a table file: one file per revision, one per file that a forced revision replaced, and one for the
 * pending revision.
 */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { readFileWithin, readFileWithinNow } from '../../state/read-file.ts'
import { MAX_OVERWRITTEN_BYTES } from './durable-write.ts'
import { printRevision, type RecordedRevision, readRevision } from './revision-record.ts'

const FOLDER = '.banyan'
const PENDING = 'pending.yaml'
/** On the disk before the table is replaced, and for nobody else's eyes: the table may be for nobody else's either. */
const SAFELY = { mode: 0o600, flush: true } as const

/** The folder beside a table file in which what belongs to it is kept. */
export function folderOf(tableFile: string): string {
  return join(dirname(tableFile), FOLDER, basename(tableFile))
}

/** The folder. Where nothing else is said its methods throw what the system says. */
export class HistoryFolder {
  readonly #path: string

  constructor(tableFile: string) {
    this.#path = folderOf(tableFile)
  }

  /** Makes it where it is not there. Returns whether it was not. */
  async make(): Promise<boolean> {
    const isNew = (await mkdir(this.#path, { recursive: true })) !== undefined
    this.#ignoreByGit()
    return isNew
  }

  /** Numbers of the revisions that have a file, in order. */
  numbers(): number[] {
    return this.#names()
      .flatMap((name) => /^([1-9][0-9]{0,14})\.yaml$/.exec(name)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b)
  }

  /** A revision; null where its file is gone, can't be read, or is not what was written. Never throws. */
  async read(number: number): Promise<RecordedRevision | null> {
    return readFileWithin(this.#file(number), MAX_OVERWRITTEN_BYTES).then(
      (file) => ofNumber(String(file), number),
      noSuch,
    )
  }

  /** As `read`, at once; for the start of the process. */
  readNow(number: number): RecordedRevision | null {
    const file = this.#textNow(`${number}.yaml`)
    return file === null ? null : ofNumber(file, number)
  }

  /** What a forced revision was written over; null where there is none. Never throws. */
  async readOverwritten(number: number): Promise<Buffer | null> {
    return readFileWithin(this.#overwrittenFile(number), MAX_OVERWRITTEN_BYTES).catch(noSuch)
  }

  /** Its bytes; 0 where there is none. */
  sizeOfOverwritten(number: number): number {
    return statSync(this.#overwrittenFile(number), { throwIfNoEntry: false })?.size ?? 0
  }

  async write(revision: RecordedRevision, overwritten: Buffer | null): Promise<void> {
    const { number } = revision.record
    if (overwritten !== null) await writeFile(this.#overwrittenFile(number), overwritten, SAFELY)
    await writeFile(this.#file(number), printRevision(revision), SAFELY)
  }

  /** As `make` and `write`, at once; for the start of the process. */
  writeNow(revision: RecordedRevision): void {
    mkdirSync(this.#path, { recursive: true })
    this.#ignoreByGit()
    writeFileSync(this.#file(revision.record.number), printRevision(revision), SAFELY)
  }

  /** Notes what is about to be. */
  async prepare(revision: RecordedRevision, overwritten: Buffer | null): Promise<void> {
    if (overwritten !== null) await writeFile(this.#overwrittenFile(revision.record.number), overwritten, SAFELY)
    await writeFile(join(this.#path, PENDING), printRevision(revision), SAFELY)
  }

  /** What was noted is a revision now. */
  async commit(number: number): Promise<void> {
    await rename(join(this.#path, PENDING), this.#file(number))
  }

  /** What was noted has not come about. Never throws: the next start, or the next note, does away with it. */
  async abandon(number: number): Promise<void> {
    for (const path of [join(this.#path, PENDING), this.#overwrittenFile(number)]) await remove(path)
  }

  /** The process died between noting an edit and its end: the text of the table says whether the edit was made. */
  settleNow(text: string): void {
    const file = this.#textNow(PENDING)
    if (file === null) return
    const pending = readRevision(file)
    const path = join(this.#path, PENDING)
    if (pending === null || pending.text !== text || this.numbers().includes(pending.record.number)) rmSync(path)
    else renameSync(path, this.#file(pending.record.number))
  }

  /** Never throws: what stays is found at the next start, and goes then. */
  async remove(number: number): Promise<void> {
    for (const path of [this.#file(number), this.#overwrittenFile(number)]) await remove(path)
  }

  /** Empty where there is no folder yet; one that can't be read can't be written either, and writing says so. */
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

  /** Tables live in repositories, and their history there is git's. */
  #ignoreByGit(): void {
    try {
      writeFileSync(join(dirname(this.#path), '.gitignore'), '*\n', { flag: 'wx' })
    } catch {
      // It is there already, or the next write says what is wrong.
    }
  }

  #file(number: number): string {
    return join(this.#path, `${number}.yaml`)
  }

  #overwrittenFile(number: number): string {
    return join(this.#path, `${number}.overwritten`)
  }
}

function ofNumber(file: string, number: number): RecordedRevision | null {
  const found = readRevision(file)
  return found?.record.number === number ? found : null
}

async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch(noSuch)
}

const noSuch = (): null => null
