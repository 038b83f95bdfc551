/**
 * Random conversations of HTTP/2 clients in raw frames: valid ones, and what attackers make of them. Each by the number of its seed.
 */
import { FieldEncoder } from '../../../src/wire/http2/hpack-encoder.ts'
import { block, CODE, FLAG, frame, GET, headers, POST, PREFACE, settings, TYPE, word } from '../../support/frames.ts'
import { Dice } from '../../wire/request-samples.ts'

/** What must come back for a request. */
export interface Expected {
  readonly method: string
  readonly path: string
  readonly body: Buffer
}

/** How the client ends: it half-closes, or resets the connection; in the middle: it waits for nothing. */
export type Ending = 'fin' | 'reset'

/** What a client sends. */
export interface Script {
  readonly seed: number
  readonly kind: 'valid' | 'mutated' | 'cut' | 'flood'
  readonly bytes: Buffer
  /** Where writes are split, in ascending order. */
  readonly splits: readonly number[]
  /** By stream: requests that have to be answered unless the connection ends. */
  readonly expected: ReadonlyMap<number, Expected>
  readonly ending: Ending
}

/** A frame of a script. */
interface Piece {
  readonly stream: number
  readonly bytes: Buffer
  /** The request that is complete with it. */
  readonly completes: Expected | null
}

const SETTING = { tableSize: 1, push: 2, maxStreams: 3, window: 4, maxFrame: 5, maxList: 6 }
const FIELDS: readonly (readonly [string, string])[] = [
  ...([
    ['accept', '*/*'],
    ['accept-encoding', 'gzip, deflate'],
    ['user-agent', 'fuzz/1.0'],
    ['te', 'trailers'],
  ] as const),
  ...([
    ['cookie', 'a=b'],
    ['cookie', 'c=d'],
    ['x-empty', ''],
    ['priority', 'u=1, i'],
    ['cache-control', 'no-cache'],
  ] as const),
  ...([
    ['x-long', 'y'.repeat(700)],
    ['authorization', 'Basic YTpi'],
    ['accept-language', 'de, en;q=0.5'],
  ] as const),
]
/** No body is longer than what all of a script may send without a word of the server. */
const MOST_BODY = 6000

/**
 * A script by its seed.
 * @param scheme of the connection that it is for
 */
export function scriptOf(seed: number, scheme: 'http' | 'https'): Script {
  const dice = new Dice(seed)
  const kind = (['valid', 'valid', 'mutated', 'mutated', 'mutated', 'mutated', 'cut', 'flood'] as const)[dice.below(8)]!
  const pieces = kind === 'flood' ? floodPieces(dice) : validPieces(scheme, dice)
  const ending = dice.below(3) === 0 ? 'reset' : 'fin'
  if (kind === 'mutated') return { seed, kind, ending, ...mutate(pieces, dice) }
  const whole = Buffer.concat(pieces.map(({ bytes }) => bytes))
  const bytes = kind === 'cut' ? whole.subarray(0, dice.below(whole.length)) : whole
  const expected = kind === 'valid' ? expectedOf(pieces) : new Map<number, Expected>()
  return { seed, kind, ending, bytes, expected, splits: splitsOf(bytes.length, dice) }
}

function splitsOf(length: number, dice: Dice): number[] {
  // Octet by octet now and then.
  if (length < 600 && dice.below(10) === 0) return Array.from({ length }, (_, n) => n)
  return Array.from({ length: dice.below(5) }, () => dice.below(length)).sort((a, b) => a - b)
}

function expectedOf(pieces: readonly Piece[]): Map<number, Expected> {
  const expected = new Map<number, Expected>()
  for (const { stream, completes } of pieces) if (completes !== null) expected.set(stream, completes)
  for (const { stream, bytes } of pieces) if (bytes[3] === TYPE.reset) expected.delete(stream)
  return expected
}

/** Preface, settings, and some requests with what may be between their frames. */
function validPieces(scheme: string, dice: Dice): Piece[] {
  const encoder = new FieldEncoder()
  const pieces: Piece[] = [
    { stream: 0, bytes: Buffer.concat([Buffer.from(PREFACE), firstSettings(dice)]), completes: null },
  ]
  const open: (() => Piece | null)[] = []
  let next = 1
  let last = 0
  for (let left = 1 + dice.below(8); left > 0 || open.length > 0; ) {
    if (dice.below(5) === 0) pieces.push({ stream: 0, bytes: between(last, dice), completes: null })
    if (left > 0 && (open.length === 0 || dice.below(2) === 0)) {
      open.push(request(next, scheme, encoder, dice))
      last = next
      next += 2 + 2 * dice.below(3)
      left--
      pieces.push(open.at(-1)!() as Piece)
      continue
    }
    const at = dice.below(open.length)
    const piece = open[at]!()
    if (piece === null) open.splice(at, 1)
    else pieces.push(piece)
  }
  return pieces
}

function firstSettings(dice: Dice): Buffer {
  const values: number[] = []
  if (dice.below(2) === 0) values.push(SETTING.window, dice.of([0, 1, 100, 16_384, 65_535, 1_000_000, 2 ** 30]))
  if (dice.below(3) === 0) values.push(SETTING.tableSize, dice.of([0, 50, 200, 4096, 65_536]))
  if (dice.below(4) === 0) values.push(SETTING.maxFrame, dice.of([16_384, 16_385, 2 ** 24 - 1]))
  if (dice.below(4) === 0) values.push(SETTING.push, dice.below(2))
  if (dice.below(4) === 0) values.push(SETTING.maxStreams, dice.of([0, 1, 100]))
  if (dice.below(4) === 0) values.push(0xf00 + dice.below(100), dice.below(2 ** 31))
  return settings(...values)
}

/** A frame that may come at any time between others. */
function between(last: number, dice: Dice): Buffer {
  switch (dice.below(6)) {
    case 0:
      return frame(TYPE.ping, 0, 0, 'whatever')
    case 1:
      return frame(TYPE.priority, 0, 1 + 2 * dice.below(20), Buffer.from([0, 0, 0, 0, dice.below(256)]))
    case 2:
      return frame(0x10 + dice.below(200), dice.below(256), dice.below(9), 'x'.repeat(dice.below(40)))
    case 3:
      return frame(TYPE.window, 0, 0, word(1 + dice.below(70_000)))
    case 4:
      return last > 0 ? frame(TYPE.window, 0, last, word(1 + dice.below(1000))) : Buffer.alloc(0)
    default:
      return settings(SETTING.window, dice.of([0, 10, 65_535, 200_000]))
  }
}

/** A request. @returns what makes its frames, one after the other: the first call is for its fields */
function request(stream: number, scheme: string, encoder: FieldEncoder, dice: Dice): () => Piece | null {
  const method = dice.of(['GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE'])
  const hasBody = method === 'POST' || method === 'PUT' || dice.below(20) === 0
  const body = Buffer.alloc(hasBody ? dice.of([0, 1, 10, dice.below(MOST_BODY)]) : 0, stream)
  const size = dice.of([0, 1, 10, 100, dice.below(5000), dice.below(40_000)])
  const path = `/${stream}/${dice.below(1000)}?size=${size}${dice.below(2) === 0 ? '&chunked' : ''}`
  const fields = [
    ':method',
    method,
    ':scheme',
    scheme,
    ':path',
    path,
    ':authority',
    dice.of(['legacy.test', '127.0.0.1']),
  ]
  for (let n = dice.below(6); n > 0; n--) fields.push(...dice.of(FIELDS))
  if (hasBody && dice.below(2) === 0) fields.push('content-length', String(body.length))
  const whole: Expected = { method, path, body }
  const trailers = hasBody && dice.below(5) === 0
  const isGivenUp = dice.below(12) === 0
  let at = -1
  const done = (bytes: Buffer): Piece => {
    at = Number.POSITIVE_INFINITY
    return { stream, bytes, completes: whole }
  }
  return () => {
    if (at === -1) {
      at = 0
      const bytes = section(stream, encoder, fields, hasBody ? 0 : FLAG.endStream, dice)
      return hasBody ? { stream, bytes, completes: null } : done(bytes)
    }
    if (isGivenUp && dice.below(2) === 0 && at !== -2) {
      at = -2
      return {
        stream,
        bytes: frame(TYPE.reset, 0, stream, word(dice.of([CODE.cancel, CODE.none, CODE.protocol, 99]))),
        completes: null,
      }
    }
    if (at === -2 || at === Number.POSITIVE_INFINITY) return null
    const end = Math.min(body.length, at + dice.below(4000))
    const piece = body.subarray(at, end)
    at = end
    if (end < body.length || dice.below(5) === 0)
      return { stream, bytes: data(stream, piece, 0, dice), completes: null }
    if (!trailers) return done(data(stream, piece, FLAG.endStream, dice))
    const last = section(stream, encoder, ['x-trailer', String(stream)], FLAG.endStream, dice)
    return done(Buffer.concat([data(stream, piece, 0, dice), last]))
  }
}

function data(stream: number, piece: Buffer, flags: number, dice: Dice): Buffer {
  if (dice.below(4) !== 0) return frame(TYPE.data, flags, stream, piece)
  const padding = dice.below(20)
  const payload = Buffer.concat([Buffer.from([padding]), piece, Buffer.alloc(padding)])
  return frame(TYPE.data, flags | FLAG.padded, stream, payload)
}

/** HEADERS, with CONTINUATION, padding and priority now and then. */
function section(stream: number, encoder: FieldEncoder, fields: string[], flags: number, dice: Dice): Buffer {
  const out = Buffer.alloc(8192)
  const whole = out.subarray(0, encoder.encode(fields, out, 0))
  const cuts = dice.below(4) === 0 ? Array.from({ length: 1 + dice.below(3) }, () => dice.below(whole.length + 1)) : []
  const places = [0, ...cuts.sort((a, b) => a - b), whole.length]
  const frames: Buffer[] = []
  for (let n = 0; n + 1 < places.length; n++) {
    const end = n + 2 === places.length ? FLAG.endHeaders : 0
    const part = whole.subarray(places[n], places[n + 1])
    if (n > 0) {
      frames.push(frame(TYPE.continuation, end, stream, part))
      continue
    }
    const padding = dice.below(5) === 0 ? dice.below(30) : -1
    const priority = dice.below(5) === 0 ? Buffer.from([0, 0, 0, 0, dice.below(256)]) : Buffer.alloc(0)
    const payload = [
      padding >= 0 ? Buffer.from([padding]) : Buffer.alloc(0),
      priority,
      part,
      Buffer.alloc(Math.max(0, padding)),
    ]
    const more = (padding >= 0 ? FLAG.padded : 0) | (priority.length > 0 ? FLAG.priority : 0)
    frames.push(frame(TYPE.headers, flags | end | more, stream, Buffer.concat(payload)))
  }
  return Buffer.concat(frames)
}

/** The same frame again and again, some of it valid. */
function floodPieces(dice: Dice): Piece[] {
  const one = dice.of<(n: number) => Buffer>([
    () => frame(TYPE.ping, 0, 0, '12345678'),
    () => settings(4, 65_535),
    () => frame(TYPE.settings, FLAG.ack, 0),
    () => frame(TYPE.priority, 0, 1, Buffer.from([0, 0, 0, 0, 16])),
    () => frame(TYPE.window, 0, 0, word(1)),
    () => frame(TYPE.data, 0, 1),
    () => frame(TYPE.continuation, 0, 1),
    () => frame(0x42, 0, 0, 'x'.repeat(100)),
    (n) => headers(2 * n + 3, POST, 0),
    (n) => Buffer.concat([headers(2 * n + 3, GET, FLAG.endStream), frame(TYPE.reset, 0, 2 * n + 3, word(CODE.cancel))]),
    (n) => Buffer.concat([headers(2 * n + 3, GET, FLAG.endStream), frame(TYPE.window, 0, 2 * n + 3, word(0))]),
    (n) => headers(2 * n + 3, [...GET, ['connection', 'close']], FLAG.endStream),
  ])
  const first = [Buffer.from(PREFACE), settings(), headers(1, POST, 0)]
  const frames = [Buffer.concat(first), ...Array.from({ length: 200 + dice.below(1500) }, (_, n) => one(n))]
  return frames.map((bytes) => ({ stream: 0, bytes, completes: null }))
}

/** Frames that are wrong, or may be where they come. */
const EVIL: readonly ((stream: number, dice: Dice) => Buffer)[] = [
  (stream) => frame(TYPE.data, FLAG.endStream, stream, 'x'),
  (stream) => frame(TYPE.data, FLAG.padded, stream, Buffer.from([9, 0, 0])),
  (stream) => frame(TYPE.data, FLAG.padded, stream),
  (stream) => frame(TYPE.data, 0, stream, Buffer.alloc(16_385)),
  (stream) => frame(TYPE.headers, FLAG.padded | FLAG.endHeaders, stream, Buffer.from([200, 0])),
  (stream) => frame(TYPE.headers, FLAG.padded | FLAG.priority | FLAG.endHeaders, stream, Buffer.from([0, 0, 0])),
  (stream) => frame(TYPE.headers, FLAG.endStream, stream, block(GET)),
  (stream) => frame(TYPE.headers, FLAG.endHeaders, stream),
  (stream, dice) => headers(stream, [...GET, ...[dice.of(ODD_FIELDS)]], FLAG.endStream),
  (stream, dice) => headers(stream, [[dice.of([':method', ':path', ':status', ':x']), 'GET'], ...GET], FLAG.endStream),
  (stream, dice) => headers(stream, GET.slice(dice.below(4)), FLAG.endStream),
  (stream, dice) => frame(TYPE.headers, 5, stream, Buffer.concat([block(GET), Buffer.from(dice.of(ODD_BLOCKS))])),
  (stream, dice) => frame(TYPE.headers, 5, stream, Buffer.from(Array.from({ length: 40 }, () => dice.below(256)))),
  (stream) => frame(TYPE.continuation, FLAG.endHeaders, stream, block(GET)),
  (stream) => frame(TYPE.priority, 0, stream, Buffer.alloc(4)),
  (stream) => frame(TYPE.priority, 0, stream, word(stream)),
  (stream) => frame(TYPE.reset, 0, stream, word(CODE.cancel)),
  (stream) => frame(TYPE.reset, 0, stream, Buffer.alloc(5)),
  (stream) => frame(TYPE.push, FLAG.endHeaders, stream, Buffer.concat([word(2), block(GET)])),
  (stream) => frame(TYPE.window, 0, stream, word(0)),
  (stream) => frame(TYPE.window, 0, stream, word(2 ** 31 - 1)),
  (stream) => frame(TYPE.window, 0, stream, Buffer.alloc(3)),
  () => frame(TYPE.window, 0, 0, word(2 ** 31 - 1)),
  () => frame(TYPE.window, 0, 0, word(0)),
  (stream) => frame(TYPE.ping, 0, stream, '12345678'),
  () => frame(TYPE.ping, 0, 0, '1234567'),
  () => frame(TYPE.ping, FLAG.ack, 0, '12345678'),
  () => frame(TYPE.goaway, 0, 0, Buffer.alloc(8)),
  () => frame(TYPE.goaway, 0, 0, Buffer.alloc(7)),
  () => frame(TYPE.settings, FLAG.ack, 0),
  () => frame(TYPE.settings, FLAG.ack, 0, Buffer.alloc(6)),
  () => frame(TYPE.settings, 0, 0, Buffer.alloc(5)),
  (stream) => frame(TYPE.settings, 0, stream),
  (_, dice) =>
    settings(dice.below(10), dice.of([0, 1, 2, 100, 16_384, 65_536, 2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1])),
  (stream, dice) => frame(dice.below(256), dice.below(256), stream, 'x'.repeat(dice.below(100))),
  (_, dice) => Buffer.from(Array.from({ length: 1 + dice.below(50) }, () => dice.below(256))),
]
const ODD_FIELDS: readonly (readonly [string, string])[] = [
  ...([
    ['X', 'a'],
    ['x y', 'a'],
    ['', 'a'],
    ['x', 'a\r\nb: c'],
    ['x', 'a\0'],
    ['x', ' a'],
    ['connection', 'x'],
  ] as const),
  ...([
    ['te', 'gzip'],
    ['transfer-encoding', 'chunked'],
    ['content-length', '7'],
    ['content-length', 'x'],
  ] as const),
  ...([
    ['host', 'other.test'],
    ['x', 'z'.repeat(20_000)],
    [':path', '/late'],
    ['upgrade', 'h2c'],
    ['cookie', ''],
  ] as const),
]
const ODD_BLOCKS: readonly (readonly number[])[] = [
  ...[[0x80], [0xff, 0x50], [0x3f, 0xe1, 0x1f], [0x3f, 0xff, 0xff, 0x7f], [0x40], [0x00, 0x85, 0xff], [0x20]],
  ...[
    [0x40, 1, 0x78, 0x81, 0xff],
    [0xbe, 0xbe, 0xbe],
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    [0x1f, 0x80],
  ],
]

/** Changes valid frames. What was asked for before, on streams that nothing behind it names, must still be answered. */
function mutate(valid: readonly Piece[], dice: Dice): Pick<Script, 'bytes' | 'expected' | 'splits'> {
  const at = 1 + dice.below(valid.length)
  const before = valid.slice(0, at)
  let after: Buffer[] = valid.slice(at).map(({ bytes }) => Buffer.from(bytes))
  const stream = (): number =>
    dice.of([0, 1, 2, 3, 5, 7, 9, 11, 13, 2 ** 31 - 1, ...before.map((piece) => piece.stream)])
  for (let times = 1 + dice.below(3); times > 0; times--) {
    const place = dice.below(after.length + 1)
    const one = after[place]
    switch (dice.below(9)) {
      case 0:
        if (one !== undefined && one.length > 0) one[dice.below(one.length)]! ^= 1 << dice.below(8)
        break
      case 1:
        if (one !== undefined && one.length > 8)
          one.writeUIntBE(
            dice.of([0, 1, one.length - 8, Math.max(0, one.length - 10), 16_384, 16_385, 2 ** 24 - 1]),
            0,
            3,
          )
        break
      case 2:
        if (one !== undefined && one.length > 8) one[dice.of([3, 4])] = dice.of([dice.below(12), dice.below(256)])
        break
      case 3:
        if (one !== undefined && one.length > 8) one.writeUInt32BE(stream(), 5)
        break
      case 4:
        after.splice(place, 1)
        break
      case 5:
        if (one !== undefined) after.splice(dice.below(after.length + 1), 0, Buffer.concat([one]))
        break
      case 6:
        after = [...after.slice(place), ...after.slice(0, place)]
        break
      default:
        after.splice(place, 0, dice.of(EVIL)(stream(), dice))
    }
  }
  const kept = Buffer.concat(before.map(({ bytes }) => bytes))
  const changed = Buffer.concat(after)
  const expected = expectedOf(before)
  for (const touched of streamsOf(changed)) expected.delete(touched)
  const bytes = Buffer.concat([kept, changed])
  return { bytes: inFrames(bytes), expected, splits: splitsOf(bytes.length, dice) }
}

/** The streams that frames name. */
function streamsOf(bytes: Buffer): Set<number> {
  const streams = new Set<number>()
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff
    if (stream !== 0 || bytes[at + 3] === TYPE.goaway) streams.add(stream)
  }
  return streams
}

/** Fills the last frame up, so that the server sees its end; one that is too large is refused by its head. */
function inFrames(bytes: Buffer): Buffer {
  let at = PREFACE.length
  while (at + 9 <= bytes.length) {
    const length = bytes.readUIntBE(at, 3)
    if (length > 16_384) return bytes
    at += 9 + length
  }
  const missing = at > bytes.length ? at - bytes.length : (9 - (bytes.length - at)) % 9
  if (at > bytes.length) return Buffer.concat([bytes, Buffer.alloc(missing)])
  return missing === 0 ? bytes : inFrames(Buffer.concat([bytes, Buffer.alloc(missing)]))
}
