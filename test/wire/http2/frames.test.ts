/**
 * The frame reader (RFC 9113 sections 4 and 6): what it tells depends on the bytes alone, not on how they came; and what is written is read.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FrameReader, type FrameSink } from '../../../src/wire/http2/frames.ts'
import { FieldDecoder } from '../../../src/wire/http2/hpack-decoder.ts'
import { FieldEncoder } from '../../../src/wire/http2/hpack-encoder.ts'
import { FrameOutput } from '../../../src/wire/http2/output.ts'
import { Http2Fault, PREFACE } from '../../../src/wire/http2/protocol.ts'
import { FLAG, frame, settings, TYPE, word } from '../../support/frames.ts'

/** What is told, with the pieces of each DATA frame put together. */
class Told implements FrameSink {
  readonly events: unknown[] = []
  #data: Buffer[] = []

  onDataHead(stream: number, length: number): void {
    this.events.push(['data', stream, length])
    this.#data = []
  }

  onData(piece: Buffer): void {
    this.#data.push(Buffer.from(piece))
  }

  onDataEnd(size: number, endStream: boolean): void {
    this.events.push(['data-end', Buffer.concat(this.#data).toString('latin1'), size, endStream])
  }

  onHeaders(stream: number, endStream: boolean, block: Buffer): void {
    this.events.push(['headers', stream, endStream, block.toString('latin1')])
  }

  onReset(stream: number, code: number): void {
    this.events.push(['reset', stream, code])
  }

  onSettings(values: readonly number[]): void {
    this.events.push(['settings', ...values])
  }

  onSettingsAck(): void {
    this.events.push(['settings-ack'])
  }

  onPing(data: Buffer, isAck: boolean): void {
    this.events.push(['ping', data.toString('latin1'), isAck])
  }

  onGoaway(): void {
    this.events.push(['goaway'])
  }

  onWindow(stream: number, increment: number): void {
    this.events.push(['window', stream, increment])
  }

  onStreamFault(stream: number, code: number): void {
    this.events.push(['fault', stream, code])
  }
}

/** Reads bytes in pieces. @returns what was told, and the code of the fault that ended it */
function read(bytes: Buffer, cuts: readonly number[]): { events: unknown[]; code: number | null; control: number } {
  const told = new Told()
  const reader = new FrameReader(told)
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b)
  let from = 0
  try {
    for (const end of ends) {
      // Of memory that is filled again, as sockets read.
      const piece = Buffer.from(bytes.subarray(from, end))
      reader.push(piece)
      piece.fill(0xee)
      from = end
    }
  } catch (error) {
    if (!(error instanceof Http2Fault)) throw error
    return { events: told.events, code: error.code, control: reader.controlBytes }
  }
  return { events: told.events, code: null, control: reader.controlBytes }
}

const stream = fc.constantFrom(0, 1, 3, 5)
const payload = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
const anyFrame = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(stream, payload).map(([id, bytes]) => frame(TYPE.data, FLAG.endStream, id, bytes)) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(stream, payload, fc.nat(8))
      .map(([id, bytes, pad]) =>
        frame(TYPE.data, FLAG.padded, id, Buffer.concat([Buffer.from([pad]), bytes, Buffer.alloc(pad)])),
      ),
  },
  fc
    .tuple(stream, payload, fc.constantFrom(0, FLAG.endHeaders))
    .map(([id, bytes, flags]) => frame(TYPE.headers, flags, id, bytes)),
  fc.tuple(stream, payload).map(([id, bytes]) => frame(TYPE.continuation, FLAG.endHeaders, id, bytes)),
  fc.tuple(stream, fc.nat()).map(([id, value]) => frame(TYPE.window, 0, id, word(value))),
  fc.tuple(stream, fc.nat(20)).map(([id, code]) => frame(TYPE.reset, 0, id, word(code))),
  fc.tuple(fc.nat(9), fc.nat()).map(([id, value]) => settings(id, value)),
  fc.constant(frame(TYPE.settings, FLAG.ack, 0)),
  fc.constant(frame(TYPE.ping, 0, 0, '12345678')),
  // Whatever it is.
  fc
    .tuple(fc.nat(255), fc.nat(255), fc.nat(), payload)
    .map(([type, flags, id, bytes]) => frame(type, flags, id, bytes)),
)

test('split anywhere, the same bytes tell the same', () => {
  const cuts = fc.array(fc.nat(), { maxLength: 60 })
  fc.assert(
    fc.property(fc.array(anyFrame, { maxLength: 12 }), cuts, fc.constantFrom(0, 5), (frames, at, cutOff) => {
      const all = Buffer.concat([PREFACE, settings(), ...frames])
      const bytes = all.subarray(0, Math.max(PREFACE.length, all.length - cutOff))
      const whole = read(bytes, [])
      expect(read(bytes, at)).toEqual(whole)
      expect(read(bytes, [...bytes.keys()])).toEqual(whole)
    }),
    { numRuns: 300 },
  )
})

test('whatever comes behind the preface is told or a fault', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      read(Buffer.concat([PREFACE, settings(), Buffer.from(bytes)]), [])
    }),
    { numRuns: 500 },
  )
})

test('what is written is read', () => {
  const fields = [':status', '200', 'x-large', 'x'.repeat(40_000), 'content-type', 'a/b']
  const large = Buffer.alloc(20_000, 'y')
  const written: Buffer[] = []
  let corks = 0
  const output = new FrameOutput()
  const target = {
    write(bytes: Buffer | string): boolean {
      written.push(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes))
      return true
    },
    cork: () => void corks++,
    uncork: () => void corks--,
  }
  const encoder = new FieldEncoder()
  output.begin(target)
  output.settings([3, 100, 4, 65_536])
  output.settingsAck()
  output.window(0, 1000)
  output.ping(Buffer.from('12345678'), true)
  output.reset(7, 8)
  output.headers(encoder, 1, [':status', '204'], true)
  output.headers(encoder, 3, fields, false)
  output.data(3, 'caf\xe9', 0, 4, false, false)
  output.data(3, large, 100, 16_484, false, false)
  output.data(3, large, 16_484, 20_000, true, false)
  output.goaway(3, 11)
  output.end()
  expect(corks).toBe(0)
  const bytes = Buffer.concat(written)
  expect(output.total).toBe(bytes.length)
  const told = new Told()
  new FrameReader(told).push(Buffer.concat([PREFACE, bytes]))
  const decoder = new FieldDecoder({ maxTableBytes: 4096 })
  const heads = told.events.filter((event) => (event as unknown[])[0] === 'headers') as [
    string,
    number,
    boolean,
    string,
  ][]
  const decoded = heads.map(([, id, ends, block]) => [id, ends, decoder.decode(Buffer.from(block, 'latin1'), 1e6, 100)])
  expect(decoded).toEqual([
    [1, true, [':status', '204']],
    [3, false, fields],
  ])
  expect(told.events.filter((event) => (event as unknown[])[0] !== 'headers')).toEqual([
    ['settings', 3, 100, 4, 65_536],
    ['settings-ack'],
    ['window', 0, 1000],
    ['ping', '12345678', true],
    ['reset', 7, 8],
    ['data', 3, 4],
    ['data-end', 'caf\xe9', 4, false],
    ['data', 3, 16_384],
    ['data-end', 'y'.repeat(16_384), 16_384, false],
    ['data', 3, 3516],
    ['data-end', 'y'.repeat(3516), 3516, true],
    ['goaway'],
  ])
})
