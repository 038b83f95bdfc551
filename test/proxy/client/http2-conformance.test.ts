/**
 * HTTP/2 of the public side, case by case as h2spec has them (RFC 9113, RFC 7541), in raw frames: what breaks a rule ends the stream
 * or the connection with the right error, and never reaches the upstream.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { startBanyan, tableFor } from '../../support/banyan.ts'
import {
  block,
  CODE,
  FLAG,
  frame,
  frameClient,
  GET,
  headers,
  POST,
  PREFACE,
  settings,
  TYPE,
  word,
} from '../../support/frames.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const upstream = await scriptedUpstream((request) => request.ok())
// None of these cases ends by a timeout.
const banyan = await startBanyan({ table: tableFor(upstream.port), args: ['--h2c', '--send-timeout', '1h'] })
afterAll(() => Promise.all([banyan.stop(), upstream.stop()]))

const { endStream, endHeaders, padded, priority, ack } = FLAG
const get = headers(1, GET, endStream)
const post = headers(1, POST, 0)

/** A field instead of one of the same name, or beside them. */
const withFields = (...fields: [string, string][]): Buffer => headers(1, [...GET, ...fields], endStream)
const without = (name: string): Buffer =>
  headers(
    1,
    GET.filter(([one]) => one !== name),
    endStream,
  )

/** Sends frames behind the preface. Expects one of the errors, on the stream or the connection. */
function refuses(name: string, bytes: readonly Buffer[], codes: readonly number[], by?: 'goaway' | 'reset'): void {
  test(name, async () => {
    const client = await frameClient(banyan.port)
    await client.send(Buffer.concat([...bytes]))
    const refusal = await client.refusal()
    expect(codes, JSON.stringify(refusal)).toContain(refusal.code)
    if (by !== undefined) expect(refusal.by).toBe(by)
    if (refusal.by === 'reset') expect(await client.answers()).toBe(true)
    else await client.ended()
  })
}

describe('3.4 the preface', () => {
  test.each([
    ['in one piece', [PREFACE]],
    ['byte by byte', PREFACE.split('')],
  ])('%s', async (_, pieces) => {
    const client = await frameClient(banyan.port, '')
    for (const piece of pieces) await client.send(piece)
    await client.send(Buffer.concat([settings(), get]))
    expect((await client.until(TYPE.headers, 1)).payload[0]).toBe(0x88)
  })

  test('with another frame than SETTINGS behind it', async () => {
    const client = await frameClient(
      banyan.port,
      Buffer.concat([Buffer.from(PREFACE), frame(TYPE.ping, 0, 0, '12345678')]),
    )
    expect(await client.refusal()).toEqual({ by: 'goaway', code: CODE.protocol })
  })

  test('a part of it, and the end', async () => {
    const client = await frameClient(banyan.port, PREFACE.slice(0, 18))
    client.finish()
    await client.ended()
  })

  test('what is nearly one is a request of HTTP/1.1 that is refused', async () => {
    const client = await frameClient(banyan.port, 'PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n')
    expect(await client.readUntil('\r\n')).toBe('HTTP/1.1 505 HTTP Version Not Supported\r\n')
  })
})

describe('4 frames', () => {
  test('4.1 an unknown type is skipped, and undefined flags are ignored', async () => {
    const client = await frameClient(banyan.port)
    await client.send(Buffer.concat([frame(0x16, 0xff, 0, '12345678'), frame(TYPE.ping, 0x16, 0, '12345678')]))
    expect((await client.until(TYPE.ping)).payload.toString()).toBe('12345678')
  })

  test('4.1 the reserved bit of a stream id is ignored', async () => {
    const client = await frameClient(banyan.port)
    await client.send(frame(TYPE.ping, 0, 0x80000000, '12345678'))
    expect((await client.until(TYPE.ping)).flags).toBe(ack)
  })

  refuses(
    '4.2 DATA over the frame size',
    [post, frame(TYPE.data, endStream, 1, Buffer.alloc(16_385))],
    [CODE.frameSize],
  )
  refuses(
    '4.2 HEADERS over the frame size',
    [frame(TYPE.headers, endStream | endHeaders, 1, Buffer.alloc(16_385))],
    [CODE.frameSize],
    'goaway',
  )
  refuses(
    '4.3 a header block that is none',
    [frame(TYPE.headers, endStream | endHeaders, 1, Buffer.from([0x40, 0xff, 0xff, 0xff, 0xff, 0xff]))],
    [CODE.compression],
    'goaway',
  )
  refuses(
    '4.3 another frame between HEADERS and CONTINUATION',
    [frame(TYPE.headers, endStream, 1, block(GET)), frame(TYPE.priority, 0, 1, Buffer.from([0, 0, 0, 0, 16]))],
    [CODE.protocol],
    'goaway',
  )
  refuses(
    '4.3 HEADERS of another stream between',
    [frame(TYPE.headers, endStream, 1, block(GET)), headers(3, GET, endStream)],
    [CODE.protocol],
    'goaway',
  )
})

describe('5.1 stream states', () => {
  refuses('idle: DATA', [frame(TYPE.data, endStream, 1, 'x')], [CODE.protocol, CODE.streamClosed], 'goaway')
  refuses('idle: RST_STREAM', [frame(TYPE.reset, 0, 1, word(CODE.cancel))], [CODE.protocol], 'goaway')
  refuses('idle: WINDOW_UPDATE of 0', [frame(TYPE.window, 0, 1, word(0))], [CODE.protocol], 'goaway')
  refuses('idle: PRIORITY of another length', [frame(TYPE.priority, 0, 1, Buffer.alloc(4))], [CODE.frameSize], 'goaway')
  refuses('idle: WINDOW_UPDATE', [frame(TYPE.window, 0, 1, word(100))], [CODE.protocol], 'goaway')
  refuses('idle: CONTINUATION', [frame(TYPE.continuation, endHeaders, 1, block(GET))], [CODE.protocol], 'goaway')
  refuses('half-closed: DATA', [get, frame(TYPE.data, endStream, 1, 'x')], [CODE.streamClosed])
  refuses('half-closed: HEADERS', [get, headers(1, GET, endStream)], [CODE.streamClosed, CODE.protocol])
  refuses(
    'half-closed: CONTINUATION',
    [get, frame(TYPE.continuation, endHeaders, 1, block(GET))],
    [CODE.streamClosed, CODE.protocol],
    'goaway',
  )
  refuses(
    'closed: CONTINUATION',
    [post, frame(TYPE.reset, 0, 1, word(CODE.cancel)), frame(TYPE.continuation, endHeaders, 1, block(GET))],
    [CODE.streamClosed, CODE.protocol],
    'goaway',
  )

  test('closed by RST_STREAM: DATA behind it harms nobody', async () => {
    const client = await frameClient(banyan.port)
    await client.send(
      Buffer.concat([post, frame(TYPE.reset, 0, 1, word(CODE.cancel)), frame(TYPE.data, endStream, 1, 'x')]),
    )
    expect(await client.answers()).toBe(true)
  })

  refuses('5.1.1 an even stream id', [headers(2, GET, endStream)], [CODE.protocol], 'goaway')
  test('5.1.1 a stream id that goes back is not asked', async () => {
    const client = await frameClient(banyan.port)
    const seen = upstream.requests
    await client.send(Buffer.concat([headers(5, GET, endStream), headers(3, GET, endStream)]))
    await client.until(TYPE.headers, 5)
    expect(await client.answers()).toBe(true)
    expect(upstream.requests).toBe(seen + 1)
  })

  test('5.1.2 more streams than allowed: the rest is refused, and can be asked again', async () => {
    const client = await frameClient(banyan.port)
    const many = Array.from({ length: 101 }, (_, n) => headers(2 * n + 1, POST, 0))
    await client.send(Buffer.concat(many))
    expect(await client.refusal()).toEqual({ by: 'reset', code: CODE.refused })
  })
})

describe('6 frame definitions', () => {
  refuses('6.1 DATA on stream 0', [frame(TYPE.data, 0, 0, 'x')], [CODE.protocol], 'goaway')
  refuses(
    '6.1 padding as long as the frame',
    [post, frame(TYPE.data, padded | endStream, 1, Buffer.from([5, 0, 0, 0, 0]))],
    [CODE.protocol],
    'goaway',
  )
  refuses('6.2 HEADERS on stream 0', [headers(0, GET, endStream)], [CODE.protocol], 'goaway')
  refuses(
    '6.2 padding as long as the frame',
    [frame(TYPE.headers, padded | endStream | endHeaders, 1, Buffer.from([200, 0, 0]))],
    [CODE.protocol],
    'goaway',
  )

  test('6.2 padding and priority of HEADERS are skipped', async () => {
    const client = await frameClient(banyan.port)
    const payload = Buffer.concat([Buffer.from([3, 0, 0, 0, 0, 15]), block(GET), Buffer.alloc(3)])
    await client.send(frame(TYPE.headers, padded | priority | endStream | endHeaders, 1, payload))
    expect((await client.until(TYPE.headers, 1)).payload[0]).toBe(0x88)
  })

  test('6.3 PRIORITY is ignored, also of a stream that depends on itself or is idle', async () => {
    const client = await frameClient(banyan.port)
    await client.send(frame(TYPE.priority, 0, 3, Buffer.from([0, 0, 0, 3, 16])))
    expect(await client.answers()).toBe(true)
  })

  refuses('6.3 PRIORITY on stream 0', [frame(TYPE.priority, 0, 0, Buffer.alloc(5))], [CODE.protocol], 'goaway')
  refuses('6.3 PRIORITY of another length', [frame(TYPE.priority, 0, 1, Buffer.from([0, 0, 0, 3]))], [CODE.frameSize])
  refuses('6.4 RST_STREAM on stream 0', [frame(TYPE.reset, 0, 0, word(0))], [CODE.protocol], 'goaway')
  refuses(
    '6.4 RST_STREAM of another length',
    [post, frame(TYPE.reset, 0, 1, Buffer.alloc(3))],
    [CODE.frameSize],
    'goaway',
  )
  refuses(
    '6.5 SETTINGS with ACK and a payload',
    [frame(TYPE.settings, ack, 0, Buffer.alloc(6))],
    [CODE.frameSize],
    'goaway',
  )
  refuses('6.5 SETTINGS on a stream', [frame(TYPE.settings, 0, 1)], [CODE.protocol], 'goaway')
  refuses('6.5 SETTINGS of another length', [frame(TYPE.settings, 0, 0, Buffer.alloc(5))], [CODE.frameSize], 'goaway')
  refuses('6.5.2 ENABLE_PUSH of 2', [settings(2, 2)], [CODE.protocol], 'goaway')
  refuses('6.5.2 a window over 2^31-1', [settings(4, 2 ** 31)], [CODE.flowControl], 'goaway')
  refuses('6.5.2 a frame size below 16,384', [settings(5, 16_383)], [CODE.protocol], 'goaway')
  refuses('6.5.2 a frame size over 2^24-1', [settings(5, 2 ** 24)], [CODE.protocol], 'goaway')

  test('6.5.3 SETTINGS are acknowledged, unknown ones too', async () => {
    const client = await frameClient(banyan.port)
    await client.send(settings(0xff, 1, 3, 100))
    for (let acks = 0; acks < 2; ) if (((await client.until(TYPE.settings)).flags & ack) !== 0) acks++
  })

  refuses(
    '6.6 PUSH_PROMISE of a client',
    [frame(TYPE.push, endHeaders, 1, Buffer.concat([word(2), block(GET)]))],
    [CODE.protocol],
    'goaway',
  )
  refuses('6.7 PING on a stream', [frame(TYPE.ping, 0, 1, '12345678')], [CODE.protocol], 'goaway')
  refuses('6.7 PING of another length', [frame(TYPE.ping, 0, 0, '123456')], [CODE.frameSize], 'goaway')
  refuses('6.8 GOAWAY on a stream', [frame(TYPE.goaway, 0, 1, Buffer.alloc(8))], [CODE.protocol], 'goaway')
  refuses('6.9 WINDOW_UPDATE of 0', [frame(TYPE.window, 0, 0, word(0))], [CODE.protocol], 'goaway')
  refuses('6.9 WINDOW_UPDATE of 0 on a stream', [post, frame(TYPE.window, 0, 1, word(0))], [CODE.protocol])
  refuses(
    '6.9 WINDOW_UPDATE of another length',
    [frame(TYPE.window, 0, 0, Buffer.alloc(3))],
    [CODE.frameSize],
    'goaway',
  )
  refuses(
    '6.9.1 a window over 2^31-1',
    [frame(TYPE.window, 0, 0, word(2 ** 31 - 1)), frame(TYPE.window, 0, 0, word(2 ** 31 - 1))],
    [CODE.flowControl],
    'goaway',
  )
  refuses(
    '6.9.1 a window of a stream over 2^31-1',
    [post, frame(TYPE.window, 0, 1, word(2 ** 31 - 1)), frame(TYPE.window, 0, 1, word(2 ** 31 - 1))],
    [CODE.flowControl],
  )

  test('6.9.1 of an answer no more is sent than the window takes', async () => {
    const client = await frameClient(banyan.port, Buffer.concat([Buffer.from(PREFACE), settings(4, 1), get]))
    expect((await client.until(TYPE.data, 1)).payload.toString()).toBe('o')
    await client.send(frame(TYPE.window, 0, 1, word(1)))
    expect((await client.until(TYPE.data, 1)).payload.toString()).toBe('k')
  })

  test('6.9.2 a window that SETTINGS make smaller than what was sent', async () => {
    const client = await frameClient(banyan.port, Buffer.concat([Buffer.from(PREFACE), settings(4, 0), get]))
    await client.until(TYPE.headers, 1)
    await client.send(Buffer.concat([settings(4, 1), frame(TYPE.window, 0, 1, word(10))]))
    let data = ''
    while (data !== 'ok') data += (await client.until(TYPE.data, 1)).payload.toString()
  })

  test('6.9 a client that ends its side with no window left is not waited for', async () => {
    const client = await frameClient(banyan.port, Buffer.concat([Buffer.from(PREFACE), settings(4, 0), get]))
    await client.until(TYPE.headers, 1)
    client.finish()
    await client.ended()
  })

  refuses(
    '6.10 CONTINUATION on stream 0',
    [frame(TYPE.headers, endStream, 1, block(GET)), frame(TYPE.continuation, endHeaders, 0)],
    [CODE.protocol],
    'goaway',
  )
  refuses(
    '6.10 CONTINUATION behind END_HEADERS',
    [post, frame(TYPE.continuation, endHeaders, 1, block([['x', 'y']]))],
    [CODE.protocol, CODE.streamClosed],
    'goaway',
  )

  test('6.10 a section in several CONTINUATION frames', async () => {
    const client = await frameClient(banyan.port)
    const bytes = block(GET)
    const [a, b, c] = [bytes.subarray(0, 3), bytes.subarray(3, 20), bytes.subarray(20)]
    const frames = [
      frame(TYPE.headers, endStream, 1, a),
      frame(TYPE.continuation, 0, 1, b),
      frame(TYPE.continuation, endHeaders, 1, c),
    ]
    await client.send(Buffer.concat(frames))
    expect((await client.until(TYPE.headers, 1)).payload[0]).toBe(0x88)
  })
})

describe('8 requests that are none', () => {
  const MALFORMED = [CODE.protocol]
  refuses('8.1 a second header section without END_STREAM', [post, headers(1, [['x', 'y']], 0)], MALFORMED)
  refuses(
    '8.1 a pseudo-header field in trailers',
    [post, headers(1, [[':method', 'GET']], endStream)],
    MALFORMED,
    'reset',
  )
  refuses(
    '8.1.1 a length that the body has not',
    [headers(1, [...POST, ['content-length', '2']], 0), frame(TYPE.data, endStream, 1, 'x')],
    MALFORMED,
    'reset',
  )
  refuses(
    '8.1.1 a length that the body has not, in several frames',
    [
      headers(1, [...POST, ['content-length', '2']], 0),
      frame(TYPE.data, 0, 1, 'xx'),
      frame(TYPE.data, endStream, 1, 'x'),
    ],
    MALFORMED,
    'reset',
  )
  refuses(
    '8.1.1 a length without a body',
    [headers(1, [...POST, ['content-length', '2']], endStream)],
    MALFORMED,
    'reset',
  )
  refuses(
    '8.1.1 two lengths',
    [headers(1, [...POST, ['content-length', '1'], ['content-length', '1']], 0)],
    MALFORMED,
    'reset',
  )
  refuses('8.2 a name in upper case', [withFields(['X-Test', 'a'])], MALFORMED, 'reset')
  test.each([
    ...['x y', 'x:y', 'x\ny', 'x\0', '', '\xe9'].map((name) => [name, 'a']),
    ['x', 'a\r\nb: c'],
    ['x', 'a\nb'],
    ['x', 'a\0'],
    ...[' a', 'a ', '\ta', '\x01', '\x7f'].map((value) => ['x', value]),
  ])('8.2.1 the field %j: %j gets 400', async (name, value) => {
    const client = await frameClient(banyan.port)
    const seen = upstream.requests
    await client.send(withFields([name as string, value as string]))
    expect((await client.until(TYPE.data, 1)).payload.toString()).toContain('bad-request')
    expect(upstream.requests).toBe(seen)
    expect(await client.answers()).toBe(true)
  })

  for (const name of ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']) {
    refuses(`8.2.2 the field ${name}`, [withFields([name, 'x'])], MALFORMED, 'reset')
  }
  refuses('8.2.2 TE with something else than trailers', [withFields(['te', 'gzip'])], MALFORMED, 'reset')
  refuses('8.3 a pseudo-header field behind others', [headers(1, [['x', 'y'], ...GET], endStream)], MALFORMED, 'reset')
  refuses('8.3 an unknown one', [withFields([':x', 'y'])], MALFORMED, 'reset')
  refuses('8.3 one of responses', [headers(1, [...GET, [':status', '200']], endStream)], MALFORMED, 'reset')
  for (const [name, value] of GET) {
    refuses(`8.3.1 ${name} twice`, [headers(1, [...GET, [name, value]], endStream)], MALFORMED, 'reset')
    if (name !== ':authority') refuses(`8.3.1 no ${name}`, [without(name)], MALFORMED, 'reset')
  }
  for (const path of ['', 'a', 'http://a/', '/a b', '/a\r\nX: y', '/\0']) {
    refuses(
      `8.3.1 the path ${JSON.stringify(path)}`,
      [headers(1, [...GET.filter(([name]) => name !== ':path'), [':path', path]], endStream)],
      MALFORMED,
      'reset',
    )
  }
  for (const method of ['', 'GET /x HTTP/1.1\r\nA: b', 'G T', 'G\0']) {
    refuses(
      `8.3.1 the method ${JSON.stringify(method)}`,
      [headers(1, [...GET.filter(([name]) => name !== ':method'), [':method', method]], endStream)],
      MALFORMED,
      'reset',
    )
  }
  for (const authority of ['a\r\nX: y', 'a b', 'a\0']) {
    refuses(
      `8.3.1 the authority ${JSON.stringify(authority)}`,
      [headers(1, [...GET.filter(([name]) => name !== ':authority'), [':authority', authority]], endStream)],
      MALFORMED,
      'reset',
    )
  }
})

describe('RFC 7541', () => {
  const bytes = (name: string, payload: number[]): void =>
    refuses(
      name,
      [frame(TYPE.headers, endStream | endHeaders, 1, Buffer.concat([block(GET), Buffer.from(payload)]))],
      [CODE.compression],
      'goaway',
    )
  bytes('2.3.3 an index beyond the table', [0xff, 0x50])
  bytes('5.2 Huffman padding of a whole byte', [0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x84, 0x49, 0x50, 0x9f, 0xff])
  bytes('5.2 Huffman padding of zeros', [0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x83, 0x49, 0x50, 0x90])
  bytes(
    '5.2 EOS within Huffman',
    [0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x87, 0x49, 0x51, 0xff, 0xff, 0xff, 0xfa, 0x7f],
  )
  bytes('6.1 index 0', [0x80])
  bytes('4.2 the size of the table changed behind fields', [0x3f, 0xe1, 0x1f])
  refuses(
    '6.3 a table larger than allowed',
    [
      frame(
        TYPE.headers,
        endStream | endHeaders,
        1,
        Buffer.concat([Buffer.from([0x3f, 0xff, 0xff, 0x7f]), block(GET)]),
      ),
    ],
    [CODE.compression],
    'goaway',
  )
})
