/**
 * One sync at a time per data folder: a lock of the operating system, so that no crash can leave it behind.
 *
 * Node has no file locks of its own, but its SQLite has: an exclusive transaction on an empty database holds one on the
 * database's file until the process ends, however it ends.
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Another sync holds the folder. */
export class FolderBusy extends Error {}

/** Takes the lock of a data folder; the function it returns gives it back. Throws FolderBusy, or node's system error. */
export function lockFolder(folder: string): () => void {
  const database = new DatabaseSync(join(folder, 'sync.lock'))
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (/locked/.test((error as Error).message)) throw new FolderBusy(`another sync is at work in ${folder}`)
    throw error
  }
  return () => database.close()
}
