/**
 * What a run has read so far: a store of its own in the data folder, `sync.part`. After a full load it becomes the store
 * in force; the changes of a day are copied from it into that one. What was committed survives a kill at any moment.
 */
import { hash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { isDeepStrictEqual } from 'node:util'
import { recordOf } from '../product.ts'
import { checksumOf, SCHEMA } from '../store.ts'
import type { Change, Codes } from './records.ts'
import { emptyTally, reject, type Tally } from './report.ts'

/** What a run is to read. A later run goes on with what an earlier one has read only where all of it is the same. */
export interface Plan {
  /** The feed, without a password. */
  readonly from: string
  /** First day of change that counts; null for all products. */
  readonly since: string | null
  /** The name of the store in force; null where there is none. */
  readonly base: string | null
  readonly codes: readonly (readonly [grouping: string, code: string, name: string])[]
}

/** Where the reading stands. */
interface State {
  readonly plan: Plan
  readonly startedAtMs: number
  /** Where to go on; null for the beginning. */
  cursor: string | null
  /** The day that the data shows; null until the feed has been read to its end. */
  asOf: string | null
  tally: Tally
}

export function rowsOf(codes: Codes): Plan['codes'] {
  return Object.entries(codes).flatMap(([grouping, names]) => {
    return [...names].map(([code, name]) => [grouping, code, name] as const)
  })
}

export class Work {
  readonly path: string
  readonly database: DatabaseSync
  state: State
  #verified: State
  /** Whether anything is in these two tables: for almost all of a load nothing is, and they need not be looked at. */
  #hasRemoved: boolean
  #hasRejected: boolean
  readonly #statements: Readonly<Record<keyof typeof STATEMENTS, StatementSync>>

  /** Goes on with what an earlier run has read, or begins anew. */
  static open(folder: string, plan: Plan): Work {
    const path = join(folder, 'sync.part')
    try {
      const work = new Work(path, plan)
      if (isDeepStrictEqual(work.state.plan, plan)) return work
      work.close()
    } catch {
      // There is none, or it can't be read.
    }
    Work.discard(folder)
    return new Work(path, plan)
  }

  /** Forgets what was read. */
  static discard(folder: string): void {
    for (const end of ['', '-journal', '-wal', '-shm']) rmSync(join(folder, `sync.part${end}`), { force: true })
  }

  private constructor(path: string, plan: Plan) {
    this.path = path
    // Somebody may look into it while it grows.
    this.database = new DatabaseSync(path, { timeout: 10_000 })
    try {
      // New pages, which a load consists of, are not written twice by this journal.
      this.database.exec('PRAGMA journal_mode = TRUNCATE; PRAGMA cache_size = -131072')
      const first: State = { plan, startedAtMs: Date.now(), cursor: null, asOf: null, tally: emptyTally() }
      if (this.database.prepare('PRAGMA user_version').get()?.user_version === 0) this.#create(first)
      const run = this.database.prepare(`SELECT value FROM state WHERE name = 'run'`).get()
      this.state = JSON.parse(String(run?.value)) as State
      this.#verified = structuredClone(this.state)
      const names = Object.keys(STATEMENTS) as (keyof typeof STATEMENTS)[]
      const prepared = names.map((name) => [name, this.database.prepare(STATEMENTS[name])])
      this.#statements = Object.fromEntries(prepared) as Record<keyof typeof STATEMENTS, StatementSync>
      this.#hasRemoved = this.database.prepare('SELECT 1 FROM removed').get() !== undefined
      this.#hasRejected = this.database.prepare('SELECT 1 FROM rejected').get() !== undefined
      this.database.exec('BEGIN; SAVEPOINT unverified')
    } catch (error) {
      this.database.close()
      throw error
    }
  }

  #create(state: State): void {
    this.database.exec(`BEGIN; ${SCHEMA} CREATE TABLE removed (gtin INTEGER PRIMARY KEY)`)
    const insert = this.database.prepare('INSERT INTO codes VALUES (?, ?, ?)')
    for (const row of state.plan.codes) insert.run(...row)
    this.database.prepare(`INSERT INTO state VALUES ('run', ?)`).run(JSON.stringify(state))
    this.database.exec('COMMIT')
  }

  /** Takes a record. Of two for one product the later counts, and of a rejected one the one before it. */
  take(change: Change, line: string, mended: boolean): void {
    const { tally } = this.state
    tally.records++
    if (change.kind === 'reject') {
      reject(tally, change.reason, line)
      const subject = change.key === null ? hash('sha256', line) : String(change.key)
      this.#hasRejected = true
      this.#changes('reject', subject, change.key, change.reason, line)
    } else {
      if (mended) tally.mended++
      if (this.apply(change)) reject(tally, 'duplicate', line)
    }
  }

  /** Takes a product or its removal. Returns whether there was a change of that product before. */
  apply(change: Exclude<Change, { kind: 'reject' }>): boolean {
    const key = change.kind === 'put' ? change.product.key : change.key
    if (this.#hasRejected) this.#changes('resolve', String(key))
    if (change.kind === 'remove') {
      this.#hasRemoved = true
      const wasThere = this.#changes('delete', key)
      if (wasThere) this.#changes('uncheck', key)
      return !this.#changes('remove', key) || wasThere
    }
    const record = recordOf(change.product)
    const isNew = this.#changes('insert', key, record)
    if (!isNew) this.#changes('update', record, key)
    this.#changes('check', key, checksumOf(key, record))
    return (this.#hasRemoved && this.#changes('unremove', key)) || !isNew
  }

  /** Whether a statement changed a row. */
  #changes(name: keyof typeof STATEMENTS, ...values: (string | number | null)[]): boolean {
    return this.#statements[name].run(...values).changes !== 0
  }

  /** All that was taken is what was sent; `cursor` is where to go on, `asOf` the day of a feed that is at its end. */
  verified(cursor: string | null, asOf: string | null): void {
    this.state.cursor = cursor
    this.state.asOf = asOf
    this.#verified = structuredClone(this.state)
    this.database.exec('RELEASE unverified; SAVEPOINT unverified')
  }

  /** Forgets what was taken since the last checkpoint. */
  undo(): void {
    // After some failures of the disk SQLite has forgotten more than that.
    if (!this.database.isTransaction) return
    this.state = structuredClone(this.#verified)
    this.database.exec('ROLLBACK TO unverified')
  }

  /** Puts what is verified on disk, together with where to go on. */
  commit(): void {
    if (!this.database.isTransaction) return
    this.undo()
    this.database.prepare(`UPDATE state SET value = ? WHERE name = 'run'`).run(JSON.stringify(this.state))
    this.database.exec('COMMIT; BEGIN; SAVEPOINT unverified')
  }

  /** Ends the reading: nothing of it is open any longer. */
  finish(): void {
    this.commit()
    this.database.exec('COMMIT')
  }

  close(): void {
    this.database.close()
  }
}

const STATEMENTS = {
  insert: 'INSERT OR IGNORE INTO products VALUES (?, ?)',
  update: 'UPDATE products SET record = ? WHERE gtin = ?',
  check: 'INSERT OR REPLACE INTO checks VALUES (?, ?)',
  delete: 'DELETE FROM products WHERE gtin = ?',
  uncheck: 'DELETE FROM checks WHERE gtin = ?',
  remove: 'INSERT OR IGNORE INTO removed VALUES (?)',
  unremove: 'DELETE FROM removed WHERE gtin = ?',
  reject: `INSERT INTO rejected (subject, gtin, reason, line) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET reason = excluded.reason, line = excluded.line`,
  resolve: 'DELETE FROM rejected WHERE subject = ?',
} as const
