/**
 * The sync as a client: what the feed's server may do wrong, and what the sync makes of it. The data in force is the same
 * as before whenever a run does not end well.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import nock from 'nock'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { readGtin } from '../../gtin-service/gtin.ts'
import { retryAfterMs } from '../../gtin-service/sync/client.ts'
import { reportText } from '../../gtin-service/sync/report.ts'
import { freePort } from '../support/free-port.ts'
import { CODES, enterprise, feed, folder, line, productsIn, sync, upc } from './feed.ts'

const ORIGIN = 'http://catalog.test'
const LINES = Array.from({ length: 40 }, (_, n) => line(n))

beforeEach(() => nock.disableNetConnect())
afterEach(() => {
  nock.abortPendingRequests()
  nock.cleanAll()
  nock.enableNetConnect()
})

const codes = () => nock(ORIGIN).replyContentLength().get('/export/codes').reply(200, CODES)
const exported = () => nock(ORIGIN).replyContentLength().get('/export/gtins')
const exportedFrom = (cursor: string) => nock(ORIGIN).replyContentLength().get('/export/gtins').query({ cursor })
const keyOf = (n: number) => readGtin(upc(n)) as number

/** Bytes that end in an error of the connection. */
function brokenOff(text: string) {
  return () =>
    Readable.from(
      (async function* () {
        yield Buffer.from(text)
        throw Object.assign(new Error('aborted'), { code: 'ECONNRESET' })
      })(),
    )
}

test('a feed of several pages, gzip or not, is one load', async () => {
  codes()
  exported()
    .matchHeader('accept-encoding', 'gzip')
    .reply(200, gzipSync(feed(LINES.slice(0, 25), { next: 'page-2' })), { 'Content-Encoding': 'gzip' })
  exportedFrom('page-2').reply(200, feed(LINES.slice(25)))
  const data = folder()
  const report = await sync(ORIGIN, data)
  expect(report).toMatchObject({
    outcome: 'done',
    retries: 0,
    products: 40,
    feed: { records: 40 },
    merged: { added: 40 },
  })
  expect([...productsIn(data).keys()]).toEqual(LINES.map((_, n) => keyOf(n)).sort((a, b) => a - b))
})

test('an answer that breaks off goes on from its last checkpoint; what came after that is forgotten', async () => {
  codes()
  const lines = feed(LINES, { every: 10 }).split('\n')
  const cut = [...lines.slice(0, 24), line(99), '{"half of'].join('\n')
  exported().reply(200, brokenOff(cut))
  exportedFrom('20').reply(200, feed(LINES.slice(20), { before: 20 }))
  const data = folder()
  const events: string[] = []
  const report = await sync(ORIGIN, data, { events })
  expect(report).toMatchObject({ outcome: 'done', retries: 1, products: 40 })
  expect(report.feed).toEqual({ records: 40, mended: 0, rejected: {} })
  expect(productsIn(data).has(keyOf(99))).toBe(false)
  expect(events).toEqual([expect.stringMatching(/trying again/)])
})

test.each([500, 502, 503, 429, 408])('status %i is tried again', async (status) => {
  nock(ORIGIN).replyContentLength().get('/export/codes').reply(status).get('/export/codes').reply(200, CODES)
  exported().reply(status)
  exported().reply(200, feed(LINES))
  expect(await sync(ORIGIN, folder())).toMatchObject({ outcome: 'done', retries: 2 })
})

test('Retry-After is the least wait', async () => {
  codes()
  exported().reply(503, '', { 'Retry-After': '1' })
  exported().reply(200, feed(LINES))
  const events: string[] = []
  expect(await sync(ORIGIN, folder(), { events })).toMatchObject({ outcome: 'done', retries: 1 })
  expect(events[0]).toMatch(/status 503; trying again in 1\.0 s$/)
})

test.each([
  ['7', 7_000],
  ['Thu, 01 Jan 1970 00:01:00 GMT', 59_000],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['301', 0],
  ['soon', 0],
  [null, 0],
])('Retry-After: %s', (field, expected) => {
  expect(retryAfterMs(field, 1_000)).toBe(expected)
})

test('too many failures in a row end the run; the next one goes on, the data in force stays', async () => {
  codes()
  exported().reply(200, feed(LINES.slice(0, 30)))
  const data = folder()
  await sync(ORIGIN, data)
  const before = productsIn(data)

  codes()
  exported()
    .times(2)
    .reply(200, brokenOff(feed(LINES, { every: 10 }).slice(0, 9_000)))
  exportedFrom('20')
    .times(2)
    .replyWithError(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))
  const failed = await sync(ORIGIN, data, { attempts: 3, full: true })
  expect(failed).toMatchObject({ outcome: 'failed', products: 30, merged: null })
  expect(failed.why).toMatch(/refused/)
  expect(productsIn(data)).toEqual(before)

  nock.cleanAll()
  codes()
  exportedFrom('20').reply(200, feed(LINES.slice(20), { before: 20 }))
  const report = await sync(ORIGIN, data, { full: true })
  expect(report).toMatchObject({
    outcome: 'done',
    resumed: true,
    products: 40,
    feed: { records: 40 },
    merged: { added: 10 },
  })
})

test('a cursor that the feed has forgotten means from the beginning', async () => {
  codes()
  exported().reply(200, feed(LINES.slice(0, 25), { next: 'lost' }))
  exportedFrom('lost').reply(410)
  codes()
  exported().reply(200, feed(LINES))
  const events: string[] = []
  expect(await sync(ORIGIN, folder(), { events })).toMatchObject({
    outcome: 'done',
    products: 40,
    feed: { records: 40 },
  })
  expect(events).toEqual([expect.stringMatching(/from the beginning/)])
})

describe('what came is not what was sent', () => {
  const whole = feed(LINES)
  test.each([
    ['a byte changed', whole.replace('fuzzy', 'fussy'), /the checksum is/],
    ['a record is missing', whole.split('\n').slice(1).join('\n'), /39 records came, the feed counts 40/],
    ['no closing line', whole.split('\n').slice(0, -2).join('\n'), /without its closing line/],
    ['the closing line is cut', whole.slice(0, -20), /without its closing line/],
    ['lines behind the closing line', `${whole}${LINES[0]}\n`, /behind the closing line/],
    ['bytes behind the closing line', `${whole}x`, /behind the closing line/],
    ['a closing line without its columns', '{"REC_TYP":"T"}\n', /without its columns/],
    ['a line without end', 'x'.repeat(1_100_000), /without its closing line/],
    ['a page of HTML', '<html>Sign in</html>', /without its closing line/],
  ])('%s', async (_, body, why) => {
    codes()
    exported().times(2).reply(200, body)
    const data = folder()
    const report = await sync(ORIGIN, data, { attempts: 2 })
    expect(report).toMatchObject({ outcome: 'failed', retries: 1, products: 0 })
    expect(report.why).toMatch(why)
    expect(productsIn(data).size).toBe(0)
  })

  test('gzip that is cut, or damaged, is tried again', async () => {
    const zipped = gzipSync(whole)
    const damaged = Buffer.from(zipped)
    damaged.fill(0xff, 200, 260)
    nock.enableNetConnect()
    const bodies = [zipped.subarray(0, 300), damaged, Buffer.from(whole), zipped]
    const from = await enterprise((response) => {
      response.setHeader('Content-Encoding', 'gzip').end(bodies.shift())
    })
    expect(await sync(from, folder())).toMatchObject({ outcome: 'done', retries: 3, products: 40 })
  })

  test('code tables that are none are tried again, and then told', async () => {
    nock(ORIGIN).replyContentLength().get('/export/codes').times(2).reply(200, '{"SUBDIV_CD":{}}')
    const report = await sync(ORIGIN, folder(), { attempts: 2 })
    expect(report).toMatchObject({ outcome: 'failed', why: expect.stringMatching(/code tables: .*CLS_CD/) })
  })
})

test.each([
  ['before its head', ''],
  ['in mid-body', `HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n${LINES[0]}\n`],
])('a feed that falls silent %s is given up, and asked again', async (_, beginning) => {
  nock.enableNetConnect()
  let asked = 0
  const server = createServer((request, response) => {
    if (request.url === '/export/codes') response.end(JSON.stringify(CODES))
    else if (asked++ === 0) request.socket.write(beginning)
    else response.end(feed(LINES))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close().closeAllConnections())
  const events: string[] = []
  const from = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const report = await sync(from, folder(), { idleTimeoutMs: 2_000, events })
  expect(report).toMatchObject({ outcome: 'done', retries: 1, products: 40 })
  expect(events).toEqual([expect.stringMatching(/nothing came for 2 s/)])
})

describe('redirects', () => {
  test('are followed, relative and to another origin; the password stays at the first', async () => {
    nock(ORIGIN).replyContentLength().get('/export/codes').reply(302, '', { Location: '/v2/codes' })
    nock(ORIGIN).replyContentLength().get('/v2/codes').basicAuth({ user: 'sync', pass: 'p w' }).reply(200, CODES)
    exported().basicAuth({ user: 'sync', pass: 'p w' }).reply(307, '', { Location: 'http://bulk.test/all' })
    nock('http://bulk.test', { badheaders: ['authorization'] })
      .get('/all')
      .reply(200, feed(LINES))
    const report = await sync('http://sync:p%20w@catalog.test', folder())
    expect(report).toMatchObject({ outcome: 'done', products: 40, from: `${ORIGIN}/` })
    expect(JSON.stringify(report)).not.toMatch(/p%20w|p w/)
  })

  test.each([
    ['no place', undefined, /status 302/],
    ['a file', 'file:///etc/passwd', /no response: URL scheme must be a HTTP/],
    ['itself', `${ORIGIN}/export/codes`, /no response: redirect count exceeded/],
  ])('to %s end the run', async (_, location, why) => {
    nock(ORIGIN)
      .replyContentLength()
      .get('/export/codes')
      .times(30)
      .reply(302, '', location === undefined ? {} : { Location: location })
    expect(await sync(ORIGIN, folder(), { attempts: 1 })).toMatchObject({
      outcome: 'failed',
      why: expect.stringMatching(why),
    })
  })

  test('from https to http are refused', async () => {
    nock('https://catalog.test')
      .replyContentLength()
      .get('/export/codes')
      .reply(301, '', { Location: `${ORIGIN}/codes` })
    nock(ORIGIN).replyContentLength().get('/codes').reply(200, CODES)
    expect(await sync('https://catalog.test', folder())).toMatchObject({
      why: expect.stringMatching(/from https to http/),
    })
  })
})

test.each([401, 403, 404, 400])('status %i at the beginning is final', async (status) => {
  nock(ORIGIN).replyContentLength().get('/export/codes').reply(status)
  const report = await sync(ORIGIN, folder())
  expect(report).toMatchObject({ outcome: 'failed', retries: 0, why: `${ORIGIN}/export/codes: status ${status}` })
})

test('what the origin says in path and query is kept', async () => {
  nock(ORIGIN).replyContentLength().get('/erp/export/codes').reply(200, CODES)
  nock(ORIGIN).replyContentLength().get('/erp/export/gtins').query({ tenant: 'a' }).reply(200, feed(LINES))
  expect(await sync(`${ORIGIN}/erp/?tenant=a`, folder())).toMatchObject({ outcome: 'done' })
})

describe('records', () => {
  test('that are wrong are counted with samples; Latin-1 is read; of two the later counts', async () => {
    codes()
    const lines = [
      ...LINES,
      'no JSON at all',
      line(1, { PRC_ORIG_CENTS: 1 }),
      line(50, { SUPP_CD: 'x' }),
      line(51, { PROD_DSC: 'A d\u00e9cor\u00e9 sweater.' }),
    ]
    exported().reply(200, Buffer.from(latin1Feed(lines), 'latin1'))
    const data = folder()
    const report = await sync(ORIGIN, data, { maxRejectShare: 0.5 })
    expect(report).toMatchObject({ outcome: 'done', products: 41, feed: { records: 44, mended: 1 } })
    const { malformed, duplicate, 'unknown-code': unknown } = report.feed.rejected
    expect([malformed?.count, duplicate?.count, unknown?.count]).toEqual([1, 1, 1])
    expect(malformed?.samples).toEqual(['no JSON at all'])
    const products = productsIn(data)
    expect(products.get(keyOf(51))?.description).toBe('A d\u00e9cor\u00e9 sweater.')
    expect(products.get(keyOf(1))?.originalRetail).toBe(1)
  })

  test('rejected in a later run leave their product as it was', async () => {
    const data = folder()
    codes()
    exported().reply(200, feed(LINES))
    await sync(ORIGIN, data)
    codes()
    exported().reply(200, feed(LINES.map((one, n) => (n === 7 ? line(7, { SBCLS_CD: 'new' }) : one))))
    const report = await sync(ORIGIN, data, { full: true })
    expect(report).toMatchObject({ outcome: 'done', products: 40, merged: { kept: 1, unchanged: 39, removed: 0 } })
    expect(productsIn(data).has(keyOf(7))).toBe(true)
  })
})

/** A feed whose characters stand for single bytes, with the checksum of those. */
function latin1Feed(lines: readonly string[]): string {
  const text = Buffer.from(lines.map((one) => `${one}\n`).join(''), 'latin1')
  const sha256 = createHash('sha256').update(text).digest('hex')
  return `${text.toString('latin1')}${JSON.stringify({ REC_TYP: 'T', CNT: lines.length, AS_OF: '2026-01-01', NXT_CURSOR: null, SHA256: sha256 })}\n`
}

test('a feed that refuses connections is told once, by a run that has not read anything yet', async () => {
  nock.enableNetConnect()
  const report = await sync(`http://127.0.0.1:${await freePort()}`, folder(), { attempts: 1 })
  expect(report).toMatchObject({ outcome: 'failed', mode: null })
  expect(reportText(report)).toMatch(
    /^sync failed: 0 records read in [\d.]+ s; no data yet\n {2}why: \S+: no response: connect ECONNREFUSED 127\.0\.0\.1:\d+\n$/,
  )
})

test('the report of a run is for people, and says how an interrupted one goes on', async () => {
  codes()
  exported().reply(200, feed(LINES))
  const data = folder()
  expect(reportText(await sync(ORIGIN, data))).toMatch(
    /^sync done: full load, 40 records read in [\d.]+ s; data as of 2026-01-01\n {2}products: 40 added; 40 in all\n$/,
  )
  const before = await sync(ORIGIN, data, { signal: AbortSignal.abort() })
  expect(before).toMatchObject({ outcome: 'stopped', mode: null, why: 'interrupted before anything was read' })
  for (const [full, why] of [
    [true, 'interrupted; the next run resumes the full load'],
    [false, 'interrupted; the next run reads these changes again'],
  ] as const) {
    nock.cleanAll()
    codes()
    const ending = new AbortController()
    const asked = nock(ORIGIN).get('/export/gtins').query(true)
    asked.reply(() => {
      ending.abort()
      return [503, '']
    })
    expect(await sync(ORIGIN, data, { full, signal: ending.signal })).toMatchObject({ outcome: 'stopped', why })
  }
})
