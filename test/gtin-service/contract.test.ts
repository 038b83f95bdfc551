/**
 * The contract, row by row, over real sockets.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { represent } from '../../gtin-service/product.ts'
import { answerOf, ask, exchange, SEED, serve, sourceOf } from './raw.ts'

/** The JSON as the original sends it, around the host's name. */
const SEED_REST =
  ',"gtin":"123456789012","sku":"1234567890","size1":"SMALL","size2":"4","style":"0123456",' +
  '"originalRetail":"140.00","recommendRetail":"160.00","subdivisionName":"WOMEN\'S SWEATERS",' +
  '"className":"SWEATERS","subclassName":"FUZZY (2-4MM)","description":"A warm fuzzy sweater.",' +
  '"color":"FUSCHIA SA","supplierName":"iSWEATR","storeDetail":[{"storeNumber":"3",' +
  '"price":{"regularRetail":"120.00","specialRetail":"15.00"}}]}'
const SEED_JSON = `{"host":"node-1"${SEED_REST}`
const JSON_TYPE = 'application/json; charset=utf-8'
const TEXT = 'text/plain; charset=utf-8'

test('the seed product: exact bytes, 421 and the length of the name, and the headers', async () => {
  const { port } = await serve()
  const answer = await ask(port, 'GET', '/stores/3/gtins/123456789012')
  expect(answer.status).toBe(200)
  expect(answer.body).toBe(SEED_JSON)
  expect(Buffer.byteLength(answer.body)).toBe(421 + 'node-1'.length)
  expect(Object.keys(answer.headers).sort()).toEqual(
    ['cache-control', 'connection', 'content-length', 'content-type', 'date', 'etag'].sort(),
  )
  expect(answer.headers).toMatchObject({
    'content-type': JSON_TYPE,
    'content-length': '427',
    'cache-control': 'public, max-age=60',
    etag: expect.stringMatching(/^"[\w-]+"$/),
  })
  expect(new Date(answer.headers.date as string).getTime()).not.toBeNaN()
})

test('the machine is the name where none is given', async () => {
  const { hostname } = await import('node:os')
  const { startGtinService } = await import('../../gtin-service/service.ts')
  const service = await startGtinService({ source: sourceOf([SEED]) })
  const answer = await ask(service.port, 'GET', '/stores/3/gtins/123456789012')
  await service.close()
  expect(answer.body).toBe(`{"host":${JSON.stringify(hostname())}${SEED_REST}`)
})

test.each([
  '/stores/3/gtins/0123456789012',
  '/stores/3/gtins/00123456789012',
  '/stores/3/gtins/1-23456-78901-2',
  '/stores/3/gtins/1%2023456%2078901%202',
  '/stores/3/gtins/%31%32%33456789012',
  '/stores/3/gtins/123456789012?x=1&gtin=4/5%zz',
  '/stores/3/gtins/123456789012?',
  '/st%6fres/%33/%67tins/123456789012',
  '/stores/999/gtins/123456789012',
  '/stores/No%20such%2Fstore%FF/gtins/123456789012',
  '/stores/health/gtins/123456789012',
  '/stores//gtins/123456789012',
  'http://gtin.test:99/stores/3/gtins/123456789012',
  '/stores/3/gtins/123456789012%0D%0A',
  '/stores/3/gtins/%EF%BC%91%EF%BC%92%EF%BC%93456789012',
  '/stores/3/gtins/123456789012%C2%A0',
  '/stores/3/gtins/(01)00123456789012',
  '/stores/3/gtins/%5DC10100123456789012%1D10ABC',
  '/stores/3/gtins/https:%2F%2Fid.gs1.org%2F01%2F00123456789012%3F17=270101',
])('GET %s is the seed product', async (target) => {
  const { port } = await serve()
  const answer = await ask(port, 'GET', target)
  expect(answer).toMatchObject({ status: 200, body: SEED_JSON })
})

test.each([
  '/stores/3/gtins/123456789013',
  '/stores/3/gtins/012345678905',
  '/stores/3/gtins/10123456789019',
  '/stores/3/gtins/abc',
  '/stores/3/gtins/%FF',
  '/stores/3/gtins/123456789012%2F',
  '/stores/3/gtins/check',
  '/stores/3/gtins/123456789012+',
])('GET %s is not found: literal brackets, no newline', async (target) => {
  const { port } = await serve()
  const answer = await ask(port, 'GET', target)
  expect(answer).toMatchObject({ status: 404, body: '[node-1] GTIN not found.' })
  expect(answer.headers).toMatchObject({ 'content-type': TEXT, 'content-length': '24' })
  expect(answer.headers).not.toHaveProperty('etag')
})

test.each([
  '/',
  '/stores',
  '/stores/3/gtins',
  '/stores/3/gtins/',
  '/stores/3/gtins//',
  '/stores/3/gtins/123456789012//',
  '/stores/3/gtins/123456789012/x',
  '/Stores/3/gtins/123456789012',
  '/stores/3/gtin/123456789012',
  '//stores/3/gtins/123456789012',
  'http://gtin.test',
  'http://gtin.test?/stores/3/gtins/123456789012',
])('GET %s is no page', async (target) => {
  const { port } = await serve()
  for (const method of ['GET', 'POST', 'OPTIONS']) {
    const answer = await ask(port, method, target)
    expect(answer).toMatchObject({ status: 404, body: '404 page not found' })
    expect(answer.headers).toMatchObject({ 'content-type': TEXT, 'content-length': '18' })
  }
})

test.each([
  '/stores/3/gtins/12%',
  '/stores/3/gtins/12%3',
  '/stores/%zz/gtins/123456789012',
  '/%',
  '/stores/3/gtins/%3?%34',
])('GET %s has a bad escape', async (target) => {
  const { port } = await serve()
  const answer = await ask(port, 'GET', target)
  expect(answer).toMatchObject({ status: 400, body: '400 Bad Request', headers: { 'content-type': TEXT } })
})

test('a UPC-E finds its GTIN-12, unless a number of 8 digits is on file', async () => {
  const wide = { ...SEED, key: 12345000065 }
  const { port } = await serve({ source: sourceOf([wide]) })
  const { body } = await ask(port, 'GET', '/stores/3/gtins/01234565')
  expect(JSON.parse(body)).toMatchObject({ gtin: '012345000065' })
  const both = await serve({ source: sourceOf([wide, { ...SEED, key: 1234565 }]) })
  expect(JSON.parse((await ask(both.port, 'GET', '/stores/3/gtins/01234565')).body)).toMatchObject({ gtin: '01234565' })
})

test('a trailing slash moves to the path without it, and keeps the query', async () => {
  const { port } = await serve()
  const moved = await ask(port, 'GET', '/stores/%33/gtins/1-23456789012/?a=b/&c=%20')
  expect(moved).toMatchObject({ status: 301, body: '', headers: { 'content-length': '0' } })
  expect(moved.headers.location).toBe('/stores/%33/gtins/1-23456789012?a=b/&c=%20')
  const health = await ask(port, 'HEAD', '/stores/health/gtins/check/')
  expect(health).toMatchObject({ status: 301, headers: { location: '/stores/health/gtins/check' } })
  const absolute = await ask(port, 'GET', 'http://elsewhere.test/stores/3/gtins/123456789012/')
  expect(absolute.headers.location).toBe('/stores/3/gtins/123456789012')
})

test('HEAD has the head of GET and no body', async () => {
  const { port } = await serve()
  for (const target of ['/stores/3/gtins/123456789012', '/stores/3/gtins/1', '/stores/health/gtins/check', '/x']) {
    const get = await ask(port, 'GET', target)
    const head = await ask(port, 'HEAD', target)
    expect(head).toEqual({ ...get, body: '', headers: { ...get.headers, date: head.headers.date } })
  }
})

test('OPTIONS says what is allowed, on the route and for the server', async () => {
  const { port } = await serve()
  for (const target of ['/stores/3/gtins/123456789012', '/stores/3/gtins/x', '/stores/health/gtins/check', '*']) {
    const answer = await ask(port, 'OPTIONS', target)
    expect(answer).toMatchObject({ status: 204, body: '', headers: { allow: 'GET, HEAD, OPTIONS' } })
    expect(answer.headers).not.toHaveProperty('content-length')
  }
})

test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'PURGE'])('%s is not allowed', async (method) => {
  const { port } = await serve()
  for (const target of [
    '/stores/3/gtins/123456789012',
    '/stores/3/gtins/123456789012/',
    '/stores/health/gtins/check',
  ]) {
    const answer = await ask(port, method, target)
    expect(answer).toMatchObject({ status: 405, body: '405 Method Not Allowed' })
    expect(answer.headers).toMatchObject({ allow: 'GET, HEAD, OPTIONS', 'content-type': TEXT })
  }
})

test('the asked store comes first where it is known', async () => {
  const prices = ['3', '5', '7'].map((store) => ({ store, regularRetail: 100, specialRetail: 5 }))
  const { port } = await serve({ source: sourceOf([{ ...SEED, prices }]) })
  const orderFor = async (asked: string) => {
    const { body } = await ask(port, 'GET', `/stores/${asked}/gtins/123456789012`)
    return JSON.parse(body)
      .storeDetail.map((detail: { storeNumber: string }) => detail.storeNumber)
      .join()
  }
  expect(await orderFor('3')).toBe('3,5,7')
  expect(await orderFor('5')).toBe('5,3,7')
  expect(await orderFor('%37')).toBe('7,3,5')
  expect(await orderFor('999')).toBe('3,5,7')
})

test('text outside ASCII and amounts below one are answered whole', async () => {
  const odd = { ...SEED, description: 'Żółw "süß" \u2028', originalRetail: 7, recommendRetail: 0, prices: [] }
  const { port } = await serve({ name: 'wę"zeł', source: sourceOf([odd]) })
  const answer = await ask(port, 'GET', '/stores/3/gtins/123456789012')
  expect(answer.headers['content-length']).toBe(String(Buffer.byteLength(answer.body)))
  expect(JSON.parse(answer.body)).toMatchObject({
    host: 'wę"zeł',
    description: odd.description,
    originalRetail: '0.07',
    recommendRetail: '0.00',
    storeDetail: [],
  })
  expect((await ask(port, 'GET', '/stores/3/gtins/1')).body).toBe('[wę"zeł] GTIN not found.')
})

test('cents are written exactly, and what is no amount is refused', () => {
  const amountIn = (cents: number): string =>
    (JSON.parse(represent('h', { ...SEED, originalRetail: cents }, '').body) as { originalRetail: string })
      .originalRetail
  fc.assert(
    fc.property(fc.maxSafeNat(), (cents) => {
      const text = amountIn(cents)
      expect(text).toMatch(/^(0|[1-9]\d*)\.\d\d$/)
      expect(Number(text.replace('.', ''))).toBe(cents)
    }),
  )
  for (const wrong of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => amountIn(wrong)).toThrow(RangeError)
})

test('health is the exact pair, says Healthy, and must not be stored', async () => {
  const { port } = await serve()
  const healthy = await ask(port, 'GET', '/stores/health/gtins/check?now=1')
  expect(healthy).toMatchObject({ status: 200, body: 'Healthy' })
  expect(healthy.headers).toMatchObject({ 'content-type': TEXT, 'cache-control': 'no-store' })
})

test('health gives the reason while lookups cannot be answered', async () => {
  const { port } = await serve({ source: { ...sourceOf([]), trouble: () => 'store is loading' } })
  const sick = await ask(port, 'GET', '/stores/health/gtins/check')
  expect(sick).toMatchObject({ status: 503, body: 'store is loading', headers: { 'content-type': TEXT } })
})

test('answers on one kept-alive connection come in the order asked', async () => {
  const { port } = await serve()
  const get = (target: string, last = '') => `GET ${target} HTTP/1.1\r\nHost: a\r\n${last}\r\n`
  const text = await exchange(
    port,
    get('/stores/3/gtins/123456789012') + get('/stores/3/gtins/1') + get('/', 'Connection: close\r\n'),
  )
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1])
  expect(statuses).toEqual(['200', '404', '404'])
  expect(answerOf(text).headers['keep-alive']).toBe('timeout=65')
})
