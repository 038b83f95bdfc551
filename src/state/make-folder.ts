/**
 * Makes folders with those above them. Not by the `recursive` of node:fs, which never returns where the file system says of a folder
 * that is there that it is not, as /proc does.
 */
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Private, since tables, keys and evidence may be. */
const MODE = 0o700

/** Makes a folder where there is none. @returns whether it was made @throws {Error} of the file system */
export async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path, MODE)
    return true
  } catch (error) {
    if (isThere(path, error as Error)) return false
  }
  await makeFolder(dirname(path))
  return await makeFolder(path)
}

/** Like `makeFolder`, synchronous, for startup. */
export function makeFolderNow(path: string): boolean {
  try {
    mkdirSync(path, MODE)
    return true
  } catch (error) {
    if (isThere(path, error as Error)) return false
  }
  makeFolderNow(dirname(path))
  return makeFolderNow(path)
}

/** Whether a folder could not be made since it is there; if not, that above it is to be made. @throws {Error} the error, for any other reason */
function isThere(path: string, error: NodeJS.ErrnoException): boolean {
  if (error.code === 'ENOENT' && !existsSync(dirname(path))) return false
  if (error.code === 'EEXIST' && statSync(path).isDirectory()) return true
  throw error
}
