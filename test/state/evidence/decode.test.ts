/**
 * Content codings: taken off by what servers send, and never beyond the bounds.
 */
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { decode, MOST_DECODED_BYTES } from '../../../src/state/evidence/decode.ts'

const codings = [
  ['gzip', gzipSync],
  ['x-gzip', gzipSync],
  ['deflate', deflateSync],
  ['deflate', deflateRawSync],
  ['br', brotliCompressSync],
  ['zstd', zstdCompressSync],
] as const

test.each(codings)('%s', (coding, encode) => {
  expect(Buffer.from(decode(coding, encode('{"a":1}')) as Uint8Array).toString()).toBe('{"a":1}')
  expect(decode(coding, encode(new Uint8Array(MOST_DECODED_BYTES)))).toHaveLength(MOST_DECODED_BYTES)
  expect(decode(coding, encode(new Uint8Array(MOST_DECODED_BYTES + 1)))).toBe('too large')
  expect(decode(coding, encode(Buffer.from('x'.repeat(1_000))).subarray(0, -3))).toBe('broken')
  expect(decode(coding, Buffer.from('plain text'))).toBe('broken')
})

test('others are not known', () => {
  for (const coding of ['xyz', 'compress', '__proto__', 'constructor', '']) {
    expect(decode(coding, new Uint8Array(1))).toBe('unknown')
  }
})
