/**
 * The store: SQLite files in a data folder. Each full load is a file of its own, `gtin-000042.db`, and the newest counts:
 * renaming a finished file is the one atomic switch. Later changes are transactions in that file (WAL), so that readers
 * never wait and never see half of them.
 *
 * A record's checksum is in an index of its own: another tree of pages than the records. What damage hides from one of
 * them is still in the other, so that a damaged product is an error, and never another product or none.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import type { GtinKey } from './gtin.ts'
import { type Product, productOf } from './product.ts'

/** `codes` and `rejected` are the sync's own; the `facts` of `state` are one JSON object. */
export const SCHEMA = `
  CREATE TABLE products (gtin INTEGER PRIMARY KEY, record TEXT NOT NULL, checksum INTEGER NOT NULL);
  CREATE INDEX checks ON products (gtin, checksum);
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

/** The stores of a folder, the newest first. */
export function storeFiles(folder: string): string[] {
  const numberOf = (name: string): number => Number(/^gtin-(\d{6,})\.db$/.exec(name)?.[1])
  return readdirSync(folder)
    .filter((name) => numberOf(name) > 0)
    .sort((a, b) => numberOf(b) - numberOf(a))
}

/** The path of the newest store of a folder; null where there is none yet, or no folder. */
export function newestStore(folder: string): string | null {
  const [file] = statSync(folder, { throwIfNoEntry: false }) === undefined ? [] : storeFiles(folder)
  return file === undefined ? null : join(folder, file)
}

/** The bytes that the store takes on disk. */
export function bytesOf(path: string): number {
  return ['', '-wal'].reduce((sum, end) => sum + (statSync(path + end, { throwIfNoEntry: false })?.size ?? 0), 0)
}

/** The checksum that belongs to a record. */
export function checksumOf(key: GtinKey, record: string): number {
  return crc32(`${key} ${record}`)
}

/** One store file, opened for reading. Its methods throw DamagedStore or SQLite's error where something can't be read. */
export class Store {
  readonly path: string
  readonly #database: DatabaseSync
  readonly #find: StatementSync

  /** Throws where it is no store. */
  constructor(path: string) {
    this.path = path
    this.#database = new DatabaseSync(path, { readOnly: true })
    try {
      // Room for the upper levels of both trees of 18 million products: what is then read for a lookup is a page of each.
      this.#database.exec('PRAGMA cache_size = -65536')
      const format = this.#number('PRAGMA user_version', 'user_version')
      if (format !== FORMAT) throw new DamagedStore(`${path}: format ${format}, this version reads ${FORMAT}`)
      this.#find = this.#database.prepare(
        `SELECT (SELECT record FROM products NOT INDEXED WHERE gtin = ?1) AS record,
           (SELECT checksum FROM products INDEXED BY checks WHERE gtin = ?1) AS checksum`,
      )
      this.refresh()
      this.facts()
    } catch (error) {
      this.#database.close()
      throw error
    }
  }

  /** Shows the data as it is now. Between two calls it stays as it was: one transaction, where each lookup would need its own. */
  refresh(): void {
    if (this.#database.isTransaction) this.#database.exec('COMMIT')
    this.#database.exec('BEGIN')
  }

  /** The product with this key, or null where there is none. */
  find(key: GtinKey): Product | null {
    const { record, checksum } = this.#find.get(key) as { record: unknown; checksum: unknown }
    if (record === null && checksum === null) return null
    if (typeof record !== 'string' || checksum !== checksumOf(key, record)) {
      throw new DamagedStore(`the record of ${key} is damaged`)
    }
    return productOf(key, record)
  }

  facts(): Facts {
    const row = this.#database.prepare(`SELECT value FROM state WHERE name = 'facts'`).get()
    if (row === undefined) throw new DamagedStore(`${this.path}: it was never finished`)
    return JSON.parse(String(row.value)) as Facts
  }

  /** Throws where the file has lost its end: each page is in it, or still in the log beside it. */
  checkLength(): void {
    const expected = this.#number('PRAGMA page_count', 'page_count') * this.#number('PRAGMA page_size', 'page_size')
    const found = bytesOf(this.path)
    // A file that was removed is still whole for whoever has it open.
    if (found > 0 && found < expected) throw new DamagedStore(`${this.path} has ${found} of ${expected} bytes`)
  }

  /** Throws where some product, another one each time, can't be read. */
  probe(): void {
    const some = `SELECT gtin FROM products WHERE gtin >=
      (SELECT min(gtin) FROM products) + ? * ((SELECT max(gtin) FROM products) - (SELECT min(gtin) FROM products))`
    const key = this.#database.prepare(`${some} ORDER BY gtin LIMIT 1`).get(Math.random())?.gtin
    if (key !== undefined) this.find(Number(key))
  }

  close(): void {
    this.#database.close()
  }

  #number(query: string, column: string): number {
    return Number(this.#database.prepare(query).get()?.[column])
  }
}
