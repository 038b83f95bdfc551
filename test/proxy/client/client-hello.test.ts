/**
 * The first message of a TLS client, as it is read before OpenSSL: whatever is in it, and however it is split.
 */
import { beforeAll, expect, test } from 'vitest'
import { isTls, readClientHello } from '../../../src/proxy/client/tls/client-hello.ts'
import { clientHello } from '../../support/client-hello.ts'

let hello: Buffer

beforeAll(async () => {
  hello = await clientHello('one.test', ['h2', 'http/1.1'])
})

test('name and protocols, as soon as all of it is there', () => {
  expect(isTls(hello[0] as number)).toBe(true)
  for (let length = 0; length < hello.length; length++) expect(readClientHello(hello.subarray(0, length))).toBeNull()
  expect(readClientHello(hello)).toEqual({ serverName: 'one.test', protocols: ['h2', 'http/1.1'] })
})

/** The same message in records of another size. */
function inRecords(size: number): Buffer {
  const message = hello.subarray(5)
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += size) {
    const piece = message.subarray(at, at + size)
    records.push(Buffer.from([22, 3, 1, piece.length >> 8, piece.length & 255]), piece)
  }
  return Buffer.concat(records)
}

test('in several records, but not in ever so many', () => {
  expect(readClientHello(inRecords(200))).toEqual({ serverName: 'one.test', protocols: ['h2', 'http/1.1'] })
  expect(readClientHello(inRecords(1))).toEqual({ serverName: '', protocols: [] })
})

test('what is none says nothing, and nothing is thrown', () => {
  for (let at = 0; at < hello.length; at++) {
    for (const value of [0, 1, 0x7f, 0xff]) {
      const broken = Buffer.from(hello)
      broken[at] = value
      const read = readClientHello(broken)
      expect(read === null || Array.isArray(read.protocols)).toBe(true)
    }
  }
  expect(readClientHello(Buffer.from('\x16\x03\x01\x00\x05hello', 'latin1'))).toEqual({ serverName: '', protocols: [] })
})
