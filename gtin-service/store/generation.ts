/**
 * Reads the file of a generation: one product by its key, or all records in order.
 *
 * Index and dictionary are in memory, and of the blocks as many as the limit allows (see blocks.ts). Each block is checked
 * when it is read, so that a damaged one gives an error and never a wrong product.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { endianness } from 'node:os'
import { crc32 } from 'node:zlib'
import type { GtinKey } from '../gtin.ts'
import type { Product } from '../source.ts'
import { Blocks } from './blocks.ts'
import { ProductReader } from './codec.ts'
import { Dictionary } from './dictionary.ts'
import {
  BLOCK_HEAD_BYTES,
  DamagedGeneration,
  ENTRY_BYTES,
  HEAD_MAGIC,
  TAIL_MAGIC,
  TRAILER_BYTES,
  type Trailer,
} from './layout.ts'

/** What is read, and checked, at once: some tenths of a millisecond. */
const PIECE_BYTES = 1_048_576
const IS_BIG_ENDIAN = endianness() === 'BE'

/** An open generation. */
export class Generation {
  readonly path: string
  /** How many products it holds. */
  readonly products: number
  /** The file's length in bytes. */
  readonly bytes: number
  readonly dictionary: Dictionary
  readonly #file: FileHandle
  readonly #firstKeys: Float64Array
  readonly #blocks: Blocks
  readonly #reader: ProductReader

  private constructor(parts: Parts, limitBytes: number) {
    const { path, file, trailer, index } = parts
    this.path = path
    this.products = trailer.products
    this.bytes = trailer.trailerAt + TRAILER_BYTES
    this.dictionary = parts.dictionary
    this.#file = file
    const blocks = (index.length - 1) / 2
    this.#firstKeys = index.subarray(0, blocks)
    this.#blocks = new Blocks({ path, file, places: index.subarray(blocks) }, limitBytes)
    this.#reader = new ProductReader(parts.dictionary)
  }

  /**
   * Opens a file and reads its index and dictionary, without blocking the event loop on the disk; keeps at most
   * `limitBytes` of its blocks in memory. Rejects with node's system error, or with DamagedGeneration where the file is
   * none.
   */
  static async open(path: string, limitBytes = 0): Promise<Generation> {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      const trailer = await readTrailer(file, size)
      const index = new Float64Array((trailer.dictionaryAt - trailer.indexAt) / 8)
      const indexBytes = Buffer.from(index.buffer)
      const crcOfIndex = await readInto(file, indexBytes, trailer.indexAt, 0)
      if (IS_BIG_ENDIAN) indexBytes.swap64()
      const texts = Buffer.allocUnsafe(trailer.trailerAt - trailer.dictionaryAt)
      checkFooter(trailer, await readInto(file, texts, trailer.dictionaryAt, crcOfIndex))
      const dictionary = Dictionary.readLines(texts.toString())
      return new Generation({ path, file, trailer, index, dictionary }, limitBytes)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** The product with this key, or null. Throws DamagedGeneration or node's system error where the block can't be read. */
  find(key: GtinKey): Product | null {
    const block = lastAtMost(this.#firstKeys, key)
    if (block < 0) return null
    this.#blocks.find(block)
    const { bytes, start } = this.#blocks
    const count = bytes.readUInt16LE(start + 4)
    const delta = key - (this.#firstKeys[block] as number)
    const deltasAt = start + BLOCK_HEAD_BYTES
    let low = 0
    let high = count - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const found = bytes.readUInt32LE(deltasAt + middle * 4)
      if (found === delta) return this.#productAt(key, middle, count)
      if (found < delta) low = middle + 1
      else high = middle - 1
    }
    return null
  }

  /**
   * Reads the file from front to back, beside the event loop, so that it is in the system's page cache: a lookup that had
   * to wait for the disk would make all others wait. Rejects with node's system error.
   */
  async warm(): Promise<void> {
    const piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
    for (let at = 0; at < this.bytes; ) {
      const { bytesRead } = await this.#file.read(piece, 0, piece.length, at)
      if (bytesRead === 0) return
      at += bytesRead
    }
  }

  /** Reads all blocks into memory where the limit allows it (see `Blocks.fill`). Rejects as `find` throws. */
  fill(): Promise<void> {
    return this.#blocks.fill()
  }

  /** All records in ascending order of key. Not to be used after `close`. */
  records(): GenerationCursor {
    return new GenerationCursor(this.#firstKeys, (block) => this.#blocks.read(block, 1))
  }

  /** The product of a record that `records` gave. */
  read(key: GtinKey, bytes: Buffer, start: number, end: number): Product {
    return this.#reader.read(key, bytes, start, end)
  }

  /** Closes the file. Safe between two lookups: none waits. */
  close(): Promise<void> {
    return this.#file.close()
  }

  #productAt(key: GtinKey, at: number, count: number): Product {
    const { bytes, start, end } = this.#blocks
    const endsAt = start + BLOCK_HEAD_BYTES + count * 4
    const recordsAt = start + BLOCK_HEAD_BYTES + count * ENTRY_BYTES
    const from = recordsAt + (at === 0 ? 0 : bytes.readUInt16LE(endsAt + (at - 1) * 2))
    const to = recordsAt + bytes.readUInt16LE(endsAt + at * 2)
    if (to > end) throw new DamagedGeneration(`${this.path}: a record reaches out of its block`)
    return this.#reader.read(key, bytes, from, to)
  }
}

/** What a generation is made of. */
interface Parts {
  readonly path: string
  readonly file: FileHandle
  readonly trailer: Trailer
  readonly index: Float64Array
  readonly dictionary: Dictionary
}

/** Walks over records in ascending order of key: `next`, then the record's own members. */
export class GenerationCursor {
  /** The key of the record; -1 before the first `next`. */
  key = -1
  /** Where the record stands. The bytes are valid until the next `next`. */
  bytes: Buffer = Buffer.alloc(0)
  start = 0
  end = 0
  readonly #firstKeys: Float64Array
  readonly #load: (block: number) => Buffer
  #block = -1
  #at = 0
  #count = 0

  /** `load` gives the bytes of a block that stay as they are. */
  constructor(firstKeys: Float64Array, load: (block: number) => Buffer) {
    this.#firstKeys = firstKeys
    this.#load = load
  }

  /** Moves on to the next record; false behind the last one. Throws as `Generation.find` does. */
  next(): boolean {
    if (this.#at >= this.#count) {
      if (this.#block + 1 >= this.#firstKeys.length) return false
      this.#block++
      this.bytes = this.#load(this.#block)
      this.#count = this.bytes.readUInt16LE(4)
      this.#at = 0
      this.end = BLOCK_HEAD_BYTES + this.#count * ENTRY_BYTES
    }
    const recordsAt = BLOCK_HEAD_BYTES + this.#count * ENTRY_BYTES
    const endsAt = BLOCK_HEAD_BYTES + this.#count * 4
    this.key = (this.#firstKeys[this.#block] as number) + this.bytes.readUInt32LE(BLOCK_HEAD_BYTES + this.#at * 4)
    this.start = this.end
    this.end = recordsAt + this.bytes.readUInt16LE(endsAt + this.#at * 2)
    this.#at++
    return true
  }
}

/** The place of the last entry that is at most `key`, or -1. */
function lastAtMost(ascending: Float64Array, key: number): number {
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ascending[middle] as number) <= key) low = middle + 1
    else high = middle
  }
  return low - 1
}

/**
 * Fills `bytes` from a place in the file, and takes their CRC-32 on from `crc`: a piece at a time, so that the index of
 * millions of products keeps nobody waiting.
 */
async function readInto(file: FileHandle, bytes: Buffer, place: number, crc: number): Promise<number> {
  let result = crc
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, done, Math.min(PIECE_BYTES, bytes.length - done), place + done)
    if (bytesRead === 0) throw new DamagedGeneration('the file got shorter while it was read')
    result = crc32(bytes.subarray(done, done + bytesRead), result)
    done += bytesRead
  }
  return result
}

async function readTrailer(file: FileHandle, size: number): Promise<Trailer> {
  if (size < HEAD_MAGIC.length + 8 + TRAILER_BYTES) throw new DamagedGeneration('too short for a generation')
  const head = Buffer.allocUnsafe(HEAD_MAGIC.length)
  await readInto(file, head, 0, 0)
  const bytes = Buffer.allocUnsafe(TRAILER_BYTES)
  await readInto(file, bytes, size - TRAILER_BYTES, 0)
  if (!head.equals(HEAD_MAGIC) || !bytes.subarray(40).equals(TAIL_MAGIC)) {
    throw new DamagedGeneration('not a generation, or not a whole one')
  }
  const trailer = {
    indexAt: bytes.readDoubleLE(0),
    dictionaryAt: bytes.readDoubleLE(8),
    trailerAt: bytes.readDoubleLE(16),
    products: bytes.readDoubleLE(24),
    longestBlock: bytes.readUInt32LE(32),
    figures: bytes.subarray(0, 36),
    crc: bytes.readUInt32LE(36),
  }
  const { indexAt, dictionaryAt, trailerAt } = trailer
  const isWhole = [indexAt, dictionaryAt, trailerAt].every(Number.isSafeInteger)
  const inOrder = HEAD_MAGIC.length <= indexAt && indexAt < dictionaryAt && dictionaryAt <= trailerAt
  if (!isWhole || !inOrder || trailerAt !== size - TRAILER_BYTES) throw new DamagedGeneration('the trailer is damaged')
  if ((dictionaryAt - indexAt) % 16 !== 8) throw new DamagedGeneration('the index is damaged')
  return trailer
}

/** `crc`: of index and dictionary. */
function checkFooter(trailer: Trailer, crc: number): void {
  if (crc32(trailer.figures, crc) !== trailer.crc) throw new DamagedGeneration('index or dictionary is damaged')
}
