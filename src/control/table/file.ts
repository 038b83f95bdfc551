/**
 * routes.yaml on disk: reads, watches and atomically replaces it.
 */
import { type FSWatcher, type Stats, statSync, watch } from 'node:fs'
import { readlink, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { readFileWithin } from '../../state/read-file.ts'
import { createFile, MAX_OVERWRITTEN_BYTES, replaceFile, sweepAbandoned, WriteFailure } from './durable-write.ts'
import type { Copies } from './edit-outcome.ts'
import type { SharedTurn } from './edit-turn.ts'
import type { RevisionRecord } from './revision-record.ts'
import { identityOf, type Patience, type Reading, readNow, readSettled } from './settled-text.ts'

/** Timing of the watcher, in milliseconds. */
export interface WatchTimes extends Patience {
  /** Polling interval. */
  readonly pollMs: number
}

/** A change is loaded within a second, even by polling alone and without a line break at the end. */
export const WATCH_TIMES: WatchTimes = Object.freeze({ pollMs: 300, quietMs: 150, suspiciousMs: 500, limitMs: 5_000 })

/** An edit causes several events: the file is read this long after the first one. */
const BUNCH_MS = 20

/** Maximum number of symbolic links in a chain, as in the kernel (ELOOP). */
const MAX_LINKS = 40

/** Source of the table. `TableFile` and `GivenTable` document the methods. */
export interface TableSource {
  /** As the operator gave it; problems are printed with it. */
  readonly name: string
  readNow(): Promise<Reading>
  readSettled(): Promise<Reading>
  readBytes(): Promise<Buffer | null>
  isAsRead(reading: Reading): Promise<boolean>
  /**
   * @param record of the revision that the text becomes; null where it is none
   * @returns the copies that were waited for; null where none were
   */
  replace(text: string | Buffer, expected: Buffer | null, record: RevisionRecord | null): Promise<Copies | null>
  /** The record as this source keeps it. */
  marked?(record: RevisionRecord): RevisionRecord
  /** How often an edit is tried while others change the text. Default: 3. */
  readonly attempts?: number
  /** Where other processes edit it in the same way. */
  readonly turn?: SharedTurn
  /** It may be that an edit can't be made, which will be known soon. */
  readonly isUnsure?: boolean
  /** Settles when that is known. Never rejects. */
  settled?(): Promise<void>
  watch(onReading: (reading: Reading) => Promise<void>): void
  close(): void
}

/** A table that is read once, such as from standard input: it never changes and can't be written. */
export class GivenTable implements TableSource {
  readonly name: string
  readonly #reading: Reading

  constructor(name: string, text: string) {
    this.name = name
    this.#reading = { ok: true, text, identity: 'given' }
  }

  async readNow(): Promise<Reading> {
    return this.#reading
  }

  async readSettled(): Promise<Reading> {
    return this.#reading
  }

  async readBytes(): Promise<Buffer | null> {
    return null
  }

  async isAsRead(): Promise<boolean> {
    return true
  }

  /** @throws {WriteFailure} always: there is no file to write to */
  async replace(): Promise<null> {
    throw new WriteFailure('read-only', 'was read from standard input and cannot be edited')
  }

  watch(): void {}
  close(): void {}
}

interface WatchedFolder {
  readonly watcher: FSWatcher
  readonly identity: string
}

/**
 * The table file.
 *
 * The file is polled, and events only speed that up: they get lost on network file systems and bind mounts, when a folder is
 * replaced, and when the system has no watches left. A lost event costs at most `pollMs`.
 */
export class TableFile implements TableSource {
  /** As the operator gave it; problems are printed with it. */
  readonly name: string
  readonly #path: string
  readonly #times: WatchTimes
  readonly #closed = new AbortController()
  readonly #folders = new Map<string, WatchedFolder>()
  #onReading: ((reading: Reading) => Promise<void>) | null = null
  #poll: NodeJS.Timeout | undefined
  #bunch: NodeJS.Timeout | undefined
  /** Identity of the file when it was last reported. */
  #seen = ''
  /** Mode and owner of the file when it was last there. */
  #like: Stats | null
  #looking = false
  #lookAgain = false

  constructor(name: string, times: WatchTimes = WATCH_TIMES) {
    this.name = name
    this.#path = resolve(name)
    this.#times = times
    this.#like = statSync(this.#path, { throwIfNoEntry: false }) ?? null
  }

  /** Reads the file as it is now, perhaps in the middle of an edit. Never throws. */
  async readNow(): Promise<Reading> {
    const reading = await readNow(this.#path)
    await this.#note(reading)
    return reading
  }

  /** Whether the file is unchanged since a reading. Never throws. */
  async isAsRead(reading: Reading): Promise<boolean> {
    return (await identityOf(this.#path)) === reading.identity
  }

  /**
   * Reads the file once it has stopped changing.
   * @throws {AbortError} if watching is closed meanwhile
   */
  async readSettled(): Promise<Reading> {
    const reading = await readSettled(this.#path, this.#times, this.#closed.signal)
    await this.#note(reading)
    return reading
  }

  async #note({ ok }: Reading): Promise<void> {
    if (ok) this.#like = await stat(this.#path).catch(() => this.#like)
  }

  /** The raw content of the file; null if it can't be read. Never throws. */
  readBytes(): Promise<Buffer | null> {
    return readFileWithin(this.#path, MAX_OVERWRITTEN_BYTES).catch(() => null)
  }

  /**
   * Replaces the text atomically and durably, if it is still `expected`; null creates a file that is missing.
   * @throws {WriteFailure} nothing was replaced
   */
  async replace(text: string | Buffer, expected: Buffer | null): Promise<null> {
    if (expected === null && (await identityOf(this.#path)) === 'error:ENOENT')
      await createFile(this.#path, text, this.#like)
    else await replaceFile(this.#path, text, (current) => expected !== null && current.equals(expected))
    return null
  }

  /**
   * Reports each settled state of the file, starting with the current one; one at a time, and a burst of edits as one.
   * `onReading` must not reject. Does not keep the process alive.
   */
  watch(onReading: (reading: Reading) => Promise<void>): void {
    this.#onReading = onReading
    void sweepAbandoned(this.#path)
    this.#poll = setInterval(() => this.#look(), this.#times.pollMs).unref()
    this.#look()
  }

  /** Stops watching: nothing more is reported. */
  close(): void {
    this.#closed.abort()
    clearInterval(this.#poll)
    clearTimeout(this.#bunch)
    for (const { watcher } of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  #look(): void {
    if (this.#looking) {
      this.#lookAgain = true
      return
    }
    this.#looking = true
    this.#handOn()
      // It only rejects when it was closed meanwhile.
      .catch(() => {})
      .finally(() => {
        this.#looking = false
        if (this.#lookAgain && !this.#closed.signal.aborted) {
          this.#lookAgain = false
          this.#look()
        }
      })
  }

  async #handOn(): Promise<void> {
    await this.#watchFolders()
    if ((await identityOf(this.#path)) === this.#seen) return
    const reading = await this.readSettled()
    // A file that keeps changing is read again later; its current content may be incomplete.
    if (this.#closed.signal.aborted || (!reading.ok && reading.flaw === 'unsettled')) return
    this.#seen = reading.identity
    await this.#onReading?.(reading)
  }

  /** Watches the folders on the path; also new ones that replace them. */
  async #watchFolders(): Promise<void> {
    const wanted = new Map<string, string>()
    for (const folder of await foldersOf(this.#path)) wanted.set(folder, await nodeOf(folder))
    if (this.#closed.signal.aborted) return
    for (const [folder, { identity, watcher }] of this.#folders) {
      if (wanted.get(folder) === identity) continue
      watcher.close()
      this.#folders.delete(folder)
    }
    for (const [folder, identity] of wanted) if (!this.#folders.has(folder)) this.#watchFolder(folder, identity)
  }

  #watchFolder(folder: string, identity: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#hear())
      watcher.on('error', () => {
        watcher.close()
        if (this.#folders.get(folder)?.watcher === watcher) this.#folders.delete(folder)
      })
      this.#folders.set(folder, { watcher, identity })
    } catch {
      // No such folder, or no watches left (ENOSPC, EMFILE): the next poll tries again, and polling works without.
    }
  }

  #hear(): void {
    this.#bunch ??= setTimeout(() => {
      this.#bunch = undefined
      this.#look()
    }, BUNCH_MS).unref()
  }
}

/**
 * The folders in which a rename can change the file at the path: its own, and those of the symbolic links on the way.
 * Kubernetes updates a ConfigMap by renaming the link `..data` beside the file.
 */
async function foldersOf(path: string): Promise<string[]> {
  const folders: string[] = []
  let step = path
  for (let links = 0; links < MAX_LINKS; links++) {
    const folder = dirname(step)
    if (!folders.includes(folder)) folders.push(folder)
    const link = await readlink(step).catch(() => null)
    if (link === null) break
    step = resolve(folder, link)
  }
  return folders
}

/** Device and inode of a folder: changes of its content do not change them. */
async function nodeOf(folder: string): Promise<string> {
  const identity = await identityOf(folder)
  return identity.startsWith('error:') ? identity : identity.split(':', 2).join(':')
}
