/**
 * HPACK (RFC 7541): the examples of its appendix C, what is refused, the bounds, and that what was encoded is decoded.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CompressionError, FieldDecoder } from '../../../src/wire/http2/hpack-decoder.ts'
import { FieldEncoder } from '../../../src/wire/http2/hpack-encoder.ts'
import { decodeHuffman, encodeHuffman, huffmanLength } from '../../../src/wire/http2/huffman.ts'

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')
const decoder = (maxTableBytes = 4096): FieldDecoder => new FieldDecoder({ maxTableBytes })
const decode = (from: FieldDecoder, block: Buffer): string[] | null => from.decode(block, 65_536, 1000)
const pairs = (...fields: string[]): string[] => fields.flatMap((field) => field.split(/(?<=.): /))

const FIRST = pairs(':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com')
const SECOND = [...FIRST, 'cache-control', 'no-cache']
const THIRD = pairs(
  ...[
    ':method: GET',
    ':scheme: https',
    ':path: /index.html',
    ':authority: www.example.com',
    'custom-key: custom-value',
  ],
)
const MOVED = pairs(
  ...[':status: 302', 'cache-control: private', 'date: Mon, 21 Oct 2013 20:13:21 GMT'],
  'location: https://www.example.com',
)
const COOKIE = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'
const FOUND = pairs(
  ...[':status: 200', 'cache-control: private', 'date: Mon, 21 Oct 2013 20:13:22 GMT'],
  ...['location: https://www.example.com', 'content-encoding: gzip', `set-cookie: ${COOKIE}`],
)

describe('the examples of appendix C', () => {
  test.each([
    ['C.2.1', '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572', ['custom-key', 'custom-header']],
    ['C.2.2', '040c 2f73 616d 706c 652f 7061 7468', [':path', '/sample/path']],
    ['C.2.3', '1008 7061 7373 776f 7264 0673 6563 7265 74', ['password', 'secret']],
    ['C.2.4', '82', [':method', 'GET']],
  ])('%s', (_, hex, fields) => {
    const from = decoder()
    expect(decode(from, bytes(hex))).toEqual(fields)
    // Only that of C.2.1 is in the table afterwards.
    if (hex.startsWith('40')) expect(decode(from, bytes('be'))).toEqual(fields)
    else expect(() => decode(from, bytes('be'))).toThrow(CompressionError)
  })

  // Behind each section: all of the dynamic table, by index from 62.
  test.each<[string, number, [hex: string, fields: string[], table: string[]][]]>([
    [
      'C.3 requests without Huffman coding',
      4096,
      [
        ['8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d', FIRST, FIRST.slice(6)],
        ['8286 84be 5808 6e6f 2d63 6163 6865', SECOND, [...SECOND.slice(8), ...FIRST.slice(6)]],
        [
          '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
          THIRD,
          [...THIRD.slice(8), ...SECOND.slice(8), ...FIRST.slice(6)],
        ],
      ],
    ],
    [
      'C.4 requests with Huffman coding',
      4096,
      [
        ['8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff', FIRST, FIRST.slice(6)],
        ['8286 84be 5886 a8eb 1064 9cbf', SECOND, [...SECOND.slice(8), ...FIRST.slice(6)]],
        [
          '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
          THIRD,
          [...THIRD.slice(8), ...SECOND.slice(8), ...FIRST.slice(6)],
        ],
      ],
    ],
    [
      'C.5 responses without Huffman coding',
      256,
      [
        [
          `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
           2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
          MOVED,
          [...MOVED.slice(6), ...MOVED.slice(4, 6), ...MOVED.slice(2, 4), ...MOVED.slice(0, 2)],
        ],
        [
          '4803 3330 37c1 c0bf',
          [':status', '307', ...MOVED.slice(2)],
          [':status', '307', ...MOVED.slice(6), ...MOVED.slice(4, 6), ...MOVED.slice(2, 4)],
        ],
        [
          `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970
           7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61
           6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31`,
          FOUND,
          [...FOUND.slice(10), ...FOUND.slice(8, 10), ...FOUND.slice(4, 6)],
        ],
      ],
    ],
    [
      'C.6 responses with Huffman coding',
      256,
      [
        [
          `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
           1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
          MOVED,
          [...MOVED.slice(6), ...MOVED.slice(4, 6), ...MOVED.slice(2, 4), ...MOVED.slice(0, 2)],
        ],
        [
          '4883 640e ffc1 c0bf',
          [':status', '307', ...MOVED.slice(2)],
          [':status', '307', ...MOVED.slice(6), ...MOVED.slice(4, 6), ...MOVED.slice(2, 4)],
        ],
        [
          `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2
           e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
          FOUND,
          [...FOUND.slice(10), ...FOUND.slice(8, 10), ...FOUND.slice(4, 6)],
        ],
      ],
    ],
  ])('%s', (_, tableBytes, sections) => {
    const from = decoder(tableBytes)
    for (const [hex, fields, table] of sections) {
      expect(decode(from, bytes(hex))).toEqual(fields)
      const indexes = Array.from({ length: table.length / 2 }, (_, n) => 0x80 + 62 + n)
      expect(decode(from, Buffer.from(indexes))).toEqual(table)
    }
    const size = (sections.at(-1) as [string, string[], string[]])[2].length / 2
    expect(() => decode(from, Buffer.from([0x80 + 62 + size]))).toThrow(CompressionError)
  })

  test.each([
    ['www.example.com', 'f1e3 c2e5 f23a 6ba0 ab90 f4ff'],
    ['no-cache', 'a8eb 1064 9cbf'],
    ['302', '6402'],
    ['Mon, 21 Oct 2013 20:13:21 GMT', 'd07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff'],
    [
      COOKIE,
      '94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    ],
  ])('the Huffman code of %j', (text, hex) => {
    const into = Buffer.alloc(100)
    expect(into.subarray(0, encodeHuffman(text, into, 0))).toEqual(bytes(hex))
  })
})

describe('what RFC 7541 refuses', () => {
  test.each([
    ['index 0', '80'],
    ['an index beyond the static table', 'be'],
    ['an index far beyond the tables', 'ff ff ff 7f'],
    ['a name by an index beyond the tables', '7f 00 01 61'],
    ['an integer that ends nowhere', 'ff ff ff ff ff ff ff ff ff ff ff ff ff'],
    ['an integer of 2^28', 'ff 81 ff ff 7f'],
    ['an integer that is cut off', 'ff 80'],
    ['zeros without end behind an integer', 'ff 80 80 80 80 80 80 80 00'],
    ['a field that is cut off behind its name', '40 01 61'],
    ['a string that is longer than the block', '40 01 61 02 61'],
    ['EOS within a string', '00 01 61 84 ff ff ff ff'],
    ['EOS behind a letter', '00 01 61 85 1f ff ff ff ff'],
    ['padding of 8 bits', '00 01 61 81 ff'],
    ['padding of 11 bits', '00 01 61 82 1f ff'],
    ['padding of 16 bits and more', '00 01 61 83 1f ff ff'],
    ['padding with a 0', '00 01 61 81 18'],
    ['padding of zeros', '00 01 61 81 00'],
    ['a long code that is cut off', '00 01 61 82 ff fa'],
    ['a size update above the limit', '3f e2 1f'],
    ['a size update after a field', '82 20'],
  ])('%s', (_, hex) => {
    expect(() => decode(decoder(), bytes(hex))).toThrow(CompressionError)
  })

  test('truncated at any octet, a section is a shorter one or an error', () => {
    const section = bytes('20 3fe11f 8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff 0f 10 01 61')
    for (let end = 0; end <= section.length; end++) {
      try {
        const fields = decode(decoder(), section.subarray(0, end)) as string[]
        expect([...FIRST, 'content-type', 'a'].slice(0, fields.length)).toEqual(fields)
      } catch (error) {
        expect(error).toBeInstanceOf(CompressionError)
      }
    }
  })

  test('size updates at the start are taken, as many as there are', () => {
    const from = decoder()
    decode(from, bytes('40 01 61 01 62'))
    expect(decode(from, bytes('20 3fe11f'))).toEqual([])
    expect(() => decode(from, bytes('be'))).toThrow(CompressionError)
  })

  test('whatever comes: fields or a CompressionError', () => {
    const octet = fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(0xff, 0x7f, 0x80, 0x40, 0x20, 0x3f, 0xbe, 0),
    )
    const blocks = fc.array(fc.array(octet, { maxLength: 60 }), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(blocks, (sections) => {
        const from = decoder()
        try {
          for (const section of sections) decode(from, Buffer.from(section))
        } catch (error) {
          if (!(error instanceof CompressionError)) throw error
        }
      }),
      { numRuns: 5000 },
    )
  })

  test('a string of the Huffman code is that of its octets only: what is decoded encodes to the same', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), fc.boolean(), (random, high) => {
        const coded = high ? random.map((octet) => octet | 0xf0) : random
        const into = Buffer.alloc(100)
        const length = decodeHuffman(coded, 0, coded.length, into)
        if (length < 0) return
        const back = Buffer.alloc(100)
        const text = into.toString('latin1', 0, length)
        expect(back.subarray(0, encodeHuffman(text, back, 0))).toEqual(Buffer.from(coded))
      }),
      { numRuns: 5000 },
    )
  })
})

describe('bounds', () => {
  const large = (name: string, size: number, prefix = 0x40): Buffer => {
    const into = Buffer.alloc(size + 20)
    into[0] = prefix
    into[1] = name.length
    let at = 2 + into.write(name, 2)
    at = into.writeUInt8(0x7f, at)
    let rest = size - 127
    for (; rest >= 128; rest >>= 7) at = into.writeUInt8(0x80 | (rest & 0x7f), at)
    at = into.writeUInt8(rest, at)
    return into.fill('v', at, at + size).subarray(0, at + size)
  }

  test('references to a large entry are not kept beyond the bound, and the table is right behind them', () => {
    const from = decoder()
    decode(from, large('a', 4000))
    const bomb = Buffer.concat([Buffer.alloc(60_000, 0xbe), bytes('40 01 62 01 63')])
    expect(from.decode(bomb, 65_536, 1000)).toBeNull()
    expect(decode(from, bytes('be'))).toEqual(['b', 'c'])
  })

  test('a list counts as SETTINGS_MAX_HEADER_LIST_SIZE does', () => {
    const section = bytes('8286 0001 6102 6263')
    const size = 7 + 3 + 32 + (7 + 4 + 32) + (1 + 2 + 32)
    expect(decoder().decode(section, size, 3)).toEqual([':method', 'GET', ':scheme', 'http', 'a', 'bc'])
    expect(decoder().decode(section, size - 1, 3)).toBeNull()
    expect(decoder().decode(section, size, 2)).toBeNull()
  })

  test('a table that is exactly full keeps all of its entries', () => {
    const from = decoder(100)
    // Twice 1 + 17 + 32 bytes.
    for (const name of ['61', '62']) decode(from, bytes(`40 01 ${name} 11 ${'76'.repeat(17)}`))
    expect(decode(from, bytes('be bf'))).toEqual(['b', 'v'.repeat(17), 'a', 'v'.repeat(17)])
  })

  test('a string over the bound is skipped, and what is behind it is read', () => {
    const from = decoder()
    const section = Buffer.concat([bytes('40 01 61 01 62'), large('c', 100_000), bytes('40 01 64 01 65')])
    expect(from.decode(section, 65_536, 1000)).toBeNull()
    // What is larger than the table empties it (section 4.4).
    expect(decode(from, bytes('be'))).toEqual(['d', 'e'])
    expect(() => decode(from, bytes('bf'))).toThrow(CompressionError)
  })

  test('a Huffman string over the bound is checked to its end', () => {
    const coded = (tail: number): Buffer => {
      const text = Buffer.alloc(50_000, 0)
      text[text.length - 1] = tail
      return Buffer.concat([bytes('00 01 61 ff d1 85 03'), text])
    }
    // 10,000 times five octets of eight 0: each is the code of 0. At last three more of them, and padding.
    expect(decoder().decode(coded(0x1f), 65_536, 1000)).toBeNull()
    expect(decoder().decode(coded(0x1f), 100_000, 1000)?.[1] === '0'.repeat(79_999)).toBe(true)
    expect(() => decoder().decode(coded(0x1e), 65_536, 1000)).toThrow(CompressionError)
  })
})

describe('encoder', () => {
  const encode = (by: FieldEncoder, fields: readonly string[]): Buffer => {
    const out = Buffer.alloc(20_000)
    return out.subarray(0, by.encode(fields, out, 0))
  }

  test('a field that comes again is one octet', () => {
    const by = new FieldEncoder()
    const fields = pairs(':status: 200', 'content-type: text/html', 'x-frame-options: DENY', 'server: nginx')
    encode(by, fields)
    expect(encode(by, fields)).toHaveLength(4)
  })

  test('values that change are not put into the table, unless they repeat', () => {
    const by = new FieldEncoder()
    const from = decoder()
    const etag = ['etag', '"33a64df551425fcc"']
    for (let n = 0; n < 300; n++) decode(from, encode(by, ['etag', `"${n}"`, 'x-request-id', `${n}${n}`]))
    expect(encode(by, ['x-request-id', '00'])).toHaveLength(1)
    expect(encode(by, etag)[0]).toBe(0x0f)
    expect((encode(by, etag)[0] as number) & 0xc0).toBe(0x40)
    expect(encode(by, etag)).toHaveLength(1)
  })

  test.each(['set-cookie', 'authorization', 'proxy-authorization', 'cookie'])('%s is never indexed', (name) => {
    const by = new FieldEncoder()
    for (let n = 0; n < 3; n++) expect((encode(by, [name, 'secret'])[0] as number) & 0xf0).toBe(0x10)
  })

  test('sizes of the table are told at the next section: the least of them and the last', () => {
    const by = new FieldEncoder()
    by.setMaxTableBytes(65_536)
    expect(encode(by, [':status', '200'])).toEqual(bytes('88'))
    by.setMaxTableBytes(0)
    by.setMaxTableBytes(1000)
    by.setMaxTableBytes(4096)
    expect(encode(by, [':status', '200'])).toEqual(bytes('20 3fe11f 88'))
    by.setMaxTableBytes(100)
    expect(encode(by, [':status', '200'])).toEqual(bytes('3f45 88'))
    expect(encode(by, [':status', '200'])).toEqual(bytes('88'))
  })

  const text = (min: number, max: number) =>
    fc.oneof(
      fc.string({ unit: fc.constantFrom(...'abcdef0123456789-_=;, '), minLength: min, maxLength: max }),
      fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 30 }),
    )
  const name = fc.oneof(
    fc.constantFrom(...['content-type', 'date', 'etag', 'x-a', 'x-b', ':status', 'set-cookie', 'vary', 'x-c', 'age']),
    text(0, 12),
  )
  const value = fc.oneof(fc.constantFrom('200', 'text/html', 'v', '', '304', 'x'.repeat(900)), text(0, 200))
  const step = fc.oneof(
    { weight: 1, arbitrary: fc.constantFrom(0, 32, 40, 100, 300, 1000, 4096, 70_000).map((size) => ({ size })) },
    {
      weight: 4,
      arbitrary: fc.record({
        fields: fc.array(fc.tuple(name, value), { maxLength: 12 }).map((list) => list.flat()),
        room: fc.integer({ min: 0, max: 12_000 }),
        at: fc.integer({ min: 0, max: 20 }),
      }),
    },
  )

  test('what is encoded is decoded to the same, over sections of a connection and sizes of its table', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
        const by = new FieldEncoder()
        const from = decoder()
        for (const one of steps) {
          if ('size' in one) {
            by.setMaxTableBytes(one.size)
            continue
          }
          const out = Buffer.alloc(one.at + one.room)
          let end = by.encode(one.fields, out, one.at)
          let block = out.subarray(one.at, end)
          expect(out.subarray(0, one.at).every((octet) => octet === 0)).toBe(true)
          if (end === -1) {
            const larger = Buffer.alloc(20_000)
            end = by.encode(one.fields, larger, 0)
            block = larger.subarray(0, end)
          }
          expect(decode(from, block)).toEqual(one.fields)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('the Huffman code of any octets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (octets) => {
        const plain = Buffer.from(octets).toString('latin1')
        const coded = Buffer.alloc(huffmanLength(plain))
        expect(encodeHuffman(plain, coded, 0)).toBe(coded.length)
        const back = Buffer.alloc(60)
        expect(decodeHuffman(coded, 0, coded.length, back)).toBe(octets.length)
        expect(back.subarray(0, octets.length)).toEqual(Buffer.from(octets))
      }),
      { numRuns: 2000 },
    )
  })
})
