/**
 * Storage in a folder. Only its user may read it, and files are replaced atomically.
 */
import { randomBytes } from 'node:crypto'
import { chmod, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { flawOfPrivate, makeFolder } from '../../state/make-folder.ts'
import { FileError, readFileWithin } from '../../state/read-file.ts'
import { FolderLock } from '../../state/store/folder-lock.ts'
import type { AcmeFiles } from './files.ts'

const MAX_FILE_BYTES = 1024 * 1024

/** A folder. The process that holds its lock is the owner. */
export class FolderFiles implements AcmeFiles {
  readonly name: string
  readonly owner = 'another process'
  readonly problem = null
  readonly #onDamage: (message: string) => void
  #lock: FolderLock | null = null

  /** @param onDamage called for files that exist but can't be read */
  constructor(path: string, onDamage: (message: string) => void) {
    this.name = path
    this.#onDamage = onDamage
  }

  get isOwner(): boolean {
    return this.#lock !== null
  }

  /** @throws {Error} it can't be created, or any user may write to it */
  async make(): Promise<void> {
    if (await makeFolder(this.name)) return
    const flaw = await flawOfPrivate(this.name)
    if (flaw !== null) throw new Error(flaw)
  }

  async take(): Promise<void> {
    if (this.#lock !== null) return
    await this.make()
    this.#lock = FolderLock.take(join(this.name, 'lock'))
  }

  async close(): Promise<void> {
    this.#lock?.release()
    this.#lock = null
  }

  async read(file: string): Promise<Buffer | null> {
    try {
      return await readFileWithin(join(this.name, file), MAX_FILE_BYTES)
    } catch (error) {
      if (!(error instanceof FileError)) throw error
      if (error.flaw !== 'missing') this.#onDamage(`${join(this.name, file)}: ${error.message}`)
      return null
    }
  }

  async write(file: string, text: string): Promise<void> {
    const path = join(this.name, file)
    const own = `${path}.${randomBytes(4).toString('hex')}.tmp`
    try {
      const handle = await open(own, 'wx', 0o600)
      try {
        await handle.writeFile(text)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await chmod(own, 0o600)
      await rename(own, path)
    } catch (error) {
      await rm(own, { force: true }).catch(() => {})
      throw error
    }
  }

  async setAside(file: string): Promise<void> {
    const path = join(this.name, file)
    await rename(path, `${path}.damaged`).catch(() => {})
  }

  /** Other processes on the same folder are not told: a port leads to one process only. */
  async tell(): Promise<void> {}

  async heard(): Promise<null> {
    return null
  }

  answering(): void {}

  onNews(): void {}
}
