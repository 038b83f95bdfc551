/**
 * What a run needs to know of the store in force: what a full load changes in it and keeps of it, its codes, and what it
 * remembers as rejected.
 */
import { DatabaseSync } from 'node:sqlite'
import type { Codes, RejectReason } from './records.ts'
import type { MergeCounts, Unresolved } from './report.ts'
import type { Work } from './work.ts'

/**
 * Compares a full load with the store in force, which has `before` products, and takes over from it the products whose
 * record was rejected, and since when records are. Leaves the transaction open that `publish` ends. Throws SQLite's error,
 * with no transaction open, where that store can't be read.
 */
export function compareFull({ database }: Work, path: string, before: number): MergeCounts {
  database.prepare('ATTACH ? AS base').run(path)
  database.exec('PRAGMA base.cache_size = -131072; BEGIN')
  try {
    database.exec(
      `UPDATE main.rejected SET since = (SELECT since FROM base.rejected b WHERE b.subject = rejected.subject)`,
    )
    const keep = `INSERT INTO main.products SELECT * FROM base.products b WHERE gtin IN (SELECT gtin FROM main.rejected)
      AND NOT EXISTS (SELECT 1 FROM main.products m WHERE m.gtin = b.gtin)`
    const kept = Number(database.prepare(keep).run().changes)
    const pairs = database
      .prepare(
        `SELECT count(*) AS total, count(b.gtin) AS known, coalesce(sum(b.checksum = m.checksum), 0) AS same
           FROM main.products m INDEXED BY checks LEFT JOIN base.products b INDEXED BY checks USING (gtin)`,
      )
      .get() as { total: number; known: number; same: number }
    const { total, known, same } = pairs
    return { added: total - known, changed: known - same, unchanged: same - kept, removed: before - known, kept }
  } catch (error) {
    database.exec('ROLLBACK; DETACH base')
    throw error
  }
}

/** What is remembered in the store in force, by reason; nothing where that can't be read. */
export function unresolvedIn(path: string): Unresolved[] {
  const query = 'SELECT reason, count(*) AS count, min(since) AS since, min(line) AS line FROM rejected GROUP BY reason'
  try {
    return rowsIn(path, query).map(({ reason, count, since, line }) => {
      const sample = String(line).slice(0, 600)
      return { reason: reason as RejectReason, count: Number(count), since: String(since), sample }
    })
  } catch {
    return []
  }
}

/** A code that has another name than when the store was made; null where there is none. */
export function renamedCode(path: string, codes: Codes): string | null {
  for (const { grouping, code, name } of rowsIn(path, 'SELECT * FROM codes')) {
    const now = codes[grouping as keyof Codes].get(String(code))
    if (now !== undefined && now !== name) return `${grouping} ${code}`
  }
  return null
}

function rowsIn(path: string, query: string): Record<string, unknown>[] {
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    return database.prepare(query).all()
  } finally {
    database.close()
  }
}
