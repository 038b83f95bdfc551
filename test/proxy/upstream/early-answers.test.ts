/**
 * Answers that come before the request is complete, and uploads that break off or turn out malformed.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const upstream = await scriptedUpstream()
const banyan = await startBanyan({ table: tableFor(upstream.port) })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

const UPLOAD_BYTES = 50 * 1024 * 1024
const MIB = Buffer.alloc(1024 * 1024, 'u')

describe('413 in the middle of an upload', () => {
  test.each([
    ['and the upstream closes', 'Connection: close\r\n'],
    ['and the upstream keeps the connection', ''],
  ])('%s: the client reads it, though it goes on sending', async (_, fields) => {
    upstream.readsBodies = false
    const client = await rawClient(banyan.port)
    await client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${UPLOAD_BYTES}\r\n\r\n`)
    await client.send(MIB)
    const request = await upstream.request()
    await request.send(`HTTP/1.1 413 Content Too Large\r\n${fields}Content-Length: 8\r\n\r\ntoo much`)
    if (fields !== '') request.connection.finish()
    for (let sent = MIB.length; sent < UPLOAD_BYTES; sent += MIB.length) await client.send(MIB)
    const response = await client.nextResponse()
    expect(response).toMatchObject({ status: 413, body: { text: 'too much' } })
    // The rest of the upload was no request of its own.
    await request.connection.ended()
    upstream.readsBodies = true
    await client.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n')
    const next = await upstream.request()
    expect(next.target).toBe('/next')
    await next.ok('next')
    expect((await client.nextResponse()).body.text).toBe('next')
  })
})

test.each([
  ['a refused head', 'Host: a\r\nHost: b\r\n', 400],
  ['an unknown coding', 'Host: a\r\nTransfer-Encoding: gzip, chunked\r\n', 501],
] as const)(
  '%s with a large upload behind it: the client reads the refusal, though it goes on sending',
  async (_, fields, status) => {
    const client = await rawClient(banyan.port)
    const seen = upstream.requests
    const length = fields.includes('chunked') ? '' : `Content-Length: ${UPLOAD_BYTES}\r\n`
    await client.send(`POST / HTTP/1.1\r\n${fields}${length}\r\n`)
    for (let sent = 0; sent < UPLOAD_BYTES; sent += MIB.length) await client.send(MIB)
    expect((await client.nextResponse()).status).toBe(status)
    expect(await client.ended()).toBe('end')
    expect(upstream.requests).toBe(seen)
  },
)

test('an answer that streams while the request still streams', async () => {
  upstream.readsBodies = false
  const client = await rawClient(banyan.port)
  await client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  const request = await upstream.request()
  await request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
  await client.readUntil('\r\n\r\n')
  for (const word of ['ping', 'pong', 'ding']) {
    await client.send(`4\r\n${word}\r\n`)
    await request.connection.readUntil(`4\r\n${word}\r\n`)
    await request.send(`4\r\n${word}\r\n`)
    await client.readUntil(`4\r\n${word}\r\n`)
  }
  await client.send('0\r\n\r\n')
  await request.connection.readUntil('0\r\n\r\n')
  await request.send('0\r\n\r\n')
  await client.readUntil('0\r\n\r\n')
  upstream.readsBodies = true
})

test('an upstream that cuts the connection in mid-upload is a 502, sent while the client goes on sending', async () => {
  upstream.readsBodies = false
  const client = await rawClient(banyan.port)
  await client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${UPLOAD_BYTES}\r\n\r\n`)
  const request = await upstream.request()
  request.connection.reset()
  for (let sent = 0; sent < UPLOAD_BYTES; sent += MIB.length) await client.send(MIB)
  expect((await client.nextResponse()).status).toBe(502)
  upstream.readsBodies = true
})

describe('a malformed chunk', () => {
  test.each([
    ['no size', '\r\nhello\r\n'],
    ['a size in words', 'five\r\nhello\r\n'],
    ['0x', '0x5\r\nhello\r\n'],
    ['a sign', '+5\r\nhello\r\n'],
    ['longer than its size', '3\r\nhello\r\n'],
    ['a bare LF', '5\nhello\n'],
    ['a size beyond all measure', 'fffffffffffffffff\r\nhello\r\n'],
    ['a space behind the size', '5 \r\nhello\r\n'],
  ])('%s: 400, and the upstream never has a complete request', async (_, bytes) => {
    const client = await rawClient(banyan.port)
    await client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n')
    const request = await upstream.request()
    await client.send(`${bytes}0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`)
    await expect(request.body()).rejects.toThrow('broken off')
    const response = await client.nextResponse()
    expect(response.status).toBe(400)
    expect(response.body.text).toContain('urn:banyan:problem:request-body')
    expect(await client.ended()).toBe('end')
    expect(upstream.requests).toBe(seenBefore + 1)
    seenBefore = upstream.requests
  })
  let seenBefore = 0
  beforeEach(() => {
    seenBefore = upstream.requests
  })
})

test('a malformed chunk behind an early answer gets no second answer', async () => {
  const client = await rawClient(banyan.port)
  await client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n')
  const request = await upstream.request()
  await request.send('HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno')
  expect((await client.nextResponse()).status).toBe(413)
  await client.send('no size\r\n')
  expect(await client.readToEnd()).toEqual({ text: '', ending: 'end' })
})

test('garbage behind a request: its answer comes whole, then that to the garbage, and the connection ends', async () => {
  const client = await rawClient(banyan.port)
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const request = await upstream.request()
  await client.send('\x16\x03\x01 this is no HTTP\r\n\r\n')
  await request.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
  await client.readUntil('hello')
  await request.send('world')
  expect(await client.readUntil('world')).toBe('world')
  expect((await client.nextResponse()).status).toBe(400)
  expect(await client.readToEnd()).toEqual({ text: '', ending: 'end' })
})
