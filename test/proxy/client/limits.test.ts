/**
 * Limits of the public side: what is refused, with which status, always in problem+json and with the connection's end.
 */
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import { field, type RawResponse } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const upstream = await scriptedUpstream()
const banyan = await startBanyan({ table: tableFor(upstream.port) })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

/** Sends bytes that are refused, with a request behind them that must never be one. */
async function refused(bytes: string, status: number, type: string): Promise<void> {
  const client = await rawClient(banyan.port)
  const seen = upstream.requests
  await client.send(`${bytes}GET /behind HTTP/1.1\r\nHost: a\r\n\r\n`)
  const response = await client.nextResponse(bytes.startsWith('HEAD') ? 'HEAD' : 'GET')
  expect(response.status).toBe(status)
  expect(field(response.fields, 'content-type')).toBe('application/problem+json')
  expect(field(response.fields, 'connection')).toBe('close')
  if (!bytes.startsWith('HEAD')) {
    expect(JSON.parse(response.body.text)).toMatchObject({ type: `urn:banyan:problem:${type}`, status })
  }
  expect(await client.readToEnd()).toEqual({ text: '', ending: 'end' })
  expect(upstream.requests).toBe(seen)
}

test('HTTP/2 by prior knowledge, where it is not asked for: 505', () =>
  refused('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'http-version'))

describe('size', () => {
  test('a head over 32 KiB: 431', () =>
    refused(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(33 * 1024)}\r\n\r\n`, 431, 'head-too-large'))

  test('a target over 16,384 characters: 414, be it longer than a head may be or not', async () => {
    await refused(`GET /${'x'.repeat(16_384)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414, 'request-line-too-long')
    await refused(`GET /${'x'.repeat(40_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414, 'request-line-too-long')
  })

  test('more than 256 fields: 431, and none dropped without a word', async () => {
    await refused(`GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(256)}\r\n`, 431, 'head-too-large')
    await refused(`GET / HTTP/1.1\r\nHost: a\r\n${'X:\r\n'.repeat(5000)}\r\n`, 431, 'head-too-large')
  })

  test('where more fields are allowed than node:http counts, all of them pass', async () => {
    const generous = await startBanyan({
      table: tableFor(upstream.port),
      args: ['--max-header-fields', '4000', '--max-header-size', '64KiB'],
    })
    onTestFinished(async () => void (await generous.stop()))
    const client = await rawClient(generous.port)
    const fields = Array.from({ length: 3000 }, (_, n) => `X: ${n}\r\n`).join('')
    await client.send(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)
    const request = await upstream.request()
    expect(request.head).toContain(fields)
    await request.ok()
    expect((await client.nextResponse()).status).toBe(200)
  })

  test('at the limits all is well', async () => {
    const client = await rawClient(banyan.port)
    const fields = `Host: a\r\n${'X: y\r\n'.repeat(255)}`
    await client.send(`GET /${'x'.repeat(16_383)} HTTP/1.1\r\n${fields}\r\n`)
    const request = await upstream.request()
    expect(request.fields.filter(([name]) => name === 'X')).toHaveLength(255)
    await request.ok()
    expect((await client.nextResponse()).status).toBe(200)
  })
})

describe('form', () => {
  test.each([
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400, 'bad-request'],
    ['no Host, HEAD', 'HEAD / HTTP/1.1\r\n\r\n', 400, 'bad-request'],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400, 'bad-request'],
    ['two equal Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n', 400, 'bad-request'],
    ['two Hosts in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n', 400, 'bad-request'],
    ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 400, 'bad-request'],
    ['a Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400, 'bad-request'],
    ['a Host with a user', 'GET / HTTP/1.1\r\nHost: b@a\r\n\r\n', 400, 'bad-request'],
    ['a list of Hosts', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400, 'bad-request'],
    ['Hosts joined by a comma', 'GET / HTTP/1.1\r\nHost: a,b\r\n\r\n', 400, 'bad-request'],
    ['a Host with two ports', 'GET / HTTP/1.1\r\nHost: a:80:81\r\n\r\n', 400, 'bad-request'],
    ['half an IPv6 address', 'GET / HTTP/1.1\r\nHost: [::1\r\n\r\n', 400, 'bad-request'],
    ['a Host in Latin-1', 'GET / HTTP/1.1\r\nHost: caf\xe9\r\n\r\n', 400, 'bad-request'],
    ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505, 'http-version'],
    ['HTTP/0.9', 'GET / HTTP/0.9\r\nHost: a\r\n\r\n', 505, 'http-version'],
    ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505, 'http-version'],
    ['HTTP/3.1', 'GET / HTTP/3.1\r\nHost: a\r\n\r\n', 505, 'http-version'],
    ['an authority that is not Host', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad-request'],
    ['another port than Host', 'GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad-request'],
    ['the default port of another scheme', 'GET http://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad-request'],
    ['https over a plain connection', 'GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 421, 'misdirected'],
    [
      'https with its port over a plain connection',
      'GET https://a:443/x HTTP/1.1\r\nHost: a\r\n\r\n',
      421,
      'misdirected',
    ],
    [
      'https, as a stranger says',
      'GET https://a/ HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n',
      421,
      'misdirected',
    ],
    ['another scheme', 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad-request'],
    ['user information in the target', 'GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad-request'],
    ['the asterisk of a GET', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad-request'],
    ['a target without a slash', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad-request'],
    ['authority form', 'GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n', 400, 'bad-request'],
    ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n', 501, 'method-connect'],
    [
      'another coding',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
      501,
      'transfer-coding',
    ],
    [
      'chunked twice',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'bad-request',
    ],
    [
      'chunked in HTTP/1.0',
      'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'bad-request',
    ],
    [
      'both lengths',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'bad-request',
    ],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n', 400, 'bad-request'],
    ['a length in disguise', 'POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n', 400, 'bad-request'],
    ['a length in another disguise', 'POST / HTTP/1.1\r\nHost: a\r\nContent.Length: 5\r\n\r\n', 400, 'bad-request'],
    ['a coding in disguise', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer+Encoding: chunked\r\n\r\n', 400, 'bad-request'],
    ['a negative length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n', 400, 'bad-request'],
    ['a folded field', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n', 400, 'bad-request'],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400, 'bad-request'],
    ['NUL in a field', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n', 400, 'bad-request'],
    ['bare LF', 'GET / HTTP/1.1\nHost: a\n\n', 400, 'bad-request'],
    ['a method that is no token', 'FOO@BAR / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad-request'],
    ['TLS to the plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'bad-request'],
  ] as const)('%s: refused, and nothing behind it is a request', (_, bytes, status, type) =>
    refused(bytes, status, type),
  )

  test('the scheme of a target is compared with what a trusted proxy says of the client', async () => {
    const trusting = await startBanyan({ table: tableFor(upstream.port), args: ['--trusted-proxies', '127.0.0.1'] })
    onTestFinished(async () => void (await trusting.stop()))
    const asked = async (scheme: string, proto: string): Promise<RawResponse> => {
      const client = await rawClient(trusting.port)
      await client.send(`GET ${scheme}://a/x HTTP/1.1\r\nHost: a\r\n${proto}\r\n`)
      return client.nextResponse()
    }
    upstream.handler = (request) => request.ok(request.target)
    onTestFinished(() => {
      upstream.handler = null
    })
    expect(await asked('https', 'X-Forwarded-Proto: https\r\n')).toMatchObject({ status: 200, body: { text: '/x' } })
    expect(await asked('http', 'X-Forwarded-Proto: HTTP\r\n')).toMatchObject({ status: 200, body: { text: '/x' } })
    expect(await asked('http', '')).toMatchObject({ status: 200, body: { text: '/x' } })
    expect((await asked('http', 'X-Forwarded-Proto: https\r\n')).status).toBe(421)
    expect((await asked('https', '')).status).toBe(421)
  })

  test('the HTTP/2 preface gets no HTTP/1.1 request out of it', async () => {
    const client = await rawClient(banyan.port)
    const seen = upstream.requests
    await client.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0')
    await client.ended()
    expect(upstream.requests).toBe(seen)
  })

  test('nothing at all, and then the end: no answer', async () => {
    const client = await rawClient(banyan.port)
    client.finish()
    expect(await client.readToEnd()).toEqual({ text: '', ending: 'end' })
  })
})

test('requests in the pipeline before a refused one are answered, in order', async () => {
  const client = await rawClient(banyan.port)
  await client.send(
    'GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n',
  )
  await (await upstream.request()).ok('one')
  expect((await client.nextResponse()).body.text).toBe('one')
  expect((await client.nextResponse()).status).toBe(400)
  expect(await client.readToEnd()).toEqual({ text: '', ending: 'end' })
})

test('100 requests in the pipeline are answered in their order', async () => {
  upstream.handler = (request) => request.ok(request.target)
  const client = await rawClient(banyan.port)
  const targets = Array.from({ length: 100 }, (_, n) => `/${n}`)
  await client.send(targets.map((target) => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''))
  for (const target of targets) expect((await client.nextResponse()).body.text).toBe(target)
  upstream.handler = null
})

test('a request in the pipeline goes upstream when the one before it is answered', async () => {
  const [client, other] = [await rawClient(banyan.port), await rawClient(banyan.port)]
  await client.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n')
  const first = await upstream.request()
  await other.send('GET /other HTTP/1.1\r\nHost: a\r\n\r\n')
  const next = await upstream.request()
  expect([first.target, next.target]).toEqual(['/first', '/other'])
  await first.ok()
  expect((await upstream.request()).target).toBe('/second')
})

test('what is read ahead of a response comes byte by byte, and is bounded', async () => {
  const client = await rawClient(banyan.port)
  await client.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\n')
  const first = await upstream.request()
  const second = 'GET /second HTTP/1.1\r\nHost: a\r\n\r\n'
  for (const byte of second) {
    await client.send(byte)
    await new Promise((resolve) => setImmediate(resolve))
  }
  // More than is read ahead: the rest waits in the kernel.
  const many = 'GET /more HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(4000)
  const sent = client.send(many)
  await first.ok('one')
  expect((await client.nextResponse()).body.text).toBe('one')
  const next = await upstream.request()
  expect(next.target).toBe('/second')
  // The next one comes as soon as this one is answered.
  upstream.handler = (request) => request.ok(request.target)
  try {
    await next.ok('two')
    expect((await client.nextResponse()).body.text).toBe('two')
    for (let n = 0; n < 4000; n++) expect((await client.nextResponse()).body.text).toBe('/more')
    await sent
  } finally {
    upstream.handler = null
  }
})

test('a client that is still being sent answers is not idle, however short the keep-alive', async () => {
  const route = ['routes:', '  - { id: r, match: { path: /r }, to: main, cache: {} }', '']
  const table = tableFor(upstream.port) + route.join('\n')
  const hasty = await startBanyan({ table, args: ['--keep-alive', '300ms'] })
  const [get, count, text] = ['GET /r HTTP/1.1\r\nHost: a\r\n\r\n', 1500, 'x'.repeat(10_000)]
  try {
    const first = await rawClient(hasty.port)
    await first.send(get)
    const stored = `Cache-Control: max-age=1000\r\nContent-Length: ${text.length}\r\n\r\n${text}`
    await (await upstream.request()).send(`HTTP/1.1 200 OK\r\n${stored}`)
    expect((await first.nextResponse()).body.text).toBe(text)
    const client = await rawClient(hasty.port)
    client.socket.pause()
    await client.send(get.repeat(count))
    // As long as idle connections are kept, some times over: the answers have come to a stop meanwhile.
    for (let i = 0; i < 4; i++) {
      const idle = await rawClient(hasty.port)
      await idle.ask(get)
      await idle.ended()
    }
    client.socket.resume()
    await client.count(count * text.length)
  } finally {
    await hasty.stop()
  }
})
