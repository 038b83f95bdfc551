/**
 * A client that goes away takes its upstream request with it, at once and in every phase.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { startBlackhole } from '../../support/blackhole.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const [upstream, blackhole] = await Promise.all([scriptedUpstream(), startBlackhole()])
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  main: { servers: ["http://127.0.0.1:${upstream.port}"] }
  hole: { servers: ["http://127.0.0.1:${blackhole.port}"], timeouts: { connect: 1m } }
default: main
routes:
  - { id: hole, match: { path: /hole }, to: hole, percent: 100 }
`,
})
afterAll(async () => {
  expect(await banyan.stop()).toBe(0)
  await Promise.all([upstream.stop(), blackhole.stop()])
})
beforeEach(() => upstream.cut())

/** Listening sockets, and what else the proxy holds when nothing is going on; nothing is before the first test. */
const IDLE_SOCKETS = banyan.program.sockets()
const idle = (): Promise<void> => banyan.program.socketsBecome(IDLE_SOCKETS)

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

describe.each(['FIN', 'RST'])('by %s', (how) => {
  const leave = ({ socket }: RawClient): void => void (how === 'FIN' ? socket.destroy() : socket.resetAndDestroy())

  test('while it waits for the head', async () => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const request = await upstream.request()
    leave(client)
    await request.connection.ended()
  })

  test('behind an interim answer', async () => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const request = await upstream.request()
    await request.send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
    await client.readUntil('\r\n\r\n')
    leave(client)
    await request.connection.ended()
  })

  test.each([
    ['a length', 'Content-Length: 99\r\n\r\nhello'],
    ['chunks', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['the end of the connection', '\r\nhello'],
  ])('in mid-body, framed by %s', async (_, rest) => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const request = await upstream.request()
    await request.send(`HTTP/1.1 200 OK\r\n${rest}`)
    await client.readUntil('hello')
    leave(client)
    await request.connection.ended()
  })

  test.each([
    ['a length', 'Content-Length: 99\r\n\r\nhello'],
    ['chunks', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ])('in mid-upload, framed by %s: the upstream never takes it for complete', async (_, rest) => {
    const client = await rawClient(banyan.port)
    await client.send(`POST / HTTP/1.1\r\nHost: a\r\n${rest}`)
    const request = await upstream.request()
    leave(client)
    await expect(request.body()).rejects.toThrow('broken off')
  })

  test('while the upload is held back by the upstream', async () => {
    upstream.readsBodies = false
    const client = await rawClient(banyan.port)
    void client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${1e9}\r\n\r\n`)
    const request = await upstream.request()
    request.connection.socket.pause()
    void client.send(Buffer.alloc(64 * 1024 * 1024))
    // Its end is behind what banyan does not read now: only a reset, or reading on, can tell.
    client.reset()
    request.connection.socket.resume()
    await request.connection.ended()
    upstream.readsBodies = true
  })

  test('with requests in the pipeline: the one that is upstream ends, and no other follows', async () => {
    const client = await rawClient(banyan.port)
    await client.send(GET.repeat(5))
    const request = await upstream.request()
    const seen = upstream.requests
    leave(client)
    await request.connection.ended()
    const other = await rawClient(banyan.port)
    await other.send(GET)
    await (await upstream.request()).ok()
    expect((await other.nextResponse()).status).toBe(200)
    expect(upstream.requests).toBe(seen + 1)
  })
})

test('while the connection to the upstream is being made', async () => {
  await idle()
  const clients = await Promise.all(Array.from({ length: 5 }, () => rawClient(banyan.port)))
  await Promise.all(clients.map((client) => client.send('GET /hole HTTP/1.1\r\nHost: a\r\n\r\n')))
  await banyan.program.socketsBecome(IDLE_SOCKETS + 10)
  for (const client of clients) client.socket.destroy()
  await idle()
})

test('a thousand that leave in all phases leave no socket behind', async () => {
  upstream.handler = async (request) => {
    const phase = Number(request.target.slice(1)) % 4
    if (phase === 1) await request.send('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello')
    if (phase === 2) await request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    if (phase === 3) await request.send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
  }
  await idle()
  for (let n = 0; n < 1000; n += 50) {
    const wave = Array.from({ length: 50 }, async (_, i) => {
      const client = await rawClient(banyan.port)
      const uploads = (n + i) % 5 === 0
      await client.send(
        `${uploads ? 'POST' : 'GET'} /${n + i} HTTP/1.1\r\nHost: a\r\n${uploads ? 'Content-Length: 9\r\n\r\nabc' : '\r\n'}`,
      )
      if ((n + i) % 4 === 0) {
        if (uploads) await client.send('de')
      } else await client.readUntil('\r\n\r\n')
      if (i % 2 === 0) client.reset()
      else client.socket.destroy()
    })
    await Promise.all(wave)
  }
  await idle()
  upstream.handler = null
  const client = await rawClient(banyan.port)
  await client.send(GET)
  await (await upstream.request()).ok()
  expect((await client.nextResponse()).status).toBe(200)
})

describe('a client that half-closes behind its request', () => {
  test.each([
    ['before the answer', ''],
    ['behind an interim answer', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'],
    ['in mid-answer', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello'],
  ])('%s, gets the rest of it, to the byte', async (_, begun) => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const request = await upstream.request()
    const whole = begun.startsWith('HTTP/1.1 200')
    if (begun !== '') {
      await request.send(begun)
      await client.readUntil(whole ? 'hello' : '\r\n\r\n')
    }
    client.finish()
    await request.send(whole ? 'hello' : 'HTTP/1.1 200 OK\r\nX: y\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello')
    const rest = await client.readToEnd()
    expect(rest.ending).toBe('end')
    if (whole) expect(rest.text).toBe('hello')
    else expect(rest.text).toMatch(/^HTTP\/1\.1 200 OK\r\nX: y\r\nDate: now\r\n(.*\r\n)+\r\nhello$/)
  })

  test('gets the answers to all that it has sent', async () => {
    const client = await rawClient(banyan.port)
    await client.send(`${GET}POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`)
    client.finish()
    await (await upstream.request()).ok('one')
    const second = await upstream.request()
    expect((await second.body()).text).toBe('hello')
    await second.ok('two')
    expect((await client.nextResponse()).body.text).toBe('one')
    expect((await client.nextResponse()).body.text).toBe('two')
    expect(await client.ended()).toBe('end')
  })

  test('and leaves later, is noticed', async () => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const request = await upstream.request()
    client.finish()
    // The first byte of the answer has come: it was seen to be there.
    await client.readUntil('H')
    client.reset()
    await request.connection.ended()
  })
})
