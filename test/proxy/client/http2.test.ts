/**
 * HTTP/2 of the public side, by prior knowledge (`--h2c`): what requests and responses become on their way, and how they end.
 */
import { createHash } from 'node:crypto'
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan, tableFor } from '../../support/banyan.ts'
import { rawClient } from '../../support/client.ts'
import {
  CODE,
  FLAG,
  frame,
  frameClient,
  GET,
  headers,
  POST,
  PREFACE,
  settings,
  TYPE,
  word,
} from '../../support/frames.ts'
import { http2Client, valuesOf } from '../../support/http2-client.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const upstream = await scriptedUpstream()
const banyan = await startBanyan({ table: tableFor(upstream.port), args: ['--h2c'] })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(async () => {
  upstream.readsBodies = true
  await upstream.cut()
})

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** A proxy with other flags. */
async function other(args: readonly string[]): Promise<Banyan> {
  const started = await startBanyan({ table: tableFor(upstream.port), args: ['--h2c', ...args] })
  onTestFinished(async () => void (await started.stop()))
  return started
}

describe('requests', () => {
  test('fields pass in order, with duplicates; cookie crumbs become one, :authority becomes Host', async () => {
    const client = await http2Client(banyan.port)
    const fields = [
      'x-a',
      '1',
      'cookie',
      'a=1',
      'x-b',
      '\xe9',
      'cookie',
      'b=2',
      'x-a',
      '2',
      'content-type',
      'a/b',
      'content-type',
      'c/d',
    ]
    const asked = client.ask('/caf\xe9?q=%20', fields)
    const request = await upstream.request()
    expect(request.head.split('\r\n').slice(0, 8)).toEqual([
      'GET /caf\xe9?q=%20 HTTP/1.1',
      'Host: a',
      'x-a: 1',
      'cookie: a=1; b=2',
      'x-b: \xe9',
      'x-a: 2',
      'content-type: a/b',
      'content-type: c/d',
    ])
    await request.send(ok)
    expect(await asked.status()).toBe(200)
  })

  test.each([
    ['the same Host', ['host', 'a'], 'Host: a'],
    ['Host alone', [':authority', '', 'host', 'b'], 'Host: b'],
  ])('%s', async (_, fields, line) => {
    const client = await frameClient(banyan.port)
    const pseudo: [string, string][] = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
    ]
    const authority: [string, string][] = fields[0] === ':authority' ? [] : [[':authority', 'a']]
    await client.send(headers(1, [...pseudo, ...authority, ['host', fields.at(-1) as string]], FLAG.endStream))
    const request = await upstream.request()
    expect(request.head.split('\r\n').filter((one) => /^host:/i.test(one))).toEqual([line])
    await request.send(ok)
  })

  test.each([
    ['another Host than :authority', ['host', 'b'], 400],
    ['an :authority that is none', [':authority', 'a:b'], 400],
    ['the scheme https on a connection without TLS', [':scheme', 'https'], 421],
    ['a head that is too large', ['x', 'x'.repeat(40_000)], 431],
    ['too many fields', Array.from({ length: 600 }, () => 'x'), 431],
    ['a target that is too long', [':path', `/${'x'.repeat(17_000)}`], 414],
    ['CONNECT', [':method', 'CONNECT', ':authority', 'a:80'], 501],
    ['CONNECT for another protocol than a WebSocket', [':method', 'CONNECT', ':protocol', 'foo'], 501],
  ])('%s is refused, and the connection goes on', async (name, fields, status) => {
    const client = await http2Client(banyan.port)
    const seen = upstream.requests
    const asked = name === 'CONNECT' ? client.session.request({ ':method': 'CONNECT', ':authority': 'a:80' }) : null
    const stream = asked === null ? client.ask('/', fields as string[]) : null
    if (asked !== null) {
      const got = await new Promise((resolve) => asked.once('response', (head) => resolve(head[':status'])))
      expect(got).toBe(status)
    } else {
      expect(await stream!.status()).toBe(status)
      expect(await stream!.values('content-type')).toEqual(['application/problem+json'])
    }
    expect(upstream.requests).toBe(seen)
    const next = client.ask('/next')
    await (await upstream.request()).ok('fine')
    expect((await next.rest()).text).toBe('fine')
  })

  test('the scheme of a client is what a trusted proxy says in X-Forwarded-Proto, whatever :scheme it has', async () => {
    const { port } = await other(['--trusted-proxies', '127.0.0.1'])
    const client = await http2Client(port)
    for (const [scheme, proto] of [
      ['https', 'http'],
      ['http', 'https'],
      ['https', 'https'],
    ] as const) {
      const asked = client.ask('/', [':scheme', scheme, 'x-forwarded-proto', proto])
      const request = await upstream.request()
      expect(request.head).toMatch(new RegExp(`^GET / .*\\r\\nx-forwarded-proto: ${proto}\\r\\n`, 'is'))
      await request.send(ok)
      expect(await asked.status()).toBe(200)
    }
  })

  test('a body without a length goes on chunked, with its trailers; with one it keeps that', async () => {
    const client = await http2Client(banyan.port)
    const asked = client.ask('/', ['te', 'trailers'], { method: 'POST', ends: false, trailers: true })
    asked.stream.on('wantTrailers', () => asked.stream.sendTrailers({ 'x-sum': '1' }))
    asked.stream.write('hel')
    asked.stream.end('lo')
    const request = await upstream.request()
    expect(request.head).toContain('TE: trailers\r\n')
    const body = await request.body()
    expect([body.framing, body.text, body.trailers]).toEqual(['chunked', 'hello', [['x-sum', '1']]])
    await request.send(ok)
    await asked.rest()
    const sized = client.ask('/', ['content-length', '5'], { method: 'POST', ends: false })
    sized.stream.end('hello')
    const second = await upstream.request()
    expect(await second.body()).toMatchObject({ framing: 'length', text: 'hello' })
    await second.send(ok)
    await sized.rest()
  })

  test('a body that waits for 100 gets it, and 103 passes', async () => {
    const client = await http2Client(banyan.port)
    const asked = client.ask('/', ['expect', '100-continue', 'content-length', '5'], { method: 'PUT', ends: false })
    const continued = new Promise<void>((resolve) => asked.stream.once('continue', resolve))
    const request = await upstream.request()
    await request.send('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n')
    await continued
    asked.stream.end('hello')
    expect((await request.body()).text).toBe('hello')
    await request.send(ok)
    expect(await asked.status()).toBe(200)
    expect(valuesOf(asked.interim[0] as string[], 'link')).toEqual(['</a>', '</b>'])
  })

  test('many at a time on one connection, answered in any order', async () => {
    const client = await http2Client(banyan.port)
    const asked = Array.from({ length: 50 }, (_, n) => client.ask(`/${n}`))
    const requests = await Promise.all(asked.map(() => upstream.request()))
    for (const request of requests.reverse()) await request.ok(request.target)
    for (const [n, one] of asked.entries()) expect((await one.rest()).text).toBe(`/${n}`)
  })

  test('a body that nobody reads is held back by its window, and others go on', async () => {
    upstream.readsBodies = false
    const client = await frameClient(banyan.port)
    await client.send(headers(1, POST, 0))
    const request = await upstream.request()
    request.connection.socket.pause()
    const piece = Buffer.alloc(16_384)
    let sent = 0
    let window = 65_535
    // As much as the windows of stream and connection take; then no more comes.
    const idle = async (): Promise<boolean> => {
      await client.send(frame(TYPE.ping, 0, 0, '12345678'))
      for (;;) {
        const got = await client.next()
        if (got.type === TYPE.window && got.stream === 1) window += got.payload.readUInt32BE()
        if (got.type === TYPE.ping) return window < piece.length
      }
    }
    for (let quiet = 0; quiet < 5; ) {
      if (window >= piece.length) {
        await client.send(frame(TYPE.data, 0, 1, piece))
        window -= piece.length
        sent += piece.length
        quiet = 0
      } else if (await idle()) quiet++
      expect(sent).toBeLessThan(64 * 1024 * 1024)
    }
    await client.send(headers(3, [[':method', 'GET'], ...POST.slice(1)], FLAG.endStream))
    await (await upstream.request()).ok()
    await client.until(TYPE.headers, 3)
  })
})

describe('responses', () => {
  test('fields pass in lower case, those of a connection do not', async () => {
    const client = await http2Client(banyan.port)
    const asked = client.ask('/')
    await (await upstream.request()).send(
      'HTTP/1.1 200 Fine\r\nConnection: x-private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 2\r\n\r\nok',
    )
    expect((await asked.head()).filter((_, n) => n % 2 === 0)).toEqual([
      ...[':status', 'set-cookie', 'set-cookie', 'content-type', 'content-type', 'content-length', 'via', 'date'],
    ])
    expect(await asked.rest()).toMatchObject({ text: 'ok', code: CODE.none })
  })

  test('trailers pass, behind a body in one piece or in several', async () => {
    const client = await http2Client(banyan.port)
    for (const rest of ['', '3\r\nend\r\n']) {
      const asked = client.ask('/')
      const request = await upstream.request()
      await request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      if (rest !== '') await asked.head()
      await request.send(`5\r\nhello\r\n${rest}0\r\nX-Sum: 2\r\n\r\n`)
      const { text, trailers } = await asked.rest()
      expect([text, trailers]).toEqual([rest === '' ? 'hello' : 'helloend', ['x-sum', '2']])
    }
  })

  test('an upstream that breaks off resets the stream, not the connection', async () => {
    const client = await http2Client(banyan.port)
    const asked = client.ask('/')
    const request = await upstream.request()
    await request.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello')
    await asked.head()
    request.connection.socket.destroy()
    expect((await asked.rest()).code).toBe(CODE.internal)
    const next = client.ask('/')
    await (await upstream.request()).ok()
    expect(await next.status()).toBe(200)
  })

  test('a large one waits for the window of its stream, and the upstream with it', async () => {
    const client = await http2Client(banyan.port)
    const asked = client.ask('/')
    const request = await upstream.request()
    const size = 16 * 1024 * 1024
    let taken = 0
    void request.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
    const { socket } = request.connection
    const piece = Buffer.alloc(1024 * 1024)
    const send = (): void => {
      while (taken < size) {
        taken += piece.length
        if (!socket.write(piece)) {
          socket.once('drain', send)
          return
        }
      }
    }
    send()
    await asked.head()
    const next = client.ask('/next')
    await (await upstream.request()).ok()
    expect(await next.status()).toBe(200)
    expect(taken).toBeLessThan(size / 2)
    let bytes = 0
    asked.stream.on('data', (data: Buffer) => {
      bytes += data.length
    })
    await new Promise((resolve) => asked.stream.on('close', resolve))
    expect(bytes).toBe(size)
  })

  test('one that comes before its upload is whole is sent on for as long as its client takes to read it', async () => {
    upstream.readsBodies = false
    const client = await frameClient(banyan.port)
    const size = 65_535 + 20_000
    await client.send(headers(1, POST, 0))
    await (await upstream.request()).ok('x'.repeat(size))
    let came = 0
    while (came < 65_535) came += (await client.until(TYPE.data, 1)).payload.length
    await client.send(frame(TYPE.window, 0, 0, word(2 ** 20)))
    await client.send(headers(3, POST, 0))
    await (await upstream.request()).ok('small')
    // The rest of an upload is no longer waited for whose answer was sent, and came later.
    expect((await client.until(TYPE.reset)).stream).toBe(3)
    await client.send(frame(TYPE.window, 0, 1, word(2 ** 20)))
    while (came < size) came += (await client.until(TYPE.data, 1)).payload.length
  })

  test('a status over 599, and a 205 with a body, pass as they are', async () => {
    const client = await http2Client(banyan.port)
    for (const status of [799, 205]) {
      const asked = client.ask('/')
      await (await upstream.request()).send(`HTTP/1.1 ${status} So\r\nContent-Length: 2\r\n\r\nok`)
      expect(await asked.status()).toBe(status)
      expect((await asked.rest()).text).toBe('ok')
    }
  })

  test('a large one leaves room for small ones: they take turns, a frame each', async () => {
    const client = await frameClient(banyan.port, Buffer.concat([Buffer.from(PREFACE), settings(4, 2 ** 31 - 1)]))
    await client.send(headers(1, GET, FLAG.endStream))
    const size = 4 * 1024 * 1024
    const large = await upstream.request()
    // More than the window of the connection: it waits.
    const sending = large.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`)
    for (let came = 0; came < 65_535; ) came += (await client.until(TYPE.data, 1)).payload.length
    await client.send(headers(3, GET, FLAG.endStream))
    await (await upstream.request()).ok('small')
    await client.until(TYPE.headers, 3)
    await client.send(frame(TYPE.window, 0, 0, word(2 ** 30)))
    let before = 0
    for (;;) {
      const { type, stream, payload } = await client.next()
      if (type === TYPE.data && stream === 3) break
      if (type === TYPE.data) before += payload.length
    }
    expect(before).toBeLessThanOrEqual(2 * 16_384)
    for (let came = before + 65_535; came < size; ) came += (await client.until(TYPE.data, 1)).payload.length
    await sending
  })

  test('an offer of NTLM, or its use, asks for HTTP/1.1', async () => {
    const client = await http2Client(banyan.port)
    const asked = client.ask('/')
    await (await upstream.request()).send('HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n')
    expect((await asked.rest()).code).toBe(CODE.http11)
    const seen = upstream.requests
    expect((await client.ask('/', ['authorization', 'Negotiate abc']).rest()).code).toBe(CODE.http11)
    expect(upstream.requests).toBe(seen)
  })
})

describe('ends', () => {
  test('a stream that is reset takes its upstream request with it', async () => {
    const client = await http2Client(banyan.port)
    const asked = client.ask('/')
    const request = await upstream.request()
    asked.stream.close(CODE.cancel)
    await request.connection.ended()
  })

  test('a body whose stream is reset without an error is not whole', async () => {
    const client = await frameClient(banyan.port)
    await client.send(headers(1, POST, 0))
    const request = await upstream.request()
    await client.send(frame(TYPE.data, 0, 1, 'hello'))
    await client.send(frame(TYPE.reset, 0, 1, word(CODE.none)))
    await expect(request.body()).rejects.toThrow('broken off')
  })

  test('a client that leaves takes all its requests with it', async () => {
    const client = await http2Client(banyan.port)
    client.ask('/')
    client.ask('/')
    const requests = [await upstream.request(), await upstream.request()]
    client.session.destroy()
    for (const request of requests) await request.connection.ended()
  })

  test('SIGTERM: a request on its way is answered still; a second GOAWAY tells the last one', async () => {
    const own = await other([])
    const client = await frameClient(own.port)
    await client.send(headers(1, GET, FLAG.endStream))
    const first = await upstream.request()
    const ended = own.program.stop()
    const announced = await client.until(TYPE.goaway)
    expect([announced.payload.readUInt32BE(0), announced.payload.readUInt32BE(4)]).toEqual([2 ** 31 - 1, CODE.none])
    client.acks = false
    const { payload } = await client.until(TYPE.ping)
    client.acks = true
    await client.send(Buffer.concat([headers(3, GET, FLAG.endStream), frame(TYPE.ping, FLAG.ack, 0, payload)]))
    await client.send(headers(5, GET, FLAG.endStream))
    const second = await upstream.request()
    const last = await client.until(TYPE.goaway)
    expect(last.payload.readUInt32BE(0)).toBe(3)
    await first.ok()
    await client.until(TYPE.data, 1)
    await second.ok()
    await client.until(TYPE.data, 3)
    await client.last()
    expect(await ended).toBe(0)
  })

  test('a client that ends its side behind its requests gets their answers', async () => {
    const client = await frameClient(banyan.port)
    await client.send(Buffer.concat([headers(1, GET, FLAG.endStream), headers(3, POST, 0)]))
    const requests = [await upstream.request(), await upstream.request()]
    client.acks = false
    client.finish()
    // What is not whole never will be.
    await requests.find(({ method }) => method === 'POST')!.connection.ended()
    await requests.find(({ method }) => method === 'GET')!.ok('late')
    let text = ''
    while (text !== 'late') text += (await client.until(TYPE.data, 1)).payload.toString()
    await client.ended()
  })

  test('SIGTERM: GOAWAY, and what is under way is answered', async () => {
    const own = await other([])
    const client = await http2Client(own.port)
    const idle = await http2Client(own.port)
    const asked = client.ask('/')
    const request = await upstream.request()
    const ended = own.program.stop()
    await idle.closed()
    expect(idle.goaway).toBe(CODE.none)
    await expect.poll(() => client.goaway).toBe(CODE.none)
    await request.ok('last')
    expect(await asked.rest()).toMatchObject({ text: 'last', code: CODE.none })
    await client.closed()
    expect(await ended).toBe(0)
  })

  test('an idle connection is closed with GOAWAY, one with a request is not, one with half a preface is', async () => {
    const own = await other(['--keep-alive', '200ms', '--header-timeout', '200ms'])
    const idle = await http2Client(own.port)
    const busy = await http2Client(own.port)
    const asked = busy.ask('/')
    const request = await upstream.request()
    await idle.closed()
    expect(idle.goaway).toBe(CODE.none)
    await request.ok('late')
    expect((await asked.rest()).text).toBe('late')
    await busy.closed()
    const slow = await frameClient(own.port, 'PRI * HTTP/2.0\r\n')
    await slow.ended()
  })

  test('a connection that is still being sent answers is not idle', async () => {
    const own = await other(['--keep-alive', '1s'])
    upstream.handler = (request) => request.ok('x'.repeat(60_000))
    onTestFinished(() => {
      upstream.handler = null
    })
    const slow = await frameClient(
      own.port,
      Buffer.concat([Buffer.from(PREFACE), settings(4, 2 ** 30), frame(TYPE.window, 0, 0, word(2 ** 30))]),
    )
    slow.socket.pause()
    const asked = upstream.requests + 100
    for (let stream = 1; stream < 200; stream += 2) await slow.send(headers(stream, GET, FLAG.endStream))
    await expect.poll(() => upstream.requests).toBe(asked)
    // What is not in the socket yet never will be: no request is under way any more.
    for (let stream = 1; stream < 200; stream += 2) await slow.send(frame(TYPE.reset, 0, stream, word(CODE.cancel)))
    const idle = await http2Client(own.port)
    await idle.closed()
    slow.socket.resume()
    expect(await slow.answers()).toBe(true)
  })

  test('HTTP/1.1 is spoken on the same port', async () => {
    for (const first of ['GET', 'P', 'PRI']) {
      const client = await rawClient(banyan.port)
      await client.send(first)
      await client.send(`${first === 'GET' ? '' : 'X'} / HTTP/1.1\r\nHost: a\r\n\r\n`)
      await (await upstream.request()).ok()
      expect((await client.nextResponse()).status).toBe(200)
    }
  })
})

describe('WebSockets (RFC 8441)', () => {
  const accept = (key: string): string =>
    createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  const CONNECT = [':method', 'CONNECT', ':protocol', 'websocket', 'sec-websocket-version', '13', 'origin', 'http://a']

  test('CONNECT becomes an upgrade; bytes pass both ways, and both ends', async () => {
    const client = await http2Client(banyan.port)
    expect(client.session.remoteSettings.enableConnectProtocol).toBe(true)
    const asked = client.ask('/chat', CONNECT, { ends: false })
    const request = await upstream.request()
    expect([request.method, request.target, request.field('upgrade'), request.field('connection')]).toEqual([
      'GET',
      '/chat',
      'websocket',
      'Upgrade',
    ])
    const key = request.field('sec-websocket-key') as string
    expect(Buffer.from(key, 'base64')).toHaveLength(16)
    await request.send(
      `HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept(key)}\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello`,
    )
    expect(await asked.status()).toBe(200)
    const names = (await asked.head()).filter((_, n) => n % 2 === 0)
    expect(names).not.toContain('sec-websocket-accept')
    expect(await asked.values('sec-websocket-protocol')).toEqual(['chat'])
    const rest = asked.rest()
    asked.stream.write('from client')
    expect(await request.connection.readUntil('from client')).toBe('from client')
    await request.send(' there')
    asked.stream.end()
    expect(await request.connection.ended()).toBe('end')
    request.connection.finish()
    expect(await rest).toMatchObject({ text: 'hello there', code: CODE.none })
  })

  test('a server that is cut resets the stream, a stream that is reset cuts the server', async () => {
    const client = await http2Client(banyan.port)
    for (const end of ['server', 'client']) {
      const asked = client.ask('/', CONNECT, { ends: false })
      const request = await upstream.request()
      const key = request.field('sec-websocket-key') as string
      await request.send(
        `HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept(key)}\r\n\r\n`,
      )
      await asked.head()
      if (end === 'server') {
        request.connection.reset()
        expect((await asked.rest()).code).toBe(CODE.connect)
      } else {
        asked.stream.close(CODE.cancel)
        await request.connection.ended()
      }
    }
  })

  test.each([
    ['a refusal passes', 'HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno', 403],
    ['a 200 is not taken for a WebSocket', ok, 502],
  ])('%s', async (_, bytes, status) => {
    const client = await http2Client(banyan.port)
    const asked = client.ask('/', CONNECT, { ends: false })
    await (await upstream.request()).send(bytes)
    expect(await asked.status()).toBe(status)
    asked.stream.end()
    await asked.rest()
  })

  test.each([
    ['a value with a line end', ['x-a', 'b\r\nX-Injected: 1']],
    ['a value with NUL', ['x-a', 'b\0c']],
    ['a name with a line end', ['x-a: 1\r\nx-b', 'c']],
    ['a name with a blank', ['x a', 'b']],
    ['another Host than :authority', ['host', 'b']],
  ])('%s is refused, as in any request', async (_, [name, value]) => {
    const client = await frameClient(banyan.port)
    const seen = upstream.requests
    const pseudo: [string, string][] = [
      [':method', 'CONNECT'],
      [':protocol', 'websocket'],
      ...GET.slice(1).map(([key, text]): [string, string] => [key, text]),
    ]
    await client.send(headers(1, [...pseudo, [name as string, value as string]], 0))
    expect((await client.until(TYPE.data, 1)).payload.toString()).toContain('urn:banyan:problem:bad-request')
    expect(upstream.requests).toBe(seen)
  })

  test('a Content-Length is not passed on: nothing of that length follows', async () => {
    const client = await http2Client(banyan.port)
    const asked = client.ask('/', [...CONNECT, 'content-length', '5'], { ends: false })
    const request = await upstream.request()
    expect(request.field('content-length')).toBeUndefined()
    await request.send('HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno')
    expect(await asked.status()).toBe(403)
  })

  test('an accept that does not belong to the key is none', async () => {
    const client = await http2Client(banyan.port)
    const asked = client.ask('/', CONNECT, { ends: false })
    const request = await upstream.request()
    await request.send(
      'HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: no\r\n\r\n',
    )
    await expect(asked.head()).rejects.toThrow('reset')
    await request.connection.ended()
  })
})
