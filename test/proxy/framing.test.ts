/**
 * Framing (RFC 9112 section 6): a body is framed on both sides as it was framed, and never becomes anything else.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { scriptedUpstream } from '../support/upstream.ts'

const upstream = await scriptedUpstream()
const banyan = await startBanyan({ table: tableFor(upstream.port) })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

/** What banyan adds to a request that names Host `a`. */
const ADDED =
  'Connection: keep-alive\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n' +
  'X-Forwarded-Host: a\r\nX-Forwarded-Port: 80\r\nCDN-Loop: ID\r\n\r\n'
const KEPT = 'Via: 1.1 banyan\r\nConnection: keep-alive\r\nKeep-Alive: timeout=75\r\n'
const DATE = 'Date: Mon, 23 Nov 2026 20:00:00 GMT\r\n'

describe('requests', () => {
  test('Content-Length stays Content-Length', async () => {
    const client = await rawClient(banyan.port)
    await client.send('POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe')
    const request = await upstream.request()
    expect(request.headWithoutId).toBe(`POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n${ADDED}`)
    await client.send('llo')
    expect(await request.body()).toMatchObject({ text: 'hello', framing: 'length' })
    await request.ok()
    expect(await client.nextResponse()).toMatchObject({ status: 200, body: { text: 'ok', framing: 'length' } })
  })

  test.each(['POST', 'DELETE', 'OPTIONS', 'GET', 'PROPFIND'])(
    'a chunked %s stays chunked (CVE-2026-29057)',
    async (method) => {
      const client = await rawClient(banyan.port)
      await client.send(`${method} /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`)
      const request = await upstream.request()
      expect(request.headWithoutId).toBe(`${method} /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n${ADDED}`)
      // Odd sizes: upper case, leading zeros, an extension, one byte; a body that looks like a request of its own.
      const inner = 'GET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n'
      await client.send(
        `1\r\na\r\n0000A;ext="x;y"\r\n0123456789\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`,
      )
      expect(await request.body()).toMatchObject({ text: `a0123456789${inner}`, framing: 'chunked' })
      await request.ok()
      expect((await client.nextResponse(method)).status).toBe(200)
      expect(upstream.open).toBe(1)
    },
  )

  test('a body without bytes keeps its framing', async () => {
    const client = await rawClient(banyan.port)
    for (const [fields, body] of [
      ['Content-Length: 0\r\n', ''],
      ['Transfer-Encoding: chunked\r\n', '0\r\n\r\n'],
      ['', ''],
    ] as const) {
      await client.send(`POST /a HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`)
      const request = await upstream.request()
      expect(request.headWithoutId).toBe(`POST /a HTTP/1.1\r\nHost: a\r\n${fields}${ADDED}`)
      expect((await request.body()).raw).toBe(body)
      await request.ok()
      expect((await client.nextResponse()).status).toBe(200)
    }
  })

  test('a GET with a body keeps it, and the next request on the connection is the next one', async () => {
    const client = await rawClient(banyan.port)
    await client.send('GET /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: a\r\n\r\n')
    const first = await upstream.request()
    expect((await first.body()).text).toBe('abc')
    await first.ok('one')
    const second = await upstream.request()
    expect(second.target).toBe('/2')
    await second.ok('two')
    expect((await client.nextResponse()).body.text).toBe('one')
    expect((await client.nextResponse()).body.text).toBe('two')
  })
})

describe('responses', () => {
  /** Sends a request and the bytes of its answer. */
  async function answered(request: string, answer: string, closes = false) {
    const client = await rawClient(banyan.port)
    await client.send(request)
    const arrived = await upstream.request()
    await arrived.send(answer)
    if (closes) arrived.connection.finish()
    return client
  }
  const GET = 'GET /a HTTP/1.1\r\nHost: a\r\n\r\n'

  test('Content-Length: the bytes of the head are the upstream’s, and one line of ours', async () => {
    const client = await answered(GET, `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 5\r\nX: y\r\n\r\nhello`)
    const response = await client.nextResponse()
    expect(response.head).toBe(`HTTP/1.1 200 OK\r\n${DATE}Content-Length: 5\r\nX: y\r\n${KEPT}\r\n`)
    expect(response.body.text).toBe('hello')
  })

  test('chunked stays chunked', async () => {
    const chunks = '5;a=b\r\nhello\r\n00001\r\n!\r\n0\r\n\r\n'
    const client = await answered(GET, `HTTP/1.1 200 OK\r\n${DATE}transfer-encoding: CHUNKED\r\n\r\n${chunks}`)
    const response = await client.nextResponse()
    expect(response.head).toBe(`HTTP/1.1 200 OK\r\n${DATE}${KEPT}Transfer-Encoding: chunked\r\n\r\n`)
    expect(response.body).toMatchObject({ text: 'hello!', framing: 'chunked' })
  })

  test('a chunk that has arrived goes on before the next one is there', async () => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const request = await upstream.request()
    await request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    await client.readUntil('\r\n\r\n')
    for (const word of ['one', 'two', 'six']) {
      await request.send(`3\r\n${word}\r\n`)
      await client.readUntil(`3\r\n${word}\r\n`)
    }
    await request.send('0\r\n\r\n')
    await client.readUntil('0\r\n\r\n')
  })

  test('a body that ends with the connection goes on chunked to HTTP/1.1', async () => {
    const client = await answered(GET, `HTTP/1.1 200 OK\r\n${DATE}\r\nhello`, true)
    const response = await client.nextResponse()
    expect(response.head).toBe(`HTTP/1.1 200 OK\r\n${DATE}${KEPT}Transfer-Encoding: chunked\r\n\r\n`)
    expect(response.body.text).toBe('hello')
  })

  test('an HTTP/1.0 upstream is answered on as HTTP/1.1, and Via says what it spoke', async () => {
    const client = await answered(GET, `HTTP/1.0 200 OK\r\n${DATE}Content-Length: 2\r\n\r\nok`)
    const response = await client.nextResponse()
    expect(response.head).toContain('HTTP/1.1 200 OK\r\n')
    expect(response.head).toContain('Via: 1.0 banyan\r\n')
  })

  test.each([
    ['to HEAD', 'HEAD', '200 OK', 'Content-Length: 1234\r\n'],
    ['304', 'GET', '304 Not Modified', 'Content-Length: 1234\r\nETag: "a"\r\n'],
    ['204', 'GET', '204 No Content', ''],
    ['204 with a length of nothing', 'DELETE', '204 No Content', 'Content-Length: 0\r\n'],
  ])('no body: %s', async (_, method, status, fields) => {
    const client = await rawClient(banyan.port)
    for (let n = 0; n < 2; n++) {
      await client.send(`${method} /a HTTP/1.1\r\nHost: a\r\n\r\n`)
      const request = await upstream.request()
      expect(request.nth).toBe(n)
      await request.send(`HTTP/1.1 ${status}\r\n${DATE}${fields}\r\n`)
      const response = await client.nextResponse(method)
      expect(response.head).toBe(`HTTP/1.1 ${status}\r\n${DATE}${fields}${KEPT}\r\n`)
    }
    expect(client.unread).toBe('')
  })

  test('a length in a 204 that would make a client wait for a body does not pass (RFC 9110 section 8.6)', async () => {
    const client = await answered(GET, `HTTP/1.1 204 No Content\r\n${DATE}Content-Length: 5\r\n\r\n`)
    expect((await client.nextResponse()).head).toBe(`HTTP/1.1 204 No Content\r\n${DATE}${KEPT}\r\n`)
  })

  test('the answer to a chunked HEAD has neither body nor coding', async () => {
    const client = await answered(
      'HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n',
      `HTTP/1.1 200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\n`,
    )
    expect((await client.nextResponse('HEAD')).head).toBe(`HTTP/1.1 200 OK\r\n${DATE}${KEPT}\r\n`)
  })
})

describe('HTTP/1.0 clients', () => {
  const GET = 'GET /a HTTP/1.0\r\nHost: a\r\n\r\n'

  test('without keep-alive the connection ends behind the answer', async () => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const request = await upstream.request()
    expect(request.headWithoutId).toBe(`GET /a HTTP/1.1\r\nHost: a\r\n${ADDED}`)
    await request.send(`HTTP/1.1 200 OK\r\n${DATE}Content-Length: 2\r\n\r\nok`)
    expect(await client.readToEnd()).toEqual({
      text: `HTTP/1.1 200 OK\r\n${DATE}Content-Length: 2\r\nVia: 1.1 banyan\r\nConnection: close\r\n\r\nok`,
      ending: 'end',
    })
  })

  test('with keep-alive it stays', async () => {
    const client = await rawClient(banyan.port)
    for (let n = 0; n < 2; n++) {
      await client.send('GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n')
      await (await upstream.request()).ok()
      const response = await client.nextResponse()
      expect(response.head).toContain('Connection: keep-alive\r\n')
      expect(response.body.text).toBe('ok')
    }
  })

  test.each([
    ['chunked', 'Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n', false],
    ['close-delimited', '\r\nhello!', true],
  ])('a %s answer ends with the connection', async (_, rest, closes) => {
    const client = await rawClient(banyan.port)
    // Even where the client would keep the connection: there is no other end of the body.
    await client.send('GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n')
    const request = await upstream.request()
    await request.send(`HTTP/1.1 200 OK\r\n${DATE}${rest}`)
    if (closes) request.connection.finish()
    expect(await client.readToEnd()).toEqual({
      text: `HTTP/1.1 200 OK\r\n${DATE}Via: 1.1 banyan\r\nConnection: close\r\n\r\nhello!`,
      ending: 'end',
    })
  })

  test('without Host the upstream gets its own name', async () => {
    const client = await rawClient(banyan.port)
    await client.send('GET /a HTTP/1.0\r\n\r\n')
    const request = await upstream.request()
    expect(request.field('host')).toBe(`127.0.0.1:${upstream.port}`)
    expect(request.field('x-forwarded-host')).toBeUndefined()
    await request.ok()
    await client.readToEnd()
  })
})
