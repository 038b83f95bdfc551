/**
 * The memory of reads: what is only looked at is read into again, what is kept stays as it is.
 */
import { expect, test } from 'vitest'
import { keep, lend, onceWritten, readBuffer, takeBack } from '../../src/wire/read-memory.ts'

const COUNT = 48 * 1024

/** A read of a large body. @param use what is done with the bytes while they are lent */
function readBulk(fill: number, use: (bytes: Buffer) => void): ArrayBufferLike {
  const buffer = readBuffer(true)
  buffer.fill(fill)
  use(lend(buffer, COUNT))
  takeBack()
  return buffer.buffer
}

test('memory of which nothing is kept is that of the next read of a large body', () => {
  const first = readBulk(1, () => {})
  expect(readBulk(2, () => {})).toBe(first)
})

test.each([
  ['a piece', (bytes: Buffer) => bytes],
  ['a window of it', (bytes: Buffer) => bytes.subarray(100, 20_000)],
  ['a small window of it', (bytes: Buffer) => bytes.subarray(7, 9)],
])('%s that is kept stays as it is, whatever is read later', (_, windowOf) => {
  let kept: Buffer = Buffer.alloc(0)
  const first = readBulk(1, (bytes) => {
    kept = keep(windowOf(bytes))
  })
  for (let fill = 2; fill < 40; fill++) expect(readBulk(fill, () => {})).not.toBe(first)
  expect(kept.every((byte) => byte === 1)).toBe(true)
})

test('memory of a piece that was written is used again once', () => {
  let kept: Buffer = Buffer.alloc(0)
  const first = readBulk(1, (bytes) => {
    kept = keep(bytes)
  })
  const written = onceWritten(kept) as () => void
  written()
  written()
  expect(readBuffer(true).buffer).toBe(first)
  expect(readBuffer(true).buffer).not.toBe(first)
})
