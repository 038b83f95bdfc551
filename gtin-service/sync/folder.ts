/**
 * The data folder of a sync: its lock, what is in force, the report of the last run, and how a full load comes into force.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DAMAGE_NOTE } from '../data.ts'
import { DamagedStore, type Facts, newestStore, Store, storeFiles } from '../store.ts'
import type { SyncReport } from './report.ts'

/** The store that a full load fills. */
export const PART = 'sync.part'
const REPORT = 'last-sync.json'

/** Another sync is running. */
export class FolderInUse extends Error {}

/**
 * One sync at a time per data folder, by a lock of the operating system, so that no crash can leave it behind: Node has no
 * file locks of its own, but its SQLite has. The function it returns gives the lock back. Throws FolderInUse.
 */
export function lockFolder(folder: string): () => void {
  const database = new DatabaseSync(join(folder, 'sync.lock'))
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (/locked/.test((error as Error).message)) throw new FolderInUse(`another sync is running in ${folder}`)
    throw error
  }
  return () => database.close()
}

/** What is in force before a run. */
export interface Base {
  /** The newest store; null where there is none. */
  readonly path: string | null
  /** Null where there is no store, or it can't be read. */
  readonly facts: Facts | null
  /** Where the store can't be read, as the last report told, or else the store before it. */
  readonly products: number
  /** Why the store can't be read. */
  readonly problem: unknown
}

/** What is in force in a data folder. Never throws. */
export function baseOf(folder: string): Base {
  let path: string | null = null
  try {
    path = newestStore(folder)
    if (path === null) return { path, facts: null, products: 0, problem: null }
    const facts = factsOf(path)
    return { path, facts, products: facts.products, problem: null }
  } catch (problem) {
    return { path, facts: null, products: lastProducts(folder), problem }
  }
}

/** What a store tells. Throws where it can't be read. */
function factsOf(path: string): Facts {
  const store = new Store(path)
  try {
    store.checkLength()
    return store.facts()
  } finally {
    store.close()
  }
}

/** Whether SQLite or the store says that a file is none of its own, or damaged: SQLITE_CORRUPT and SQLITE_NOTADB. */
export function isDamage(error: unknown): boolean {
  return error instanceof DamagedStore || [11, 26].includes(((error as { errcode?: number }).errcode ?? 0) & 0xff)
}

export function keepReport(folder: string, report: SyncReport): void {
  const path = join(folder, REPORT)
  writeFileSync(`${path}.part`, `${JSON.stringify(report, null, 2)}\n`)
  renameSync(`${path}.part`, path)
}

function lastProducts(folder: string): number {
  const tellers = [
    () => (JSON.parse(readFileSync(join(folder, REPORT), 'utf8')) as SyncReport).products,
    () => factsOf(join(folder, storeFiles(folder)[1] as string)).products,
  ]
  for (const tell of tellers) {
    try {
      return tell()
    } catch {
      // It can't be read either: the next one.
    }
  }
  return 0
}

/**
 * Gives a finished full load its name. Of those before it only the newest stays: a reader may be about to open it, or an
 * operator to go back to it.
 */
export function putInForce(folder: string): void {
  const [newest = '0'] = storeFiles(folder)
  const number = Number(/\d+/.exec(newest)?.[0]) + 1
  renameSync(join(folder, PART), join(folder, `gtin-${String(number).padStart(6, '0')}.db`))
  // Puts the name on disk.
  const descriptor = openSync(folder, 'r')
  fsyncSync(descriptor)
  closeSync(descriptor)
  rmSync(join(folder, DAMAGE_NOTE), { force: true })
  for (const file of storeFiles(folder).slice(2)) {
    for (const end of ['', '-wal', '-shm']) rmSync(join(folder, file + end), { force: true })
  }
}
