/**
 * Writes the file of a generation from records in ascending order of key. A file is whole and on disk when `finish` returns.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import type { GtinKey } from '../gtin.ts'
import { ByteWriter } from './bytes.ts'
import type { Dictionary } from './dictionary.ts'
import {
  BLOCK_BYTES,
  BLOCK_HEAD_BYTES,
  ENTRY_BYTES,
  HEAD_MAGIC,
  MAX_KEY_SPAN,
  TAIL_MAGIC,
  TRAILER_BYTES,
} from './layout.ts'

const WRITE_BYTES = 1_048_576

/** One file being written. Every method throws node's system error where the disk fails; `abort` then closes the file. */
export class GenerationWriter {
  readonly #fd: number
  readonly #out = new ByteWriter(WRITE_BYTES + 65_536)
  /** Bytes already handed to the system. */
  #written = 0
  readonly #firstKeys: number[] = []
  readonly #places: number[] = []
  readonly #blockKeys: number[] = []
  readonly #blockEnds: number[] = []
  readonly #block = new ByteWriter()
  #lastKey = -1
  #products = 0
  #longestBlock = 0

  /** Creates the file, or empties it. */
  constructor(path: string) {
    this.#fd = openSync(path, 'w')
    this.#out.copy(HEAD_MAGIC, 0, HEAD_MAGIC.length)
  }

  /** Records taken so far. */
  get products(): number {
    return this.#products
  }

  /** Adds the record that stands in `bytes` from `start` to `end`. Throws a RangeError where its key is not above the last one. */
  add(key: GtinKey, bytes: Buffer, start: number, end: number): void {
    if (!(key > this.#lastKey)) throw new RangeError(`key ${key} after ${this.#lastKey}`)
    const count = this.#blockKeys.length
    const size = BLOCK_HEAD_BYTES + (count + 1) * ENTRY_BYTES + this.#block.length + (end - start)
    if (count > 0 && (size > BLOCK_BYTES || key - (this.#blockKeys[0] as number) >= MAX_KEY_SPAN)) this.#closeBlock()
    this.#block.copy(bytes, start, end)
    this.#blockKeys.push(key)
    this.#blockEnds.push(this.#block.length)
    this.#lastKey = key
    this.#products++
  }

  /** Writes what is left, waits until it is on disk, and closes the file. Returns its length in bytes. */
  finish(dictionary: Dictionary): number {
    if (this.#blockKeys.length > 0) this.#closeBlock()
    const indexAt = this.#place
    this.#places.push(indexAt)
    const index = doubles([...this.#firstKeys, ...this.#places])
    const texts = Buffer.from(dictionary.linesFrom(0))
    const dictionaryAt = indexAt + index.length
    const trailer = Buffer.alloc(TRAILER_BYTES)
    doubles([indexAt, dictionaryAt, dictionaryAt + texts.length, this.#products]).copy(trailer)
    trailer.writeUInt32LE(this.#longestBlock, 32)
    trailer.writeUInt32LE(crc32(trailer.subarray(0, 36), crc32(texts, crc32(index))), 36)
    TAIL_MAGIC.copy(trailer, 40)
    for (const part of [index, texts, trailer]) this.#append(part)
    this.#flush()
    fsyncSync(this.#fd)
    closeSync(this.#fd)
    return this.#written
  }

  /** Closes the file as it is: no generation. */
  abort(): void {
    closeSync(this.#fd)
  }

  get #place(): number {
    return this.#written + this.#out.length
  }

  #closeBlock(): void {
    const keys = this.#blockKeys
    const first = keys[0] as number
    const head = BLOCK_HEAD_BYTES + keys.length * ENTRY_BYTES
    this.#out.reserve(head + this.#block.length)
    const { bytes } = this.#out
    const at = this.#out.length
    bytes.writeUInt16LE(keys.length, at + 4)
    const deltasAt = at + BLOCK_HEAD_BYTES
    const endsAt = deltasAt + keys.length * 4
    for (let i = 0; i < keys.length; i++) {
      bytes.writeUInt32LE((keys[i] as number) - first, deltasAt + i * 4)
      bytes.writeUInt16LE(this.#blockEnds[i] as number, endsAt + i * 2)
    }
    this.#block.bytes.copy(bytes, at + head, 0, this.#block.length)
    const end = at + head + this.#block.length
    bytes.writeUInt32LE(crc32(bytes.subarray(at + 4, end)), at)
    this.#firstKeys.push(first)
    this.#places.push(this.#place)
    this.#longestBlock = Math.max(this.#longestBlock, end - at)
    this.#out.length = end
    this.#block.length = 0
    keys.length = 0
    this.#blockEnds.length = 0
    if (this.#out.length >= WRITE_BYTES) this.#flush()
  }

  #append(part: Buffer): void {
    this.#out.copy(part, 0, part.length)
  }

  #flush(): void {
    writeAll(this.#fd, this.#out.bytes.subarray(0, this.#out.length))
    this.#written += this.#out.length
    this.#out.length = 0
  }
}

function doubles(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8)
  for (const [i, value] of values.entries()) bytes.writeDoubleLE(value, i * 8)
  return bytes
}

/** Writes all of `bytes` at the file's position: a disk that is almost full takes less than it is given at first. */
export function writeAll(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done)
}
