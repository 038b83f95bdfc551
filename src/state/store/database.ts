/**
 * The state in an SQLite file. Every method waits for the disk: it is for the thread of the store only.
 */
import { closeSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { makeFolderNow } from '../make-folder.ts'
import {
  type ChangedRecord,
  type HeldLease,
  HOUR_MS,
  hourOf,
  type Messages,
  type NewRecord,
  type SpaceBounds,
  StateError,
  type StateFault,
  type StateRecord,
  type Sum,
  Totals,
  type TotalsTerms,
  type WriteOutcome,
  type WriteTerms,
} from './store.ts'

/** Of the file. A newer one is refused. */
const FORMAT = 1
/** "bnyn": tells the file from those of other programs. */
const APPLICATION_ID = 0x626e796e

/** The bounds of a file. */
export interface DatabaseBounds {
  readonly bytes: number
  /** Messages that are kept of a topic. */
  readonly messages: number
  /** How long another program that has locked the file is waited for. */
  readonly lockedMs: number
}

export const DATABASE_BOUNDS: DatabaseBounds = { bytes: 64 * 1024 * 1024, messages: 1000, lockedMs: 1000 }

/** No hour is greater. */
const MAX_HOUR = Number.MAX_SAFE_INTEGER

/** Sums are removed, the oldest hours first, until this part of the bound is in use. */
const PART_IN_USE = 0.75

const SCHEMA = `
CREATE TABLE records (space TEXT, grp TEXT, key TEXT, version INTEGER, at_ms INTEGER, value TEXT,
  PRIMARY KEY (space, grp, key)) WITHOUT ROWID;
CREATE INDEX records_by_time ON records (space, at_ms);
CREATE TABLE sums (space TEXT, hour INTEGER, grp TEXT, key TEXT, counts TEXT,
  PRIMARY KEY (space, hour, grp, key)) WITHOUT ROWID;
CREATE TABLE leases (lease TEXT PRIMARY KEY, token INTEGER, holder TEXT, until_ms REAL) WITHOUT ROWID;
CREATE TABLE messages (topic TEXT, position INTEGER, text TEXT, PRIMARY KEY (topic, position)) WITHOUT ROWID;
CREATE TABLE topics (topic TEXT PRIMARY KEY, position INTEGER) WITHOUT ROWID;
PRAGMA application_id = ${APPLICATION_ID};
PRAGMA user_version = ${FORMAT};
`

interface SumRow {
  readonly hour: number
  readonly grp: string
  readonly key: string
  readonly counts: string
}

interface RecordRow {
  readonly grp: string
  readonly key: string
  readonly version: number
  readonly at_ms: number
  readonly value: string
}

/** An open file. Methods throw a `StateError`. */
export class StateDatabase {
  readonly #file: string
  readonly #bounds: DatabaseBounds
  readonly #now: () => number
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  /**
   * Opens the file, and creates it if there is none. One that is damaged is moved aside, and another one begun.
   * @param now epoch milliseconds
   * @param onDamage called with a message of one line
   */
  static open(
    file: string,
    onDamage: (message: string) => void,
    bounds: DatabaseBounds = DATABASE_BOUNDS,
    now: () => number = Date.now,
  ): StateDatabase {
    try {
      return new StateDatabase(file, bounds, now)
    } catch (error) {
      if (!(error instanceof StateError && error.fault === 'corrupt')) throw error
      const aside = `${file}.damaged`
      told(file, () => {
        renameSync(file, aside)
        // What it would still have done belongs to the file that is gone.
        rmSync(`${file}-journal`, { force: true })
      })
      onDamage(`${file} is corrupt, moved to ${aside}: starting without what was stored`)
      return new StateDatabase(file, bounds, now)
    }
  }

  private constructor(file: string, bounds: DatabaseBounds, now: () => number) {
    this.#file = file
    this.#bounds = bounds
    this.#now = now
    this.#db = this.#told(() => {
      makeFolderNow(dirname(file))
      createPrivate(file)
      return new DatabaseSync(file, { timeout: bounds.lockedMs })
    })
    try {
      this.#told(() => this.#prepare())
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  close(): void {
    this.#db.close()
  }

  read(space: string, group: string, key: string): StateRecord | null {
    const row = this.#told(() =>
      this.#run('SELECT * FROM records WHERE space = ? AND grp = ? AND key = ?').get(space, group, key),
    )
    return row === undefined ? null : recordOf(row as unknown as RecordRow)
  }

  list(space: string): StateRecord[] {
    const rows = this.#all<RecordRow>('SELECT * FROM records WHERE space = ? ORDER BY at_ms, grp, key', space)
    return rows.map(recordOf)
  }

  write(
    space: string,
    group: string,
    key: string,
    value: string | null,
    { expected, fence }: WriteTerms = {},
  ): WriteOutcome {
    return this.#atOnce(() => {
      if (fence !== undefined && this.#lease(fence.lease)?.token !== fence.token) return { kind: 'fenced' }
      const record = this.read(space, group, key)
      if (expected !== undefined && expected !== (record?.version ?? 0)) return { kind: 'changed', record }
      if (value === null) {
        this.#remove(space, group, key)
        return { kind: 'done', version: 0 }
      }
      return { kind: 'done', version: this.#put(space, { group, key, value }) }
    })
  }

  add(space: string, sums: readonly Sum[], records: readonly ChangedRecord[] = [], bounds: SpaceBounds = {}): void {
    try {
      this.#atOnce(() => this.#add(space, sums, records, bounds))
    } catch (error) {
      if (!(error instanceof StateError && error.fault === 'full')) throw error
      // The bound of the file, or a full disk: in both cases what is oldest goes first.
      this.#atOnce(() => this.#dropOldest())
      this.#atOnce(() => this.#add(space, sums, records, bounds))
    }
  }

  sums(space: string, sinceHour = 0, group?: string): Sum[] {
    return this.#told(() => [...this.#sums(space, { sinceHour, ...(group === undefined ? {} : { group }) })])
  }

  totals(space: string, terms: TotalsTerms): Sum[] {
    const totals = new Totals()
    this.#told(() => {
      for (const sum of this.#sums(space, terms)) totals.add(sum)
    })
    return totals.all
  }

  *#sums(space: string, { sinceHour, untilHour = MAX_HOUR, group }: TotalsTerms): Iterable<Sum> {
    const what = `SELECT * FROM sums WHERE space = ? AND hour >= ? AND hour < ?${group === undefined ? '' : ' AND grp = ?'} ORDER BY hour`
    const rows = this.#run(what).iterate(space, sinceHour, untilHour, ...(group === undefined ? [] : [group]))
    for (const row of rows) {
      const { hour, grp, key, counts } = row as unknown as SumRow
      yield { group: grp, key, hour, counts: countsOf(counts) }
    }
  }

  forget(space: string, group: string): void {
    this.#atOnce(() => {
      this.#run('DELETE FROM records WHERE space = ? AND grp = ?').run(space, group)
      this.#run('DELETE FROM sums WHERE space = ? AND grp = ?').run(space, group)
    })
  }

  acquire(lease: string, holder: string, ttlMs: number): HeldLease {
    return this.#atOnce(() => {
      const known = this.#lease(lease)
      const nowMs = this.#now()
      const isOpen = known === null || known.until_ms <= nowMs
      if (!isOpen && known.holder !== holder) {
        return { lease, holder: known.holder, token: known.token, restMs: known.until_ms - nowMs }
      }
      const token = (known?.token ?? 0) + (isOpen ? 1 : 0)
      this.#run('INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)').run(lease, token, holder, nowMs + ttlMs)
      return { lease, holder, token, restMs: ttlMs }
    })
  }

  release({ lease, token }: Pick<HeldLease, 'lease' | 'token'>): void {
    this.#atOnce(() => this.#run('UPDATE leases SET until_ms = 0 WHERE lease = ? AND token = ?').run(lease, token))
  }

  publish(topic: string, text: string): number {
    return this.#atOnce(() => {
      const position = this.position(topic) + 1
      this.#run('INSERT OR REPLACE INTO topics VALUES (?, ?)').run(topic, position)
      this.#run('INSERT INTO messages VALUES (?, ?, ?)').run(topic, position, text)
      this.#run('DELETE FROM messages WHERE topic = ? AND position <= ?').run(topic, position - this.#bounds.messages)
      return position
    })
  }

  position(topic: string): number {
    const [row] = this.#all<{ position: number }>('SELECT position FROM topics WHERE topic = ?', topic)
    return row?.position ?? 0
  }

  messages(topic: string, after: number): Messages {
    const last = this.position(topic)
    const messages = this.#all<{ position: number; text: string }>(
      'SELECT position, text FROM messages WHERE topic = ? AND position > ? ORDER BY position',
      topic,
      after,
    ).map(({ position, text }) => ({ position, text }))
    const first = messages[0]?.position ?? last + 1
    // A position that is not reached yet is of another file.
    return { messages, isGap: first > after + 1 || after > last }
  }

  /** Creates the tables, or checks those that are there. */
  #prepare(): void {
    this.#db.exec('PRAGMA trusted_schema = OFF')
    // What is forgotten may be a secret that somebody has put under `redact` since.
    this.#db.exec('PRAGMA secure_delete = ON')
    const isEmpty = this.#pragma('page_count') === 0
    const pages = Math.floor(this.#bounds.bytes / this.#pragma('page_size'))
    this.#db.exec(`PRAGMA max_page_count = ${pages}`)
    if (isEmpty) {
      this.#db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`)
      return
    }
    if (this.#pragma('application_id') !== APPLICATION_ID)
      throw new StateError('failed', `${this.#file} is not a file of banyan: move it away`)
    const format = this.#pragma('user_version')
    if (format > FORMAT) {
      const what = `${this.#file} has format ${format}, and this banyan reads up to ${FORMAT}`
      throw new StateError('newer', `${what}: use the later banyan, or another --state`)
    }
    const flaws = this.#db.prepare('PRAGMA quick_check(1)').get()?.quick_check
    if (flaws !== 'ok') throw new StateError('corrupt', `${this.#file}: ${flaws}`)
  }

  #pragma(name: string): number {
    return Number(Object.values(this.#db.prepare(`PRAGMA ${name}`).get() ?? {})[0] ?? 0)
  }

  #add(space: string, sums: readonly Sum[], records: readonly ChangedRecord[], bounds: SpaceBounds): void {
    for (const { group, key, hour, counts } of sums) {
      const place = [space, hour, group, key] as const
      const known = this.#run('SELECT counts FROM sums WHERE space = ? AND hour = ? AND grp = ? AND key = ?').get(
        ...place,
      )
      const total: Record<string, number> = known === undefined ? {} : countsOf(String(known.counts))
      for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count
      this.#run('INSERT OR REPLACE INTO sums VALUES (?, ?, ?, ?, ?)').run(...place, JSON.stringify(total))
    }
    for (const { group, key, value } of records) {
      if (value === null) this.#remove(space, group, key)
      else this.#put(space, { group, key, value })
    }
    this.#keepWithin(space, bounds)
  }

  #remove(space: string, group: string, key: string): void {
    this.#run('DELETE FROM records WHERE space = ? AND grp = ? AND key = ?').run(space, group, key)
  }

  #put(space: string, { group, key, value }: NewRecord): number {
    const version = (this.read(space, group, key)?.version ?? 0) + 1
    this.#run('INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)').run(
      ...[space, group, key, version, this.#now(), value],
    )
    return version
  }

  #keepWithin(space: string, { records, hours }: SpaceBounds): void {
    if (hours !== undefined) {
      const sinceHour = hourOf(this.#now()) - hours
      this.#run('DELETE FROM sums WHERE space = ? AND hour < ?').run(space, sinceHour)
      this.#run('DELETE FROM records WHERE space = ? AND at_ms < ?').run(space, sinceHour * HOUR_MS)
    }
    if (records === undefined) return
    this.#run(
      `DELETE FROM records WHERE space = ?1 AND (grp, key) IN
        (SELECT grp, key FROM records WHERE space = ?1 ORDER BY at_ms DESC LIMIT -1 OFFSET ?2)`,
    ).run(space, records)
  }

  /** Removes the sums of the oldest hours: their pages are used again. */
  #dropOldest(): void {
    const most = (this.#bounds.bytes / this.#pragma('page_size')) * PART_IN_USE
    do {
      const [oldest] = this.#all<{ hour: number | null }>('SELECT min(hour) AS hour FROM sums')
      if (oldest?.hour == null) return
      this.#run('DELETE FROM sums WHERE hour = ?').run(oldest.hour)
    } while (this.#pragma('page_count') - this.#pragma('freelist_count') > most)
  }

  #lease(lease: string): { token: number; holder: string; until_ms: number } | null {
    const [row] = this.#all<{ token: number; holder: string; until_ms: number }>(
      'SELECT token, holder, until_ms FROM leases WHERE lease = ?',
      lease,
    )
    return row ?? null
  }

  #all<Row>(text: string, ...args: SQLInputValue[]): Row[] {
    return this.#told(() => this.#run(text).all(...args)) as unknown as Row[]
  }

  #run(text: string): StatementSync {
    const known = this.#statements.get(text)
    if (known !== undefined) return known
    const made = this.#db.prepare(text)
    this.#statements.set(text, made)
    return made
  }

  /** Runs `work` in one transaction. */
  #atOnce<T>(work: () => T): T {
    return this.#told(() => {
      this.#db.exec('BEGIN IMMEDIATE')
      try {
        const result = work()
        this.#db.exec('COMMIT')
        return result
      } catch (error) {
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
        throw error
      }
    })
  }

  #told<T>(work: () => T): T {
    return told(this.#file, work)
  }
}

function recordOf({ grp, key, version, at_ms, value }: RecordRow): StateRecord {
  return { group: grp, key, version, value, atMs: at_ms }
}

/** Counts as stored; what is none is left out. */
function countsOf(text: string): Record<string, number> {
  try {
    return Object.fromEntries(Object.entries(JSON.parse(text)).filter(isCount))
  } catch {
    return {}
  }
}

function isCount(entry: [string, unknown]): entry is [string, number] {
  return typeof entry[1] === 'number'
}

/** Creates the file if there is none: SQLite would let others read it. */
function createPrivate(file: string): void {
  try {
    closeSync(openSync(file, 'a', 0o600))
  } catch (error) {
    // What can't be written may still be read.
    if (!['EROFS', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** By primary result code of SQLite (https://sqlite.org/rescode.html). */
const FAULTS: Readonly<Record<number, StateFault>> = {
  5: 'locked',
  6: 'locked',
  8: 'read-only',
  11: 'corrupt',
  13: 'full',
  26: 'corrupt',
}

const CODES: Readonly<Record<string, StateFault>> = {
  EROFS: 'read-only',
  EACCES: 'read-only',
  EPERM: 'read-only',
  ENOSPC: 'full',
  EDQUOT: 'full',
}

/** Turns errors of SQLite and of the file system into those of the store. */
function told<T>(file: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof StateError) throw error
    const { errcode, code = '', message } = error as NodeJS.ErrnoException & { errcode?: number }
    const fault = errcode === undefined ? CODES[code] : FAULTS[errcode & 0xff]
    throw new StateError(fault ?? 'failed', `${file}: ${message}`)
  }
}
