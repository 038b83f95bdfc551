/**
 * Answers that break a rule of HTTP: what is taken all the same, what an upstream with `lenient: true` may say, and what a
 * client gets of the rest.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import type { RawResponse } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const [upstream, legacy] = await Promise.all([scriptedUpstream(), scriptedUpstream((request) => request.ok('legacy'))])
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  main: { servers: ["http://127.0.0.1:${upstream.port}"], ejection: false }
  lenient: { servers: ["http://127.0.0.1:${upstream.port}"], lenient: true }
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  narrow: { servers: ["http://127.0.0.1:${upstream.port}"], maxHeaderSize: 1KiB, maxHeaderFields: 5 }
default: main
routes:
  - { id: lenient, match: { path: /lenient }, to: lenient, percent: 100 }
  - { id: narrow, match: { path: /narrow }, to: narrow, percent: 100 }
  - { id: backed, match: { path: /backed }, from: legacy, to: main, percent: 100, fallback: {}, breaker: false }
  - { id: cached, match: { path: /cached }, from: legacy, to: main, percent: 100, cache: {} }
`,
})
afterAll(() => Promise.all([banyan.stop(), upstream.stop(), legacy.stop()]))
beforeEach(() => upstream.cut())

async function get(path: string, answer: string): Promise<RawResponse> {
  const client = await rawClient(banyan.port)
  await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
  await (await upstream.request()).send(answer)
  return await client.nextResponse()
}

async function repaired(name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  return Number(new RegExp(`^banyan_server_repaired_total\\{upstream="${name}".*\\} (.*)$`, 'm').exec(text)?.[1])
}

const headOf = (fields: string): string => `HTTP/1.1 200 OK\r\n${fields}Content-Length: 2\r\n\r\nok`

test('an upstream may have limits of its own for heads', async () => {
  const long = headOf(`X-Long: ${'x'.repeat(1500)}\r\n`)
  const many = headOf('X-A: 1\r\n'.repeat(6))
  expect((await get('/wide', long)).status).toBe(200)
  expect((await get('/wide', many)).status).toBe(200)
  expect((await get('/narrow', headOf('X-A: 1\r\n'))).status).toBe(200)
  for (const answer of [long, many])
    expect(await get('/narrow', answer)).toMatchObject({
      status: 502,
      body: { text: expect.stringContaining('response-malformed') },
    })
})

const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

test.each([
  ['a head of a CGI program, all of its lines with LF alone', 'HTTP/1.0 200 OK\nContent-Length: 2\n\nok'],
  ['blanks behind the sizes of chunks', `${CHUNKED}2   \r\nok\r\n0   \r\n\r\n`],
])('%s: the answer passes, and is counted', async (_, answer) => {
  const before = await repaired('main')
  expect(await get('/', answer)).toMatchObject({ status: 200, body: { text: 'ok' } })
  expect(await repaired('main')).toBe(before + 1)
})

test('leading zeros of a chunk size pass, and are nothing to count', async () => {
  const before = await repaired('main')
  const answer = `${CHUNKED}${'0'.repeat(20)}2\r\nok\r\n${'0'.repeat(16)}\r\n\r\n`
  expect(await get('/', answer)).toMatchObject({ status: 200, body: { text: 'ok' } })
  expect(await repaired('main')).toBe(before)
})

describe('chunked with a length', () => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'

  test('is refused', async () => {
    expect((await get('/', answer)).status).toBe(502)
  })

  test('from a lenient upstream the chunks count, the length goes no further, and the connection closes', async () => {
    const client = await rawClient(banyan.port)
    await client.send('GET /lenient HTTP/1.1\r\nHost: a\r\n\r\n')
    const request = await upstream.request()
    await request.send(answer)
    const response = await client.nextResponse()
    expect(response).toMatchObject({ status: 200, body: { text: 'ok' } })
    expect(response.fields.map(([name]) => name.toLowerCase())).not.toContain('content-length')
    await request.connection.ended()
    expect(await repaired('lenient')).toBe(1)
  })
})

describe('a chunk that is malformed, and came with the head', () => {
  const answer = `${CHUNKED}2\r\nok\r\nxyz\r\n`

  test.each([
    ['/', 'a problem'],
    ['/cached', 'a problem from a route that caches'],
  ])('%s: %s, since nothing has gone on yet', async (path) => {
    const response = await get(path, answer)
    expect([response.status, response.reason]).toEqual([502, 'Bad Gateway'])
    expect(response.body.text).toContain('urn:banyan:problem:response-malformed')
    expect(response.body.text).not.toContain('ok')
  })

  test('the other side answers where the route falls back', async () => {
    expect(await get('/backed', answer)).toMatchObject({ status: 200, body: { text: 'legacy' } })
  })

  test('a broken transfer where a part has gone on', async () => {
    const client = await rawClient(banyan.port)
    await client.send('GET /backed HTTP/1.1\r\nHost: a\r\n\r\n')
    const request = await upstream.request()
    await request.send(`${CHUNKED}2\r\nok\r\n`)
    await client.readUntil('ok')
    await request.send('xyz\r\n')
    expect((await client.readToEnd()).text).not.toContain('0\r\n\r\n')
  })
})
