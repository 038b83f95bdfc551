/**
 * The PROXY protocol's headers as bytes: each form of both versions, each split, and what is none.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readAddress } from '../../src/rules/patterns/address.ts'
import { MalformedProxyHeader, type ProxiedClient, ProxyHeaderReader } from '../../src/wire/proxy-protocol.ts'
import { proxyHeaderV2 as v2 } from '../support/proxy-header.ts'

const SENDER = { kind: 'sender' }
const REST = 'GET / HTTP/1.1\r\n'

/** @returns the client, and how much of the bytes the header was */
function read(bytes: Buffer, splits: readonly number[] = []): { client: ProxiedClient | null; taken: number } {
  const reader = new ProxyHeaderReader()
  const ends = [...splits].sort((a, b) => a - b).concat(bytes.length)
  let taken = 0
  let from = 0
  for (const end of ends) {
    const piece = bytes.subarray(from, end)
    const count = reader.push(piece)
    taken += count
    if (count < piece.length) break
    from = end
  }
  return { client: reader.client, taken }
}

const line = (text: string): Buffer => Buffer.from(`${text}\r\n`, 'latin1')

const HEADERS: [string, Buffer, object][] = [
  [
    'v1 TCP4',
    line('PROXY TCP4 203.0.113.7 10.0.0.1 40001 443'),
    { kind: 'client', address: '203.0.113.7', port: 40001 },
  ],
  ['v1 TCP6', line('PROXY TCP6 2001:db8::7 ::1 1 65535'), { kind: 'client', address: '2001:db8::7', port: 1 }],
  ['v1 UNKNOWN', line('PROXY UNKNOWN'), SENDER],
  ['v1 UNKNOWN with whatever', line('PROXY UNKNOWN ffff::1 ffff::2 65535 65535 and \xff more'), SENDER],
  ['v1 as long as it may be', line(`PROXY UNKNOWN ${'x'.repeat(107 - 16)}`), SENDER],
  ['v2 INET', v2({ from: [203, 0, 113, 7], port: 40001 }), { kind: 'client', address: '203.0.113.7', port: 40001 }],
  ['v2 INET over UDP', v2({ family: 0x12 }), { kind: 'client', address: '192.0.2.1', port: 4711 }],
  ['v2 INET6', v2({ family: 0x21 }), { kind: 'client', address: '2001:db8:0:0:0:0:0:1', port: 4711 }],
  ['v2 UNIX', v2({ family: 0x31 }), { kind: 'unix' }],
  ['v2 UNSPEC', v2({ family: 0x00 }), SENDER],
  ['v2 LOCAL', v2({ command: 0x20, family: 0x11 }), SENDER],
  ['v2 LOCAL of no family that there is', v2({ command: 0x20, family: 0xf7 }), SENDER],
  ['v2 with TLVs', v2({ extra: 300 }), { kind: 'client', address: '192.0.2.1', port: 4711 }],
  ['v2 as long as it may be', v2({ extra: 65_535 - 12 }), { kind: 'client', address: '192.0.2.1', port: 4711 }],
  ['v2 LOCAL with TLVs', v2({ command: 0x20, family: 0, extra: 77 }), SENDER],
]

describe.each(HEADERS)('%s', (_name, header, client) => {
  test('is read, and nothing behind it', () => {
    expect(read(Buffer.concat([header, Buffer.from(REST)]))).toEqual({ client, taken: header.length })
  })

  test('is the same however it is split', () => {
    const all = Buffer.concat([header, Buffer.from(REST)])
    const step = header.length > 1000 ? 997 : 1
    for (let at = 1; at < all.length; at += step) expect(read(all, [at])).toEqual({ client, taken: header.length })
    const everywhere = Array.from({ length: Math.min(all.length, 1000) }, (_, at) => at)
    expect(read(all, everywhere)).toEqual({ client, taken: header.length })
  })

  test('is none before its last byte', () => {
    for (const at of [0, 1, 5, 12, 15, header.length - 1]) {
      if (at < header.length) expect(read(header.subarray(0, at)).client).toBe(null)
    }
  })
})

test.each([
  REST,
  '\r\nGET / HTTP/1.1\r\n',
  '\x16\x03\x01\x02\x00\x01',
  'PROXy TCP4 1.1.1.1 2.2.2.2 1 2\r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rX',
  'PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n',
  'PROXY TCP4 1.1.1.1 2.2.2.2 1 -2\r\n',
  'PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n',
  'PROXY TCP4 ::1 2.2.2.2 1 2\r\n',
  'PROXY TCP6 1.1.1.1 ::2 1 2\r\n',
  'PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n',
  'PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n',
  'PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n',
  'PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n',
  'PROXY TCP4 unix 2.2.2.2 1 2\r\n',
  'PROXY \r\n',
  `PROXY UNKNOWN ${'x'.repeat(200)}\r\n`,
])('%j is refused', (text) => {
  expect(() => read(Buffer.from(text, 'latin1'))).toThrow(MalformedProxyHeader)
})

test.each([
  ['a version that is not known', v2({ command: 0x31 })],
  ['version 1 in binary', v2({ command: 0x11 })],
  ['a command that is not known', v2({ command: 0x22 })],
  ['a family that is not known', v2({ family: 0x41 })],
  ['a transport that is not known', v2({ family: 0x13 })],
  ['a family without a transport', v2({ family: 0x10 })],
  ['a transport without a family', v2({ family: 0x01 })],
  ['addresses that are cut', v2({ length: 11 })],
  ['IPv6 in the room of IPv4', v2({ family: 0x21, length: 12 })],
  ['a Unix path that is cut', v2({ family: 0x31, length: 215 })],
])('v2 with %s is refused', (_what, bytes) => {
  expect(() => read(bytes)).toThrow(MalformedProxyHeader)
})

test('what does not begin as a header is refused with its first wrong byte', () => {
  for (const [, header] of HEADERS) {
    const length = header[0] === 0x50 ? 6 : 12
    for (let at = 0; at < length; at++) {
      const wrong = Buffer.from(header.subarray(0, at + 1))
      wrong[at] = wrong[at]! ^ 0x20
      expect(() => read(wrong)).toThrow(MalformedProxyHeader)
    }
  }
})

const octets = (count: number) => fc.array(fc.nat(255), { minLength: count, maxLength: count })
const port = fc.nat(65_535)

test('any address of either version is the same one', () => {
  const v4 = fc.record({ from: octets(4), port }).map(({ from, port }) => ({
    ...{ port, address: from.join('.') },
    headers: [v2({ from, port }), line(`PROXY TCP4 ${from.join('.')} 10.0.0.1 ${port} 80`)],
  }))
  const v6 = fc.record({ from: octets(16), port }).map(({ from, port }) => {
    const address = Buffer.from(from).toString('hex').match(/..../g)!.join(':')
    return { port, address, headers: [v2({ family: 0x21, from, port }), line(`PROXY TCP6 ${address} ::1 ${port} 80`)] }
  })
  fc.assert(
    fc.property(fc.oneof(v4, v6), fc.array(fc.nat(300), { maxLength: 5 }), ({ address, port, headers }, splits) => {
      for (const header of headers) {
        const { client, taken } = read(Buffer.concat([header, Buffer.from(REST)]), splits)
        expect(taken).toBe(header.length)
        expect(client).toMatchObject({ kind: 'client', port })
        expect(readAddress((client as { address: string }).address)).toBe(readAddress(address))
      }
    }),
  )
})

test('any bytes are a header, the beginning of one, or refused, and splits change nothing', () => {
  const outcome = (bytes: Buffer, splits: readonly number[]): unknown => {
    try {
      return read(bytes, splits)
    } catch (error) {
      if (error instanceof MalformedProxyHeader) return error.message
      throw error
    }
  }
  const whole = fc.constantFrom(...HEADERS.map(([, header]) => header).filter(({ length }) => length < 1000))
  const bent = fc.tuple(whole, fc.nat(300), fc.nat(255)).map(([header, at, byte]) => {
    const bytes = Buffer.from(header)
    bytes[at % bytes.length] = byte
    return bytes
  })
  const any = fc.oneof(
    bent,
    fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
  )
  fc.assert(
    fc.property(any, fc.array(fc.nat(400)), (bytes, splits) => {
      expect(outcome(bytes, splits)).toEqual(outcome(bytes, []))
    }),
    { numRuns: 1000 },
  )
})
