/**
 * Bodies that are kept so that they can be sent again: only of idempotent requests, only so much, and byte for byte.
 */
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

const [legacy, one, two] = await Promise.all([scriptedUpstream(), scriptedUpstream(), scriptedUpstream()])
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${one.port}"] }
  pair: { servers: ["http://127.0.0.1:${one.port}", "http://127.0.0.1:${two.port}"] }
default: legacy
routes:
  - { id: modern, match: { path: /modern }, to: modern, percent: 100, fallback: { methods: idempotent, maxReplay: 1KiB } }
  - { id: pair, match: { path: /pair }, to: pair, percent: 100, fallback: { methods: all } }
`,
})
afterAll(() => Promise.all([banyan.stop(), legacy.stop(), one.stop(), two.stop()]))
beforeEach(() => Promise.all([legacy.cut(), one.cut(), two.cut()]))

const CHUNKED = 'Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n'
const BUSY = 'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n'

describe('a PUT that to answers with 503 goes to from', () => {
  test.each([
    ['with a length', 'Content-Length: 1024\r\n', 'x'.repeat(1024)],
    ['in chunks, with trailers', CHUNKED, `${'400\r\n'}${'y'.repeat(1024)}\r\n0\r\nX-Sum: 7\r\n\r\n`],
    ['without a byte', 'Content-Length: 0\r\n', ''],
  ])('%s', async (_, fields, body) => {
    const client = await rawClient(banyan.port)
    await client.send(`PUT /modern HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`)
    const first = await one.request()
    const sent = await first.body()
    await first.send(BUSY)
    const again = await legacy.request()
    expect(again.head).toBe(first.head)
    expect(await again.body()).toEqual(sent)
    await again.ok('put')
    expect(await client.nextResponse()).toMatchObject({ status: 200, body: { text: 'put' } })
  })

  test('in the middle of its body: what was read is sent again, the rest follows', async () => {
    const client = await rawClient(banyan.port)
    await client.send('PUT /modern HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n')
    await client.send('a'.repeat(400))
    const first = await one.request()
    await first.connection.readUntil('a'.repeat(400)).catch(() => {})
    await first.send(BUSY)
    const again = await legacy.request()
    await client.send('b'.repeat(600))
    expect((await again.body()).text).toBe('a'.repeat(400) + 'b'.repeat(600))
    await again.ok('put')
    expect((await client.nextResponse()).status).toBe(200)
  })
})

test.each([
  ['one byte more than is kept', 'PUT', 'Content-Length: 1025\r\n', 'x'.repeat(1025)],
  ['more than is kept, of unknown length', 'PUT', CHUNKED, `401\r\n${'y'.repeat(1025)}\r\n0\r\n\r\n`],
  ['not idempotent', 'PATCH', 'Content-Length: 2\r\n', 'hi'],
])('no fallback: %s', async (_, method, fields, body) => {
  const client = await rawClient(banyan.port)
  const seen = legacy.requests
  await client.send(`${method} /modern HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`)
  const first = await one.request()
  await first.body()
  await first.send(BUSY)
  expect((await client.nextResponse()).status).toBe(503)
  expect(legacy.requests).toBe(seen)
})

/** The next request at either server of the pair. */
function atThePair(): () => Promise<UpstreamRequest> {
  const [arrived, waiting]: [UpstreamRequest[], ((request: UpstreamRequest) => void)[]] = [[], []]
  const handler = (request: UpstreamRequest): void => {
    const wait = waiting.shift()
    if (wait === undefined) arrived.push(request)
    else wait(request)
  }
  one.handler = handler
  two.handler = handler
  onTestFinished(() => {
    one.handler = null
    two.handler = null
  })
  return () => {
    const request = arrived.shift()
    return request === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(request)
  }
}

test('a PUT whose server breaks off is sent to another server, whole, and only then to from', async () => {
  const next = atThePair()
  const client = await rawClient(banyan.port)
  await client.send(`PUT /pair HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`)
  const first = await next()
  await first.body()
  const port = first.connection.socket.localPort
  first.connection.reset()
  const second = await next()
  expect((await second.body()).text).toBe('hello')
  expect(second.connection.socket.localPort).not.toBe(port)
  second.connection.reset()
  const third = await legacy.request()
  expect((await third.body()).text).toBe('hello')
  await third.ok('put')
  expect(await client.nextResponse()).toMatchObject({ status: 200, body: { text: 'put' } })
})

test('a POST whose server breaks off is sent nowhere else', async () => {
  const next = atThePair()
  const client = await rawClient(banyan.port)
  const seen = legacy.requests + one.requests + two.requests
  await client.send(`POST /pair HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`)
  const first = await next()
  await first.body()
  first.connection.reset()
  expect((await client.nextResponse()).status).toBe(502)
  expect(legacy.requests + one.requests + two.requests).toBe(seen + 1)
})
