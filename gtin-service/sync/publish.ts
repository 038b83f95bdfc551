/**
 * Brings what a run has read into force: compared with the store that is, and then in its place (a full load) or into it
 * (changes). In SQL, the run's work is `main` and the store in force `base`.
 */
import { DatabaseSync } from 'node:sqlite'
import type { Facts } from '../store.ts'
import { readLine } from './feed.ts'
import type { Codes, RejectReason } from './records.ts'
import type { MergeCounts, Unresolved } from './report.ts'
import type { Work } from './work.ts'

/** Begins the one transaction in which all of this happens. `path`: the store in force; null where it plays no part. */
export function beginPublishing(work: Work, path: string | null): void {
  const { database } = work
  if (path !== null) {
    database.prepare('ATTACH ? AS base').run(path)
    database.exec('PRAGMA base.cache_size = -131072')
  }
  database.exec('BEGIN')
}

const HAS_NEW = '(gtin IN (SELECT gtin FROM main.products) OR gtin IN (SELECT gtin FROM main.removed))'

/**
 * Reads again what was rejected earlier and has not come since, by the code tables of today; returns how many records can
 * be taken now.
 */
export function retryRejected(work: Work, codes: Codes): number {
  const remembered = work.database.prepare(
    `SELECT line FROM base.rejected WHERE gtin IS NOT NULL AND NOT ${HAS_NEW}
       AND subject NOT IN (SELECT subject FROM main.rejected)`,
  )
  let resolved = 0
  for (const { line } of remembered.all()) {
    const change = readLine(String(line), codes)
    if (change.kind === 'reject') continue
    work.apply(change)
    resolved++
  }
  return resolved
}

/** For a full load: products whose record was rejected stay as they are in force. Returns how many there are. */
export function keepRejected(work: Work): number {
  const kept = `FROM base.checks JOIN (SELECT DISTINCT gtin FROM main.rejected) USING (gtin) WHERE NOT ${HAS_NEW}`
  const keys = `SELECT gtin ${kept}`
  work.database.exec(`CREATE TEMP TABLE kept AS ${keys};
    INSERT INTO main.products SELECT * FROM base.products WHERE gtin IN (SELECT gtin FROM kept);
    INSERT INTO main.checks SELECT * FROM base.checks WHERE gtin IN (SELECT gtin FROM kept)`)
  return countOf(work, 'temp.kept')
}

/** What the work means for the store in force. `kept`: what `keepRejected` said, for a full load. */
export function compare(work: Work, before: number, kept: number | null): MergeCounts {
  const pairs = work.database
    .prepare(
      `SELECT count(*) AS total, count(b.gtin) AS known, coalesce(sum(b.checksum = m.checksum), 0) AS same
         FROM main.checks m LEFT JOIN base.checks b USING (gtin)`,
    )
    .get() as { total: number; known: number; same: number }
  const counts = { added: pairs.total - pairs.known, changed: pairs.known - pairs.same }
  if (kept !== null) return { ...counts, unchanged: pairs.same - kept, removed: before - pairs.known, kept }
  const inForce = 'base.checks WHERE gtin IN'
  return {
    ...counts,
    unchanged: pairs.same,
    removed: countOf(work, `${inForce} (SELECT gtin FROM main.removed)`),
    kept: countOf(work, `${inForce} (SELECT gtin FROM main.rejected) AND NOT ${HAS_NEW}`),
  }
}

export function countOf({ database }: Work, rows: string): number {
  return Number(database.prepare(`SELECT count(*) AS count FROM ${rows}`).get()?.count)
}

/** Makes a store of the work: it then only needs its name. `isBase`: whether the store before it could be read. */
export function finishFull(work: Work, facts: Omit<Facts, 'unresolved'>, isBase: boolean): void {
  const { database } = work
  const before = isBase ? '(SELECT since FROM base.rejected WHERE subject = main.rejected.subject)' : 'NULL'
  database.prepare(`UPDATE main.rejected SET since = coalesce(${before}, ?)`).run(facts.asOf)
  database.exec(`DROP TABLE main.removed; DELETE FROM main.state`)
  writeFacts(work, 'main', facts)
  database.exec('COMMIT')
  // Readers never wait for what is changed in it later.
  database.exec('PRAGMA main.journal_mode = WAL')
}

/** Applies the changes to the store in force, in one transaction. */
export function publishChanges(work: Work, facts: Omit<Facts, 'unresolved'>): void {
  const { database } = work
  const differs = 'LEFT JOIN base.checks b USING (gtin) WHERE b.checksum IS NOT m.checksum'
  database.prepare('UPDATE main.rejected SET since = ?').run(facts.asOf)
  database.exec(`
    INSERT OR REPLACE INTO base.products SELECT p.* FROM main.checks m JOIN main.products p USING (gtin) ${differs};
    INSERT OR REPLACE INTO base.checks SELECT m.* FROM main.checks m ${differs};
    DELETE FROM base.products WHERE gtin IN (SELECT gtin FROM main.removed);
    DELETE FROM base.checks WHERE gtin IN (SELECT gtin FROM main.removed);
    DELETE FROM base.rejected WHERE ${HAS_NEW};
    INSERT INTO base.rejected SELECT * FROM main.rejected WHERE true
      ON CONFLICT DO UPDATE SET reason = excluded.reason, line = excluded.line;
    INSERT OR REPLACE INTO base.codes SELECT * FROM main.codes`)
  writeFacts(work, 'base', facts)
  database.exec('COMMIT; PRAGMA base.wal_checkpoint(TRUNCATE)')
}

function writeFacts(work: Work, schema: 'main' | 'base', facts: Omit<Facts, 'unresolved'>): void {
  const all: Facts = { ...facts, unresolved: countOf(work, `${schema}.rejected`) }
  work.database.prepare(`INSERT OR REPLACE INTO ${schema}.state VALUES ('facts', ?)`).run(JSON.stringify(all))
}

/** What is remembered in the store in force, by reason. */
export function unresolvedIn(path: string): Unresolved[] {
  return reading(path, (database) => {
    const query =
      'SELECT reason, count(*) AS count, min(since) AS since, min(line) AS line FROM rejected GROUP BY reason'
    return database
      .prepare(query)
      .all()
      .map(({ reason, count, since, line }) => {
        const sample = String(line).slice(0, 600)
        return { reason: reason as RejectReason, count: Number(count), since: String(since), sample }
      })
  })
}

/** A code that has another name than when the store was made; null where there is none. */
export function renamedCode(path: string, codes: Codes): string | null {
  return reading(path, (database) => {
    for (const { grouping, code, name } of database.prepare('SELECT * FROM codes').iterate()) {
      const now = codes[grouping as keyof Codes].get(String(code))
      if (now !== undefined && now !== name) return `${grouping} ${code}`
    }
    return null
  })
}

function reading<T>(path: string, read: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    return read(database)
  } finally {
    database.close()
  }
}
