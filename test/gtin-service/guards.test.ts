/**
 * Changes, guards and the end of a run: what is added, changed and removed; and what is refused before it does harm.
 */
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import nock from 'nock'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { readCurrent } from '../../gtin-service/store/current.ts'
import { lockFolder } from '../../gtin-service/sync/lock.ts'
import { reportText } from '../../gtin-service/sync/report.ts'
import { CODES, feed, folder, line, productsIn, sync, upc } from './feed.ts'

const ORIGIN = 'http://catalog.test'
const LINES = Array.from({ length: 40 }, (_, n) => line(n))
const gone = (n: number) => JSON.stringify({ REC_TYP: 'D', PROD_UPC: upc(n), ACT_IND: 'N' })

beforeEach(() => nock.disableNetConnect())
afterEach(() => {
  nock.cleanAll()
  nock.enableNetConnect()
})

function offer(body: string, since?: string): void {
  nock(ORIGIN).get('/export/codes').reply(200, CODES)
  nock(ORIGIN)
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
  const products = [...(await productsIn(data)).values()]
  expect(products.find(({ sku }) => sku === '3')?.originalRetail).toBe(9_999)
  expect(products.map(({ sku }) => sku)).not.toContain('5')
  expect(readdirSync(data).sort()).toEqual([
    'current.json',
    'gen-000001.gtin',
    'gen-000002.gtin',
    'last-sync.json',
    'sync.lock',
  ])
  expect(JSON.parse(readFileSync(join(data, 'last-sync.json'), 'utf8'))).toEqual(report)
})

test('a run that finds nothing new keeps the file, and makes the data young', async () => {
  const data = await loaded()
  const before = readCurrent(data)
  offer(feed([line(4), gone(99)], { asOf: '2026-01-03' }), '2026-01-01')
  expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'done', asOf: '2026-01-03' })
  const after = readCurrent(data)
  expect(after).toEqual({ ...before, asOf: '2026-01-03', syncedAtMs: after?.syncedAtMs })
  expect(after?.syncedAtMs).toBeGreaterThanOrEqual(before?.syncedAtMs ?? 0)
})

test('a run that would remove too many products stops, and says so', async () => {
  const data = await loaded()
  const before = readCurrent(data)
  offer(feed(LINES.slice(3)))
  const report = await sync(ORIGIN, data, { full: true })
  expect(report).toMatchObject({ outcome: 'stopped', products: 40 })
  expect(report.why).toBe('it would remove 3 of 40 products, at most 5 % are allowed (--max-drop)')
  expect(readCurrent(data)).toEqual(before)
  expect(readdirSync(data)).not.toContain('gen-000002.gtin')
  offer(feed(LINES.slice(3)))
  expect(await sync(ORIGIN, data, { full: true, maxDropShare: 0.1 })).toMatchObject({ outcome: 'done', products: 37 })
})

test('a run that rejects too many records stops', async () => {
  const data = await loaded()
  offer(feed([line(1), ...Array.from({ length: 5 }, () => '{}')], { asOf: '2026-01-02' }), '2026-01-01')
  const report = await sync(ORIGIN, data)
  expect(report).toMatchObject({ outcome: 'stopped', products: 40, asOf: '2026-01-01' })
  expect(report.why).toMatch(/5 of 6 records were rejected, at most 5 %/)
  expect(reportText(report)).toMatch(/rejected, unknown-record: 5\n {4}\{\}\n/)
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
  expect(readCurrent(data)).toBeNull()
})

test('data that is gone or cut is replaced by a full load', async () => {
  const data = await loaded()
  for (const harm of [
    () => rmSync(join(data, 'gen-000001.gtin')),
    () => truncateSync(join(data, readCurrent(data)?.file as string), 100),
  ]) {
    harm()
    offer(feed(LINES))
    const events: string[] = []
    expect(await sync(ORIGIN, data, { events })).toMatchObject({ outcome: 'done', mode: 'full', products: 40 })
    expect(events).toEqual([expect.stringMatching(/a full load replaces it/)])
    expect((await productsIn(data)).size).toBe(40)
  }
})

test('a block that is damaged fails the run, and says what helps', async () => {
  const data = await loaded()
  const path = join(data, 'gen-000001.gtin')
  const bytes = readFileSync(path)
  bytes[100] = (bytes[100] as number) ^ 1
  writeFileSync(path, bytes)
  offer(feed([line(4)], { asOf: '2026-01-02' }), '2026-01-01')
  const report = await sync(ORIGIN, data)
  expect(report).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/damaged; remove current\.json/) })
  rmSync(join(data, 'current.json'))
  offer(feed(LINES))
  expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'done', products: 40 })
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

test.skipIf(!existsSync('/dev/full')).each(['sync/run-0001', 'gen-000002.gtin.part'])(
  'a disk that is full at %s: the old data stays, and a later run goes on',
  async (file) => {
    const data = await loaded()
    const before = readCurrent(data)
    nock(ORIGIN).get('/export/codes').reply(200, CODES)
    nock(ORIGIN)
      .get('/export/gtins')
      .query({ since: '2026-01-01' })
      .reply(200, () => {
        // The run is about to create this file, and will write to a device that is always full.
        symlinkSync('/dev/full', join(data, file))
        return feed([line(70)], { asOf: '2026-01-02' })
      })
    const report = await sync(ORIGIN, data)
    expect(report).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/ENOSPC/), retries: 0, products: 40 })
    expect(readCurrent(data)).toEqual(before)
    rmSync(join(data, file), { force: true })
    offer(feed([line(70)], { asOf: '2026-01-02' }), '2026-01-01')
    expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'done', products: 41 })
  },
)
