/**
 * What goes wrong: sources that fail or wait, requests that are none, and that the service is there afterwards.
 */
import { connect } from 'node:net'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { placeOf } from '../../gtin-service/target.ts'
import { answerOf, ask, exchange, SEED, serve, sourceOf } from './raw.ts'

const TARGET = '/stores/3/gtins/123456789012'

test('a source that throws gives 503, is reported once for each message, and recovers', async () => {
  const reports: unknown[] = []
  const answers = [
    () => {
      throw new Error('disk')
    },
    () => {
      throw new Error('disk')
    },
    () => SEED,
    () => {
      throw new Error('disk again')
    },
    () => null,
  ]
  const { port } = await serve({
    source: { ...sourceOf([]), find: () => (answers.shift() as () => typeof SEED | null)() },
    report: (error) => reports.push((error as Error).message),
  })
  const first = await ask(port, 'GET', TARGET)
  expect(first).toMatchObject({ status: 503, body: '[node-1] Lookup failed.' })
  expect(first.headers['content-type']).toBe('text/plain; charset=utf-8')
  const statuses = []
  while (answers.length > 0) statuses.push((await ask(port, 'GET', TARGET)).status)
  expect(statuses).toEqual([503, 200, 503, 404])
  expect(reports).toEqual(['disk', 'disk again'])
  const { body } = await ask(port, 'GET', '/metrics')
  expect(body).toMatch(/^gtin_lookups_total\{outcome="failed"\} 3$/m)
})

test('a product that cannot be written is a failed lookup, not half an answer', async () => {
  const { port } = await serve({ source: sourceOf([{ ...SEED, originalRetail: 1.5 }]), report: () => {} })
  expect((await ask(port, 'GET', TARGET)).status).toBe(503)
})

test('a client that leaves before it has its answer harms nobody', async () => {
  const asked = Promise.withResolvers<void>()
  const find = () => {
    asked.resolve()
    socket.destroy()
    return SEED
  }
  const { port } = await serve({ source: { ...sourceOf([]), find } })
  const socket = connect(port, '127.0.0.1', () => socket.write(`GET ${TARGET} HTTP/1.1\r\nHost: a\r\n\r\n`))
  await asked.promise
  expect((await ask(port, 'GET', TARGET)).status).toBe(200)
})

test('garbage behind a request ends the connection behind its answer', async () => {
  const { port } = await serve()
  const text = await exchange(port, `GET ${TARGET} HTTP/1.1\r\nHost: a\r\n\r\n\x00garbage\r\n\r\n`)
  expect([...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1])).toEqual(['200'])
})

test.each([
  ['garbage', 'garbage\r\n\r\n', 400],
  ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ['two lengths', `POST ${TARGET} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx`, 400],
  [
    'length and chunks',
    `POST ${TARGET} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ['two Hosts', `GET ${TARGET} HTTP/1.1\r\nHost: a\r\nhost: b\r\nConnection: close\r\n\r\n`, 400],
  ['no Host', `GET ${TARGET} HTTP/1.1\r\nConnection: close\r\n\r\n`, 400],
  ['an unknown method', `FETCH ${TARGET} HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
  ['a target of 20 KB', `GET /stores/3/gtins/${'1'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 431],
  ['a head of 20 KB', `GET ${TARGET} HTTP/1.1\r\nHost: a\r\nX: ${'1'.repeat(20_000)}\r\n\r\n`, 431],
  ['an expectation nobody meets', `GET ${TARGET} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: tea\r\n\r\n`, 417],
])('%s is refused, and the next client is served', async (_, bytes, status) => {
  const { port } = await serve()
  expect(answerOf(await exchange(port, bytes)).status).toBe(status)
  expect((await ask(port, 'GET', TARGET)).status).toBe(200)
})

test('HTTP/1.0 needs no Host', async () => {
  const { port } = await serve()
  expect(answerOf(await exchange(port, `GET ${TARGET} HTTP/1.0\r\n\r\n`)).status).toBe(200)
})

test('CONNECT ends the connection; an upgrade is answered as the request it also is', async () => {
  const { port } = await serve()
  expect(await exchange(port, 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n')).toBe('')
  const upgrade = ['Connection: upgrade, close', 'Upgrade: websocket']
  const text = await exchange(port, `GET ${TARGET} HTTP/1.1\r\nHost: a\r\n${upgrade.join('\r\n')}\r\n\r\n`)
  expect(answerOf(text).status).toBe(200)
})

test('a body that a GET or a POST brings along is read past', async () => {
  const { port } = await serve()
  const body = 'x'.repeat(300_000)
  const framed = `Host: a\r\nContent-Length: ${body.length}\r\n`
  const text = await exchange(
    port,
    `GET ${TARGET} HTTP/1.1\r\n${framed}\r\n${body}POST ${TARGET} HTTP/1.1\r\n${framed}Connection: close\r\n\r\n${body}`,
  )
  expect([...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => match[1])).toEqual(['200', '405'])
})

test('every text names a place', () => {
  const piece = fc.constantFrom('/', 'stores', 'gtins', 'health', 'check', '%', '%2f', '%33', '?', '*', 'http://', '12')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece).map((pieces) => pieces.join('')),
      ),
      (target) => {
        const place = placeOf(target)
        expect(placeOf(target)).toEqual(place)
        if (place.kind === 'moved') expect(placeOf(place.location).kind).toMatch(/^(lookup|health)$/)
      },
    ),
  )
})
