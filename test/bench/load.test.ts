/**
 * What the loads of the benchmark read: answers and WebSocket frames, however the bytes are cut.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AnswerReader } from '../../bench/load/answers.ts'
import { clientFrame, FrameReader, serverFrame } from '../../bench/load/frames.ts'
import { UpgradeReader } from '../../bench/load/websocket.ts'

/** Bytes cut at arbitrary places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return sorted.slice(1).map((end, i) => bytes.subarray(sorted[i], end))
}

const places = fc.array(fc.nat(), { maxLength: 8 })

describe('answers', () => {
  const answer = (status: number, bytes: number): string =>
    `HTTP/1.1 ${status} Fine\r\nContent-Type: text/plain\r\nContent-Length: ${bytes}\r\n\r\n${'x'.repeat(bytes)}`

  test('each is told once, with status and length', () => {
    const answers = fc.array(fc.record({ status: fc.constantFrom(200, 404, 502), bytes: fc.nat(300) }), {
      maxLength: 5,
    })
    fc.assert(
      fc.property(answers, places, (all, cuts) => {
        const seen: object[] = []
        const reader = new AnswerReader((status, bytes) => seen.push({ status, bytes }))
        const stream = Buffer.from(all.map(({ status, bytes }) => answer(status, bytes)).join(''))
        for (const piece of cut(stream, cuts)) reader.take(piece)
        expect(seen).toEqual(all)
      }),
    )
  })

  test('a truncated one is not told', () => {
    let told = 0
    const reader = new AnswerReader(() => told++)
    reader.take(Buffer.from(answer(200, 10).slice(0, -1)))
    expect(told).toBe(0)
  })

  test('one without a length is an error', () => {
    const reader = new AnswerReader(() => {})
    expect(() => reader.take(Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'))).toThrow(/without/)
  })
})

describe('frames', () => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 })

  test('come out as they went in, masked or not', () => {
    fc.assert(
      fc.property(payloads, fc.boolean(), places, (all, masked, cuts) => {
        const seen: Buffer[] = []
        const reader = new FrameReader((payload) => seen.push(payload))
        const mask = Buffer.from([1, 2, 3, 255])
        const frames = all.map((each) =>
          masked ? clientFrame(Buffer.from(each), 2, mask) : serverFrame(Buffer.from(each), 2),
        )
        for (const piece of cut(Buffer.concat(frames), cuts)) reader.take(piece)
        expect(seen.map((each) => [...each])).toEqual(all.map((each) => [...each]))
      }),
    )
  })

  test('the masked example of RFC 6455 section 5.7', () => {
    const frame = clientFrame(Buffer.from('Hello'), 1, Buffer.from([0x37, 0xfa, 0x21, 0x3d]))
    expect(frame.toString('hex')).toBe('818537fa213d7f9f4d5158')
  })

  test('frames behind the handshake are not lost', () => {
    const seen: string[] = []
    const reader = new UpgradeReader({
      opened: () => seen.push('opened'),
      refused: () => seen.push('refused'),
      frame: (payload) => seen.push(payload.toString()),
    })
    const head = Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n')
    reader.take(Buffer.concat([head, serverFrame(Buffer.from('first'), 1)]))
    expect(seen).toEqual(['opened', 'first'])
  })

  test('any other status is a refusal', () => {
    const seen: string[] = []
    const note = (what: string) => () => void seen.push(what)
    const reader = new UpgradeReader({ opened: note('opened'), refused: note('refused'), frame: note('frame') })
    reader.take(Buffer.from('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'))
    expect(seen).toEqual(['refused'])
  })
})
