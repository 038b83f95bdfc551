/**
 * What the sync remembers: rejected records until they can be taken, the names behind codes, and when all was read last.
 */
import nock from 'nock'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Product } from '../../gtin-service/product.ts'
import { reportText } from '../../gtin-service/sync/report.ts'
import { CODES, enterprise, feed, folder, inForce, line, productsIn, sync, upc } from './feed.ts'

const ORIGIN = 'http://catalog.test'
const LINES = Array.from({ length: 40 }, (_, n) => line(n))
const NEW_SUPPLIER = { ...CODES, SUPP_CD: { ...CODES.SUPP_CD, '2002': 'ACME' } }
const RENAMED = { ...CODES, CLS_CD: { '1102': 'JERSEYS' } }

beforeEach(() => nock.disableNetConnect())
afterEach(() => {
  nock.cleanAll()
  nock.enableNetConnect()
})

/** One answer of the feed, and the code tables as they stand then. */
function offer(body: string, since: string | null, codes: object = CODES): void {
  nock(ORIGIN).replyContentLength().get('/export/codes').reply(200, codes)
  nock(ORIGIN)
    .replyContentLength()
    .get('/export/gtins')
    .query(since === null ? {} : { since })
    .reply(200, body)
}

const productOf = (data: string, n: number): Product | undefined => productsIn(data).get(Number(upc(n)))

/** A folder with the forty products of day 1; on day 2, product 500 and a change of 7 have a supplier without a name. */
async function dayTwo(): Promise<string> {
  const data = folder()
  offer(feed(LINES), null)
  await sync(ORIGIN, data)
  const changed = line(7, { SUPP_CD: '2002', PRC_ORIG_CENTS: 777 })
  offer(feed([changed, line(500, { SUPP_CD: '2002' }), line(8)], { asOf: '2026-01-02' }), '2026-01-01')
  const report = await sync(ORIGIN, data, { maxRejectShare: 0.9 })
  expect(report).toMatchObject({ outcome: 'done', mode: 'incremental', products: 40, merged: { kept: 1 } })
  expect(report.unresolved).toMatchObject([{ reason: 'unknown-code', count: 2, since: '2026-01-02' }])
  expect(inForce(data)?.unresolved).toBe(2)
  return data
}

test('a rejected record is told of in each run until its code has a name, and is then taken', async () => {
  const data = await dayTwo()
  for (const [since, asOf] of [
    ['2026-01-02', '2026-01-03'],
    ['2026-01-03', '2026-01-04'],
  ] as const) {
    offer(feed([line(9)], { asOf }), since)
    const report = await sync(ORIGIN, data)
    expect(report).toMatchObject({ outcome: 'done', resolved: 0, feed: { rejected: {} } })
    expect(report.unresolved).toMatchObject([{ reason: 'unknown-code', count: 2, since: '2026-01-02' }])
    expect(reportText(report)).toMatch(/unresolved since 2026-01-02, unknown-code: 2, \{"REC_TYP"/)
  }
  expect(productOf(data, 7)?.originalRetail).toBe(14_000)
  expect(productOf(data, 500)).toBeUndefined()
  offer(feed([line(9)], { asOf: '2026-01-05' }), '2026-01-04', NEW_SUPPLIER)
  const report = await sync(ORIGIN, data)
  expect(report).toMatchObject({ outcome: 'done', mode: 'incremental', resolved: 2, unresolved: [], products: 41 })
  expect(report.merged).toMatchObject({ added: 1, changed: 1 })
  expect(productOf(data, 7)).toMatchObject({ originalRetail: 777, supplier: 'ACME' })
  expect(productOf(data, 500)).toMatchObject({ supplier: 'ACME' })
  expect(inForce(data)?.unresolved).toBe(0)
})

test('what came later for the same product counts, and not what is remembered', async () => {
  const data = await dayTwo()
  const gone = JSON.stringify({ REC_TYP: 'D', PROD_UPC: upc(500) })
  offer(feed([line(7, { PRC_ORIG_CENTS: 888 }), gone], { asOf: '2026-01-03' }), '2026-01-02', NEW_SUPPLIER)
  expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'done', resolved: 0, unresolved: [], products: 40 })
  expect(productOf(data, 7)?.originalRetail).toBe(888)
})

test('a later rejected record takes the place of the one that is remembered, which keeps its day', async () => {
  const data = await dayTwo()
  offer(feed([line(7, { SUPP_CD: '2002', PRC_ORIG_CENTS: 999 })], { asOf: '2026-01-03' }), '2026-01-02')
  const report = await sync(ORIGIN, data, { maxRejectShare: 1 })
  expect(report.unresolved).toMatchObject([{ count: 2, since: '2026-01-02' }])
  offer(feed([line(9)], { asOf: '2026-01-04' }), '2026-01-03', NEW_SUPPLIER)
  expect(await sync(ORIGIN, data)).toMatchObject({ resolved: 2, unresolved: [] })
  expect(productOf(data, 7)?.originalRetail).toBe(999)
})

test('a full load forgets what its feed no longer says, and keeps the day of what it still says', async () => {
  const data = await dayTwo()
  offer(feed([...LINES, line(500, { SUPP_CD: '2002' })], { asOf: '2026-01-04' }), null)
  const report = await sync(ORIGIN, data, { full: true })
  expect(report.unresolved).toMatchObject([{ reason: 'unknown-code', count: 1, since: '2026-01-02' }])
})

test('a code with another name reaches every product', async () => {
  const data = folder()
  offer(feed(LINES), null)
  await sync(ORIGIN, data)
  offer(feed(LINES, { asOf: '2026-01-02' }), null, RENAMED)
  const events: string[] = []
  expect(await sync(ORIGIN, data, { events })).toMatchObject({ outcome: 'done', mode: 'full', merged: { changed: 40 } })
  expect(events).toEqual(['class 1102 has a new name: reading all products'])
  for (const product of productsIn(data).values()) expect(product.class).toBe('JERSEYS')
  offer(feed([line(1)], { asOf: '2026-01-03' }), '2026-01-02', RENAMED)
  expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'done', mode: 'incremental' })
})

test('a run that was begun under other names begins anew', async () => {
  const data = folder()
  nock(ORIGIN).replyContentLength().get('/export/codes').reply(200, CODES)
  nock(ORIGIN)
    .replyContentLength()
    .get('/export/gtins')
    .reply(200, feed(LINES, { every: 10, next: 'page-2' }))
  nock(ORIGIN).replyContentLength().get('/export/gtins').query({ cursor: 'page-2' }).reply(503)
  expect(await sync(ORIGIN, data, { attempts: 1 })).toMatchObject({ outcome: 'failed' })
  offer(feed(LINES), null, RENAMED)
  expect(await sync(ORIGIN, data)).toMatchObject({ outcome: 'done', resumed: false, products: 40 })
  expect(productOf(data, 1)?.class).toBe('JERSEYS')
})

test('all products are read again where that was last done too long ago', async () => {
  const data = folder()
  offer(feed(LINES), null)
  await sync(ORIGIN, data)
  offer(feed(LINES.slice(0, 39), { asOf: '2026-01-02' }), null)
  const events: string[] = []
  const report = await sync(ORIGIN, data, { fullEveryMs: 0, events })
  expect(report).toMatchObject({ outcome: 'done', mode: 'full', products: 39, merged: { removed: 1 } })
  expect(events).toEqual(['the last full load is too old: reading all products'])
})

test('a feed that repeats its cursors fails, and does not go on for ever', async () => {
  for (const cursors of [['a'], ['a', 'b'], ['x', 'y', 'a', 'b', 'c']]) {
    nock(ORIGIN).replyContentLength().get('/export/codes').reply(200, CODES)
    const next = (i: number) => cursors[i + 1] ?? 'a'
    nock(ORIGIN)
      .replyContentLength()
      .get('/export/gtins')
      .reply(200, feed([line(0)], { next: cursors[0] as string }))
    for (const [i, cursor] of cursors.entries()) {
      nock(ORIGIN)
        .replyContentLength()
        .persist()
        .get('/export/gtins')
        .query({ cursor })
        .reply(200, feed([line(i + 1)], { next: next(i) }))
    }
    expect(await sync(ORIGIN, folder())).toMatchObject({
      outcome: 'failed',
      why: expect.stringMatching(/^the feed repeats the cursor /),
      products: 0,
    })
    nock.cleanAll()
  }
})

test('nor does one whose answers break off behind checkpoints that go round in a circle', async () => {
  nock.enableNetConnect()
  const next: Record<string, string> = { '': 'a', a: 'b', b: 'a' }
  const from = await enterprise((response) => {
    const asked = new URL(response.req.url as string, 'http://x').searchParams.get('cursor') ?? ''
    const [record, checkpoint] = feed([line(0)], { every: 1 }).split('\n')
    const told = JSON.stringify({ ...JSON.parse(checkpoint as string), CURSOR: next[asked] })
    response.write(`${record}\n${told}\n`, () => response.destroy())
  })
  expect(await sync(from, folder())).toMatchObject({ outcome: 'failed', why: 'the feed repeats the cursor a' })
})

test('a line that is too long is one rejected record', async () => {
  const data = folder()
  offer(feed([...LINES, line(50, { PROD_DSC: 'x'.repeat(3_000_000) }), line(51)]), null)
  const report = await sync(ORIGIN, data)
  expect(report).toMatchObject({ outcome: 'done', products: 41, retries: 0, feed: { records: 42 } })
  expect(report.feed.rejected.malformed).toMatchObject({ count: 1, samples: [expect.stringMatching(/^\{"REC_TYP"/)] })
})
