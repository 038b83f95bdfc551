/**
 * One connection to a server, over real sockets: bytes both ways, back-pressure, upgrades, TLS.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { describe, expect, test } from 'vitest'
import type { PoolSettings, ServerPool } from '../../src/wire/client.ts'
import { selfSigned } from '../support/certificates.ts'
import { ask, exchange, type Peer, poolFor, Recording, setUpPools } from './peer.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const setUp = setUpPools()

describe('bytes both ways', () => {
  test('a chunked request with trailers, and a chunked answer with trailers', async () => {
    const { peer, pool } = await setUp()
    let sides = 0
    peer.answer = (side) => {
      // The head ends in one empty line, the trailers in the next.
      if (++sides === 2) {
        side.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nDigest: z\r\n\r\n')
      }
    }
    const seen = new Recording()
    const connection = pool.take(seen, Number.POSITIVE_INFINITY)
    connection.send('POST / HTTP/1.1\r\nHost: x.test\r\nTransfer-Encoding: chunked\r\n\r\n', 'POST', false)
    connection.writeChunk(Buffer.from('hello world, hello'))
    connection.finish('0\r\nX: y\r\n\r\n')
    await seen.over
    expect(peer.connections[0]?.received).toBe(
      'POST / HTTP/1.1\r\nHost: x.test\r\nTransfer-Encoding: chunked\r\n\r\n12\r\nhello world, hello\r\n0\r\nX: y\r\n\r\n',
    )
    expect(seen).toMatchObject({ body: 'ok', trailers: ['Digest', 'z'], failure: null })
    expect(pool.idle).toBe(1)
  })

  test('a server that does not read holds the writer back, and lets it go on', async () => {
    const { peer, pool } = await setUp()
    peer.answer = () => {}
    const seen = new Recording()
    const connection = pool.take(seen, Number.POSITIVE_INFINITY)
    connection.send('POST / HTTP/1.1\r\nHost: x.test\r\nContent-Length: 67108864\r\n\r\n', 'POST', false)
    await seen.ready
    const { socket } = await peer.connection(0)
    socket.pause()
    const megabyte = Buffer.alloc(1024 * 1024)
    let written = 0
    while (written < 64 && connection.write(megabyte)) written++
    expect(written).toBeLessThan(64)
    socket.resume()
    await seen.drained
    connection.abort()
  })

  test('a reader that pauses gets no more, and the connection is still good for the next exchange', async () => {
    const { peer, pool } = await setUp()
    const size = 8 * 1024 * 1024
    peer.answer = (side) => {
      side.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`)
      side.socket.write(Buffer.alloc(size))
    }
    const seen = ask(pool)
    await new Promise<void>((resolve) => {
      seen.onHeadDo = resolve
    })
    seen.connection?.pause()
    const [side] = peer.connections
    const before = seen.body.length
    await new Promise((resolve) => setImmediate(resolve))
    expect(seen.body.length).toBe(before)
    expect(side?.socket.writableLength).toBeGreaterThan(0)
    seen.connection?.resume()
    await seen.over
    expect(seen.body.length).toBe(size)
    peer.answer = (again) => again.socket.write(OK)
    expect((await exchange(pool)).connection).toBe(seen.connection)
  })

  test('a head waits for the end of the turn, and leaves in one piece with body bytes that come before', async () => {
    const { peer, pool } = await setUp()
    await exchange(pool)
    const side = peer.connections[0]!
    side.received = ''
    const seen = new Recording()
    const connection = pool.take(seen, Number.POSITIVE_INFINITY)
    peer.answer = () => {}
    const pieces: string[] = []
    side.socket.on('data', (bytes: Buffer) => pieces.push(bytes.toString('latin1')))
    connection.send('POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n', 'POST', false)
    connection.write(Buffer.from('hi'))
    connection.finish(null)
    while (!side.received.endsWith('hi')) await once(side.socket, 'data')
    expect(pieces).toEqual(['POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi'])
    side.socket.write(OK)
    await seen.over
    expect(seen).toMatchObject({ body: 'ok', failure: null })
  })

  test('bytes that were under way before the request are never taken for its answer', async () => {
    const { peer, pool } = await setUp()
    await exchange(pool)
    const side = peer.connections[0]!
    side.received = ''
    const seen = new Recording()
    // From a timer, so that the turn reads its sockets once more before it ends.
    await new Promise((resolve) => setTimeout(resolve))
    side.socket.write(OK)
    const connection = pool.take(seen, Number.POSITIVE_INFINITY)
    connection.send('GET / HTTP/1.1\r\nHost: x.test\r\n\r\n', 'GET', false)
    connection.finish(null)
    await seen.over
    expect(seen).toMatchObject({ failure: 'response-head', status: 0, body: '' })
    expect([connection.reused, connection.answered]).toEqual([true, false])
    expect([pool.open, pool.idle]).toEqual([0, 0])
    await side.closed
    expect(side.received).toBe('')
  })

  test('an upgrade hands the socket over, with what came behind the head', async () => {
    const { peer, pool } = await setUp()
    peer.answer = (side) => {
      if (!side.received.includes('ping')) {
        side.socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhello')
      }
    }
    const seen = ask(pool, { upgrade: true })
    await seen.over
    expect(seen).toMatchObject({ upgraded: true, status: 101 })
    const { socket, rest } = seen.connection!.detach()
    expect(rest?.toString()).toBe('hello')
    expect([pool.open, pool.active, pool.idle]).toEqual([0, 0, 0])
    socket.write('ping')
    while (!peer.connections[0]?.received.endsWith('ping')) await once(peer.connections[0]!.socket, 'data')
    socket.destroy()
  })
})

describe('TLS', () => {
  const { key, cert } = selfSigned('up.test', 'DNS:up.test')

  const overTls = (tls: NonNullable<PoolSettings['tls']>): Promise<{ peer: Peer; pool: ServerPool }> =>
    setUp({ tls }, { key, cert, requestCert: true, ca: [cert], rejectUnauthorized: false })

  test('a server whose certificate is trusted is asked, and its connection kept', async () => {
    const { peer, pool } = await overTls({ ca: [cert], servername: 'up.test', key, cert })
    expect((await exchange(pool)).body).toBe('ok')
    expect((await exchange(pool)).body).toBe('ok')
    expect(peer.connections).toHaveLength(1)
    const socket = peer.connections[0]?.socket as import('node:tls').TLSSocket
    expect([socket.servername, socket.authorized]).toEqual(['up.test', true])
  })

  test('a FIN during the handshake is a connection that did not come about', async () => {
    const server = createServer((socket) => socket.once('data', () => socket.end())).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const pool = poolFor((server.address() as AddressInfo).port, { tls: { ca: [cert], servername: 'up.test' } })
    expect(await exchange(pool)).toMatchObject({ failure: 'connect', ends: 1, cause: { code: 'ECONNRESET' } })
    expect([pool.open, pool.active]).toEqual([0, 0])
    server.close()
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s: that a client certificate is asked for is told', async (version) => {
    const strict = { key, cert, ca: [cert], requestCert: true, rejectUnauthorized: true, maxVersion: version }
    const { pool } = await setUp({ tls: { ca: [cert], servername: 'up.test' } }, strict)
    const seen = await exchange(pool)
    expect(seen.failure).toBe(version === 'TLSv1.2' ? 'connect' : 'response-head')
    expect(seen.cause?.message).toMatch(/handshake failure|certificate required/)
  })

  test('what node:tls refuses to try is a failed connection, and the next one is none of its concern', async () => {
    const { pool } = await overTls({ ca: ['-----BEGIN CERTIFICATE-----\nhalf'], cert: 'none', key: 'none' })
    for (let n = 0; n < 2; n++) {
      const seen = await exchange(pool)
      expect(seen).toMatchObject({ failure: 'connect', ends: 1 })
      expect(seen.cause?.message).toMatch(/PEM/)
    }
    expect([pool.open, pool.active]).toEqual([0, 0])
  })

  test.each([
    ['closes with an alert', (socket: Socket) => socket.end()],
    ['closes without one', (_: Socket, raw: Socket) => raw.end()],
  ])('a body that ends with the connection may have been cut: %s', async (_, close) => {
    const raws: Socket[] = []
    const server = createTlsServer({ key, cert }, (socket) => {
      socket.on('error', () => {})
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\nhalf', () => close(socket, raws[0] as Socket))
      })
    })
    server.on('connection', (socket) => raws.push(socket))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const pool = poolFor((server.address() as AddressInfo).port, { tls: { ca: [cert], servername: 'up.test' } })
    const seen = await exchange(pool)
    expect(seen).toMatchObject({ status: 200, body: 'half', failure: 'response-body', ends: 1 })
    expect(seen.cause?.message).toContain('may be truncated')
    server.close()
  })

  test.each([
    ['an unknown authority', { servername: 'up.test' }, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['another name', { ca: [cert], servername: 'other.test' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('%s is refused before a byte of the request goes out', async (_, tls, code) => {
    const { peer, pool } = await overTls(tls)
    const seen = await exchange(pool)
    expect(seen.failure).toBe('connect')
    expect((seen.cause as NodeJS.ErrnoException).code).toBe(code)
    expect(peer.connections.map((side) => side.received).join('')).toBe('')
  })
})
