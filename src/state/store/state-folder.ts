/**
 * The folder of what outlives a process: the history of a table, its drained servers, evidence. It has one owner, who alone
 * writes; another instance on it waits until it is free.
 */
import { writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { makeFolderNow } from '../make-folder.ts'
import { readFileWithinNow } from '../read-file.ts'
import { FolderLock } from './folder-lock.ts'
import { FolderStore, type FolderStoreOptions } from './folder-store.ts'
import { StateError } from './store.ts'

/** Beside the table, where no other folder is given. */
const FOLDER = '.banyan'

const MAX_OWNER_BYTES = 4096

/** The file that names the owner is not read more often. */
const OWNER_MS = 1_000

/** The folder for files that belong to a table. @param state the folder for all tables; null for the one beside the table */
export function folderOf(tableFile: string, state: string | null = null): string {
  return join(state ?? join(dirname(tableFile), FOLDER), basename(tableFile))
}

/** A folder, of this process or of another one. */
export class StateFolder {
  readonly path: string
  readonly store: FolderStore
  #lock: FolderLock | null = null
  #isOwner = true
  readonly #listeners: (() => void)[] = []
  #admin: string | null = null
  #told = ''
  #toldMs = Number.NEGATIVE_INFINITY
  /** Why it can't be locked, or null: then there is nothing that could be written either. */
  readonly problem: string | null = null

  /**
   * Opens the folder, and takes it if it is free. Waits for the disk, before anything is served.
   * @param path is created if it does not exist
   */
  constructor(path: string, options: FolderStoreOptions = {}) {
    this.path = path
    this.store = new FolderStore(path, () => this.#obstacle(), options)
    this.store.onLockLost = () => this.#retake()
    try {
      makeFolderNow(path)
      this.#lock = FolderLock.take(this.#file('lock'))
      this.#isOwner = this.#lock !== null
    } catch (error) {
      this.problem = `${path} can't be used: ${(error as Error).message}`
    }
    if (this.#isOwner) this.#tellOwner()
  }

  /** Whether this process may write. Where nobody can lock the folder, everybody may try. */
  get isOwner(): boolean {
    return this.#isOwner
  }

  /** Who owns it, for a message: `another banyan (pid 17 on web-1, admin API 127.0.0.1:8081)`. */
  get owner(): string {
    const nowMs = performance.now()
    if (nowMs - this.#toldMs > OWNER_MS) {
      this.#told = this.#ownerText()
      this.#toldMs = nowMs
    }
    return this.#told
  }

  #ownerText(): string {
    const { pid, host, admin } = this.#readOwner()
    const facts = [
      pid === undefined ? '' : `pid ${pid}${host === undefined ? '' : ` on ${host}`}`,
      admin === undefined ? '' : `admin API ${admin}`,
    ]
    const told = facts.filter((fact) => fact !== '').join(', ')
    return told === '' ? 'another banyan' : `another banyan (${told})`
  }

  /** Waits until the folder is free. `onOwned` listeners are called then. */
  awaitOwnership(): void {
    if (!this.#isOwner) this.store.awaitLock(() => this.#taken())
  }

  /** Calls `listener` when the folder has become this process's own. */
  onOwned(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Tells others on the folder where the owner's admin API is. @param admin its address, as `--admin` of the command line takes it */
  announce(admin: string): void {
    this.#admin = admin
    if (this.#isOwner) this.#tellOwner()
  }

  /** Ends the store and gives the folder free. */
  async close(): Promise<void> {
    await this.store.close()
    this.#lock?.release()
  }

  #taken(): void {
    this.#isOwner = true
    this.#tellOwner()
    for (const listener of this.#listeners) listener()
  }

  /** The thread has ended with the lock: it is taken again, before another instance does. */
  #retake(): void {
    try {
      this.#lock = FolderLock.take(this.#file('lock'))
      this.#isOwner = this.#lock !== null
    } catch {
      this.#isOwner = false
    }
    this.awaitOwnership()
  }

  #obstacle(): StateError | null {
    if (!this.#isOwner) return new StateError('not-owner', `${this.path} is owned by ${this.owner}`)
    return null
  }

  #tellOwner(): void {
    const owner = { version: 1, pid: process.pid, host: hostname(), ...(this.#admin && { admin: this.#admin }) }
    try {
      writeFileSync(this.#file('owner.json'), `${JSON.stringify(owner)}\n`, { mode: 0o600 })
    } catch {
      // It is only for a message, which names less then.
    }
  }

  #readOwner(): { readonly pid?: number; readonly host?: string; readonly admin?: string } {
    try {
      const { pid, host, admin } = JSON.parse(
        readFileWithinNow(this.#file('owner.json'), MAX_OWNER_BYTES).toString('utf8'),
      )
      return {
        ...(Number.isSafeInteger(pid) && { pid }),
        ...(isName(host) && { host }),
        ...(isName(admin) && { admin }),
      }
    } catch {
      return {}
    }
  }

  #file(name: string): string {
    return join(this.path, name)
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[\w.:[\]-]{1,255}$/.test(value)
}
