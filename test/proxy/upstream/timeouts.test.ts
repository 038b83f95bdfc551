/**
 * Time limits of each phase: what the client gets when one of the two sides is silent for too long.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { startBlackhole } from '../../support/blackhole.ts'
import { rawClient } from '../../support/client.ts'
import { field } from '../../support/message.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const [upstream, blackhole] = await Promise.all([scriptedUpstream(), startBlackhole()])
const servers = `servers: ["http://127.0.0.1:${upstream.port}"]`
// Each test has the short limit that it is about, and no other: on a busy machine that one may pass first.
const table = `version: 1
upstreams:
  main: { ${servers} }
  head: { ${servers}, timeouts: { headers: 300ms } }
  body: { ${servers}, timeouts: { idle: 250ms } }
  moving: { ${servers}, timeouts: { idle: 2s } }
  hole: { servers: ["http://127.0.0.1:${blackhole.port}"], timeouts: { connect: 250ms } }
  nobody: { servers: ["http://127.0.0.1:1"] }
default: main
routes:
  - { id: hole, match: { path: /hole }, to: hole, percent: 100 }
  - { id: head, match: { path: /head }, to: head, percent: 100 }
  - { id: body, match: { path: /body }, to: body, percent: 100 }
  - { id: moving, match: { path: /moving }, to: moving, percent: 100 }
  - { id: own-head, match: { path: /own/head }, to: main, percent: 0, timeouts: { headers: 300ms } }
  - { id: own-body, match: { path: /own/body }, to: main, percent: 100, timeouts: { idle: 250ms } }
  - { id: longer, match: { path: /own/longer }, to: head, percent: 100, timeouts: { headers: 1m } }
  - { id: nobody, match: { path: /nobody }, to: nobody, percent: 100 }
`
const [banyan, strict] = await Promise.all([
  startBanyan({ table }),
  startBanyan({ table, args: ['--header-timeout', '500ms', '--keep-alive', '500ms'] }),
])
afterAll(() => Promise.all([banyan.stop(), strict.stop(), upstream.stop(), blackhole.stop()]))
beforeEach(() => upstream.cut())

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

describe('upstreams', () => {
  test.each(['GET', 'POST'])('no connection in time: 504 (%s)', async (method) => {
    const client = await rawClient(banyan.port)
    const response = await client.ask(`${method} /hole HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`)
    expect(response.status).toBe(504)
    expect(response.body.text).toContain('urn:banyan:problem:connect-timeout')
  })

  test('nobody listens: 502', async () => {
    const client = await rawClient(banyan.port)
    const response = await client.ask('GET /nobody HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(response.status).toBe(502)
    expect(response.body.text).toContain('urn:banyan:problem:connect')
  })

  test('no head in time: 504, and the connection to the upstream ends', async () => {
    const client = await rawClient(banyan.port)
    await client.send(get('/head'))
    const request = await upstream.request()
    const response = await client.nextResponse()
    expect(response.status).toBe(504)
    expect(response.body.text).toContain('urn:banyan:problem:headers-timeout')
    await request.connection.ended()
    // Not the client's fault: its connection stays.
    expect(field(response.fields, 'connection')).toBe('keep-alive')
  })

  test('a head that comes byte by byte must still come in time', async () => {
    const client = await rawClient(banyan.port)
    await client.send(get('/head'))
    const request = await upstream.request()
    await request.send('HTTP/1.1 200 OK\r\nX: ')
    const drip = setInterval(() => void request.send('x'), 50)
    const response = await client.nextResponse()
    clearInterval(drip)
    expect(response.status).toBe(504)
  })

  test.each(['Content-Length: 99\r\n\r\nhello', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n', '\r\nhello'])(
    'silence in mid-body (%j): the transfer breaks, on both sides',
    async (rest) => {
      const client = await rawClient(banyan.port)
      await client.send(get('/body'))
      const request = await upstream.request()
      await request.send(`HTTP/1.1 200 OK\r\n${rest}`)
      await expect(client.nextResponse()).rejects.toThrow()
      await request.connection.ended()
    },
  )

  test('a body that moves on is never too slow', async () => {
    const client = await rawClient(banyan.port)
    await client.send(get('/moving'))
    const request = await upstream.request()
    await request.send('HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n')
    await new Promise<void>((resolve) => {
      let left = 24
      const drip = setInterval(() => {
        void request.send('x')
        if (--left > 0) return
        clearInterval(drip)
        resolve()
      }, 100)
    })
    expect((await client.nextResponse()).body.text).toBe('x'.repeat(24))
  })
})

describe('routes', () => {
  test('have limits of their own, on either side', async () => {
    const client = await rawClient(banyan.port)
    await client.send(get('/own/head'))
    await upstream.request()
    expect((await client.nextResponse()).body.text).toContain('urn:banyan:problem:headers-timeout')
    await client.send(get('/own/body'))
    await (await upstream.request()).send('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello')
    await expect(client.nextResponse()).rejects.toThrow()
  })

  test('may wait for longer than their upstream does, and the next request on that connection does not', async () => {
    const client = await rawClient(banyan.port)
    await client.send(get('/own/longer'))
    const request = await upstream.request()
    await new Promise((resolve) => setTimeout(resolve, 600))
    await request.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    expect((await client.nextResponse()).status).toBe(200)
    await client.send(get('/head'))
    await upstream.request()
    expect((await client.nextResponse()).status).toBe(504)
  })
})

describe('clients', () => {
  test('an upload that stops: 408, the connection ends, and the upstream has no complete request', async () => {
    const client = await rawClient(banyan.port)
    await client.send('POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello')
    const request = await upstream.request()
    const response = await client.nextResponse()
    expect(response.status).toBe(408)
    expect(response.body.text).toContain('urn:banyan:problem:request-timeout')
    expect(field(response.fields, 'connection')).toBe('close')
    await expect(request.body()).rejects.toThrow('broken off')
    expect(await client.ended()).toBe('end')
  })

  test('an upload that the upstream does not read: 504, it is not the client’s fault', async () => {
    upstream.readsBodies = false
    const client = await rawClient(banyan.port)
    await client.send('POST /moving HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n')
    const request = await upstream.request()
    request.connection.socket.pause()
    await client.send(Buffer.alloc(50_000_000))
    expect((await client.nextResponse()).status).toBe(504)
    request.connection.socket.destroy()
    upstream.readsBodies = true
  })

  test('a head that does not come: 408', async () => {
    const client = await rawClient(strict.port)
    await client.send('GET / HTTP/1.1\r\nHost: ')
    const response = await client.nextResponse()
    expect(response.status).toBe(408)
    expect(field(response.fields, 'connection')).toBe('close')
    expect(await client.ended()).toBe('end')
  })

  test('a connection on which nothing comes is closed without a word', async () => {
    const client = await rawClient(strict.port)
    expect(await client.readToEnd()).toEqual({ text: '', ending: 'end' })
  })

  test('a kept-alive connection without a next request is closed without a word', async () => {
    const client = await rawClient(strict.port)
    await client.send(get('/'))
    await (await upstream.request()).ok()
    await client.nextResponse()
    expect(await client.readToEnd()).toEqual({ text: '', ending: 'end' })
  })
})
