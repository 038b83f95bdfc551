/**
 * `npm run test:long -- products`: the GTIN service's sync at full size. All 18 million products are loaded while the sync is killed again
 * and again, then a day's changes are added, with as many kills; after each, every product in force is compared with the catalog.
 *
 * `node scripts/gtin-long.ts [--kills N] [--sample N]`: takes some 25 minutes and 12 GiB below the temporary folder. Exit 0 when
 * nothing differs.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { productOf as productOfRecord } from '../gtin-service/product.ts'
import { checksumOf, newestStore } from '../gtin-service/store.ts'
import type { SyncReport } from '../gtin-service/sync/report.ts'
import { CATALOG_SIZE, productOf, SEED_NUMBER } from '../legacy-mock/catalog.ts'
import { parseDay } from '../legacy-mock/units.ts'

const PROJECT = join(import.meta.dirname, '..')
const MIB = 1_048_576
const { values } = parseArgs({ options: { kills: { type: 'string' }, sample: { type: 'string' } } })
const kills = Number(values.kills ?? 5)
const sample = Number(values.sample ?? 1)

/** The enterprise product as it stands on a day. */
async function startLegacy(day: string): Promise<{ from: string; child: ChildProcess }> {
  const flags = ['--listen', '127.0.0.1:0', '--latency', 'none', '--as-of', day]
  const child = spawn(process.execPath, ['legacy-mock/main.ts', ...flags], {
    cwd: PROJECT,
    stdio: ['ignore', 'pipe', 2],
  })
  const [line] = await once(child.stdout as NodeJS.ReadableStream, 'data')
  child.stdout?.resume()
  return { from: `${/http:\/\/\S+:\d+/.exec(String(line))?.[0]}/?sample=${sample}`, child }
}

function startSync(from: string, data: string): { child: ChildProcess; ended: Promise<SyncReport | null> } {
  const flags = ['--from', from, '--data', data, '--no-gzip', '--json']
  const child = spawn(process.execPath, ['gtin-service/main.ts', 'sync', ...flags], {
    cwd: PROJECT,
    stdio: ['ignore', 'pipe', 2],
  })
  let out = ''
  child.stdout?.on('data', (chunk) => (out += chunk))
  return { child, ended: once(child, 'close').then(() => (out === '' ? null : (JSON.parse(out) as SyncReport))) }
}

/** Runs syncs until one is done; the first ones are killed, each after `lastsMs` to three times as long. */
async function synced(day: string, data: string, toKill: number, lastsMs: number): Promise<void> {
  const { from, child: legacy } = await startLegacy(day)
  let seconds = 0
  for (let killed = 0; ; killed++) {
    const begun = performance.now()
    const { child, ended } = startSync(from, data)
    const lasts = lastsMs * (1 + 2 * Math.random())
    const report = killed < toKill ? await Promise.race([ended, wait(lasts, null)]) : await ended
    if (report === null) child.kill('SIGKILL')
    const last = report ?? (await ended)
    seconds += (performance.now() - begun) / 1_000
    if (last === null) continue
    legacy.kill('SIGTERM')
    if (last.outcome !== 'done') throw new Error(`sync ${last.outcome}: ${last.why}`)
    const { products, bytes, feed, merged, peakBytes } = last
    const counts = `${products} products, ${(bytes / MIB).toFixed(0)} MiB, ${feed.records} records read`
    console.log(
      `${day}: ${counts}, ${seconds.toFixed(0)} s in ${killed + 1} runs (the last one ${last.seconds.toFixed(0)} s)`,
    )
    console.log(`  memory of the last run ${(peakBytes / MIB).toFixed(0)} MiB; ${JSON.stringify(merged)}`)
    return
  }
}

/** Compares every product in force with the catalog of the day. Returns how many differ, and says how the first ones do. */
function differing(day: string, data: string): number {
  const database = new DatabaseSync(newestStore(data) as string, { readOnly: true })
  const rows = database
    .prepare(
      `SELECT p.gtin, p.record, c.checksum FROM products p NOT INDEXED JOIN products c INDEXED BY checks USING (gtin)
       ORDER BY p.gtin`,
    )
    .iterate()
  const dayNumber = parseDay(day) as number
  let differ = 0
  let compared = 0
  const tell = (gtin: string, what: string): void => {
    if (++differ <= 5) console.log(`  ${gtin}: ${what}`)
  }
  for (let number = SEED_NUMBER % sample; number < CATALOG_SIZE; number += sample) {
    const expected = productOf(number, dayNumber)
    if (expected.discontinued) continue
    const { value: row } = rows.next()
    compared++
    if (row === undefined || Number(row.gtin) !== Number(expected.gtin)) {
      tell(expected.gtin, `the store has ${row?.gtin} in its place`)
      break
    }
    const key = Number(row.gtin)
    const is = productOfRecord(key, String(row.record))
    const prices = is.prices.map((price) => `${price.store}:${price.regularRetail}:${price.specialRetail}`)
    const texts = [is.sku, is.size1, is.size2, is.style, is.description, is.color, is.supplier, is.class, is.subclass]
    const one = [...texts, is.subdivision, is.originalRetail, is.recommendRetail, ...prices].join('|')
    const { line, stores, supplier } = expected
    const list = stores.map((price) => `${price.store}:${price.regularCents}:${price.specialCents}`)
    const other = [
      ...[expected.sku, expected.size1, expected.size2, expected.style, expected.description, expected.color],
      ...[supplier.name, line.className, line.subclassName, line.subdivisionName],
      ...[expected.originalCents, expected.recommendCents, ...list],
    ].join('|')
    if (one !== other) tell(expected.gtin, `${one} instead of ${other}`)
    if (checksumOf(key, String(row.record)) !== row.checksum) tell(expected.gtin, 'its checksum differs')
  }
  if (rows.next().done !== true && differ === 0) tell('-', 'the store has more products')
  database.close()
  console.log(`${day}: ${compared} products compared, ${differ} differ`)
  return differ
}

const data = mkdtempSync(join(tmpdir(), 'gtin-long-'))
try {
  let differ = 0
  // A full load goes on where it was killed, changes begin again: kill those so early that a kill is sure to come before their end.
  for (const [day, lastsMs] of [
    ['2026-01-01', 15_000],
    ['2026-01-02', 4_000],
  ] as const) {
    await synced(day, data, kills, lastsMs)
    differ += differing(day, data)
  }
  process.exitCode = differ === 0 ? 0 : 1
} finally {
  rmSync(data, { recursive: true, force: true })
}
