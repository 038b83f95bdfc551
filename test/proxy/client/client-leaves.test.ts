/**
 * A client that goes away takes its upstream request with it, at once and in every phase.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { startBlackhole } from '../../support/blackhole.ts'
import { selfSigned } from '../../support/certificates.ts'
import { RawClient, rawClient } from '../../support/client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const [upstream, blackhole] = await Promise.all([scriptedUpstream(), startBlackhole()])
const folder = mkdtempSync(join(tmpdir(), 'banyan-leaves-'))
const { cert, key } = selfSigned('one', 'DNS:one.test')
const pem = join(folder, 'one.pem')
writeFileSync(pem, cert + key)
const banyan = await startBanyan({
  args: ['--tls', '127.0.0.1:0', '--tls-cert', pem],
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
  rmSync(folder, { recursive: true })
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
    ['a length', 'Content-Length: 9999\r\n\r\nhello'],
    ['chunks', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
    ['the end of the connection', '\r\nhello'],
  ])('in mid-body, framed by %s', async (_, rest) => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const request = await upstream.request()
    await request.send(`HTTP/1.1 200 OK\r\n${rest}`)
    await client.readUntil('hello')
    leave(client)
    // A FIN could be that of a client which waits for the rest: only what is sent to it can tell, and a length leaves no room.
    const ended = request.connection.ended()
    if (how === 'FIN' && rest.startsWith('Content-Length')) {
      while ((await Promise.race([ended, delay(20)])) === undefined) await request.send('x')
    }
    await ended
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
      // Behind a FIN in mid-body the upstream has the next word where there is a length.
      if (i % 2 === 0 || (n + i) % 4 === 1) client.reset()
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

  // Longer than any time after which silence alone was taken for having left.
  const PAUSE_MS = 2200
  const LARGE = 'y'.repeat(2_000_000)
  const ANSWERS: Record<string, readonly string[]> = {
    'pause before the head': ['', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhelloworld'],
    'pause behind an interim answer': [
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhelloworld\r\n0\r\n\r\n',
    ],
    'pause behind the head': ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n', 'helloworld'],
    'pause in mid-body, with a length': ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello', 'world'],
    'pause in mid-body, with chunks': [
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
      '5\r\nworld\r\n0\r\n\r\n',
    ],
    'pause before the last chunk': [
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhelloworld\r\n',
      '0\r\nX-Trailer: 1\r\n\r\n',
    ],
    'large, with a length': [`HTTP/1.1 200 OK\r\nContent-Length: ${2 * LARGE.length}\r\n\r\n${LARGE}`, LARGE],
    'large, with chunks': [
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${LARGE.length.toString(16)}\r\n${LARGE}\r\n`,
      `${LARGE.length.toString(16)}\r\n${LARGE}\r\n0\r\n\r\n`,
    ],
  }

  async function secureClient(): Promise<RawClient> {
    const options = { port: banyan.tlsPort as number, host: '127.0.0.1', ca: cert, servername: 'one.test' }
    const socket = connectTls(options)
    onTestFinished(() => void socket.destroy())
    await new Promise((resolve) => socket.once('secureConnect', resolve))
    return new RawClient(socket)
  }

  test('gets all answers on its connection, however long each pause, over TCP and TLS', async () => {
    const names = Object.keys(ANSWERS)
    upstream.handler = async (request) => {
      const [, n, pauses] = request.target.split('/')
      if (request.method === 'POST') {
        request.connection.socket.pause()
        await delay(PAUSE_MS)
        request.connection.socket.resume()
        await request.ok((await request.body()).text === LARGE ? 'all of it' : 'less')
        return
      }
      const [first, second] = ANSWERS[names[Number(n)] as string] as [string, string]
      if (first !== '') await request.send(first)
      if (pauses === 'pause') await delay(PAUSE_MS)
      await request.send(second)
    }
    onTestFinished(() => {
      upstream.handler = null
    })
    const ask = async (name: string, version: string, client: RawClient): Promise<void> => {
      const target = names.indexOf(name)
      const wanted = name.startsWith('large') ? LARGE + LARGE : 'helloworld'
      // The pause is in the last one: what comes before must not count as the end of it.
      const asks =
        version === '1.1' && !name.startsWith('large') ? [`/${target}`, `/${target}/pause`] : [`/${target}/pause`]
      await client.send(asks.map((path) => `GET ${path} HTTP/${version}\r\nHost: a\r\n\r\n`).join(''))
      client.finish()
      // Who reads slowly has pauses of his own.
      if (name.startsWith('large')) {
        client.socket.pause()
        await delay(PAUSE_MS)
        client.socket.resume()
      }
      for (const _ of asks) {
        const { status, body } = await client.nextResponse()
        expect([name, version, status, body.text === wanted]).toEqual([name, version, 200, true])
      }
      expect(await client.ended()).toBe('end')
    }
    const upload = async (client: RawClient): Promise<void> => {
      const sent = client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${LARGE.length}\r\n\r\n${LARGE}`)
      client.finish()
      expect((await client.nextResponse()).body.text).toBe('all of it')
      await sent
    }
    await Promise.all([
      rawClient(banyan.port).then(upload),
      secureClient().then(upload),
      ...names.flatMap((name) => [
        rawClient(banyan.port).then((client) => ask(name, '1.1', client)),
        rawClient(banyan.port).then((client) => ask(name, '1.0', client)),
        secureClient().then((client) => ask(name, '1.1', client)),
      ]),
    ])
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

  test('in mid-answer and leaves later, is noticed', async () => {
    const client = await rawClient(banyan.port)
    await client.send(GET)
    const request = await upstream.request()
    await request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
    await client.readUntil('hello\r\n')
    client.finish()
    // The first digit of the next chunk's size.
    await client.readUntil('0')
    client.reset()
    await request.connection.ended()
  })
})
