/**
 * What all implementations of the client side do alike, to the bytes of the body, and where they differ: decision 0003 lists the
 * differences.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { field } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const folder = mkdtempSync(join(tmpdir(), 'banyan-behaviour-'))
const middleware = join(folder, 'middleware.mjs')
writeFileSync(middleware, 'export default (ctx, next) => next()\n')
const upstream = await scriptedUpstream()
const table = tableFor(upstream.port)
const own = await startBanyan({ table })
const node = await startBanyan({ table, args: ['--middleware', middleware] })
afterAll(async () => {
  await Promise.all([own.stop(), node.stop(), upstream.stop()])
  rmSync(folder, { recursive: true })
})
beforeEach(() => upstream.cut())

const HOST = 'Host: a\r\n'

describe.each([
  ['own HTTP/1.1', own.port],
  ['node:http', node.port],
])('%s', (name, port) => {
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

  test('a body with a length, in pieces', async () => {
    const client = await asked(`POST / HTTP/1.1\r\n${HOST}Content-Length: 10\r\n\r\nhe`)
    const request = await upstream.request()
    for (const piece of ['llo', 'w', 'orld']) await client.send(piece)
    expect((await request.body()).text).toBe('helloworld')
    await request.ok()
    expect((await client.nextResponse()).status).toBe(200)
  })

  test('a chunked body with trailers, either way', async () => {
    const client = await asked(
      `POST / HTTP/1.1\r\n${HOST}TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n`,
    )
    const request = await upstream.request()
    expect((await request.body()).raw).toMatch(/0\r\nX-Sum: 1\r\n\r\n$/)
    await request.send(
      'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 2\r\n\r\n',
    )
    expect((await client.nextResponse()).body).toMatchObject({ text: 'hello', framing: 'chunked' })
  })

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

  test('a client that resets takes its upstream request with it', async () => {
    const client = await asked(`GET / HTTP/1.1\r\n${HOST}\r\n`)
    const request = await upstream.request()
    client.reset()
    await request.connection.ended()
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
