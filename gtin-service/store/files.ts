/**
 * Files of the data folder: replaced as a whole, so that a crash at any moment leaves the old content or the new one.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { writeAll } from './generation-writer.ts'

/** Replaces the file's content, and waits until that is on disk. Throws node's system error. */
export function replaceFile(path: string, content: string): void {
  const aside = `${path}.new`
  const fd = openSync(aside, 'w')
  try {
    writeAll(fd, Buffer.from(content))
    fsyncSync(fd)
  } catch (error) {
    // Half of it is of no use, and the disk may be full of it.
    rmSync(aside, { force: true })
    throw error
  } finally {
    closeSync(fd)
  }
  renameSync(aside, path)
  syncFolder(dirname(path))
}

/** Waits until the names in a folder are on disk: a file that was renamed there, or created, survives a power cut. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
