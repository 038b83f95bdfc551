/**
 * What a run has read, in a store. A full load fills one of its own in the data folder, `sync.part`: what was committed
 * survives a kill at any moment, and a later run goes on from there. Changes go into the store in force, in one
 * transaction: until the run ends well no reader sees them, and a kill leaves none.
 */
import { hash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { isDeepStrictEqual } from 'node:util'
import { recordOf } from '../product.ts'
import { checksumOf, DamagedStore, type Facts, SCHEMA } from '../store.ts'
import { type Batch, type FeedRecord, readLine } from './feed.ts'
import { PART } from './folder.ts'
import type { Change, Codes } from './records.ts'
import { emptyTally, reject, type Tally } from './report.ts'

/** Where the reading stands. */
export interface State {
  /** The feed, without a password, the store in force, and the names behind codes: a run with others can't go on with this. */
  readonly from: string
  readonly base: string | null
  readonly codes: readonly (readonly [grouping: string, code: string, name: string])[]
  readonly startedAtMs: number
  /** Where to go on; null for the beginning. */
  cursor: string | null
  /** The day that the data shows; null until the feed has been read to its end. */
  asOf: string | null
  tally: Tally
}

/** A reading that begins. */
export function newState(from: string, base: string | null, codes: Codes): State {
  const rows = Object.entries(codes).flatMap(([grouping, names]) => {
    return [...names].map(([code, name]) => [grouping, code, name] as const)
  })
  return { from, base, codes: rows, startedAtMs: Date.now(), cursor: null, asOf: null, tally: emptyTally() }
}

const STATEMENTS = {
  insert: 'INSERT OR IGNORE INTO products VALUES (?, ?, ?)',
  update: 'UPDATE products SET record = ?2, checksum = ?3 WHERE gtin = ?1',
  delete: 'DELETE FROM products WHERE gtin = ?',
  reject: `INSERT INTO rejected (subject, gtin, reason, line) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET reason = excluded.reason, line = excluded.line`,
  resolve: 'DELETE FROM rejected WHERE subject = ?',
  code: 'INSERT OR REPLACE INTO codes VALUES (?, ?, ?)',
  state: 'INSERT OR REPLACE INTO state VALUES (?, ?)',
} as const

export class Work {
  readonly database: DatabaseSync
  readonly isFull: boolean
  readonly state: State
  /** What changes have done to the store in force. */
  readonly counts = { added: 0, changed: 0, unchanged: 0, removed: 0 }
  /** The products that changes told of. A full load finds them in its store. */
  readonly #seen = new Set<number>()
  /** Whether any record is remembered as rejected: for almost all of a load there is none to look for. */
  #hasRejected: boolean
  readonly #statements = new Map<keyof typeof STATEMENTS, StatementSync>()
  readonly #checksum: StatementSync

  /** For a full load: goes on with what an earlier run has read, or begins anew. */
  static full(folder: string, state: State): Work {
    const path = join(folder, PART)
    try {
      const work = new Work(path, state, true)
      const { from, base, codes } = work.state
      if (isDeepStrictEqual([from, base, codes], [state.from, state.base, state.codes])) return work
      work.close()
    } catch {
      // There is none, or it can't be read.
    }
    Work.discard(folder)
    return new Work(path, state, true)
  }

  /** For the changes of the store at `path`. */
  static changes(path: string, state: State): Work {
    return new Work(path, state, false)
  }

  /** Forgets what a full load has read. */
  static discard(folder: string): void {
    for (const end of ['', '-journal', '-wal', '-shm']) rmSync(join(folder, PART + end), { force: true })
  }

  private constructor(path: string, state: State, isFull: boolean) {
    this.isFull = isFull
    this.state = state
    // Somebody may look into it while it grows.
    this.database = new DatabaseSync(path, { timeout: 10_000 })
    try {
      this.database.exec('PRAGMA cache_size = -131072')
      if (isFull) this.state = this.#begun(state)
      else this.database.exec('BEGIN IMMEDIATE')
      this.#hasRejected = this.database.prepare('SELECT 1 FROM rejected').get() !== undefined
      this.#checksum = this.database.prepare('SELECT checksum FROM products INDEXED BY checks WHERE gtin = ?')
    } catch (error) {
      this.database.close()
      throw error
    }
  }

  /** Where a full load stands, which may begin here. */
  #begun(first: State): State {
    // New pages, which a load consists of, are not written twice by this journal.
    this.database.exec('PRAGMA journal_mode = TRUNCATE')
    if (this.database.prepare('PRAGMA user_version').get()?.user_version === 0) {
      this.database.exec(`BEGIN; ${SCHEMA}`)
      this.#changes('state', 'run', JSON.stringify(first))
      this.database.exec('COMMIT')
    }
    const row = this.database.prepare(`SELECT value FROM state WHERE name = 'run'`).get()
    return JSON.parse(String(row?.value)) as State
  }

  /** Takes what is verified; a full load puts it on disk, together with where to go on. */
  take({ records, cursor, asOf }: Batch): void {
    if (this.isFull) this.database.exec('BEGIN')
    for (const record of records) this.#takeOne(record)
    this.state.cursor = cursor
    this.state.asOf = asOf
    if (!this.isFull) return
    this.#changes('state', 'run', JSON.stringify(this.state))
    this.database.exec('COMMIT')
  }

  /** Of two records for one product the later counts, and of a rejected one the one before it. */
  #takeOne({ change, line, mended }: FeedRecord): void {
    const { tally } = this.state
    tally.records++
    if (change.kind === 'reject') {
      reject(tally, change.reason, line)
      this.#hasRejected = true
      const subject = change.key === null ? hash('sha256', line) : String(change.key)
      this.#changes('reject', subject, change.key, change.reason, line)
      return
    }
    if (mended) tally.mended++
    if (this.#apply(change)) reject(tally, 'duplicate', line)
  }

  /** Takes a product or its removal. Returns whether there was a record of that product before. */
  #apply(change: Exclude<Change, { kind: 'reject' }>): boolean {
    const key = change.kind === 'put' ? change.product.key : change.key
    const wasSeen = this.#seen.has(key)
    if (!this.isFull) this.#seen.add(key)
    if (this.#hasRejected) this.#changes('resolve', String(key))
    if (change.kind === 'remove') {
      const wasThere = this.#changes('delete', key)
      if (wasThere) this.counts.removed++
      return this.isFull ? wasThere : wasSeen
    }
    const record = recordOf(change.product)
    const row = [key, record, checksumOf(key, record)] as const
    if (!this.isFull) this.#change(row)
    else if (!this.#changes('insert', ...row)) return this.#changes('update', ...row)
    return wasSeen
  }

  /** Brings a product into the store in force. Throws DamagedStore where its two trees disagree. */
  #change(row: readonly [key: number, record: string, checksum: number]): void {
    const [key, , checksum] = row
    const known = this.#checksum.get(key)?.checksum
    if (known === checksum) this.counts.unchanged++
    else {
      this.counts[known === undefined ? 'added' : 'changed']++
      const isDone = this.#changes(known === undefined ? 'insert' : 'update', ...row)
      if (!isDone) throw new DamagedStore(`the record of ${key} is damaged`)
    }
  }

  /** Reads again what is remembered, by the code tables of today; returns how many records can be taken now. */
  retryRejected(codes: Codes): number {
    let resolved = 0
    for (const { line } of this.database.prepare('SELECT line FROM rejected WHERE gtin IS NOT NULL').all()) {
      const change = readLine(String(line), codes)
      if (change.kind === 'reject') continue
      this.#apply(change)
      resolved++
    }
    return resolved
  }

  count(rows: string): number {
    return Number(this.database.prepare(`SELECT count(*) AS count FROM ${rows}`).get()?.count)
  }

  /** Makes a store of the work, or changes the one in force: ends the transaction that is open. */
  publish(facts: Omit<Facts, 'unresolved'>): void {
    this.database.prepare('UPDATE rejected SET since = ? WHERE since IS NULL').run(facts.asOf)
    for (const row of this.state.codes) this.#changes('code', ...row)
    this.database.exec(`DELETE FROM state`)
    this.#changes('state', 'facts', JSON.stringify({ ...facts, unresolved: this.count('rejected') } satisfies Facts))
    // Readers never wait for what is changed in it later.
    this.database.exec('COMMIT; PRAGMA main.journal_mode = WAL; PRAGMA main.wal_checkpoint(TRUNCATE)')
  }

  /** Runs a statement. Returns whether it changed a row. */
  #changes(name: keyof typeof STATEMENTS, ...values: (string | number | null)[]): boolean {
    let statement = this.#statements.get(name)
    if (statement === undefined) {
      statement = this.database.prepare(STATEMENTS[name])
      this.#statements.set(name, statement)
    }
    return statement.run(...values).changes !== 0
  }

  /** Whatever is not committed is forgotten. */
  close(): void {
    this.database.close()
  }
}
