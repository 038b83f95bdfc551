/**
 * `bufferRequests`: chunked bodies for servers that can't read chunks.
 */
import { afterAll, beforeEach, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const [legacy, modern] = await Promise.all([scriptedUpstream(), scriptedUpstream()])
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  wsgi: { servers: ["http://127.0.0.1:${modern.port}"], bufferRequests: 1KiB, timeouts: { idle: 500ms, headers: 20s } }
default: legacy
routes:
  - { id: a, match: { path: /a }, to: wsgi, percent: 100, fallback: { methods: idempotent } }
`,
})
afterAll(() => Promise.all([banyan.stop(), legacy.stop(), modern.stop()]))
beforeEach(() => Promise.all([legacy.cut(), modern.cut()]))

const HEAD = 'PUT /a HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\nX-B: 2\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'

test('a chunked body is sent with its length, in one piece, and nothing before all of it has come', async () => {
  const client = await rawClient(banyan.port)
  await client.send(`${HEAD}Trailer: X-C\r\n\r\n5\r\nhello\r\n`)
  await client.send('6\r\n world\r\n0\r\nX-C: 3\r\n\r\n')
  const request = await modern.request()
  expect(request.head).toMatch(/^PUT \/a HTTP\/1\.1\r\nHost: a\r\nX-A: 1\r\nContent-Length: 11\r\nX-B: 2\r\n/)
  expect(request.head).not.toMatch(/chunked|trailer/i)
  expect((await request.body()).text).toBe('hello world')
  await request.send(OK)
  expect((await client.nextResponse()).status).toBe(200)
  // The next one on both connections.
  await client.send(`${HEAD}\r\n0\r\n\r\n`)
  const next = await modern.request()
  expect(next.head).toContain('\r\nContent-Length: 0\r\n')
  await next.send(OK)
  expect((await client.nextResponse()).status).toBe(200)
})

test('who waits for 100 Continue gets it from banyan, and the server is not asked for it', async () => {
  const client = await rawClient(banyan.port)
  await client.send(`${HEAD}Expect: 100-continue\r\n\r\n`)
  expect(await client.readUntil('\r\n\r\n')).toMatch(/^HTTP\/1\.1 100 Continue\r\n/)
  await client.send('2\r\nok\r\n0\r\n\r\n')
  const request = await modern.request()
  expect(request.field('expect')).toBeUndefined()
  await request.send(OK)
  expect((await client.nextResponse()).status).toBe(200)
})

test('what is larger is refused, and nothing of it is sent', async () => {
  const client = await rawClient(banyan.port)
  await client.send(`${HEAD}\r\n400\r\n${'x'.repeat(1024)}\r\n1\r\nx\r\n`)
  const answer = await client.nextResponse()
  expect(answer.status).toBe(413)
  expect(answer.body.text).toContain('urn:banyan:problem:body-too-large')
  const next = await rawClient(banyan.port)
  await next.send(`${HEAD}\r\n0\r\n\r\n`)
  expect((await modern.request()).field('content-length')).toBe('0')
})

test('a body that does not come is given up: 408', async () => {
  const client = await rawClient(banyan.port)
  await client.send(`${HEAD}\r\n5\r\nhel`)
  const answer = await client.nextResponse()
  expect(answer.status).toBe(408)
})

test('the fallback gets the body as it came: in chunks', async () => {
  const client = await rawClient(banyan.port)
  await client.send(`${HEAD}\r\n5\r\nhello\r\n0\r\n\r\n`)
  await (await modern.request()).send('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n')
  const request = await legacy.request()
  expect(request.head).toContain('\r\nTransfer-Encoding: chunked\r\n')
  expect(request.head).not.toMatch(/content-length/i)
  expect((await request.body()).text).toBe('hello')
  await request.send(OK)
  expect((await client.nextResponse()).status).toBe(200)
})

test('a body with a length streams as ever', async () => {
  const client = await rawClient(banyan.port)
  await client.send('PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nhello')
  const request = await modern.request()
  expect(request.field('content-length')).toBe('5000')
  await client.send('x'.repeat(4995))
  expect((await request.body()).text).toHaveLength(5000)
  await request.send(OK)
  expect((await client.nextResponse()).status).toBe(200)
})
