/**
 * Whatever middleware leaves on a response: framing, and what describes the body, are those of the answer that is sent.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { tableFor } from '../support/banyan.ts'
import { type RawClient, rawClient } from '../support/client.ts'
import { field, type RawResponse } from '../support/message.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { startAll } from './mounts.ts'

/** What the middleware does, by the word in X-Do. */
const DOES = {
  body: "ctx.body = 'default'",
  'a body of JSON': 'ctx.body = { a: 1 }',
  stream: "ctx.body = Readable.from(['of another answer'])",
  'no body': 'ctx.body = null',
  length: 'ctx.length = 3',
  status: "ctx.status = 404; ctx.message = 'Nope'",
  '204': 'ctx.status = 204',
  '304': "ctx.status = 304; ctx.etag = 'x'",
  redirect: "ctx.redirect('/login'); ctx.remove('Location')",
  coding: "ctx.set('Content-Encoding', 'gzip')",
  chunked: "ctx.set('Transfer-Encoding', 'chunked')",
  trailer: "ctx.set('Trailer', 'X-T')",
  validators: "ctx.etag = 'other'; ctx.lastModified = new Date(0)",
  range: "ctx.set('Content-Range', 'bytes 0-1/2'); ctx.set('Accept-Ranges', 'bytes')",
  language: "ctx.set('Content-Language', 'pl'); ctx.set('Content-Location', '/x'); ctx.attachment('x.pdf')",
  digest: "ctx.set('Content-Digest', 'sha-256=:x:'); ctx.set('Repr-Digest', 'sha-256=:x:')",
  connection:
    "ctx.set('Connection', 'keep-alive, Upgrade'); ctx.set('Upgrade', 'h2'); ctx.set('Keep-Alive', 'timeout=1')",
  'removed fields':
    "for (const name of ['Connection', 'Transfer-Encoding', 'Content-Length']) { ctx.set(name, 'x'); ctx.remove(name) }",
  chunks: 'ctx.res.chunkedEncoding = true',
  // As npm on-headers does for those who act when the head is written.
  'a length in writeHead':
    "const { writeHead } = ctx.res; ctx.res.writeHead = function (...all) { this.setHeader('Content-Length', '3'); return writeHead.apply(this, all) }",
  'another length in writeHead':
    "const { writeHead } = ctx.res; ctx.res.writeHead = function (status, reason, fields) { return writeHead.call(this, status, reason, [...fields, 'Content-Length', '3']) }",
  'chunks in writeHead':
    "const { writeHead } = ctx.res; ctx.res.writeHead = function (status, reason, fields) { return writeHead.call(this, status, reason, ['Transfer-Encoding', 'chunked', ...fields]) }",
  'strict length': 'ctx.res.strictContentLength = true; ctx.length = 3',
}
const middleware = `import { Readable } from 'node:stream'
const DOES = { ${Object.entries(DOES)
  .map(([name, code]) => `'${name}': (ctx) => { ${code} }`)
  .join(', ')} }
export default [
  async (ctx, next) => {
    const what = ctx.get('X-Do')
    if (ctx.path === '/vary') { ctx.vary('Origin'); ctx.append('Set-Cookie', 'a=1'); ctx.append('Set-Cookie', 'b=2') }
    if (ctx.path === '/close') ctx.set('Connection', 'close')
    if (ctx.path === '/wins') { ctx.set('Cache-Control', 'no-store'); ctx.set('X-Frame-Options', 'DENY') }
    if (what !== '') DOES[what](ctx)
    await next()
  },
]
`

/** Where node:http ends the connection: it takes no trailers without chunks, and knows no chunks without a body. */
const OTHERWISE: Record<string, readonly string[]> = {
  'a length in writeHead': ['chunked with trailers'],
  'another length in writeHead': ['chunked with trailers'],
  'chunks in writeHead': ['204', '304', 'chunked', 'chunked with trailers'],
}

const DATE = 'Date: Mon, 23 Nov 2026 20:00:00 GMT\r\n'
const GZIP = '\x1f\x8b\x08\0and so on'
const ANSWERS: Record<string, string> = {
  chunked: `200 OK\r\n${DATE}Transfer-Encoding: chunked\r\n\r\nc\r\nhello, world\r\n0\r\n\r\n`,
  'chunked with trailers': `200 OK\r\n${DATE}Trailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n`,
  'with a length': `200 OK\r\n${DATE}Content-Type: text/x\r\nContent-Length: 12\r\n\r\nhello, world`,
  empty: `200 OK\r\n${DATE}Content-Length: 0\r\n\r\n`,
  '204': `204 No Content\r\n${DATE}\r\n`,
  '304': `304 Not Modified\r\n${DATE}ETag: "own"\r\n\r\n`,
  '206': `206 Partial Content\r\n${DATE}Content-Range: bytes 0-4/12\r\nContent-Length: 5\r\n\r\nhello`,
  gzip: `200 OK\r\n${DATE}Content-Encoding: gzip\r\nContent-Length: ${GZIP.length}\r\n\r\n${GZIP}`,
  '404': `404 Not Here\r\n${DATE}Content-Length: 2\r\n\r\nno`,
}

const upstream = await scriptedUpstream()
const table = tableFor(upstream.port)
const mounted = await startAll({ table, middleware })
afterAll(async () => {
  await Promise.all(mounted.map(({ proxy }) => proxy.stop()))
  await upstream.stop()
})
beforeEach(() => {
  upstream.handler = (request) => {
    const answer = `HTTP/1.1 ${ANSWERS[decodeURIComponent(request.target.slice(1))] ?? ANSWERS['with a length']}`
    const head = answer.slice(0, answer.indexOf('\r\n\r\n') + 4)
    return request.send(request.method === 'HEAD' ? head : answer)
  }
})

async function ask(client: RawClient, target: string, fields = '', method = 'GET'): Promise<RawResponse> {
  return client.ask(`${method} ${encodeURI(target)} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`)
}

describe.each(mounted)('$name', ({ proxy }) => {
  test.each(Object.keys(DOES))('%s: each answer is the same to the byte, and the connection goes on', async (what) => {
    const client = await rawClient(proxy.port)
    for (const method of ['GET', 'HEAD']) {
      for (const answer of Object.keys(ANSWERS).filter((name) => !(OTHERWISE[what] ?? []).includes(name))) {
        const plain = await ask(client, `/${answer}`, '', method)
        const { head, body } = await ask(client, `/${answer}`, `X-Do: ${what}\r\n`, method)
        expect({ answer, head, body: body.raw }).toEqual({ answer, head: plain.head, body: plain.body.raw })
      }
    }
  })

  test('a problem of banyan’s own is as it is without', async () => {
    upstream.handler = (request) => void request.connection.socket.destroy()
    for (const what of Object.keys(DOES)) {
      const response = await ask(await rawClient(proxy.port), '/', `X-Do: ${what}\r\n`)
      expect(response.status).toBe(502)
      expect(field(response.fields, 'content-type')).toBe('application/problem+json')
      expect(field(response.fields, 'content-encoding')).toBeUndefined()
      expect(JSON.parse(response.body.text)).toMatchObject({ status: 502 })
    }
  })

  test('Vary and Set-Cookie are added to', async () => {
    upstream.handler = (request) =>
      request.send(
        'HTTP/1.1 200 OK\r\nVary: Accept-Encoding\r\nSet-Cookie: c=3\r\nSet-Cookie: d=4\r\nContent-Length: 2\r\n\r\nok',
      )
    const { fields } = await ask(await rawClient(proxy.port), '/vary')
    expect(field(fields, 'vary')).toBe('Origin, Accept-Encoding')
    expect(fields.filter(([name]) => name === 'Set-Cookie').map(([, value]) => value)).toEqual([
      'a=1',
      'b=2',
      'c=3',
      'd=4',
    ])
  })

  test('they are sent where the answer has none, and on answers of banyan’s own', async () => {
    const { fields } = await ask(await rawClient(proxy.port), '/vary')
    expect(field(fields, 'vary')).toBe('Origin')
    expect(field(fields, 'set-cookie')).toBe('a=1, b=2')
    upstream.handler = (request) => void request.connection.socket.destroy()
    const failed = await ask(await rawClient(proxy.port), '/vary')
    expect(failed.status).toBe(502)
    expect(field(failed.fields, 'set-cookie')).toBe('a=1, b=2')
  })

  test('any other field of the answer takes the place of one that was set', async () => {
    upstream.handler = (request) =>
      request.send('HTTP/1.1 200 OK\r\nCache-Control: public\r\nContent-Length: 2\r\n\r\nok')
    const { fields } = await ask(await rawClient(proxy.port), '/wins')
    expect(field(fields, 'cache-control')).toBe('public')
    expect(field(fields, 'x-frame-options')).toBe('DENY')
  })

  test('middleware may have the connection closed', async () => {
    const client = await rawClient(proxy.port)
    expect(field((await ask(client, '/close')).fields, 'connection')).toBe('close')
    expect(await client.ended()).toBe('end')
  })
})
