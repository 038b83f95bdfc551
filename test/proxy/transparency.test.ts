/**
 * Transparency of heads: target, method, field names, values, order and number, status and reason pass as received.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { scriptedUpstream } from '../support/upstream.ts'

const upstream = await scriptedUpstream()
const banyan = await startBanyan({ table: tableFor(upstream.port) })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

const ADDED =
  'Connection: keep-alive\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n' +
  'X-Forwarded-Host: a\r\nX-Forwarded-Port: 80\r\nCDN-Loop: ID\r\n\r\n'

/** Sends a request, gives the head as it arrived, and lets it be answered. */
async function arrivedHead(request: string): Promise<string> {
  const client = await rawClient(banyan.port)
  await client.send(request)
  const arrived = await upstream.request()
  await arrived.ok()
  expect((await client.nextResponse(arrived.method)).status).toBe(200)
  return arrived.headWithoutId
}

/** Answers a GET with these bytes and gives the head as the client saw it. */
async function answeredHead(answer: string): Promise<string> {
  const client = await rawClient(banyan.port)
  await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await (await upstream.request()).send(answer)
  return (await client.nextResponse()).head
}

describe('request target', () => {
  test.each([
    '/',
    '//',
    '//a///b',
    '//10.0.0.1/',
    '/a/../b/./c/..',
    '/%2f%2F/a%2e%2e',
    '/%zz%',
    '/a;b=c;d',
    '/?',
    '/??a=b&&c=&=d',
    "/it's",
    '/a|b',
    '/a"b<c>d',
    '/{a}[b]^`~',
    '/a\\b',
    '/a#fragment',
    '/a%20b',
    '/*',
    '/http://b/',
    '/:80',
    '/@user',
    '/%00%0d%0a',
    '/?q=a+b%20c;d|e',
    // UTF-8 as it is, not percent-encoded: what curl sends of such an argument.
    '/żółw?q=ü',
  ])('%s', async (target) => {
    const bytes = Buffer.from(target).toString('latin1')
    const request = `GET ${bytes} HTTP/1.1\r\nHost: a\r\n`
    expect(await arrivedHead(`${request}\r\n`)).toBe(request + ADDED)
  })

  test('8,000 characters', async () => {
    const request = `GET /${'a'.repeat(8000)} HTTP/1.1\r\nHost: a\r\n`
    expect(await arrivedHead(`${request}\r\n`)).toBe(request + ADDED)
  })

  test('the asterisk', async () => {
    const request = 'OPTIONS * HTTP/1.1\r\nHost: a\r\n'
    expect(await arrivedHead(`${request}\r\n`)).toBe(request + ADDED)
  })

  // RFC 9112 sections 3.2.1, 3.2.2 and 3.2.4: what an origin server is sent has the origin form.
  test.each([
    ['GET http://a/b?c', 'GET /b?c'],
    ['GET http://a//b/../%2f?http://c/', 'GET //b/../%2f?http://c/'],
    ['GET HTTP://A', 'GET /'],
    ['GET http://a?b/c', 'GET /?b/c'],
    ['GET http://a:80/', 'GET /'],
    ['GET http://a:/', 'GET /'],
    ['OPTIONS http://a', 'OPTIONS *'],
    ['OPTIONS http://a/', 'OPTIONS /'],
    ['OPTIONS http://a?b', 'OPTIONS /?b'],
  ])('absolute form: %s goes on as %s', async (line, sent) => {
    expect(await arrivedHead(`${line} HTTP/1.1\r\nHost: a\r\n\r\n`)).toBe(`${sent} HTTP/1.1\r\nHost: a\r\n${ADDED}`)
  })

  test('absolute form: Host passes as it was written, and where there is none the target has it', async () => {
    expect(await arrivedHead('GET http://A/ HTTP/1.1\r\nhost: a:80\r\n\r\n')).toBe(
      `GET / HTTP/1.1\r\nhost: a:80\r\n${ADDED.replace('-Host: a', '-Host: a:80')}`,
    )
    expect(await arrivedHead('GET http://a/b HTTP/1.0\r\n\r\n')).toBe(`GET /b HTTP/1.1\r\nHost: a\r\n${ADDED}`)
  })
})

describe('method', () => {
  test.each([
    ...['PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE', 'LOCK', 'UNLOCK', 'REPORT', 'SEARCH', 'QUERY'],
    ...['PURGE', 'M-SEARCH', 'TRACE', 'PATCH', 'MKCALENDAR', 'LINK', 'SUBSCRIBE', 'SOURCE'],
  ])('%s', async (method) => {
    const request = `${method} /a HTTP/1.1\r\nHost: a\r\n`
    expect(await arrivedHead(`${request}\r\n`)).toBe(request + ADDED)
  })
})

describe('request fields', () => {
  test('case, order, duplicates, empty and Latin-1 values', async () => {
    const fields = [
      'hOsT: a',
      "X-Odd_Name!#$%&'*+.^`|~: 1",
      'accept: */*',
      'ACCEPT: text/html',
      'Accept: a',
      'X-Empty:',
      'X-Inner: a  \t b',
      'X-Latin: caf\xe9 \xff',
      'X-Utf8: \xc5\xbc\xc3\xb3\xc5\x82w',
      'Cookie: a=b; c="d"',
      'cookie: e=f',
      'Content-Type: text/plain',
      'content-type: text/html',
      'Authorization: Basic eA==',
      'authorization: Bearer y',
      'User-Agent: one',
      'user-agent: two',
      'Referer: x',
      'referer: y',
      'If-None-Match: "a", W/"b"',
      '__proto__: x',
      'constructor: y',
    ]
    const request = `GET / HTTP/1.1\r\n${fields.map((line) => line.replace(/:$/, ': ')).join('\r\n')}\r\n`
    expect(await arrivedHead(`${request}\r\n`)).toBe(request + ADDED)
  })

  test('white space around a value is no part of it', async () => {
    expect(await arrivedHead('GET / HTTP/1.1\r\nHost:a\r\nX:\t y z \t\r\n\r\n')).toBe(
      `GET / HTTP/1.1\r\nHost: a\r\nX: y z\r\n${ADDED}`,
    )
  })

  test('200 fields, none lost', async () => {
    const fields = Array.from({ length: 200 }, (_, n) => `X-${n % 7}: ${n}\r\n`).join('')
    expect(await arrivedHead(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)).toBe(
      `GET / HTTP/1.1\r\nHost: a\r\n${fields}${ADDED}`,
    )
  })
})

describe('responses', () => {
  const KEPT = 'Via: 1.1 banyan\r\nConnection: keep-alive\r\nKeep-Alive: timeout=75\r\n\r\n'
  const DATE = 'Date: Mon, 23 Nov 2026 20:00:00 GMT\r\n'

  test('case, order, duplicates, empty and Latin-1 values', async () => {
    const fields = [
      'dATE: Mon, 23 Nov 2026 20:00:00 GMT',
      'Set-Cookie: a=b; Path=/; HttpOnly',
      'set-cookie: c=d',
      'Set-Cookie: e=f',
      "X-Odd_Name!#$%&'*+.^`|~: 1",
      'X-Empty: ',
      'X-Latin: caf\xe9 \xff',
      'X-Utf8: \xc5\xbc\xc3\xb3\xc5\x82w',
      'Content-Type: text/plain',
      'Location: http://127.0.0.1:1/elsewhere',
      'Server: legacy/1.0',
      'X-Powered-By: PHP/5.2',
      'Vary: a',
      'Vary: b',
      'Warning: 199 - "x"',
      'ETag: "a"',
      'Age: 7',
      'Via: 1.0 other',
      'WWW-Authenticate: Basic realm="x"',
      '__proto__: x',
      'content-LENGTH: 0',
    ]
    const head = `HTTP/1.1 200 OK\r\n${fields.join('\r\n')}\r\n`
    expect(await answeredHead(`${head}\r\n`)).toBe(head + KEPT)
  })

  test.each([200, 201, 206, 226, 299, 300, 399, 418, 451, 499, 500, 511, 599, 600, 999])(
    'status %i',
    async (status) => {
      const head = `HTTP/1.1 ${status} A Reason of its own\r\n${DATE}Content-Length: 0\r\n`
      expect(await answeredHead(`${head}\r\n`)).toBe(head + KEPT)
    },
  )

  test.each(['', ' ', 'a  b', 'caf\xe9 \xff', 'HTTP/1.1 500 Internal Server Error', 'OK: fine; "q" <b>', '\ttab'])(
    'reason %j',
    async (reason) => {
      const head = `HTTP/1.1 200 ${reason}\r\n${DATE}Content-Length: 0\r\n`
      expect(await answeredHead(`${head}\r\n`)).toBe(head + KEPT)
    },
  )

  test('a status line that ends behind the code gets its space, as RFC 9112 section 4 asks', async () => {
    const rest = `\r\n${DATE}Content-Length: 0\r\n`
    expect(await answeredHead(`HTTP/1.1 200${rest}\r\n`)).toBe(`HTTP/1.1 200 ${rest}${KEPT}`)
  })

  test('without Date the time is added (RFC 9110 section 6.6.1), and nothing else', async () => {
    const head = await answeredHead('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    expect(head.replace(/Date: [^\r]* GMT\r\n/, '')).toBe(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${KEPT}`)
    expect(head).toContain('\r\nDate: ')
  })

  test('bodies are bytes: no charset, no coding, no line end is touched', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 * 300 }, (_, n) => n % 256))
    const client = await rawClient(banyan.port)
    for (const length of [1, 255, 16 * 1024, 16 * 1024 + 1, bytes.length]) {
      await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      const request = await upstream.request()
      await request.send(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${length}\r\n\r\n`)
      await request.send(bytes.subarray(0, length))
      const response = await client.nextResponse()
      expect(Buffer.from(response.body.text, 'latin1').equals(bytes.subarray(0, length))).toBe(true)
    }
  })
})
