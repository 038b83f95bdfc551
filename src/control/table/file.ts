/**
 * routes.yaml on disk: reads, watches and atomically replaces it.
 */
import { type FSWatcher, watch } from 'node:fs'
import { readlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { readFileWithin } from '../../state/read-file.ts'
import { createFile, MAX_OVERWRITTEN_BYTES, replaceFile, sweepAbandoned, WriteFailure } from './durable-write.ts'
import { identityOf, type Patience, type Reading, readNow, readSettled } from './settled-text.ts'

/** How the file is watched. All in milliseconds. */
export interface WatchTimes extends Patience {
  /** Between two looks that no event asked for. */
  readonly pollMs: number
}

/** Picked up within a second of its last byte, by polling alone and without a line break at the end. */
export const WATCH_TIMES: WatchTimes = Object.freeze({ pollMs: 300, quietMs: 150, suspiciousMs: 500, limitMs: 5_000 })

/** Events of one edit come in a bunch: the look waits for this long after the first. */
const BUNCH_MS = 20

/** Beyond this many symbolic links in a row the system gives up too (ELOOP). */
const MAX_LINKS = 40

/** Where the table comes from. `TableFile` and `GivenTable` say what each method does. */
export interface TableSource {
  /** As the operator gave it; problems are printed with it. */
  readonly name: string
  readNow(): Promise<Reading>
  readSettled(): Promise<Reading>
  readBytes(): Promise<Buffer | null>
  isAsRead(reading: Reading): Promise<boolean>
  replace(text: string | Buffer, expected: Buffer | null): Promise<void>
  watch(onReading: (reading: Reading) => Promise<void>): void
  close(): void
}

/** A table that was read once, as from standard input: it never changes, and can't be written to. */
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

  /** @throws {WriteFailure} always: there is no file that an edit could survive in */
  async replace(): Promise<void> {
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
 * Watching is polling, and events only make it faster: events are lost on network file systems and bind mounts, when a folder
 * is replaced, and when the system has no watch left to give. So each doubt about an event costs at most `pollMs`.
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
  /** Identity of the file when it was last handed on. */
  #seen = ''
  #looking = false
  #lookAgain = false

  constructor(name: string, times: WatchTimes = WATCH_TIMES) {
    this.name = name
    this.#path = resolve(name)
    this.#times = times
  }

  /** The file as it is at this moment, perhaps in the middle of an edit. Never throws. */
  readNow(): Promise<Reading> {
    return readNow(this.#path)
  }

  /** Whether the file still is what a reading found. Never throws. */
  async isAsRead(reading: Reading): Promise<boolean> {
    return (await identityOf(this.#path)) === reading.identity
  }

  /**
   * The file once it has stood still.
   * @throws {AbortError} when the file is closed meanwhile
   */
  readSettled(): Promise<Reading> {
    return readSettled(this.#path, this.#times, this.#closed.signal)
  }

  /** What the file holds, whatever it is; null where it can't be read. Never throws. */
  readBytes(): Promise<Buffer | null> {
    return readFileWithin(this.#path, MAX_OVERWRITTEN_BYTES).catch(() => null)
  }

  /**
   * Replaces the text, whole and durably, if it still is `expected`; null makes a file that is gone anew.
   * @throws {WriteFailure} nothing was replaced
   */
  async replace(text: string | Buffer, expected: Buffer | null): Promise<void> {
    if (expected === null && (await identityOf(this.#path)) === 'error:ENOENT') await createFile(this.#path, text)
    else await replaceFile(this.#path, text, (current) => expected !== null && current.equals(expected))
  }

  /**
   * Hands on each settled state of the file, the present one first; one at a time, a burst of edits as one.
   * `onReading` must not reject. Does not keep the process alive.
   */
  watch(onReading: (reading: Reading) => Promise<void>): void {
    this.#onReading = onReading
    void sweepAbandoned(this.#path)
    this.#poll = setInterval(() => this.#look(), this.#times.pollMs).unref()
    this.#look()
  }

  /** Stops watching. Nothing is handed on any more. */
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
      // The only way to fail is to be closed meanwhile.
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
    // A file that never stands still is looked at again, and what it says meanwhile is nobody's word.
    if (this.#closed.signal.aborted || (!reading.ok && reading.flaw === 'unsettled')) return
    this.#seen = reading.identity
    await this.#onReading?.(reading)
  }

  /** Listens to the folders that the path leads through; to a new one where one was replaced. */
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
      // No such folder, or no watch left (ENOSPC, EMFILE): the next look tries again, and polling needs none.
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
 * The folders in which a rename can change what the path means: its own, and that of each symbolic link on the way.
 * Kubernetes swaps a table in a ConfigMap by renaming the link `..data` beside it.
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

/** Device and inode of a folder: a change of what is in it does not change them. */
async function nodeOf(folder: string): Promise<string> {
  const identity = await identityOf(folder)
  return identity.startsWith('error:') ? identity : identity.split(':', 2).join(':')
}
