/**
 * Keys that are made once and kept in a file of the state folder, for its owner only.
 */
import { randomBytes } from 'node:crypto'
import { linkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeFolderNow } from './make-folder.ts'
import { FileError, readFileWithinNow } from './read-file.ts'

const MAX_FILE_BYTES = 1024

/** 256 random bits, as text. */
export function newKey(): string {
  return randomBytes(32).toString('base64url')
}

/**
 * Reads a key, or makes it. Synchronous, for startup.
 * @param flawOf what is wrong with a text that stands there, or null
 * @throws {Error} it can't be read, is flawed, or can't be made
 */
export function keptKey(folder: string, name: string, flawOf: (text: string) => string | null = flawOfKey): string {
  const path = join(folder, name)
  return readKey(path, flawOf) ?? makeKey(folder, path, flawOf)
}

/**
 * Reads a key that was made earlier; null for none. Synchronous, for startup.
 * @throws {Error} it can't be read, or is flawed
 */
export function readKeptKey(folder: string, name: string, flawOf: (text: string) => string | null): string | null {
  return readKey(join(folder, name), flawOf)
}

function flawOfKey(text: string): string | null {
  return /^[\w-]{43}$/.test(text) ? null : 'is damaged'
}

/** @returns null if there is no such file */
function readKey(path: string, flawOf: (text: string) => string | null): string | null {
  try {
    const key = readFileWithinNow(path, MAX_FILE_BYTES).toString('latin1').trim()
    const flaw = flawOf(key)
    if (flaw !== null) throw new Error(`${path} ${flaw}`)
    return key
  } catch (error) {
    if (error instanceof FileError && error.flaw === 'missing') return null
    throw error
  }
}

/** Another process may make it at the same time: the first one counts, and is there as a whole or not at all. */
function makeKey(folder: string, path: string, flawOf: (text: string) => string | null): string {
  makeFolderNow(folder)
  const own = `${path}.${process.pid}`
  const made = `${newKey()}\n`
  try {
    writeFileSync(own, made, { mode: 0o600, flush: true })
    linkSync(own, path)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    // Some file systems have no links.
    if (['EPERM', 'ENOTSUP', 'ENOSYS'].includes(code))
      writeFileSync(path, made, { mode: 0o600, flush: true, flag: 'wx' })
    else if (code !== 'EEXIST') throw error
  } finally {
    rmSync(own, { force: true })
  }
  const key = readKey(path, flawOf)
  if (key === null) throw new Error(`${path} has been removed`)
  return key
}
