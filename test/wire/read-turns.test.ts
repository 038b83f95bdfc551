/**
 * A fair turn beside those that send much: large bodies are there to be read, and behind them the bytes of another connection.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import type { ClientRequest, RequestHandler } from '../../src/proxy/client/request.ts'
import { SocketServer } from '../../src/proxy/client/server/socket-server.ts'
import { Recording, setUpPools } from './peer.ts'

const HERD = 60
const MIB = 1024 * 1024
const setUp = setUpPools()

/**
 * Fills the connections of a herd, so that the kernel has much for each of their readers, and then has the other one send.
 * @param bytes that have been read of the herd
 * @param other sends, and waits until it is heard
 * @returns what is read of the herd before
 */
async function readBefore(
  herd: readonly Socket[],
  bytes: () => number,
  other: () => Promise<unknown>,
): Promise<number> {
  // With what is read the windows of the kernel grow.
  for (const socket of herd) socket.write(Buffer.alloc(4 * MIB))
  await expect.poll(bytes).toBe(herd.length * 4 * MIB)
  // Within one turn of the event loop, in which nobody reads.
  for (const socket of herd) socket.write(Buffer.alloc(4 * MIB))
  await other()
  return bytes() - herd.length * 4 * MIB
}

interface Served {
  readonly port: number
  /** Of bodies, so far. */
  bytes(): number
  connections(): number
  readonly heard: Promise<void>
}

/** Serves clients: bodies are read, and a GET is heard. */
async function serve(): Promise<Served> {
  let bytes = 0
  const { promise: heard, resolve: hear } = Promise.withResolvers<void>()
  const engine = {
    draining: false,
    peerOf: () => ({}),
    handle: (request: ClientRequest) => {
      if (request.method === 'GET') hear()
      else request.read({ onBody: (piece) => void (bytes += piece.length), onBodyEnd: () => {} })
    },
  } as unknown as RequestHandler
  const settings = {
    places: [],
    h2c: true,
    tls: null,
    maxHeaderBytes: 4096,
    headersTimeoutMs: 60_000,
    keepAliveMs: 60_000,
  }
  const server = new SocketServer(settings, engine)
  const listening = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => server.take(socket, {}))
  await once(listening.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(async () => {
    listening.close()
    await server.drain({ timeoutMs: 0 })
  })
  const { port } = listening.address() as AddressInfo
  return { port, bytes: () => bytes, connections: () => server.connections, heard }
}

const dial = (port: number): Socket => connect(port, '127.0.0.1').on('error', () => {})

test('a request beside the bodies of others', async () => {
  const { port, bytes, connections, heard } = await serve()
  const fair = dial(port)
  const herd = Array.from({ length: HERD }, () => dial(port))
  for (const socket of herd) socket.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${1024 * MIB}\r\n\r\n`)
  await expect.poll(() => connections()).toBe(HERD + 1)
  const other = (): Promise<void> => {
    fair.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    return heard
  }
  expect(await readBefore(herd, bytes, other)).toBeLessThan(16 * MIB)
})

test('a response beside the bodies of others', async () => {
  const { peer, pool } = await setUp()
  peer.answer = () => {}
  let bytes = 0
  const herd: Socket[] = []
  const begin = async (recording: Recording, head: string): Promise<Socket> => {
    const connection = pool.take(recording, 0)
    connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'GET', false)
    connection.finish(null)
    const { socket } = await peer.connection(peer.connections.length)
    socket.write(head)
    return socket
  }
  for (let n = 0; n < HERD; n++) {
    const recording = new Recording()
    recording.onBody = (piece) => void (bytes += piece.length)
    herd.push(await begin(recording, `HTTP/1.1 200 OK\r\nContent-Length: ${8 * MIB}\r\n\r\n`))
  }
  const last = new Recording()
  const fair = await begin(last, '')
  const read = await readBefore(
    herd,
    () => bytes,
    () => {
      fair.write('HTTP/1.1 204 No Content\r\n\r\n')
      return last.over
    },
  )
  expect(read).toBeLessThan(16 * MIB)
  await expect.poll(() => pool.active).toBe(0)
})

/** A frame of HTTP/2 (RFC 9113 section 4.1). */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

test('a request beside bodies of HTTP/2', async () => {
  const { port, bytes, connections, heard } = await serve()
  const fair = dial(port)
  const herd = Array.from({ length: HERD }, () => dial(port))
  for (const socket of herd) socket.resume()
  await expect.poll(connections).toBe(HERD + 1)
  // As much as the windows let a client send: bodies of 20 streams, that are not complete.
  const post = Buffer.from('838684410161', 'hex')
  const streams = Array.from({ length: 20 }, (_, n) => 2 * n + 1)
  const beginning = Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    frame(4, 0, 0, Buffer.alloc(0)),
    ...streams.map((stream) => frame(1, 4, stream, post)),
    ...streams.map((stream) => frame(0, 0, stream, Buffer.alloc(1))),
  ])
  for (const socket of herd) socket.write(beginning)
  await expect.poll(bytes).toBe(HERD * 20)
  const part = Buffer.alloc(16_384)
  const bodies = Buffer.concat(streams.flatMap((stream) => [1, 2, 3].map(() => frame(0, 0, stream, part))))
  for (const socket of herd) socket.write(bodies)
  fair.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await heard
  const read = bytes()
  await expect.poll(bytes).toBe(HERD * (20 + 60 * 16_384))
  expect(read).toBeLessThan(16 * MIB)
})
