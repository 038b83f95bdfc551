/**
 * Every request passes the middleware, also one that offers an upgrade (RFC 9110 section 7.8).
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { tableFor } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { field } from '../support/message.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { closed, listening, startAll, strangleFor } from './mounts.ts'

const middleware = `export default [
  async (ctx, next) => {
    ctx.set('X-Middleware', 'yes')
    ctx.append('Set-Cookie', 'seen=1')
    ctx.vary('Origin')
    if (ctx.path === '/body') ctx.body = 'default'
    if (ctx.path === '/late') return
    if (ctx.path === '/throws') throw new Error('of the middleware')
    if (ctx.path === '/read') {
      let text = ''
      for await (const piece of ctx.req) text += piece
      ctx.body = 'read ' + text
      return
    }
    if (ctx.path.startsWith('/admin') && ctx.get('Authorization') !== 'Bearer x') {
      ctx.status = 401
      ctx.body = 'who are you?'
      return
    }
    await next()
  },
]
`
const upstream = await scriptedUpstream()
const table = tableFor(upstream.port)
const mounted = await startAll({ table, middleware })
afterAll(async () => {
  await Promise.all(mounted.map(({ proxy }) => proxy.stop()))
  await upstream.stop()
})
beforeEach(async () => {
  upstream.handler = null
  await upstream.cut()
})

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n'
const OFFERS = [
  'Connection: Upgrade\r\nUpgrade: websocket\r\n',
  'Connection: Upgrade\r\nUpgrade: foo\r\n',
  'connection: upgrade\r\nupgrade: WebSocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n',
  'Connection: close, upgrade\r\nUpgrade: websocket\r\n',
  'Connection: keep-alive, Upgrade\r\nUpgrade: a, b\r\n',
  'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n',
  'Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n',
  'Connection: Upgrade\r\nUpgrade: \r\n',
  'Upgrade: websocket\r\n',
]
const LINES = [
  ['GET', 'HTTP/1.1', '', ''],
  ['GET', 'HTTP/1.0', '', ''],
  ['HEAD', 'HTTP/1.1', '', ''],
  ['OPTIONS', 'HTTP/1.1', '', ''],
  ['POST', 'HTTP/1.1', 'Content-Length: 5\r\n', 'hello'],
  ['POST', 'HTTP/1.1', 'Transfer-Encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n'],
] as const

describe.each(mounted)('$name', ({ proxy }) => {
  test.each(OFFERS)('%j: middleware that refuses it is heard, with a body or without', async (offer) => {
    const seen = upstream.requests
    for (const [method, version, framing, body] of LINES) {
      const client = await rawClient(proxy.port)
      const response = await client.ask(`${method} /admin ${version}\r\nHost: a\r\n${offer}${framing}\r\n${body}`)
      expect({ method, version, status: response.status }).toEqual({ method, version, status: 401 })
      expect(response.body.text).toBe(method === 'HEAD' ? '' : 'who are you?')
      if (field(response.fields, 'connection') === 'close') expect(await client.ended()).toBe('end')
      else expect((await client.ask('GET /admin HTTP/1.1\r\nHost: a\r\n\r\n')).status).toBe(401)
    }
    expect(upstream.requests).toBe(seen)
  })

  test('frames that are sent ahead reach nobody where the middleware refuses', async () => {
    const seen = upstream.requests
    const client = await rawClient(proxy.port)
    await client.send(`GET /admin HTTP/1.1\r\nHost: a\r\n${OFFERS[0]}\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n`)
    expect((await client.nextResponse()).status).toBe(401)
    expect(await client.readToEnd()).toEqual({ text: '', ending: 'end' })
    expect(upstream.requests).toBe(seen)
  })

  test('what the middleware lets through is upgraded, with the fields it has set', async () => {
    const client = await rawClient(proxy.port)
    await client.send(`GET /admin HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\n${OFFERS[1]}\r\nahead`)
    const request = await upstream.request()
    expect(request.field('upgrade')).toBe('foo')
    await request.send(`${SWITCHING}Set-Cookie: own=1\r\nVary: Cookie\r\n\r\nbehind`)
    const head = await client.readUntil('\r\n\r\n')
    expect(head.split('\r\n').sort()).toEqual(
      [
        ...[
          '',
          '',
          'Connection: Upgrade',
          'HTTP/1.1 101 Switching Protocols',
          'Set-Cookie: own=1',
          'Set-Cookie: seen=1',
        ],
        ...['Upgrade: x', 'Vary: Cookie', 'Vary: Origin', 'Via: 1.1 banyan', 'X-Middleware: yes'],
      ].sort(),
    )
    expect(await client.readUntil('behind')).toBe('behind')
    expect(await request.connection.readUntil('ahead')).toBe('ahead')
    await client.send('more')
    expect(await request.connection.readUntil('more')).toBe('more')
    client.finish()
    expect(await request.connection.ended()).toBe('end')
  })

  test('what the middleware left of another answer is no part of the handshake, nor of a refusal', async () => {
    const client = await rawClient(proxy.port)
    await client.send(`GET /body HTTP/1.1\r\nHost: a\r\n${OFFERS[1]}\r\n`)
    await (await upstream.request()).send(`${SWITCHING}\r\n`)
    expect((await client.readUntil('\r\n\r\n')).toLowerCase()).not.toContain('content-')
    const refused = await rawClient(proxy.port)
    await refused.send(`GET /body HTTP/1.1\r\nHost: a\r\n${OFFERS[1]}\r\n`)
    await (await upstream.request()).send(
      'HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n',
    )
    const response = await refused.nextResponse()
    expect(response).toMatchObject({ status: 404, body: { text: 'no', framing: 'chunked' } })
    expect(field(response.fields, 'content-type')).toBeUndefined()
    expect(await refused.ended()).toBe('end')
  })

  test('h2c goes on as an ordinary request', async () => {
    const client = await rawClient(proxy.port)
    await client.send(`POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n${OFFERS[5]}\r\nhello`)
    const request = await upstream.request()
    expect(request.field('upgrade')).toBeUndefined()
    expect((await request.body()).text).toBe('hello')
    await request.ok()
    expect(await client.nextResponse()).toMatchObject({ status: 200, body: { text: 'ok' } })
    expect(await client.ended()).toBe('end')
  })

  test('middleware can read the body of an upgrade request', async () => {
    const client = await rawClient(proxy.port)
    await client.send(`POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n${OFFERS[0]}\r\nhel`)
    await client.send('lo')
    expect((await client.nextResponse()).body.text).toBe('read hello')
    expect(await client.ended()).toBe('end')
  })

  test('a body goes on through the middleware, and the tunnel follows', async () => {
    const client = await rawClient(proxy.port)
    await client.send(`POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n${OFFERS[0]}\r\nhello`)
    const request = await upstream.request()
    expect((await request.body()).text).toBe('hello')
    await request.send(`${SWITCHING}\r\n`)
    await client.readUntil('\r\n\r\n')
    await client.send('frames')
    expect(await request.connection.readUntil('frames')).toBe('frames')
  })

  test('middleware that throws, or says nothing, ends the upgrade with the answer of its application', async () => {
    for (const [target, status] of [
      ['/throws', 500],
      ['/late', 404],
    ] as const) {
      const client = await rawClient(proxy.port)
      expect((await client.ask(`GET ${target} HTTP/1.1\r\nHost: a\r\n${OFFERS[0]}\r\n`)).status).toBe(status)
      expect(await client.ended()).toBe('end')
    }
  })

  test('an upstream that is gone is a 502', async () => {
    upstream.handler = (request) => void request.connection.socket.destroy()
    const client = await rawClient(proxy.port)
    expect((await client.ask(`GET / HTTP/1.1\r\nHost: a\r\n${OFFERS[0]}\r\n`)).status).toBe(502)
    expect(await client.ended()).toBe('end')
  })
})

describe('strangle() on a server of node:http', () => {
  async function application(given: boolean, warnings: string[] = []): Promise<number> {
    const handler = (req: IncomingMessage, res: ServerResponse): void => {
      if (req.url === '/admin') res.writeHead(401, { 'Content-Length': 2 }).end('no')
      else if (req.url === '/throws') throw new Error('of the application')
      else void proxy({ req, res })
    }
    const log = { info: () => {}, warn: (_: object, text: string) => void warnings.push(text), error: () => {} }
    const proxy = strangleFor(upstream.port, given ? { application: handler, log } : { log })
    const server = createServer((req, res) => {
      if (req.url === '/throws') res.writeHead(500).end()
      else handler(req, res)
    })
    server.on('upgrade', proxy.upgrade)
    onTestFinished(async () => {
      await closed(server)
      await proxy.close()
    })
    return listening(server)
  }

  test('with its application: through it', async () => {
    const port = await application(true)
    const refused = await rawClient(port)
    expect((await refused.ask(`GET /admin HTTP/1.1\r\nHost: a\r\n${OFFERS[0]}\r\n`)).status).toBe(401)
    expect(await refused.ended()).toBe('end')
    const client = await rawClient(port)
    await client.send(`GET / HTTP/1.1\r\nHost: a\r\n${OFFERS[0]}\r\n`)
    const request = await upstream.request()
    await request.send(`${SWITCHING}\r\nhello`)
    expect(await client.readUntil('hello')).toContain('101 Switching Protocols')
    client.socket.destroy()
    request.connection.socket.destroy()
  })

  test('an application that throws is a 500', async () => {
    const client = await rawClient(await application(true))
    expect((await client.ask(`GET /throws HTTP/1.1\r\nHost: a\r\n${OFFERS[0]}\r\n`)).status).toBe(500)
    expect(await client.ended()).toBe('end')
  })

  test('h2c, which such a server takes for an upgrade, goes on as an ordinary request', async () => {
    const client = await rawClient(await application(true))
    await client.send(`GET / HTTP/1.1\r\nHost: a\r\n${OFFERS[5]}\r\n`)
    const request = await upstream.request()
    expect(request.field('upgrade')).toBeUndefined()
    await request.ok()
    expect(await client.nextResponse()).toMatchObject({ status: 200, body: { text: 'ok' } })
    expect(await client.ended()).toBe('end')
  })

  test('without one: refused with 403, and the log says what to do, once', async () => {
    const warnings: string[] = []
    const port = await application(false, warnings)
    const seen = upstream.requests
    for (const offer of OFFERS.slice(0, 7)) {
      const client = await rawClient(port)
      const response = await client.ask(`GET / HTTP/1.1\r\nHost: a\r\n${offer}\r\n`)
      expect(response.status).toBe(403)
      expect(JSON.parse(response.body.text)).toMatchObject({ type: 'urn:banyan:problem:upgrade-refused' })
      expect(await client.ended()).toBe('end')
    }
    expect(upstream.requests).toBe(seen)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('application')
  })
})
