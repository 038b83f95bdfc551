/**
 * Where the secrets of cookies come from: the settings, else a key that is made once and kept in the folder beside the table.
 */
import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Table } from '../rules/table/table.ts'
import type { Finding } from '../rules/values/problem.ts'
import { CookieKeys, flawOfCookieSecret } from './cookie-keys.ts'
import { FileError, readFileWithinNow } from './read-file.ts'

const FILE = 'cookie-key'
const MAX_FILE_BYTES = 1024

/** The keys of one instance: all its processes read the same. */
export class CookieKeySource {
  readonly #folder: string | null
  #keys: CookieKeys | null

  /**
   * @param secrets of the settings; may be empty
   * @param folder for a key of banyan's own, or null if nothing is kept
   */
  constructor(secrets: readonly string[], folder: string | null) {
    this.#folder = folder
    this.#keys = secrets.length === 0 ? null : new CookieKeys(secrets)
  }

  /** The keys. Null if there are none, or no table has needed them so far. */
  get keys(): CookieKeys | null {
    return this.#keys
  }

  /**
   * Gets the keys that a table needs: reads the file, or makes it.
   * @returns errors at the places that need a key if there is none
   */
  flawsOf(table: Table): Finding[] {
    const places = placesOf(table)
    if (places.length === 0 || this.#keys !== null) return []
    try {
      this.#keys = new CookieKeys([this.#kept()])
      return []
    } catch (error) {
      const message = `needs a key for its cookie: ${(error as Error).message}`
      return places.map((path) => ({ path, message, hint: 'set --cookie-secret', severity: 'error' }))
    }
  }

  /** Like `flawsOf`. @throws {Error} where there is no key: for processes to which the table was given as valid */
  require(table: Table): void {
    const [flaw] = this.flawsOf(table)
    if (flaw !== undefined) throw new Error(`${flaw.path.join('.')}: ${flaw.message}`)
  }

  #kept(): string {
    if (this.#folder === null) throw new Error('no --cookie-secret is set, and no folder is kept beside the table')
    const path = join(this.#folder, FILE)
    return readKey(path) ?? makeKey(this.#folder, path)
  }
}

/** @returns null if there is no such file */
function readKey(path: string): string | null {
  try {
    const key = readFileWithinNow(path, MAX_FILE_BYTES).toString('latin1').trim()
    const flaw = flawOfCookieSecret(key)
    if (flaw !== null) throw new Error(`${path} ${flaw}`)
    return key
  } catch (error) {
    if (error instanceof FileError && error.flaw === 'missing') return null
    throw error
  }
}

/** Another process may make it at the same time: the first one counts, and is there as a whole or not at all. */
function makeKey(folder: string, path: string): string {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const own = `${path}.${process.pid}`
  const made = `${randomBytes(32).toString('base64url')}\n`
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
  const key = readKey(path)
  if (key === null) throw new Error(`${path} has been removed`)
  return key
}

/** The places of a table that need a key. */
function placesOf(table: Table): (string | number)[][] {
  return table.routes.flatMap((route, at) => (route.keysVisitors ? [['routes', at, 'sticky']] : []))
}
