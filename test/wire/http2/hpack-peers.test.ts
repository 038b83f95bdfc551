/**
 * Our HPACK against nghttp2's (node:http2): random fields over many requests on one connection arrive as they were sent.
 */
import { once } from 'node:events'
import { type ClientHttp2Session, connect, createServer, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer as createNetServer, type Socket } from 'node:net'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { FieldDecoder } from '../../../src/wire/http2/hpack-decoder.ts'
import { FieldEncoder } from '../../../src/wire/http2/hpack-encoder.ts'
import { FLAG, FrameClient, frame, frameClient, PREFACE, settings, TYPE } from '../../support/frames.ts'

const REQUESTS = 200

/** Values that nghttp2 takes: no controls, no blanks at the ends. */
const value = fc
  .oneof(
    fc.constantFrom(
      'text/html',
      'gzip',
      'no-cache',
      'a=b; c=d',
      '',
      'x'.repeat(700),
      '12345',
      'Tue, 01 Dec 2026 00:07:17 GMT',
    ),
    fc.string({ unit: 'grapheme-ascii', maxLength: 120 }),
    fc.string({ unit: fc.integer({ min: 0x80, max: 0xff }).map((code) => String.fromCharCode(code)), maxLength: 20 }),
  )
  .map((text) => text.trim())
const name = fc.oneof(
  fc.constantFrom('accept', 'user-agent', 'x-a', 'x-b', 'etag', 'cookie', 'authorization', 'vary', 'content-language'),
  fc
    .string({ unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789-_'), minLength: 1, maxLength: 20 })
    .map((text) => `z${text}`),
)
const fields = fc.array(fc.tuple(name, value), { maxLength: 15 }).map((list) => list.flat())

/** Random fields, some lists again and again. */
function lists(): string[][] {
  const all = fc.sample(fields, REQUESTS)
  return all.map((list, n) => (n % 3 === 0 ? (all[n % 7] as string[]) : list))
}

/** HEADERS and CONTINUATIONs. nghttp2 takes no more than eight of those. */
function section(stream: number, block: Buffer, pieces: number, flags: number): Buffer {
  const piece = Math.ceil(block.length / pieces)
  const frames: Buffer[] = []
  for (let at = 0; at === 0 || at < block.length; at += piece) {
    const last = at + piece >= block.length ? FLAG.endHeaders : 0
    const type = at === 0 ? TYPE.headers : TYPE.continuation
    frames.push(frame(type, at === 0 ? flags | last : last, stream, block.subarray(at, at + piece)))
  }
  return Buffer.concat(frames)
}

/** What a side of raw frames does with HEADERS and SETTINGS of its peer. */
class Side {
  readonly encoder = new FieldEncoder()
  readonly decoder: FieldDecoder
  readonly #frames: FrameClient
  #block: Buffer[] = []

  constructor(frames: FrameClient, maxTableBytes = 4096) {
    this.#frames = frames
    this.decoder = new FieldDecoder({ maxTableBytes })
  }

  encode(list: readonly string[]): Buffer {
    const out = Buffer.alloc(16_384)
    return out.subarray(0, this.encoder.encode(list, out, 0))
  }

  /** The next whole field section of the peer. */
  async next(): Promise<{ stream: number; fields: string[] | null }> {
    for (;;) {
      const { type, flags, stream, payload } = await this.#frames.next()
      if (type === TYPE.settings) {
        for (let at = 0; at < payload.length; at += 6) {
          if (payload.readUInt16BE(at) === 1) this.encoder.setMaxTableBytes(payload.readUInt32BE(at + 2))
        }
      }
      if (type === TYPE.goaway) throw new Error(`GOAWAY ${payload.readUInt32BE(4)}`)
      if (type !== TYPE.headers && type !== TYPE.continuation) continue
      this.#block.push((flags & FLAG.priority) !== 0 && type === TYPE.headers ? payload.subarray(5) : payload)
      if ((flags & FLAG.endHeaders) === 0) continue
      const block = Buffer.concat(this.#block)
      this.#block = []
      return { stream, fields: this.decoder.decode(block, 65_536, 1000) }
    }
  }
}

test('a server of node:http2 reads what we encode, and we read its answers', async () => {
  const sent = lists()
  const answers = lists()
  const seen: string[][] = []
  const server = createServer({ maxHeaderListPairs: 1000, strictSingleValueFields: false } as object)
  server.on('stream', (stream: ServerHttp2Stream, _, __, raw: string[]) => {
    seen.push(raw)
    const n = seen.length - 1
    // The size of the table that we may use is changed in between.
    if (n % 20 === 10)
      stream.session?.settings({ headerTableSize: [0, 100, 1000, 4096, 65_536][(n / 10) % 5] as number })
    stream.respond([':status', '200', ...(answers[n] as string[])] as never, { endStream: true })
  })
  server.listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  const client = await frameClient((server.address() as AddressInfo).port, '')
  await client.send(Buffer.concat([Buffer.from(PREFACE), settings(1, 4096)]))
  const side = new Side(client)
  const pseudo = [':method', 'GET', ':path', '/a/b?c=d', ':scheme', 'http', ':authority', 'example.com']
  for (let n = 0; n < REQUESTS; n++) {
    const list = [...pseudo, ...(sent[n] as string[])]
    await client.send(section(2 * n + 1, side.encode(list), 1 + (n % 5), FLAG.endStream))
    const got = await side.next()
    expect(seen[n]).toEqual(list)
    expect(withoutDate(got.fields)).toEqual([':status', '200', ...(answers[n] as string[])])
  }
})

/** node adds a Date to answers. */
function withoutDate(list: readonly string[] | null): readonly string[] | null {
  return list?.at(-2) === 'date' ? list.slice(0, -2) : list
}

test.each([4096, 256, 0])(
  'a client of node:http2 reads what we encode, and we read its requests, with a table of %i bytes',
  async (size) => {
    const sent = lists()
    const answers = lists()
    const seen: (string[] | null)[] = []
    const server = createNetServer(async (socket: Socket) => {
      const frames = new FrameClient(socket)
      onTestFinished(() => void socket.destroy())
      await frames.readBytes(PREFACE.length)
      await frames.send(settings(1, size))
      const side = new Side(frames, size)
      for (let n = 0; n < REQUESTS; n++) {
        const { stream, fields } = await side.next()
        seen.push(fields)
        const block = side.encode([':status', '200', ...(answers[n] as string[])])
        await frames.send(section(stream, block, 1 + (n % 5), FLAG.endStream))
      }
    })
    server.listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const session: ClientHttp2Session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
      strictSingleValueFields: false,
      maxHeaderListPairs: 1000,
    } as object)
    onTestFinished(() => session.destroy())
    await once(session, 'remoteSettings')
    const pseudo = [':method', 'GET', ':path', '/a/b?c=d', ':scheme', 'http', ':authority', 'example.com']
    for (let n = 0; n < REQUESTS; n++) {
      if (n % 20 === 10) session.settings({ headerTableSize: [0, 100, 1000, 4096, 65_536][(n / 10) % 5] as number })
      const list = [...pseudo, ...(sent[n] as string[])]
      const stream = session.request(list as never, { endStream: true })
      const [, , raw] = await once(stream, 'response')
      stream.resume()
      expect(seen[n]).toEqual(list)
      expect(raw).toEqual([':status', '200', ...(answers[n] as string[])])
    }
  },
)
