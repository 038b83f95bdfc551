/**
 * The admin server over TLS: what is offered, and clients that speak something else, stall, or come in crowds.
 */
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ADMIN_BOUNDS, type AdminBounds, adminServer } from '../../../src/control/admin/server.ts'
import { speakTls } from '../../../src/control/admin/tls.ts'
import { readSettings } from '../../../src/settings/settings.ts'
import { serverPairOf } from '../../../src/state/tls/server-pair.ts'
import type { ServerPair } from '../../../src/state/tls/server-tls.ts'
import { selfSigned } from '../../support/certificates.ts'
import { clientHello } from '../../support/client-hello.ts'
import { type LogLine, logInto } from '../rig.ts'

const { tlsCiphers: ciphers } = readSettings([], {})
const [first, second] = ['first', 'second'].map((name) => {
  const { cert, key } = selfSigned(name, 'DNS:localhost')
  return serverPairOf(cert, key, name) as ServerPair
}) as [ServerPair, ServerPair]

let lines: LogLine[]
let close = async (): Promise<void> => {}
let server: Server
let use: (pair: ServerPair) => void
const sockets: Socket[] = []

beforeEach(() => {
  lines = []
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await close()
})

type Handler = (req: IncomingMessage, res: ServerResponse) => void

async function serve(bounds: Partial<AdminBounds> = {}, handler: Handler = (_, res) => res.end('it is well')) {
  const all = { ...ADMIN_BOUNDS, ...bounds }
  server = adminServer(handler, logInto(lines), all)
  use = speakTls(server, { minVersion: 'TLSv1.2', ciphers }, logInto(lines), all)
  use(first)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  close = async () => {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
  return (server.address() as AddressInfo).port
}

async function plain(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port })
  sockets.push(socket)
  await once(socket, 'connect')
  return socket
}

async function secured(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const ca = [first.cert, second.cert]
  const socket = tlsConnect({ host: '127.0.0.1', port, servername: 'localhost', ca, ...options })
  sockets.push(socket)
  await once(socket, 'secureConnect')
  return socket
}

const GET = 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'

async function isAnswered(socket: Socket): Promise<boolean> {
  socket.write(GET)
  let text = ''
  while (!text.includes('it is well')) text += String((await once(socket, 'data'))[0])
  return true
}

/** All that comes until the server ends the connection; fails if that is a reset. */
async function answersOf(socket: Socket): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of socket) pieces.push(piece as Buffer)
  return Buffer.concat(pieces).toString()
}

const nameOf = (socket: TLSSocket): string => String(socket.getPeerCertificate().subject.CN)

test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s with HTTP/1.1, and no other protocol', async (version) => {
  const port = await serve()
  const only: ConnectionOptions = { minVersion: version, maxVersion: version }
  const socket = await secured(port, { ...only, ALPNProtocols: ['h2', 'http/1.1'] })
  expect([socket.getProtocol(), socket.alpnProtocol, nameOf(socket)]).toEqual([version, 'http/1.1', 'first'])
  expect(await isAnswered(socket)).toBe(true)
  // A client need not offer any.
  expect(await isAnswered(await secured(port, only))).toBe(true)
  await expect(secured(port, { ...only, ALPNProtocols: ['h2'] })).rejects.toThrow(/no.application.protocol/i)
})

test('another certificate is for new connections, and one that can not be used changes nothing', async () => {
  const port = await serve()
  const before = await secured(port)
  use(second)
  expect(() => use({ ...first, key: second.key })).toThrow(/key values mismatch/)
  expect(nameOf(await secured(port))).toBe('second')
  expect([nameOf(before), await isAnswered(before)]).toEqual(['first', true])
})

test('a client without TLS is told so, and the connection ends', async () => {
  const port = await serve()
  for (const bytes of [GET, `POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(100_000)}`, 'hello?\n']) {
    const socket = await plain(port)
    socket.write(bytes)
    const [head, body] = (await answersOf(socket)).split('\r\n\r\n') as [string, string]
    expect(head).toMatch(/^HTTP\/1\.1 400 .*\r\nBanyan-Request-Id: /s)
    expect(JSON.parse(body)).toMatchObject({ detail: 'This port speaks HTTPS: use https://.' })
  }
})

test('what is no request is answered with a problem document over TLS, too', async () => {
  const socket = await secured(await serve({ headMs: 500 }))
  socket.write('GE T / HTTP/1.1\r\n\r\n')
  expect(await answersOf(socket)).toMatch(/^HTTP\/1\.1 400 .*malformed-request/s)
  const silent = await secured(await serve({ headMs: 500 }))
  expect(await answersOf(silent)).toMatch(/^HTTP\/1\.1 408 /)
})

/** The beginning of a handshake: the first bytes of a record, a whole one that waits for the rest of its message, and one too long. */
const STALLED = ['', '\x16', '\x16\x03\x01\x00\xff\x01', '\x16\x03\x01\x00\x04\x01\x00\x00\xff']

test.each(STALLED)('a handshake that stops is ended: %j', async (bytes) => {
  const port = await serve({ headMs: 200 })
  const socket = await plain(port)
  socket.on('error', () => {})
  socket.resume()
  const closed = once(socket, 'close')
  socket.write(bytes, 'latin1')
  await closed
})

test.each([
  ['garbage', Buffer.concat([Buffer.from('\x16\x03\x01\x40\x00', 'latin1'), Buffer.alloc(0x4000, 7)])],
  ['too long a record', Buffer.concat([Buffer.from('\x16\x03\x01\xff\xff', 'latin1'), Buffer.alloc(0xffff, 1)])],
])('%s in place of a handshake, and clients that leave in one, harm nobody', async (_, bytes) => {
  const port = await serve()
  const socket = await plain(port)
  socket.on('error', () => {})
  socket.resume()
  const closed = once(socket, 'close')
  socket.write(bytes)
  await closed
  for (const begun of STALLED) {
    const leaving = await plain(port)
    leaving.write(begun, 'latin1', () => (begun.length > 1 ? leaving.resetAndDestroy() : leaving.end()))
    leaving.resume()
    await once(leaving, 'close')
  }
  expect(await isAnswered(await secured(port))).toBe(true)
})

test('beyond the bound the oldest handshake gives way, and no connection that is secure; the log is told once', async () => {
  const port = await serve({ connections: 3 })
  const secure = await secured(port)
  const stalled: Socket[] = []
  for (let n = 0; n < 3; n++) stalled.push(await plain(port))
  for (const socket of stalled.slice(0, 2)) {
    const gone = once(socket.resume(), 'close')
    stalled.push(await plain(port))
    await gone
  }
  expect(await isAnswered(secure)).toBe(true)
  expect(lines.map(({ fields, message }) => [fields.event, message])).toEqual([
    ['admin-connections', 'the admin API has more than 3 TLS handshakes: closed the oldest one'],
  ])
})

test('one handshake begins per turn of the event loop, however many have come', async () => {
  let turn = 0
  let counting = true
  const count = (): void => {
    turn++
    if (counting) setImmediate(count)
  }
  const port = await serve()
  const hello = await clientHello('localhost', ['http/1.1'])
  const all = await Promise.all(Array.from({ length: 20 }, () => plain(port)))
  while ((await promisify(server.getConnections.bind(server))()) < 20) await new Promise((next) => setImmediate(next))
  count()
  const begun = all.map((socket) => once(socket, 'data').then(() => turn))
  for (const socket of all) socket.write(hello)
  expect(new Set(await Promise.all(begun)).size).toBe(20)
  counting = false
})
