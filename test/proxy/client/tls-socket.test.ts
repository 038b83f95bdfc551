/**
 * HTTP/1.1 of our own over a socket of node:tls: it works as over one of node:net.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { SocketServer } from '../../../src/proxy/client/server/socket-server.ts'
import { selfSigned } from '../../support/certificates.ts'
import { RawClient } from '../../support/client.ts'
import { reply, startRig } from '../caching/rig.ts'

async function secure(sendTimeoutMs = 60_000) {
  const rig = await startRig({ cache: '{ maxBody: 32MiB }', headers: '30s', memoryBytes: 64 * 1024 * 1024 })
  const settings = {
    places: [],
    tls: null,
    maxHeaderBytes: 32_768,
    headersTimeoutMs: 30_000,
    keepAliveMs: 75_000,
    sendTimeoutMs,
  }
  const http1 = new SocketServer(settings, rig.plane.engine)
  const { key, cert } = selfSigned('localhost', 'DNS:localhost')
  const server = createServer({ key, cert, allowHalfOpen: true }, (socket) => http1.take(socket, {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.close()
    await http1.drain({ timeoutMs: 0 })
  })
  const socket = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    ca: cert,
    servername: 'localhost',
  })
  await once(socket, 'secureConnect')
  onTestFinished(() => void socket.destroy())
  return { rig, http1, client: new RawClient(socket) }
}

test('requests one after the other, with bodies, and what the upstream learns of the scheme', async () => {
  const { rig, client } = await secure()
  await client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n')
  const request = await rig.legacy.request()
  expect(request.field('x-forwarded-proto')).toBe('https')
  await client.send('x'.repeat(200_000))
  expect((await request.body()).text).toHaveLength(200_000)
  await request.ok('one')
  expect((await client.nextResponse()).body.text).toBe('one')
  await client.send('GET /y HTTP/1.1\r\nHost: a\r\n\r\nGET /z HTTP/1.1\r\nHost: a\r\n\r\n')
  await (await rig.legacy.request()).ok('two')
  await (await rig.legacy.request()).ok('three')
  expect((await client.nextResponse()).body.text).toBe('two')
  expect((await client.nextResponse()).body.text).toBe('three')
})

test('a large body, an upgrade with bytes behind both heads, and a refusal', async () => {
  const { rig, client } = await secure()
  await client.send('GET /large HTTP/1.1\r\nHost: a\r\n\r\n')
  await (await rig.legacy.request()).ok('y'.repeat(1_000_000))
  expect((await client.nextResponse()).body.text).toHaveLength(1_000_000)
  await client.send('GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nearly')
  const request = await rig.legacy.request()
  await request.send('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nhello')
  await client.readUntil('\r\n\r\n')
  expect(await client.readUntil('hello')).toBe('hello')
  expect(await request.connection.readUntil('early')).toBe('early')
  await client.send('late')
  expect(await request.connection.readUntil('late')).toBe('late')
  const other = await secure()
  await other.client.send('GET / HTTP/1.1\r\n\r\n')
  expect((await other.client.nextResponse()).status).toBe(400)
  expect(await other.client.ended()).toBe('end')
})

test('a client that ends its side behind its request gets the response', async () => {
  const { rig, client } = await secure()
  await client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
  client.finish()
  await (await rig.legacy.request()).ok('one')
  expect((await client.nextResponse()).body.text).toBe('one')
})

test('a response that ends with the connection and is cut off is no whole one', async () => {
  const { rig, client } = await secure()
  await client.send('GET /x HTTP/1.0\r\nHost: a\r\n\r\n')
  const request = await rig.legacy.request()
  await request.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n')
  await client.readUntil('half')
  request.connection.socket.resetAndDestroy()
  // A mere end could be taken for that of the response.
  expect(await client.ended()).toBe('reset')
})

test('a client that takes nothing of a stored response is cut off', async () => {
  const { rig, client, http1 } = await secure(300)
  rig.legacy.handler = (request) =>
    request.send(reply(200, ['Cache-Control: max-age=600'], 'z'.repeat(20 * 1024 * 1024)))
  await rig.get('/large')
  await client.send('GET /large HTTP/1.1\r\nHost: a\r\n\r\n')
  client.socket.pause()
  await expect.poll(() => http1.connections, { timeout: 120_000 }).toBe(0)
})
