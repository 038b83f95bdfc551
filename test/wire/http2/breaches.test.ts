/**
 * Responses of an HTTP/2 server that break the rules, in raw frames, beside another one on the same connection. What RFC 9113 calls an error
 * of the stream ends that stream only (sections 5.4.2 and 8.1.1), what it calls one of the connection ends all.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { Http2Pool } from '../../../src/wire/http2/pool.ts'
import { FLAG, frame, headers, PREFACE, settings, TYPE, word } from '../../support/frames.ts'
import { poolFor, Recording } from '../peer.ts'

type Reply = (stream: number) => Buffer[]

const STATUS_OK: [string, string] = [':status', '200']

/** A server of raw frames, and a pool to it. */
class Server {
  readonly pool: Http2Pool
  /** What is sent for each request, in their order; the last one for all further ones. */
  readonly #replies: readonly Reply[]
  readonly #sockets: Socket[] = []
  #asked = 0
  /** Codes of GOAWAY frames. */
  readonly goaways: number[] = []

  private constructor(port: number, replies: readonly Reply[]) {
    this.#replies = replies
    this.pool = new Http2Pool(poolFor(port).settings)
  }

  static async of(...replies: Reply[]): Promise<Server> {
    const listening = createServer((socket) => server.#serve(socket)).listen(0, '127.0.0.1')
    await once(listening, 'listening')
    const server = new Server((listening.address() as AddressInfo).port, replies)
    onTestFinished(() => {
      server.pool.close()
      for (const socket of server.#sockets) socket.destroy()
      listening.close()
    })
    return server
  }

  get connections(): number {
    return this.#sockets.length
  }

  #serve(socket: Socket): void {
    this.#sockets.push(socket)
    socket.on('error', () => {}).write(settings())
    let bytes: Buffer = Buffer.alloc(0)
    let at = PREFACE.length
    socket.on('data', (piece: Buffer) => {
      bytes = Buffer.concat([bytes, piece])
      while (bytes.length >= at + 9 && bytes.length >= at + 9 + bytes.readUIntBE(at, 3)) {
        const from = at + 9
        at = from + bytes.readUIntBE(at, 3)
        const [type, flags, payload] = [bytes[from - 6], bytes[from - 5] as number, bytes.subarray(from, at)]
        if (type === TYPE.settings && (flags & FLAG.ack) === 0) socket.write(frame(TYPE.settings, FLAG.ack, 0))
        if (type === TYPE.goaway) this.goaways.push(payload.readUInt32BE(4))
        if (type !== TYPE.headers) continue
        const reply = this.#replies[Math.min(this.#asked++, this.#replies.length - 1)] as Reply
        for (const part of reply(bytes.readUInt32BE(from - 4))) socket.write(part)
      }
    })
  }

  ask(method = 'GET'): Recording {
    const recording = new Recording()
    const taken = this.pool.take(recording, 0)
    taken.send(`${method} / HTTP/1.1\r\nHost: a.test\r\n\r\n`, method)
    taken.finish(null)
    return recording
  }
}

const head = (stream: number, ...fields: [string, string][]): Buffer => headers(stream, fields, 0)
const data = (stream: number, text: string, flags: number = FLAG.endStream): Buffer =>
  frame(TYPE.data, flags, stream, text)

const OF_STREAM: [string, string, Reply][] = [
  ['a body longer than its length', 'GET', (n) => [head(n, STATUS_OK, ['content-length', '2']), data(n, 'hello')]],
  [
    'one that comes later',
    'GET',
    (n) => [head(n, STATUS_OK, ['content-length', '2']), data(n, 'he', 0), data(n, 'llo')],
  ],
  ['a body for HEAD', 'HEAD', (n) => [head(n, STATUS_OK), data(n, 'hello')]],
  ['a body with 204', 'GET', (n) => [head(n, [':status', '204']), data(n, 'hello')]],
  ['a body with 304', 'GET', (n) => [head(n, [':status', '304']), data(n, 'hello')]],
  ['a body shorter than its length', 'GET', (n) => [head(n, STATUS_OK, ['content-length', '9']), data(n, 'hello')]],
  ['a connection field', 'GET', (n) => [headers(n, [STATUS_OK, ['connection', 'close']], FLAG.endStream)]],
  ['no status', 'GET', (n) => [headers(n, [['x', 'y']], FLAG.endStream)]],
]

const OF_CONNECTION: [string, Reply][] = [
  ['an increment of nothing', () => [frame(TYPE.window, 0, 0, word(0))]],
  ['DATA on no stream', () => [data(0, 'x')]],
  ['a field section that is none', (n) => [frame(TYPE.headers, FLAG.endHeaders, n, Buffer.alloc(5, 0xff))]],
]

/** A response that has begun, on the first stream; and one with which it ends. */
const begun: Reply = (stream) => [head(stream, STATUS_OK), data(stream, 'be', 0)]
const ending: Reply = (stream) => [data(1, 'gin'), headers(stream, [STATUS_OK], FLAG.endStream)]

async function whileBegun(...replies: Reply[]): Promise<{ server: Server; slow: Recording }> {
  const server = await Server.of(begun, ...replies)
  const slow = server.ask()
  await expect.poll(() => slow.body).toBe('be')
  return { server, slow }
}

test.each(OF_STREAM)('%s: that response is broken off, and no other', async (_, method, reply) => {
  const { server, slow } = await whileBegun(reply, ending)
  const broken = server.ask(method)
  await broken.over
  expect(broken.failure).toMatch(/^response-(?:head|body)$/)
  expect(broken.cause?.message).toContain('PROTOCOL_ERROR')
  await server.ask().over
  await slow.over
  expect(slow).toMatchObject({ body: 'begin', failure: null })
  expect(server).toMatchObject({ connections: 1, goaways: [] })
})

test.each(OF_CONNECTION)('%s: the connection ends with all responses', async (_, reply) => {
  const { server, slow } = await whileBegun(reply)
  const broken = server.ask()
  await Promise.all([broken.over, slow.over])
  expect(broken).toMatchObject({ failure: 'response-head', ends: 1 })
  expect(slow).toMatchObject({ failure: 'response-body', ends: 1 })
  await expect.poll(() => server.pool.open).toBe(0)
})

test('a server that goes on like that gets another connection in time, and what was under way is served', async () => {
  const [, , reply] = OF_STREAM[0]!
  const { server, slow } = await whileBegun(reply)
  for (let n = 0; n < 120; n++) {
    const broken = server.ask()
    await broken.over
    expect(broken.failure).toBe('response-body')
  }
  expect(server.connections).toBe(3)
  expect(slow.failure).toBeNull()
})
