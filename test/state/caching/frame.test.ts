/**
 * Entries as bytes: what was written is read, and whatever was not is nothing.
 */
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Content, madeFor } from '../../../src/state/caching/content.ts'
import { decodeEntry, encodeEntry, FRAME_VERSION } from '../../../src/state/caching/frame.ts'
import type { CacheEntry } from '../../../src/state/caching/store.ts'
import { entry, place } from '../make.ts'

const VARIANTS: CacheEntry = { kind: 'variants', key: 'k', vary: ['accept', 'x-a'], untilMs: 12 }
const value = fc
  .array(fc.integer({ min: 32, max: 255 }).filter((code) => code !== 127))
  .map((codes) => String.fromCharCode(...codes))
const headers = fc.array(fc.tuple(fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/), value)).map((all) => all.flat())

test('what was written is read', () => {
  expect(decodeEntry(encodeEntry(VARIANTS))).toEqual(VARIANTS)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), headers, fc.string(), (body, rawHeaders, position) => {
      const content = new Content(madeFor(place('/x'), []), Buffer.from(body))
      const one = entry({ content, rawHeaders, position })
      const read = decodeEntry(encodeEntry(one))
      expect(read).toEqual(one)
      expect(read?.kind === 'answer' && read.content.open(place('/x'))).toEqual(Buffer.from(body))
      expect(read?.kind === 'answer' && read.content.open(place('/y'))).toBeNull()
    }),
  )
})

test('the body stands as it is at the end', () => {
  const one = entry()
  expect(encodeEntry(one).subarray(-one.content.length)).toEqual(one.content.open(place('/a')))
})

describe('anything else is nothing', () => {
  test('another version', () => {
    const bytes = encodeEntry(entry())
    bytes[0] = FRAME_VERSION + 1
    expect(decodeEntry(bytes)).toBeNull()
  })

  test('cut short, at every length, and longer than it was', () => {
    const bytes = encodeEntry(entry())
    for (let length = 0; length < bytes.length; length++) expect(decodeEntry(bytes.subarray(0, length))).toBeNull()
    expect(decodeEntry(Buffer.concat([bytes, Buffer.from('x')]))).toBeNull()
  })

  test('one bit changed, anywhere', () => {
    const bytes = encodeEntry(entry())
    fc.assert(
      fc.property(fc.integer({ min: 0, max: bytes.length * 8 - 1 }), (bit) => {
        const changed = Buffer.from(bytes)
        changed[bit >> 3]! ^= 1 << (bit & 7)
        expect(decodeEntry(changed)).toBeNull()
      }),
    )
  })

  test('a head that no such writer would have made, under a checksum that is right', () => {
    const good = entry()
    const forged: unknown[] = [
      { rawHeaders: ['X-A', 'a\r\nSet-Cookie: b'] },
      { rawHeaders: ['X-A\nb', 'a'] },
      { rawHeaders: ['X-A'] },
      { rawHeaders: [1, 2] },
      { rawHeaders: null },
      { rawHeaders: ['X-A', '\u0100'] },
      { reason: 'OK\r\nX: y' },
      { reason: 7 },
      { position: 1 },
      { meta: [] },
      { meta: { ...good.meta, status: 99 } },
      { meta: { ...good.meta, status: '200' } },
      { meta: { ...good.meta, freshUntilMs: null } },
      { meta: { ...good.meta, noCache: 'no' } },
      { meta: { ...good.meta, lifetime: 'for ever' } },
      { meta: { ...good.meta, etag: '"a"\r\nX: y' } },
      { meta: { ...good.meta, vary: 'accept' } },
    ]
    for (const part of forged) {
      expect(decodeEntry(encodeEntry({ ...good, ...(part as object) })), JSON.stringify(part)).toBeNull()
    }
    for (const made of [{}, { ...good.content.madeFor, key: 1 }, { ...good.content.madeFor, vary: ['a b'] }]) {
      const content = new Content(made as never, Buffer.from('x'))
      expect(decodeEntry(encodeEntry({ ...good, content })), JSON.stringify(made)).toBeNull()
    }
    for (const part of [{ key: 1 }, { vary: null }, { vary: ['a b'] }, { untilMs: '5' }]) {
      expect(decodeEntry(encodeEntry({ ...VARIANTS, ...part } as CacheEntry)), JSON.stringify(part)).toBeNull()
    }
  })

  test('a head of another length, under a checksum that is right', () => {
    const bytes = encodeEntry(entry())
    const headLength = bytes.readUInt32LE(6)
    const head = JSON.parse(bytes.toString('utf8', 10, 10 + headLength)) as unknown[]
    for (const other of [[], head.slice(1), head.slice(0, -1), [...head, '']]) {
      const text = Buffer.from(JSON.stringify(other))
      const forged = Buffer.concat([bytes.subarray(0, 10), text, bytes.subarray(10 + headLength)])
      forged.writeUInt32LE(text.length, 6)
      forged.writeUInt32LE(crc32(forged.subarray(5)), 1)
      expect(decodeEntry(forged), text.toString()).toBeNull()
    }
  })

  test('noise', () => {
    fc.assert(fc.property(fc.uint8Array(), (noise) => decodeEntry(Buffer.from(noise)) === null))
  })
})
