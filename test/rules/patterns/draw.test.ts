/** The draw: its published vectors, exact ends, even spread, and that raising a percent only adds units. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bucketOf, hashOf, inShare, murmur3, thresholdOf } from '../../../src/rules/patterns/draw.ts'

test.each([
  ['gtin-lookup', '123456789012', 3_307_700_694],
  ['gtin-lookup', '0123456789012', 2_629_124_386],
  ['gtin-lookup', 'alice', 1_732_175_213],
  ['checkout', 'alice', 2_425_346_082],
  ['gtin-lookup', 'żółw', 310_806_146],
])('salt %s and key %s hash to %i', (salt, key, hash) => {
  expect(hashOf(salt, key)).toBe(hash)
})

// Published vectors of MurmurHash3_x86_32 with seed 0.
test.each([
  ['', 0],
  ['test', 0xba6bd213],
  ['Hello, world!', 0xc0363e43],
  ['The quick brown fox jumps over the lazy dog', 0x2e4ff723],
])('murmur3 of %j', (text, hash) => {
  expect(murmur3(text)).toBe(hash)
})

test('texts beyond ASCII are hashed as their UTF-8 bytes, wherever the first such character stands', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(murmur3(text)).toBe(murmur3OfBytes(new TextEncoder().encode(text)))
    }),
  )
})

test('the threshold is floor(percent / 100 * 2^32), exactly', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), (units) => {
      expect(BigInt(thresholdOf(units / 10_000))).toBe((BigInt(units) << 32n) / 1_000_000n)
    }),
  )
})

test('nothing lies below 0 per cent and everything below 100', () => {
  expect(thresholdOf(0)).toBe(0)
  expect(thresholdOf(100)).toBe(2 ** 32)
  expect(inShare(0, thresholdOf(0))).toBe(false)
  expect(inShare(2 ** 32 - 1, thresholdOf(100))).toBe(true)
})

test('raising the percent only adds units, and lowering it takes the last added first', () => {
  const percent = fc.integer({ min: 0, max: 1_000_000 }).map((units) => units / 10_000)
  fc.assert(
    fc.property(percent, percent, fc.string(), fc.string(), (a, b, salt, key) => {
      const hash = hashOf(salt, key)
      const [low, high] = a < b ? [a, b] : [b, a]
      if (inShare(hash, thresholdOf(low))) expect(inShare(hash, thresholdOf(high))).toBe(true)
    }),
  )
})

test('the bucket lies in [0, 100), and in the share just when it is below the percent', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 1, max: 100 }), (hash, percent) => {
      const bucket = bucketOf(hash)
      expect(bucket).toBeGreaterThanOrEqual(0)
      expect(bucket).toBeLessThan(100)
      if (Math.abs(bucket - percent) > 1e-6) expect(inShare(hash, thresholdOf(percent))).toBe(bucket < percent)
    }),
  )
})

describe.each([1, 5, 20, 50])('at %d per cent', (percent) => {
  test.each(['u', '', 'customer-', '1234567'])('sequential ids with prefix %j are spread evenly', (prefix) => {
    const units = 100_000
    const threshold = thresholdOf(percent)
    let taken = 0
    for (let i = 0; i < units; i++) if (inShare(hashOf('gtin', `${prefix}${i}`), threshold)) taken++
    const share = percent / 100
    const deviation = Math.sqrt(units * share * (1 - share))
    expect(Math.abs(taken - units * share)).toBeLessThan(4 * deviation)
  })
})

test('two salts draw independently: half of one half is a quarter', () => {
  const half = thresholdOf(50)
  let both = 0
  for (let i = 0; i < 100_000; i++) {
    if (inShare(hashOf('a', `u${i}`), half) && inShare(hashOf('b', `u${i}`), half)) both++
  }
  expect(Math.abs(both - 25_000)).toBeLessThan(4 * Math.sqrt(100_000 * 0.25 * 0.75))
})

/** A plain transcription of the reference, over bytes, with BigInt arithmetic. */
function murmur3OfBytes(bytes: Uint8Array): number {
  const mask = 0xffffffffn
  const rotate = (x: bigint, by: bigint) => ((x << by) | (x >> (32n - by))) & mask
  const scramble = (k: bigint) => (rotate((k * 0xcc9e2d51n) & mask, 15n) * 0x1b873593n) & mask
  const whole = bytes.length - (bytes.length % 4)
  let h = 0n
  const word = (from: number, to: number) =>
    bytes.slice(from, to).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)
  for (let i = 0; i < whole; i += 4) h = (rotate(h ^ scramble(word(i, i + 4)), 13n) * 5n + 0xe6546b64n) & mask
  h ^= scramble(word(whole, bytes.length)) ^ BigInt(bytes.length)
  h = ((h ^ (h >> 16n)) * 0x85ebca6bn) & mask
  h = ((h ^ (h >> 13n)) * 0xc2b2ae35n) & mask
  return Number(h ^ (h >> 16n))
}
