/**
 * Trailer sections (RFC 9110 section 6.5): they pass both ways, but for fields that have no business there.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { scriptedUpstream } from '../support/upstream.ts'

const upstream = await scriptedUpstream()
const banyan = await startBanyan({ table: tableFor(upstream.port) })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

/** Framing, routing, connection, authentication, modifiers, and what only banyan may say. */
const FORBIDDEN = [
  'Host: evil.test',
  'Connection: close',
  'Keep-Alive: timeout=1',
  'Upgrade: h2c',
  'TE: gzip',
  'Trailer: X',
  'Content-Encoding: gzip',
  'Content-Type: text/html',
  'Content-Range: bytes 0-1/2',
  'Authorization: Basic eA==',
  'Proxy-Authorization: Basic eA==',
  'WWW-Authenticate: Basic',
  'Cookie: a=b',
  'Set-Cookie: a=b',
  'Expect: 100-continue',
  'Max-Forwards: 1',
  'Cache-Control: public',
  'Vary: *',
  'Age: 1',
  'Location: /evil',
  'Range: bytes=0-1',
  'If-Match: "a"',
  'X-Forwarded-For: 6.6.6.6',
  'X-Forwarded-Host: evil.test',
  'Forwarded: for=6.6.6.6',
  'Banyan-Upstream: main',
  'Banyan-Force: x',
  'Via: 1.1 evil',
]
const PASSED =
  'Digest: abc\r\nx-MIXED-case: 1\r\nx-Mixed-Case: 2\r\nX-Empty: \r\nX-Latin: caf\xe9\r\nServer-Timing: a;dur=1\r\n'

describe.each([
  ['announced', 'Trailer: Digest, X-Mixed-Case\r\n'],
  ['not announced', ''],
])('%s', (_, trailer) => {
  test('request trailers', async () => {
    const client = await rawClient(banyan.port)
    await client.send(
      `POST / HTTP/1.1\r\nHost: a\r\n${trailer}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n${PASSED}\r\n`,
    )
    const request = await upstream.request()
    expect(request.field('trailer')).toBe(trailer === '' ? undefined : 'Digest, X-Mixed-Case')
    expect((await request.body()).raw).toBe(`2\r\nhi\r\n0\r\n${PASSED}\r\n`)
    await request.ok()
    expect((await client.nextResponse()).status).toBe(200)
  })

  test('response trailers', async () => {
    const client = await rawClient(banyan.port)
    await client.send('GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n')
    const request = await upstream.request()
    await request.send(`HTTP/1.1 200 OK\r\n${trailer}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n${PASSED}\r\n`)
    const response = await client.nextResponse()
    expect(response.head.includes('Trailer: Digest, X-Mixed-Case\r\n')).toBe(trailer !== '')
    expect(response.body.raw).toBe(`2\r\nhi\r\n0\r\n${PASSED}\r\n`)
  })
})

test('forbidden trailers are dropped both ways', async () => {
  const client = await rawClient(banyan.port)
  const body = `2\r\nhi\r\n0\r\n${FORBIDDEN.join('\r\n')}\r\nX-Fine: 1\r\n\r\n`
  await client.send(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`)
  const request = await upstream.request()
  expect((await request.body()).raw).toBe('2\r\nhi\r\n0\r\nX-Fine: 1\r\n\r\n')
  await request.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`)
  expect((await client.nextResponse()).body.raw).toBe('2\r\nhi\r\n0\r\nX-Fine: 1\r\n\r\n')
})

test('framing in a trailer section is refused (node:http’s parser) or dropped (ours), and never obeyed', async () => {
  for (const line of ['Content-Length: 5', 'Transfer-Encoding: chunked']) {
    const body = `2\r\nhi\r\n0\r\n${line}\r\n\r\n`
    const sender = await rawClient(banyan.port)
    await sender.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
    const sent = await upstream.request()
    await sender.send(body)
    expect((await sender.nextResponse()).status).toBe(400)
    await expect(sent.body()).rejects.toThrow('broken off')

    const client = await rawClient(banyan.port)
    await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const asked = await upstream.request()
    await asked.send(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`)
    expect((await client.nextResponse()).body.raw).toBe('2\r\nhi\r\n0\r\n\r\n')
  }
})

test('trailers behind no content at all', async () => {
  const client = await rawClient(banyan.port)
  await client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\n')
  const request = await upstream.request()
  expect((await request.body()).raw).toBe('0\r\nX: 1\r\n\r\n')
  await request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nY: 2\r\n\r\n')
  expect((await client.nextResponse()).body.raw).toBe('0\r\nY: 2\r\n\r\n')
})

test('a client of HTTP/1.0 gets the body without them', async () => {
  const client = await rawClient(banyan.port)
  await client.send('GET / HTTP/1.0\r\nHost: a\r\n\r\n')
  const request = await upstream.request()
  await request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nhi\r\n0\r\nX: 1\r\n\r\n')
  const { text } = await client.readToEnd()
  expect(text).toMatch(/\r\n\r\nhi$/)
  expect(text).not.toContain('Trailer')
})

test('a malformed trailer section never ends a message', async () => {
  const client = await rawClient(banyan.port)
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const answered = await upstream.request()
  await answered.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n')
  await client.readUntil('hi\r\n')
  await answered.send('0\r\nX : 1\r\n\r\n')
  expect((await client.readToEnd()).text).toBe('')

  const sender = await rawClient(banyan.port)
  await sender.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n')
  const asked = await upstream.request()
  await asked.connection.readUntil('hi\r\n')
  await sender.send('X\x01: 1\r\n\r\n')
  expect((await sender.nextResponse()).status).toBe(400)
  expect(await asked.connection.readToEnd()).toEqual({ text: '', ending: 'end' })
})
