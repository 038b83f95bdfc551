/**
 * Makes folders with those above them. Not by the `recursive` of node:fs, which never returns where the file system says of a folder
 * that is there that it is not, as /proc does.
 */
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
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

/**
 * Write permission for everybody: files in such a folder can be replaced, however private they are. Write permission for a group is
 * accepted, because Kubernetes sets it on volumes with `fsGroup`.
 */
const OTHERS_WRITE = 0o002

/** Why an existing folder is not safe for keys, or null. @throws {Error} of the file system */
export async function flawOfPrivate(path: string): Promise<string | null> {
  const { mode } = await stat(path)
  // Windows has no such bits.
  if (process.getuid === undefined || (mode & OTHERS_WRITE) === 0) return null
  const octal = (mode & 0o7777).toString(8).padStart(4, '0')
  return `any user may write to it and replace keys (mode ${octal}): chmod 700 it, or name a new folder inside it`
}

/** After mkdir has failed: true if the folder exists, false if its parent is missing. @throws {Error} the error, for any other reason */
function isThere(path: string, error: NodeJS.ErrnoException): boolean {
  if (error.code === 'ENOENT' && !existsSync(dirname(path))) return false
  if (error.code === 'EEXIST' && statSync(path).isDirectory()) return true
  throw error
}
