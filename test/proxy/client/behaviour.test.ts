/**
 * What all implementations of the client side do alike, and where they differ: decision 0003 lists the differences.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { type Caller, http1Caller, http2Caller } from '../../support/caller.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { type Fields, field } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const folder = mkdtempSync(join(tmpdir(), 'banyan-behaviour-'))
const middleware = join(folder, 'middleware.mjs')
writeFileSync(middleware, 'export default (ctx, next) => next()\n')
const upstream = await scriptedUpstream()
const table = tableFor(upstream.port)
const own = await startBanyan({ table, args: ['--h2c'] })
const node = await startBanyan({ table, args: ['--middleware', middleware] })
afterAll(async () => {
  await Promise.all([own.stop(), node.stop(), upstream.stop()])
  rmSync(folder, { recursive: true })
})
beforeEach(() => upstream.cut())

const HOST = 'Host: a\r\n'

const lowerNames = (fields: Fields): Fields => fields.map(([name, value]) => [name.toLowerCase(), value])

describe.each([
  ['own HTTP/1.1', (): Promise<Caller> => http1Caller(own.port)],
  ['node:http', (): Promise<Caller> => http1Caller(node.port)],
  ['HTTP/2', (): Promise<Caller> => http2Caller(own.port)],
])('all: %s', (name, connect) => {
  const isHttp2 = name === 'HTTP/2'

  test.each(['GET', 'HEAD', 'OPTIONS', 'DELETE', 'PURGE'])('%s, twice on one connection', async (method) => {
    const caller = await connect()
    for (const body of ['one', 'two']) {
      const call = await caller.ask(method, `/${body}?q=%20`)
      const request = await upstream.request()
      expect([request.method, request.target]).toEqual([method, `/${body}?q=%20`])
      await request.send(`HTTP/1.1 200 Fine\r\nContent-Length: 3\r\n\r\n${method === 'HEAD' ? '' : body}`)
      expect(await call.response()).toMatchObject({ status: 200, text: method === 'HEAD' ? '' : body })
    }
  })

  test('fields pass both ways in order, with duplicates and bytes; those of a connection do not', async () => {
    const call = await (await connect()).ask('GET', '/', [
      ['X-A', '1'],
      ['X-B', '\xe9'],
      ['X-A', '2'],
      ['Cookie', 'a=1; b=2'],
    ])
    const request = await upstream.request()
    const sent = request.fields.slice(0, 5).map(([one, value]) => [one.toLowerCase(), value])
    expect(sent).toEqual([
      ['host', 'a'],
      ['x-a', '1'],
      ['x-b', '\xe9'],
      ['x-a', '2'],
      ['cookie', 'a=1; b=2'],
    ])
    // Names in lower case are one of the differences of HTTP/2.
    expect(request.head.includes('X-A: 1')).toBe(!isHttp2)
    await request.send(
      'HTTP/1.1 200 Fine\r\nConnection: x-private\r\nX-Private: 1\r\nSet-Cookie: a=1\r\nX-C: \xe9\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok',
    )
    const { fields } = await call.response()
    expect(fields.filter(([one]) => /^(?:x-|set-)/.test(one))).toEqual([
      ['set-cookie', 'a=1'],
      ['x-c', '\xe9'],
      ['set-cookie', 'b=2'],
    ])
    expect(field(fields, 'connection')).toBe(isHttp2 ? undefined : 'keep-alive')
  })

  test('a body with a length, in pieces', async () => {
    const call = await (await connect()).ask('POST', '/', [['Content-Length', '10']], true)
    const request = await upstream.request()
    for (const piece of ['he', 'llo', 'w', 'orld']) await call.write(piece)
    await call.end()
    expect(await request.body()).toMatchObject({ text: 'helloworld', framing: 'length' })
    await request.ok()
    expect((await call.response()).status).toBe(200)
  })

  test('bodies without a length, with trailers', async () => {
    const call = await (await connect()).ask('POST', '/', [['TE', 'trailers']], true)
    await call.write('hello')
    await call.end([['X-Sum', '1']])
    const request = await upstream.request()
    const body = await request.body()
    expect([body.framing, body.text, lowerNames(body.trailers)]).toEqual(['chunked', 'hello', [['x-sum', '1']]])
    await request.send(
      'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 2\r\n\r\n',
    )
    expect(await call.response()).toMatchObject({ text: 'hello', trailers: [['x-sum', '2']] })
  })

  test('interim responses, and a body that waits for one', async () => {
    const fields = [
      ['Expect', '100-continue'],
      ['Content-Length', '5'],
    ] as const
    const call = await (await connect()).ask('PUT', '/', fields, true)
    const request = await upstream.request()
    await request.send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n')
    expect(await call.interim()).toMatchObject({
      status: 103,
      fields: [
        ['link', '</a>'],
        ['link', '</b>'],
      ],
    })
    expect((await call.interim()).status).toBe(100)
    await call.write('hello')
    await call.end()
    expect((await request.body()).text).toBe('hello')
    await request.ok()
    expect((await call.response()).status).toBe(200)
  })

  test('a response that comes before the body has', async () => {
    upstream.readsBodies = false
    const call = await (await connect()).ask('POST', '/', [['Content-Length', '1000000']], true)
    await call.write('x'.repeat(1000))
    const request = await upstream.request()
    await request.send('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno')
    if (isHttp2) {
      await call.write('x'.repeat(999_000))
      await call.end()
    }
    expect(await call.response()).toMatchObject({ status: 413, text: 'no' })
    upstream.readsBodies = true
  })

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', '5'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', undefined],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n', '7'],
  ])('%s: no body with %j', async (method, bytes, length) => {
    const call = await (await connect()).ask(method, '/')
    await (await upstream.request()).send(bytes)
    const { fields, text } = await call.response()
    expect([field(fields, 'content-length'), text]).toEqual([length, ''])
  })

  test.each<[string, string, string, Fields, number]>([
    ['a head that is too large', 'GET', '/', [['X', 'x'.repeat(40_000)]], 431],
    ['too many fields', 'GET', '/', Array.from({ length: 300 }, () => ['X', 'x'] as const), 431],
    ['a target that is too long', 'GET', `/${'x'.repeat(17_000)}`, [], 414],
  ])('%s is refused', async (_, method, path, fields, status) => {
    const seen = upstream.requests
    const caller = await connect()
    const response = await (await caller.ask(method, path, fields)).response()
    expect(response.status).toBe(status)
    expect(field(response.fields, 'content-type')).toBe('application/problem+json')
    expect(upstream.requests).toBe(seen)
    if (!isHttp2) return
    // Each stream stands by itself.
    const call = await caller.ask('GET', '/next')
    await (await upstream.request()).ok()
    expect((await call.response()).status).toBe(200)
  })

  test('an upstream that breaks off: the client does not take it for the end', async () => {
    const call = await (await connect()).ask('GET', '/')
    const request = await upstream.request()
    await request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n')
    const response = call.response()
    request.connection.socket.destroy()
    await expect(response).rejects.toThrow(/broken off|reset/)
  })

  test('a client that leaves takes its upstream request with it, also in the middle of its body', async () => {
    for (const hasBody of [false, true]) {
      const call = await (await connect()).ask(hasBody ? 'POST' : 'GET', '/', [], hasBody)
      if (hasBody) await call.write('half')
      const request = await upstream.request()
      call.leave()
      await request.connection.ended()
      if (hasBody) await expect(request.body()).rejects.toThrow('broken off')
    }
  })

  test('a WebSocket: bytes both ways, and both ends', async () => {
    const opening = (await connect()).webSocket('/chat')
    const request = await upstream.request()
    expect([request.method, request.target, request.field('upgrade')]).toEqual(['GET', '/chat', 'websocket'])
    const accept = createHash('sha1')
      .update(`${request.field('sec-websocket-key')}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64')
    await request.send(
      `HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
    const tunnel = await opening
    // There is no 101 in HTTP/2 (RFC 8441 section 5).
    expect(tunnel.status).toBe(isHttp2 ? 200 : 101)
    await tunnel.write('from client')
    expect(await request.connection.readUntil('from client')).toBe('from client')
    await request.send('from server')
    await tunnel.finish()
    expect(await request.connection.ended()).toBe('end')
    request.connection.finish()
    expect(await tunnel.rest()).toBe('from server')
  })

  test('small pieces that are read together go on together', async () => {
    const call = await (await connect()).ask('POST', '/', [], true)
    await Promise.all([...Array.from({ length: 500 }, () => call.write('a')), call.write('b'.repeat(2048)), call.end()])
    const request = await upstream.request()
    const { text, raw } = await request.body()
    expect(text).toBe(`${'a'.repeat(500)}${'b'.repeat(2048)}`)
    expect(raw.split('\r\n').length).toBeLessThan(400)
    await request.ok()
    expect((await call.response()).status).toBe(200)
  })
})

describe.each([
  ['own HTTP/1.1', own.port],
  ['node:http', node.port],
])('HTTP/1.1: %s', (name, port) => {
  const isOwn = name === 'own HTTP/1.1'
  const asked = async (bytes: string): Promise<RawClient> => {
    const client = await rawClient(port)
    await client.send(bytes)
    return client
  }

  test.each(['GET', 'HEAD', 'OPTIONS', 'DELETE', 'PURGE'])(
    '%s, and the next one on the same connection',
    async (method) => {
      const client = await rawClient(port)
      for (const body of ['one', 'two']) {
        await client.send(`${method} /${body} HTTP/1.1\r\n${HOST}\r\n`)
        const request = await upstream.request()
        expect([request.method, request.target]).toEqual([method, `/${body}`])
        await request.send(`HTTP/1.1 200 Fine\r\nContent-Length: 3\r\n\r\n${method === 'HEAD' ? '' : body}`)
        const response = await client.nextResponse(method)
        expect(response).toMatchObject({ status: 200, body: { text: method === 'HEAD' ? '' : body } })
        expect(response.head).toMatch(/^HTTP\/1\.1 200 Fine\r\n/)
        expect(field(response.fields, 'connection')).toBe('keep-alive')
      }
    },
  )

  test('interim responses, and a body that waits for one', async () => {
    const client = await asked(`PUT / HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`)
    const request = await upstream.request()
    await request.send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n')
    expect(await client.readUntil('\r\n\r\n')).toMatch(/^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>\r\n/)
    expect(await client.readUntil('\r\n\r\n')).toMatch(/^HTTP\/1\.1 100 Continue\r\n/)
    await client.send('hello')
    expect((await request.body()).text).toBe('hello')
    await request.ok()
    expect((await client.nextResponse()).status).toBe(200)
  })

  test('a response that comes before the body has, and closes', async () => {
    upstream.readsBodies = false
    const client = await asked(`POST / HTTP/1.1\r\n${HOST}Content-Length: 1000000\r\n\r\n${'x'.repeat(1000)}`)
    const request = await upstream.request()
    await request.send('HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno')
    expect(await client.nextResponse()).toMatchObject({ status: 413, body: { text: 'no' } })
    upstream.readsBodies = true
  })

  test('HTTP/1.0, with and without keep-alive', async () => {
    const closing = await asked('GET / HTTP/1.0\r\n\r\n')
    await (await upstream.request()).ok('one')
    expect((await closing.nextResponse()).body.text).toBe('one')
    expect(await closing.ended()).toBe('end')
    const keeping = await asked('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
    await (await upstream.request()).ok('two')
    const response = await keeping.nextResponse()
    expect(field(response.fields, 'connection')).toBe('keep-alive')
    await keeping.send('GET / HTTP/1.0\r\n\r\n')
    await (await upstream.request()).send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nend\r\n0\r\n\r\n')
    expect((await keeping.readToEnd()).text).toMatch(/\r\n\r\nend$/)
  })

  test('Connection: close is the last request', async () => {
    const client = await asked(`GET / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\nGET /behind HTTP/1.1\r\n${HOST}\r\n`)
    const seen = upstream.requests
    await (await upstream.request()).ok()
    expect(field((await client.nextResponse()).fields, 'connection')).toBe('close')
    expect(await client.ended()).toBe('end')
    expect(upstream.requests).toBe(seen + 1)
  })

  test('pipelined requests are answered in order', async () => {
    upstream.handler = (request) => request.ok(request.target)
    const client = await asked(['/a', '/b', '/c'].map((path) => `GET ${path} HTTP/1.1\r\n${HOST}\r\n`).join(''))
    for (const path of ['/a', '/b', '/c']) expect((await client.nextResponse()).body.text).toBe(path)
    upstream.handler = null
  })

  test('an upgrade, with bytes behind both heads', async () => {
    const client = await asked(`GET / HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: foo\r\n\r\nearly`)
    const request = await upstream.request()
    await request.send('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nhello')
    expect(await client.readUntil('\r\n\r\n')).toMatch(/^HTTP\/1\.1 101 Switching\r\n/)
    expect(await client.readUntil('hello')).toBe('hello')
    expect(await request.connection.readUntil('early')).toBe('early')
    client.finish()
    expect(await request.connection.ended()).toBe('end')
  })

  test.each([
    ['a malformed head', `GET / HTTP/1.1\r\n${HOST}X : y\r\n\r\n`, 400],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['both lengths', `POST / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    ['another coding', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501],
    ['CONNECT', 'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n', 501],
    ['a head that is too large', `GET / HTTP/1.1\r\n${HOST}X: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
    ['HTTP/2.0', `GET / HTTP/2.0\r\n${HOST}\r\n`, 505],
  ])('%s is refused, and closes the connection', async (_, bytes, status) => {
    const seen = upstream.requests
    const client = await asked(bytes)
    const response = await client.nextResponse()
    expect(response.status).toBe(status)
    expect(field(response.fields, 'content-type')).toBe('application/problem+json')
    expect(field(response.fields, 'connection')).toBe('close')
    expect(await client.ended()).toBe('end')
    expect(upstream.requests).toBe(seen)
  })

  test('a body that is malformed half-way: the upstream request is broken off, the client told', async () => {
    const client = await asked(`POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`)
    const request = await upstream.request()
    await client.send('x\r\n')
    await expect(request.body()).rejects.toThrow('broken off')
    expect((await client.nextResponse()).status).toBe(400)
    expect(await client.ended()).toBe('end')
  })

  test('a pipelined request whose body is malformed never goes upstream without its end', async () => {
    const seen = upstream.requests
    const client = await asked(
      `GET /first HTTP/1.1\r\n${HOST}\r\nPOST /second HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n`,
    )
    const first = await upstream.request()
    await first.ok('one')
    expect((await client.nextResponse()).body.text).toBe('one')
    await client.ended()
    if (upstream.requests > seen + 1) await expect((await upstream.request()).body()).rejects.toThrow('broken off')
  })

  test('small chunks that are read together go on together', async () => {
    const [many, large] = ['1\r\na\r\n'.repeat(2000), `800\r\n${'b'.repeat(2048)}\r\n`]
    const client = await asked(
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${many}${large}1\r\nc\r\n0\r\n\r\n`,
    )
    const request = await upstream.request()
    const { text, raw } = await request.body()
    expect(text).toBe(`${'a'.repeat(2000)}${'b'.repeat(2048)}c`)
    expect(raw.split('\r\n').length).toBeLessThan(100)
    await request.ok()
    expect((await client.nextResponse()).status).toBe(200)
  })

  test(`a method that node:http does not know ${isOwn ? 'passes' : 'is refused'}`, async () => {
    const client = await asked(`VERSION-CONTROL / HTTP/1.1\r\n${HOST}\r\n`)
    if (isOwn) await (await upstream.request()).ok()
    expect((await client.nextResponse()).status).toBe(isOwn ? 200 : 400)
  })

  test(`raw bytes in a target ${isOwn ? 'pass' : 'are refused'}`, async () => {
    const client = await asked(`GET /caf\xe9 HTTP/1.1\r\n${HOST}\r\n`)
    if (isOwn) {
      const request = await upstream.request()
      expect(request.target).toBe('/caf\xe9')
      await request.ok()
    }
    expect((await client.nextResponse()).status).toBe(isOwn ? 200 : 400)
  })

  test(`a client that half-closes behind its request ${isOwn ? 'gets its response' : 'counts as gone'}`, async () => {
    const client = await asked(`GET / HTTP/1.1\r\n${HOST}\r\n`)
    const request = await upstream.request()
    client.finish()
    if (isOwn) {
      await request.ok('whole')
      expect((await client.nextResponse()).body.text).toBe('whole')
    } else await request.connection.ended()
    expect(await client.ended()).toBe('end')
  })

  test(`an offer of h2c ${isOwn ? 'keeps' : 'costs'} the connection`, async () => {
    const client = await asked(`GET / HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n`)
    await (await upstream.request()).ok()
    expect(field((await client.nextResponse()).fields, 'connection')).toBe(isOwn ? 'keep-alive' : 'close')
  })
})
