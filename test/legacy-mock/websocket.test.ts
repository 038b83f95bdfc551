/**
 * The WebSocket of stock changes: handshake, messages, fragments, control frames, protocol errors, shutdown.
 */
import { once } from 'node:events'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import WebSocket from 'ws'
import { FrameError, FrameReader, frameOf, type Message } from '../../legacy-mock/frames.ts'
import { answerOf, exchange, get, serve, wire } from './raw.ts'

const UPGRADE = ['Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
const upgrade = (...lines: string[]) =>
  get('/ws/stock?every=1h', ...UPGRADE, ...lines).replace('Connection: close', 'Connection: keep-alive, Upgrade')

/** A client's frame: masked, `first` is its first byte. */
function masked(first: number, data: Iterable<number> | string, key = [1, 2, 3, 4]): Buffer {
  const payload = typeof data === 'string' ? Buffer.from(data) : Buffer.from([...data])
  const head = [first]
  if (payload.length < 126) head.push(0x80 | payload.length)
  else head.push(0x80 | 126, payload.length >> 8, payload.length & 0xff)
  return Buffer.from([...head, ...key, ...payload.map((byte, at) => byte ^ (key[at % 4] ?? 0))])
}

async function open(port: number, path = '/ws/stock?every=1h', protocols: string[] = []): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols)
  onTestFinished(() => socket.terminate())
  await once(socket, 'open')
  return socket
}

async function reply(socket: WebSocket): Promise<{ text: string; binary: boolean }> {
  const [data, binary] = (await once(socket, 'message')) as [Buffer, boolean]
  return { text: data.toString(), binary }
}

describe('session', () => {
  test('tells stock changes, the same in every session', async () => {
    const { port } = await serve()
    const first = async () => {
      const request = upgrade('Sec-WebSocket-Version: 13').replace('every=1h', 'every=2ms')
      return /\{"type":"change","id":1,[^}]*\}/.exec(await wire(port, request).until(/"id":2,/))?.[0]
    }
    const change = await first()
    expect(JSON.parse(change ?? '')).toMatchObject({
      gtin: expect.stringMatching(/^\d{12}$/),
      onHand: expect.any(Number),
    })
    expect(await first()).toBe(change)
  })

  test('answers a question for stock, and gives other messages back as they came', async () => {
    const { port } = await serve()
    const socket = await open(port)
    socket.send('stock 123456789012')
    expect(JSON.parse((await reply(socket)).text)).toMatchObject({ gtin: '123456789012', onHand: expect.any(Number) })
    socket.send('stock 999999999993')
    expect(JSON.parse((await reply(socket)).text)).toMatchObject({ onHand: null })
    for (const size of [0, 125, 126, 65_535, 65_536, 1_000_000]) {
      const text = 'ż'.repeat(size / 2)
      socket.send(text)
      expect(await reply(socket)).toEqual({ text, binary: false })
    }
    socket.send(Buffer.from('raw'))
    expect(await reply(socket)).toEqual({ text: 'raw', binary: true })
  })

  test('joins fragments, answers pings between them, closes with the code it was given', async () => {
    const { port } = await serve()
    const socket = await open(port)
    const pong = once(socket, 'pong')
    const answered = reply(socket)
    socket.send('one ', { fin: false })
    socket.ping('are you there')
    socket.send('two', { fin: true })
    expect(await answered).toEqual({ text: 'one two', binary: false })
    expect(String((await pong)[0])).toBe('are you there')
    socket.close(4321, 'bye')
    expect((await once(socket, 'close'))[0]).toBe(4321)
  })

  test('a frame right behind the head of the request is not lost', async () => {
    const { port } = await serve()
    const bytes = upgrade('Sec-WebSocket-Version: 13') + masked(0x81, 'early').toString('latin1')
    expect(await wire(port, bytes).until(/early/)).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/)
  })

  test('a shutdown says 1001 and waits for the answer', async () => {
    const legacy = await serve({ drainMs: 60_000 })
    const socket = await open(legacy.port)
    const closed = once(socket, 'close')
    await legacy.close()
    expect((await closed)[0]).toBe(1001)
  })

  test('chooses the subprotocol it knows', async () => {
    const { port } = await serve()
    expect((await open(port, '/ws/stock', ['v9', 'stock.v1'])).protocol).toBe('stock.v1')
  })
})

describe('handshake', () => {
  test('refuses what is no good, with a whole answer', async () => {
    const { port } = await serve()
    expect(answerOf(await exchange(port, upgrade('Sec-WebSocket-Version: 8')))).toMatchObject({
      status: 426,
      complete: true,
    })
    const noKey = upgrade('Sec-WebSocket-Version: 13').replace(/Sec-WebSocket-Key: .*\r\n/, '')
    expect(answerOf(await exchange(port, noKey))).toMatchObject({ status: 400, complete: true })
  })

  test('an upgrade that nobody here understands is ignored', async () => {
    const { port } = await serve()
    const h2c = get('/status', 'Upgrade: h2c').replace('Connection: close', 'Connection: close, Upgrade')
    expect(answerOf(await exchange(port, h2c))).toMatchObject({ status: 200, body: 'UP\n' })
    const elsewhere = upgrade('Sec-WebSocket-Version: 13').replace('/ws/stock?every=1h', '/status')
    expect(await wire(port, elsewhere).until(/UP\n/)).toMatch(/^HTTP\/1\.1 200 OK/)
  })

  test.each([
    ['an unmasked frame', Buffer.from([0x81, 0x01, 0x61]), 1002],
    ['an unknown opcode', masked(0x83, ''), 1002],
    ['a reserved bit', masked(0xc1, 'x'), 1002],
    ['a fragmented ping', masked(0x09, ''), 1002],
    ['a continuation of nothing', masked(0x80, 'x'), 1002],
    ['a new message among fragments', Buffer.concat([masked(0x01, 'a'), masked(0x81, 'b')]), 1002],
    ['half a close code', masked(0x88, 'x'), 1002],
    ['a close code that must not be sent', masked(0x88, [0x03, 0xed]), 1002],
    ['text that is no UTF-8', masked(0x81, [0xff, 0xfe]), 1007],
    ['a frame beyond the limit', Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0, 1, 2, 3, 4]), 1009],
  ])('%s ends the session', async (_name, frame, code) => {
    const { port } = await serve()
    const { socket, until, end } = wire(port, upgrade('Sec-WebSocket-Version: 13'))
    await until(/\r\n\r\n/)
    socket.write(frame)
    socket.end()
    const bytes = Buffer.from((await end()).replace(/^.*?\r\n\r\n/s, ''), 'latin1')
    expect([bytes[0], bytes.readUInt16BE(2)]).toEqual([0x88, code])
  })
})

describe('frames', () => {
  const message = fc.record({
    text: fc.string({ unit: 'grapheme', maxLength: 300 }),
    cuts: fc.array(fc.nat(300), { maxLength: 3 }),
  })

  test('messages come out whole, however they are fragmented and the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), fc.array(fc.nat(2_000)), (messages, cuts) => {
        const bytes = Buffer.concat(messages.flatMap(({ text, cuts: parts }) => fragments(Buffer.from(text), parts)))
        const reader = new FrameReader()
        const got: Message[] = []
        for (const piece of slices(bytes, cuts)) got.push(...reader.read(piece))
        expect(got.map(({ data }) => data.toString())).toEqual(messages.map(({ text }) => text))
      }),
    )
  })

  test('any bytes at all: messages or a FrameError, nothing else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          for (const { data } of new FrameReader().read(Buffer.from(bytes))) expect(data).toBeInstanceOf(Buffer)
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('a server’s frame is unmasked, its length in the shortest form', () => {
    expect([...frameOf('text', 'a')]).toEqual([0x81, 1, 0x61])
    expect([...frameOf('binary', Buffer.alloc(126)).subarray(0, 4)]).toEqual([0x82, 126, 0, 126])
    expect([...frameOf('binary', Buffer.alloc(65_536)).subarray(0, 10)]).toEqual([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0])
  })
})

function slices(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...cuts.filter((cut) => cut < bytes.length), bytes.length].sort((a, b) => a - b)
  return at.map((end, index) => bytes.subarray(at[index - 1] ?? 0, end))
}

function fragments(text: Buffer, cuts: readonly number[]): Buffer[] {
  const pieces = slices(text, cuts)
  return pieces.map((piece, at) =>
    masked((at === pieces.length - 1 ? 0x80 : 0) | (at === 0 ? 1 : 0), piece, [9, at, 7, 250]),
  )
}
