/**
 * The store: SQLite files in a data folder. Each full load is a file of its own, `gtin-000042.db`, and the newest counts:
 * renaming a finished file is the one atomic switch. Later changes are transactions in that file (WAL), so that readers
 * never wait and never see half of them.
 *
 * A record's checksum lies in another tree than the record. What damage hides from one of them is still in the other, so
 * that a damaged product is an error, and never another product or none.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import type { GtinKey } from './gtin.ts'
import { type Product, productOf } from './product.ts'

/** `codes`, `rejected` and `run` are the sync's own; `facts` is one JSON object. */
export const SCHEMA = `
  CREATE TABLE products (gtin INTEGER PRIMARY KEY, record TEXT NOT NULL);
  CREATE TABLE checks (gtin INTEGER PRIMARY KEY, checksum INTEGER NOT NULL);
  CREATE TABLE codes (grouping TEXT, code TEXT, name TEXT NOT NULL, PRIMARY KEY (grouping, code)) WITHOUT ROWID;
  CREATE TABLE rejected (subject TEXT PRIMARY KEY, gtin INTEGER, reason TEXT, line TEXT, since TEXT) WITHOUT ROWID;
  CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
  PRAGMA user_version = 1;`
const FORMAT = 1

/** What a store tells about its data. */
export interface Facts {
  /** The day that the data shows, `YYYY-MM-DD`. */
  readonly asOf: string
  /** When the reading of that data began, in milliseconds since 1970: it is at least as new. */
  readonly syncedAtMs: number
  /** When the reading of the last full load began. */
  readonly fullAtMs: number
  readonly products: number
  /** Records of the feed that are remembered because they could not be taken yet. */
  readonly unresolved: number
}

/** What was stored is not what is read. */
export class DamagedStore extends Error {}

const FILE = /^gtin-(\d{6,})\.db$/

/** The stores of a folder, the newest first. */
export function storeFiles(folder: string): string[] {
  const numberOf = (name: string): number => Number(FILE.exec(name)?.[1])
  return readdirSync(folder)
    .filter((name) => FILE.test(name))
    .sort((a, b) => numberOf(b) - numberOf(a))
}

/** The checksum that belongs to a record. */
export function checksumOf(key: GtinKey, record: string): number {
  return crc32(`${key} ${record}`)
}

/** One store file, opened for reading. */
export class Store {
  readonly path: string
  readonly #database: DatabaseSync
  readonly #find: StatementSync
  readonly #some: StatementSync
  readonly #facts: StatementSync

  /** Throws DamagedStore or SQLite's error where it is no store. */
  constructor(path: string) {
    this.path = path
    this.#database = new DatabaseSync(path, { readOnly: true })
    try {
      // Room for the upper levels of both trees of 18 million products: what is then read for a lookup is a page of each.
      this.#database.exec('PRAGMA cache_size = -65536')
      const { user_version: format } = this.#database.prepare('PRAGMA user_version').get() ?? {}
      if (format !== FORMAT) throw new DamagedStore(`${path}: format ${format}, this version reads ${FORMAT}`)
      this.#find = this.#database.prepare(
        `SELECT (SELECT record FROM products WHERE gtin = ?1) AS record, (SELECT checksum FROM checks WHERE gtin = ?1) AS checksum`,
      )
      this.#some = this.#database.prepare(
        `SELECT gtin FROM checks, (SELECT min(gtin) AS low FROM checks), (SELECT max(gtin) AS high FROM checks)
           WHERE gtin >= low + ? * (high - low) ORDER BY gtin LIMIT 1`,
      )
      this.#facts = this.#database.prepare(`SELECT value FROM state WHERE name = 'facts'`)
      this.facts()
    } catch (error) {
      this.#database.close()
      throw error
    }
  }

  /** The product with this key, or null where there is none. Throws DamagedStore or SQLite's error where that can't be told. */
  find(key: GtinKey): Product | null {
    const { record, checksum } = this.#find.get(key) as { record: unknown; checksum: unknown }
    if (record === null && checksum === null) return null
    if (typeof record !== 'string' || checksum !== checksumOf(key, record)) {
      throw new DamagedStore(`the record of ${key} is damaged`)
    }
    return productOf(key, record)
  }

  /** The key of the product at that share (0 to 1) of the way from the first to the last; null where there is none. */
  someKey(share: number): GtinKey | null {
    const found = this.#some.get(share)
    return found === undefined ? null : Number(found.gtin)
  }

  /** Throws where they can't be read. */
  facts(): Facts {
    const row = this.#facts.get()
    if (row === undefined) throw new DamagedStore(`${this.path}: it was never finished`)
    return JSON.parse(String(row.value)) as Facts
  }

  /** Throws DamagedStore where the file has lost its end: each page is in it, or still in the log beside it. */
  checkLength(): void {
    const [pages, size] = ['page_count', 'page_size'].map((name) => {
      return Number(this.#database.prepare(`PRAGMA ${name}`).get()?.[name])
    }) as [number, number]
    const log = statSync(`${this.path}-wal`, { throwIfNoEntry: false })?.size ?? 0
    const length = statSync(this.path, { throwIfNoEntry: false })?.size
    // A file that was removed is still whole for whoever has it open.
    if (length === undefined || length + log >= pages * size) return
    throw new DamagedStore(`${this.path} has ${length} of ${pages * size} bytes`)
  }

  close(): void {
    this.#database.close()
  }
}

/** The bytes that the store takes on disk. */
export function bytesOf(path: string): number {
  return ['', '-wal'].reduce((sum, end) => sum + (statSync(path + end, { throwIfNoEntry: false })?.size ?? 0), 0)
}

/** The path of the newest store of a folder; null where there is none yet, or no folder. */
export function newestStore(folder: string): string | null {
  try {
    const [file] = storeFiles(folder)
    return file === undefined ? null : join(folder, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}
