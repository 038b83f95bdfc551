/**
 * Changes, guards and the end of a run: what is added, changed and removed; and what is refused before it does harm.
 */
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import nock from 'nock'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { Data } from '../../gtin-service/data.ts'
import { lockFolder } from '../../gtin-service/sync/folder.ts'
import { reportText } from '../../gtin-service/sync/report.ts'
import { CODES, enterprise, feed, folder, inForce, line, productsIn, sync, syncWithin, upc } from './feed.ts'

const ORIGIN = 'http://catalog.test'
const LINES = Array.from({ length: 40 }, (_, n) => line(n))
const gone = (n: number) => JSON.stringify({ REC_TYP: 'D', PROD_UPC: upc(n), ACT_IND: 'N' })

beforeEach(() => nock.disableNetConnect())
afterEach(() => {
  nock.cleanAll()
  nock.enableNetConnect()
})

function offer(body: string, since?: string): void {
  nock(ORIGIN).replyContentLength().get('/export/codes').reply(200, CODES)
  nock(ORIGIN)
    .replyContentLength()
    .get('/export/gtins')
    .query(since === undefined ? {} : { since })
    .reply(200, body)
}

/** A folder with the forty products. */
async function loaded(): Promise<string> {
  const data = folder()
  offer(feed(LINES))
  await sync(ORIGIN, data)
  return data
}

/** Without the log and its index that SQLite keeps beside a store that is open. */
function filesIn(data: string): string[] {
  const files = readdirSync(data).filter((name) => !/-(wal|shm)$/.test(name))
  return files.sort()
}

test('the second run asks for changes, and applies them', async () => {
  const data = await loaded()
  const changed = line(3, { PRC_ORIG_CENTS: 9_999 })
  offer(feed([changed, line(4), gone(5), gone(99), line(60)], { asOf: '2026-01-02' }), '2026-01-01')
  const report = await sync(ORIGIN, data)
  expect(report).toMatchObject({
    outcome: 'done',
    mode: 'incremental',
    since: '2026-01-01',
    asOf: '2026-01-02',
    products: 40,
  })
  expect(report.merged).toEqual({ added: 1, changed: 1, unchanged: 1, removed: 1, kept: 0 })
  const products = [...productsIn(data).values()]
  expect(products.find(({ sku }) => sku === '3')?.originalRetail).toBe(9_999)
  expect(products.map(({ sku }) => sku)).not.toContain('5')
  expect(filesIn(data)).toEqual(['gtin-000001.db', 'last-sync.json', 'sync.lock'])
  expect(JSON.parse(readFileSync(join(data, 'last-sync.json'), 'utf8'))).toEqual(report)
})

test('a run that finds nothing new keeps the file, and makes the data young', async () => {
  const data = await loaded()
  const before = inForce(data)
  offer(feed([line(4), gone(99)], { asOf: '2026-01-03' }), '2026-01-01')
  expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'done', asOf: '2026-01-03' })
  const after = inForce(data)
  expect(after).toEqual({ ...before, asOf: '2026-01-03', syncedAtMs: after?.syncedAtMs })
  expect(after?.syncedAtMs).toBeGreaterThanOrEqual(before?.syncedAtMs ?? 0)
})

test('a run that would remove too many products stops, and says so', async () => {
  const data = await loaded()
  const before = inForce(data)
  offer(feed(LINES.slice(3)))
  const report = await sync(ORIGIN, data, { full: true })
  expect(report).toMatchObject({ outcome: 'stopped', products: 40 })
  expect(report.why).toBe('it would remove 3 of 40 products, at most 5 % are allowed (--max-drop)')
  expect(inForce(data)).toEqual(before)
  expect(filesIn(data)).toEqual(['gtin-000001.db', 'last-sync.json', 'sync.lock'])
  offer(feed(LINES.slice(3)))
  expect(await sync(ORIGIN, data, { full: true, maxDropShare: 0.1 })).toMatchObject({ outcome: 'done', products: 37 })
})

test('a run that rejects too many records stops', async () => {
  const data = await loaded()
  offer(feed([line(1), ...Array.from({ length: 5 }, () => '{}')], { asOf: '2026-01-02' }), '2026-01-01')
  const report = await sync(ORIGIN, data)
  expect(report).toMatchObject({ outcome: 'stopped', products: 40, asOf: '2026-01-01' })
  expect(report.why).toMatch(/5 of 6 records were rejected, at most 5 %/)
  expect(reportText(report)).toMatch(/^ {2}unknown-record: 5, \{\}$/m)
})

test('a feed that is older than the data stops the run', async () => {
  const data = await loaded()
  offer(feed([line(1)], { asOf: '2025-12-31' }), '2026-01-01')
  expect(await sync(ORIGIN, data)).toMatchObject({
    outcome: 'stopped',
    why: expect.stringMatching(/older than the data/),
  })
})

test('a first feed without products stops the run', async () => {
  const data = folder()
  offer(feed([]))
  expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'stopped', why: 'the feed has no products' })
  expect(inForce(data)).toBeNull()
})

test('data that is gone, cut or overwritten is replaced by a full load', async () => {
  const data = await loaded()
  const path = () => join(data, inForce(data)?.file as string)
  const harms: [() => void, number][] = [
    [() => rmSync(path()), 0],
    [() => truncateSync(path(), 100), 1],
    [() => truncateSync(path(), 8_192), 1],
    [() => writeFileSync(path(), 'no database at all'), 1],
  ]
  for (const [harm, told] of harms) {
    harm()
    offer(feed(LINES))
    const events: string[] = []
    expect(await sync(ORIGIN, data, { events })).toMatchObject({ outcome: 'done', mode: 'full', products: 40 })
    expect(events).toHaveLength(told)
    for (const event of events) expect(event).toMatch(/^the current data can't be read \(.*\): reading all products$/)
    expect(productsIn(data).size).toBe(40)
  }
})

/** Overwrites some bytes of each page behind the first. */
function damagePages(data: string): void {
  const path = join(data, inForce(data)?.file as string)
  const bytes = readFileSync(path)
  for (let page = 4_096; page < bytes.length; page += 4_096) bytes.fill(0x5a, page, page + 8)
  writeFileSync(path, bytes)
}

test('pages that are damaged stop no sync: it reads all products in the same run', async () => {
  const data = await loaded()
  const sound = productsIn(data)
  damagePages(data)
  offer(feed([line(4)], { asOf: '2026-01-02' }), '2026-01-01')
  offer(feed(LINES, { asOf: '2026-01-02' }))
  expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'done', mode: 'full', products: 40, asOf: '2026-01-02' })
  expect(productsIn(data)).toEqual(sound)
})

test('pages that are damaged one by one stop no sync either', async () => {
  const first = await loaded()
  const sound = readFileSync(join(first, 'gtin-000001.db'))
  const expected = productsIn(first)
  for (let page = 4_096; page < sound.length; page += 4_096) {
    const data = folder()
    const bytes = Buffer.from(sound)
    bytes.fill(0xff, page, page + 100)
    writeFileSync(join(data, 'gtin-000001.db'), bytes)
    offer(feed([line(4)], { asOf: '2026-01-02' }), '2026-01-01')
    offer(feed(LINES, { asOf: '2026-01-02' }))
    expect(await sync(ORIGIN, data), `page at ${page}`).toMatchObject({ outcome: 'done', products: 40 })
    nock.cleanAll()
    // What no run has touched is mended when a lookup meets it, or by the next full load.
    offer(feed(LINES, { asOf: '2026-01-03' }))
    expect(await sync(ORIGIN, data, { full: true })).toMatchObject({ outcome: 'done', products: 40 })
    expect(productsIn(data)).toEqual(expected)
    nock.cleanAll()
  }
})

test('the guard against a loss of products holds although the data in force is damaged', async () => {
  for (const harm of [damagePages, (data: string) => truncateSync(join(data, 'gtin-000001.db'), 100)]) {
    const data = await loaded()
    harm(data)
    for (const full of [false, true]) {
      if (!full) offer(feed([line(4)], { asOf: '2026-01-02' }), '2026-01-01')
      offer(feed(LINES.slice(0, 30)))
      expect(await sync(ORIGIN, data, { full })).toMatchObject({
        outcome: 'stopped',
        why: 'it would remove 10 of 40 products, at most 5 % are allowed (--max-drop)',
      })
      nock.cleanAll()
    }
  }
})

test('and although the report of the last run is gone too, as far as a store tells', async () => {
  const data = await loaded()
  offer(feed(LINES))
  await sync(ORIGIN, data, { full: true })
  truncateSync(join(data, 'gtin-000002.db'), 100)
  rmSync(join(data, 'last-sync.json'))
  offer(feed(LINES.slice(0, 30)))
  expect(await sync(ORIGIN, data)).toMatchObject({
    outcome: 'stopped',
    why: 'it would remove 10 of 40 products, at most 5 % are allowed (--max-drop)',
  })
})

test('a product that a lookup found damaged is mended by the next run', async () => {
  const data = await loaded()
  const sound = productsIn(data)
  const database = new DatabaseSync(join(data, 'gtin-000001.db'))
  database.prepare(`UPDATE products SET record = '[]' WHERE gtin = ?`).run(Number(upc(3)))
  database.close()
  const source = new Data({ folder: data })
  onTestFinished(() => source.close())
  expect(() => source.find(Number(upc(3)))).toThrow(/damaged/)
  offer(feed(LINES))
  const events: string[] = []
  expect(await sync(ORIGIN, data, { events })).toMatchObject({ outcome: 'done', mode: 'full', products: 40 })
  expect(events).toEqual(['a lookup met a damaged product: reading all products'])
  expect(productsIn(data)).toEqual(sound)
  source.look()
  expect(source.find(Number(upc(3)))?.sku).toBe('3')
  offer(feed([line(4)]), '2026-01-01')
  expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'done', mode: 'incremental' })
})

test('a product that one of the two trees has lost is found by the changes that touch it', async () => {
  const data = await loaded()
  const sound = productsIn(data)
  const path = join(data, 'gtin-000001.db')
  const bytes = readFileSync(path)
  // In the index the key is a number of six bytes; it stands there twice.
  const key = Buffer.alloc(6)
  key.writeUIntBE(Number(upc(3)), 0, 6)
  bytes[bytes.indexOf(key) + 5]! ^= 1
  writeFileSync(path, bytes)
  offer(feed([line(3, { PRC_ORIG_CENTS: 1 })], { asOf: '2026-01-02' }), '2026-01-01')
  offer(feed(LINES, { asOf: '2026-01-02' }))
  expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'done', mode: 'full', products: 40 })
  expect(productsIn(data)).toEqual(sound)
})

test('old stores go, but for the one before', async () => {
  const data = folder()
  for (let run = 0; run < 4; run++) {
    offer(feed(LINES))
    expect(await sync(ORIGIN, data, { full: true })).toMatchObject({ outcome: 'done', products: 40 })
  }
  expect(readdirSync(data).filter((name) => name.endsWith('.db'))).toEqual(['gtin-000003.db', 'gtin-000004.db'])
})

test('one sync at a time: the second says so and touches nothing', async () => {
  const data = await loaded()
  const unlock = lockFolder(data)
  onTestFinished(unlock)
  const before = readFileSync(join(data, 'last-sync.json'))
  expect(await sync(ORIGIN, data)).toMatchObject({
    outcome: 'stopped',
    why: expect.stringMatching(/another sync/),
    products: 40,
    asOf: '2026-01-01',
  })
  expect(readFileSync(join(data, 'last-sync.json'))).toEqual(before)
})

test('a disk that is full: the old data stays, and a later run goes on', async () => {
  const data = await loaded()
  const before = inForce(data)
  nock.enableNetConnect()
  const changes = feed([line(70)], { asOf: '2026-01-02' })
  const from = await enterprise((response) => response.end(changes))
  const report = await syncWithin(16, from, data)
  expect(report).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/full|disk I\/O error/), products: 40 })
  expect(inForce(data)).toEqual(before)
  expect(await sync(from, data)).toMatchObject({ outcome: 'done', products: 41 })
})
