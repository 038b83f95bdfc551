/**
 * Upgrades (RFC 9110 section 7.8): the tunnel behind a 101, refused upgrades, and how either end goes.
 */
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startBanyan } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { field } from '../../support/message.ts'
import { scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

const upstream = await scriptedUpstream()
const url = `http://127.0.0.1:${upstream.port}`
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  main: { servers: ["${url}"] }
  hasty: { servers: ["${url}"], timeouts: { idle: 300ms, headers: 300ms } }
  patient: { servers: ["${url}"], timeouts: { idle: 300ms, upgraded: 1h } }
default: main
routes:
  - { id: patient, match: { path: /patient }, to: patient, percent: 100 }
  - { id: own, match: { path: /own }, to: main, percent: 100, timeouts: { upgraded: 300ms } }
  - { id: hasty, match: { path: /hasty }, to: hasty, percent: 100 }
`,
})
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))
beforeEach(() => upstream.cut())

const FORWARDED =
  'X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Forwarded-Port: 80\r\nCDN-Loop: ID\r\n\r\n'
const ADDED = `Connection: keep-alive\r\n${FORWARDED}`
const ASKING = 'Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n'
const SWITCHING =
  'HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nX: y\r\n\r\n'

async function asked(more = '', target = '/chat'): Promise<{ client: RawClient; request: UpstreamRequest }> {
  const client = await rawClient(banyan.port)
  await client.send(`GET ${target} HTTP/1.1\r\n${ASKING}${more}`)
  return { client, request: await upstream.request() }
}

async function tunnel(target = '/chat') {
  const { client, request } = await asked('', target)
  await request.send(SWITCHING)
  await client.readUntil('\r\n\r\n')
  return { client, server: request.connection }
}

describe('accepted', () => {
  test('the handshake passes, with Connection and Upgrade announced anew', async () => {
    const { client, request } = await asked()
    expect(request.headWithoutId).toBe(
      `GET /chat HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n${FORWARDED}`,
    )
    await request.send(SWITCHING)
    expect(await client.readUntil('\r\n\r\n')).toBe(
      'HTTP/1.1 101 Web Socket Protocol Handshake\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nX: y\r\nVia: 1.1 banyan\r\n\r\n',
    )
  })

  test('bytes right behind either head are the first of the tunnel', async () => {
    const { client, request } = await asked('early\0\xff')
    await request.send(`${SWITCHING}greeting\0\xff`)
    expect(await request.connection.readUntil('\xff')).toBe('early\0\xff')
    await client.readUntil('\r\n\r\n')
    expect(await client.readUntil('\xff')).toBe('greeting\0\xff')
  })

  test('bytes go both ways as they are, HTTP or not', async () => {
    const { client, server } = await tunnel()
    const words = 'GET / HTTP/1.1\r\nHost: b\r\n\r\n\0\x01\xfe\xff'
    await client.send(words)
    expect(await server.readUntil('\xff')).toBe(words)
    await server.send(words)
    expect(await client.readUntil('\xff')).toBe(words)
  })

  test('a MiB either way at once', async () => {
    const { client, server } = await tunnel()
    const bytes = Buffer.alloc(1024 * 1024, 'ab')
    await Promise.all([client.send(bytes), server.send(bytes)])
    const [up, down] = await Promise.all([server.readBytes(bytes.length), client.readBytes(bytes.length)])
    expect(up.equals(bytes) && down.equals(bytes)).toBe(true)
  })
})

describe('ends', () => {
  test('a half-close by the client passes; the server can still speak', async () => {
    const { client, server } = await tunnel()
    await client.send('bye')
    client.finish()
    expect(await server.readToEnd()).toEqual({ text: 'bye', ending: 'end' })
    await server.send('last words')
    server.finish()
    expect(await client.readToEnd()).toEqual({ text: 'last words', ending: 'end' })
  })

  test('a half-close by the server passes; the client can still speak', async () => {
    const { client, server } = await tunnel()
    await server.send('bye')
    server.finish()
    expect(await client.readToEnd()).toEqual({ text: 'bye', ending: 'end' })
    await client.send('last words')
    client.finish()
    expect(await server.readToEnd()).toEqual({ text: 'last words', ending: 'end' })
  })

  test('a reset passes as a reset, from either side', async () => {
    const one = await tunnel()
    one.client.reset()
    expect(await one.server.ended()).toBe('reset')
    const two = await tunnel()
    two.server.reset()
    expect(await two.client.ended()).toBe('reset')
  })

  test('both are closed after the idle time without a byte', async () => {
    const { client, server } = await tunnel('/hasty')
    expect(await client.ended()).toBe('end')
    expect(await server.ended()).toBe('end')
  })
})

test('upgraded connections have an idle time of their own, of the upstream or of the route', async () => {
  const { client, server } = await tunnel('/patient')
  const own = await tunnel('/own')
  expect(await own.client.ended()).toBe('end')
  expect(await own.server.ended()).toBe('end')
  await client.send('still')
  expect(await server.readUntil('still')).toBe('still')
})

describe('refused', () => {
  test.each([
    ['404 with a length', 'HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found'],
    ['200 chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nnot found\r\n0\r\n\r\n'],
  ])('%s: the answer comes whole, then both connections end', async (_, answer) => {
    const { client, request } = await asked('frames that nobody will read')
    await request.send(answer)
    const response = await client.nextResponse()
    expect(response.body.text).toBe('not found')
    expect(field(response.fields, 'connection')).toBe('close')
    // The client keeps its side open: the connection is closed on it all the same.
    expect(await client.ended()).toBe('end')
    await request.connection.ended()
    // What the client meant for the other protocol has not gone to the upstream as a request.
    expect(request.connection.unread).toBe('')
  })

  test('426 keeps its Upgrade, which is what it is about', async () => {
    const { client, request } = await asked()
    await request.send(
      'HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo/2\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n',
    )
    const response = await client.nextResponse()
    expect(response.status).toBe(426)
    expect(field(response.fields, 'upgrade')).toBe('foo/2')
  })

  test('an answer that ends with the connection', async () => {
    const { client, request } = await asked()
    await request.send('HTTP/1.1 403 Forbidden\r\n\r\nno')
    request.connection.finish()
    expect((await client.nextResponse()).body.text).toBe('no')
    expect(await client.ended()).toBe('end')
  })

  test('101 to a request that asked for nothing is no answer', async () => {
    const client = await rawClient(banyan.port)
    await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const request = await upstream.request()
    await request.send(SWITCHING)
    expect((await client.nextResponse()).status).toBe(502)
  })
})

describe('waiting for the answer', () => {
  test('a client that leaves takes its upstream connection with it', async () => {
    const { client, request } = await asked()
    client.socket.destroy()
    await request.connection.ended()
  })

  test('an upstream that dies is a 502, one that is silent a 504', async () => {
    const { client, request } = await asked()
    request.connection.socket.destroy()
    expect((await client.nextResponse()).status).toBe(502)
    const late = await asked('', '/hasty')
    expect((await late.client.nextResponse()).status).toBe(504)
  })
})

describe('no upgrade at all', () => {
  test.each([
    ['h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n', '1.1'],
    ['Upgrade without Connection', 'Upgrade: websocket\r\n', '1.1'],
    ['HTTP/1.0', 'Connection: Upgrade\r\nUpgrade: websocket\r\n', '1.0'],
  ])('%s goes on as a plain request', async (_, fields, version) => {
    const client = await rawClient(banyan.port)
    await client.send(`GET / HTTP/${version}\r\nHost: a\r\n${fields}\r\n`)
    const request = await upstream.request()
    expect(request.headWithoutId).toBe(`GET / HTTP/1.1\r\nHost: a\r\n${ADDED}`)
    await request.ok()
    const response = await client.nextResponse()
    expect(response.body.text).toBe('ok')
    expect(field(response.fields, 'connection')).toBe(version === '1.1' ? 'keep-alive' : 'close')
    if (version === '1.0') {
      expect(await client.ended()).toBe('end')
      return
    }
    // The offer has not cost the connection.
    await client.send('GET /again HTTP/1.1\r\nHost: a\r\n\r\n')
    await (await upstream.request()).ok('again')
    expect((await client.nextResponse()).body.text).toBe('again')
  })
})

test('an upgrade with a body: the body is the request’s, what follows is the tunnel’s', async () => {
  upstream.readsBodies = false
  const client = await rawClient(banyan.port)
  await client.send(`POST / HTTP/1.1\r\nContent-Length: 5\r\n${ASKING}hel`)
  const request = await upstream.request()
  expect(request.field('content-length')).toBe('5')
  expect(await request.connection.readUntil('hel')).toBe('hel')
  await client.send('lo')
  expect(await request.connection.readUntil('lo')).toBe('lo')
  await request.send(SWITCHING)
  await client.readUntil('\r\n\r\n')
  await client.send('frames')
  expect(await request.connection.readUntil('frames')).toBe('frames')
  await request.send('back')
  expect(await client.readUntil('back')).toBe('back')
  client.finish()
  expect(await request.connection.ended()).toBe('end')
  upstream.readsBodies = true
})
