/**
 * The lock of a state folder: its holder is the owner. It is a lock of the system on a file, which ends with the process that
 * holds it, however that ends.
 */
import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

const SQLITE_BUSY = 5

/** A lock that is held. */
export class FolderLock {
  readonly #db: DatabaseSync

  private constructor(db: DatabaseSync) {
    this.#db = db
  }

  /**
   * Takes the lock of a file, without waiting. node has no lock on files of its own; that of an SQLite file, which stays
   * empty, works on each system and in containers that share a folder, and tells two holders in one process apart too.
   * @returns null where another one has it
   * @throws {Error} the file can't be locked, as in a folder that can't be written
   */
  static take(file: string): FolderLock | null {
    closeSync(openSync(file, 'a', 0o600))
    const db = new DatabaseSync(file, { timeout: 0 })
    try {
      db.exec('BEGIN EXCLUSIVE')
      return new FolderLock(db)
    } catch (error) {
      db.close()
      if (((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY) return null
      throw error
    }
  }

  release(): void {
    if (this.#db.isOpen) this.#db.close()
  }
}
