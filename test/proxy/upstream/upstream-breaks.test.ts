/**
 * An upstream that breaks: a problem where no answer has begun, else a broken transfer that nobody takes for complete.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { field } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'
import type { Wire } from '../../support/wire.ts'

const upstream = await scriptedUpstream()
const banyan = await startBanyan({ table: tableFor(upstream.port, ['timeouts: { idle: 2s }']) })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

const request = (version: string): string => `GET / HTTP/${version}\r\nHost: a\r\n\r\n`

const ENDS: [string, (wire: Wire) => void][] = [
  ['FIN', (wire) => wire.finish()],
  ['RST', (wire) => wire.reset()],
]

describe.each(ENDS)('by %s', (how, end) => {
  test.each([
    ['before the head', ''],
    ['in the status line', 'HTTP/1.1 20'],
    ['in mid-head', 'HTTP/1.1 200 OK\r\nContent-Le'],
    ['behind an interim head', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 2'],
  ])('%s: 502', async (_, bytes) => {
    const client = await rawClient(banyan.port)
    await client.send(request('1.1'))
    const arrived = await upstream.request()
    await arrived.send(bytes)
    if (bytes.includes('103')) await client.readUntil('\r\n\r\n')
    end(arrived.connection)
    const response = await client.nextResponse()
    expect(response.status).toBe(502)
    expect(field(response.fields, 'content-type')).toBe('application/problem+json')
    const problem = JSON.parse(response.body.text)
    expect(problem).toMatchObject({ type: 'urn:banyan:problem:response-head', status: 502 })
    // Nothing of the inside: no address, no name of an upstream, no stack.
    expect(response.body.text).not.toMatch(/127\.0\.0\.1|main|ECONN|\.ts/)
    // It was not the client's fault: its connection stays.
    await client.send(request('1.1'))
    await (await upstream.request()).ok()
    expect((await client.nextResponse()).status).toBe(200)
  })

  test.each([
    ['a length', '1.1', 'Content-Length: 99\r\n\r\nhello'],
    ['a length', '1.0', 'Content-Length: 99\r\n\r\nhello'],
    ['chunks', '1.1', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['chunks', '1.0', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['a chunk that is not complete', '1.1', 'Transfer-Encoding: chunked\r\n\r\n9\r\nhello'],
    ['chunks without their last line', '1.1', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n'],
    ['chunks without their last line', '1.0', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n'],
    ['the end of the connection', '1.1', '\r\nhello'],
    ['the end of the connection', '1.0', '\r\nhello'],
  ])('in mid-body framed by %s, to HTTP/%s: broken, never complete', async (framing, version, rest) => {
    // There a FIN is the proper end.
    if (framing === 'the end of the connection' && how === 'FIN') return
    const client = await rawClient(banyan.port)
    await client.send(request(version))
    const arrived = await upstream.request()
    await arrived.send(`HTTP/1.1 200 OK\r\n${rest}`)
    await client.readUntil('hello')
    end(arrived.connection)
    const { text, ending } = await client.readToEnd()
    // HTTP/1.1: the last chunk or bytes of the length are missing. HTTP/1.0 without a length: only an RST can tell.
    expect(text).not.toContain('0\r\n\r\n')
    expect(text).not.toContain('HTTP/1.1 502')
    if (version === '1.0' && framing !== 'a length') expect(ending).toBe('reset')
  })
})

test('a client that stops reading for long loses its transfer, and the upstream its connection', async () => {
  const client = await rawClient(banyan.port)
  client.socket.pause()
  await client.send(request('1.1'))
  const arrived = await upstream.request()
  await arrived.send('HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n')
  void arrived.send(Buffer.alloc(50_000_000))
  await arrived.connection.ended()
  client.socket.resume()
  await client.ended()
  expect(client.received).toBeLessThan(50_000_000)
})

test.each([
  ['a malformed head', 'HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n'],
  ['both lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['control bytes in a field', 'HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n'],
  ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
])('%s is a 502, and the connection is not used again', async (_, bytes) => {
  const client = await rawClient(banyan.port)
  await client.send(request('1.1'))
  const arrived = await upstream.request()
  await arrived.send(bytes)
  const response = await client.nextResponse()
  expect(response.status).toBe(502)
  expect(response.body.text).toContain('urn:banyan:problem:response-malformed')
  await arrived.connection.ended()
})

const LYING_CHUNK = '3\r\nmore than three\r\n0\r\n\r\n'

test('a chunk that lies about its size breaks the transfer', async () => {
  const client = await rawClient(banyan.port)
  await client.send(request('1.1'))
  const arrived = await upstream.request()
  await arrived.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
  await client.readUntil('hello')
  await arrived.send(LYING_CHUNK)
  expect((await client.readToEnd()).text).not.toContain('0\r\n\r\n')
})

test('a chunk that lies about its size before anything of the body has gone on is a 502', async () => {
  const client = await rawClient(banyan.port)
  await client.send(request('1.1'))
  const arrived = await upstream.request()
  await arrived.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n${LYING_CHUNK}`)
  expect((await client.nextResponse()).status).toBe(502)
})
