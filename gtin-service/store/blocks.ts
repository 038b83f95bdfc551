/**
 * The blocks of a generation in memory, checked when they are read: all of them, in large pieces, where the limit
 * has room for them; else those that are used, in extents of some blocks.
 *
 * Node can't map a file into memory. Without this each lookup would be a read, which costs as much as sending the answer
 * does. Of the extents, what was not used for longest goes first, roughly: the hand of a clock takes the first one that
 * nobody used since it last came by.
 */
import { readSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { DamagedGeneration } from './layout.ts'

const BLOCKS_PER_EXTENT = 8
/** 32 MiB at most: few enough for the collector, and long enough for huge pages where the process is given them. */
const BLOCKS_PER_PIECE = 16_384
/** What `fill` reads and checks at once: a megabyte at most, some tenths of a millisecond. A part of the former. */
const BLOCKS_PER_STEP = 512

/** Where blocks are. */
export interface BlockPlaces {
  /** For messages. */
  readonly path: string
  readonly file: FileHandle
  /** Per block its place in the file, and then where the last one ends. */
  readonly places: Float64Array
}

/** Gives blocks; how many bytes it keeps is its only state. */
export class Blocks {
  readonly #file: BlockPlaces
  readonly #limitBytes: number
  /** What `fill` has read. */
  readonly #pieces: (Buffer | null)[]
  #filling = false
  readonly #extents: (Buffer | null)[]
  /** Whether an extent was used since the hand came by. */
  readonly #used: Uint8Array
  /** Extents in memory, in the order of the clock's face. */
  readonly #face: number[] = []
  #hand = 0
  #bytesKept = 0
  /** The bytes of the extent that holds the block asked for last. */
  bytes: Buffer = Buffer.alloc(0)
  /** Where the block asked for last stands in them. */
  start = 0
  end = 0

  /** `limitBytes`: 0 keeps nothing. */
  constructor(file: BlockPlaces, limitBytes: number) {
    this.#file = file
    this.#limitBytes = limitBytes
    this.#pieces = new Array<Buffer | null>(Math.ceil((file.places.length - 1) / BLOCKS_PER_PIECE)).fill(null)
    const extents = Math.ceil((file.places.length - 1) / BLOCKS_PER_EXTENT)
    this.#extents = new Array<Buffer | null>(extents).fill(null)
    this.#used = new Uint8Array(extents)
  }

  /** What is kept in memory, in bytes. */
  get bytesKept(): number {
    return this.#bytesKept
  }

  /**
   * Finds a block: `bytes`, `start` and `end` are its until the next call. Throws DamagedGeneration, or node's system error
   * where the file can't be read.
   */
  find(block: number): void {
    const piece = this.#pieces[Math.floor(block / BLOCKS_PER_PIECE)] as Buffer | null
    if (piece !== null) this.#at(piece, block - (block % BLOCKS_PER_PIECE), block)
    // While `fill` runs, what comes a moment later in a piece is not kept here too.
    else if (this.#limitBytes === 0 || this.#filling) this.#at(this.read(block, 1), block, block)
    else this.#findExtent(block)
  }

  /** Reads `count` blocks (or as many as there are) in a row, past the cache, and checks them. Throws as `find` does. */
  read(first: number, count: number): Buffer {
    const { places } = this.#file
    const last = Math.min(first + count, places.length - 1)
    const place = places[first] as number
    const bytes = Buffer.allocUnsafeSlow((places[last] as number) - place)
    // Synchronous on purpose: from the page cache this takes microseconds, a turn through the thread pool many more.
    const read = readSync(this.#file.file.fd, bytes, 0, bytes.length, place)
    this.#check(bytes.subarray(0, read), first, last)
    return bytes
  }

  /**
   * Reads all blocks into memory where the limit has room for them all, and does nothing where it hasn't; beside the event
   * loop but for the checks, some tenths of a millisecond at a time. Rejects as `find` throws.
   */
  async fill(): Promise<void> {
    const { places } = this.#file
    if ((places.at(-1) as number) - (places[0] as number) > this.#limitBytes) return
    while (this.#face.length > 0) this.#dropOne()
    this.#filling = true
    try {
      for (let first = 0; first < places.length - 1; first += BLOCKS_PER_PIECE) {
        const last = Math.min(first + BLOCKS_PER_PIECE, places.length - 1)
        const piece = Buffer.allocUnsafeSlow((places[last] as number) - (places[first] as number))
        for (let at = first; at < last; at += BLOCKS_PER_STEP) {
          await this.#fillStep(piece, first, at, Math.min(at + BLOCKS_PER_STEP, last))
        }
        this.#pieces[first / BLOCKS_PER_PIECE] = piece
        this.#bytesKept += piece.length
      }
    } finally {
      this.#filling = false
    }
  }

  /** Reads the blocks from `from` to before `to` into the piece that begins with block `first`. */
  async #fillStep(piece: Buffer, first: number, from: number, to: number): Promise<void> {
    const { file, places } = this.#file
    const place = places[from] as number
    const start = place - (places[first] as number)
    const length = (places[to] as number) - place
    const { bytesRead } = await file.read(piece, start, length, place)
    this.#check(piece.subarray(start, start + bytesRead), from, to)
  }

  /** Throws DamagedGeneration unless `bytes` are the blocks from `first` to before `last`. */
  #check(bytes: Buffer, first: number, last: number): void {
    const { path, places } = this.#file
    const place = places[first] as number
    if (bytes.length < (places[last] as number) - place) throw new DamagedGeneration(`${path}: ends inside a block`)
    for (let block = first; block < last; block++) {
      const start = (places[block] as number) - place
      const end = (places[block + 1] as number) - place
      if (crc32(bytes.subarray(start + 4, end)) !== bytes.readUInt32LE(start)) {
        throw new DamagedGeneration(`${path}: the block at ${places[block]} is damaged`)
      }
    }
  }

  #findExtent(block: number): void {
    const extent = Math.floor(block / BLOCKS_PER_EXTENT)
    const first = extent * BLOCKS_PER_EXTENT
    const kept = this.#extents[extent] as Buffer | null
    if (kept !== null) this.#used[extent] = 1
    else this.#keep(extent, this.read(first, BLOCKS_PER_EXTENT))
    this.#at(this.#extents[extent] as Buffer, first, block)
  }

  /** `bytes`: from the beginning of block `first` on. */
  #at(bytes: Buffer, first: number, block: number): void {
    const { places } = this.#file
    const place = places[first] as number
    this.bytes = bytes
    this.start = (places[block] as number) - place
    this.end = (places[block + 1] as number) - place
  }

  #keep(extent: number, bytes: Buffer): void {
    while (this.#face.length > 0 && this.#bytesKept + bytes.length > this.#limitBytes) this.#dropOne()
    this.#extents[extent] = bytes
    this.#face.push(extent)
    this.#bytesKept += bytes.length
  }

  #dropOne(): void {
    for (;;) {
      if (this.#hand >= this.#face.length) this.#hand = 0
      const extent = this.#face[this.#hand] as number
      if (this.#used[extent] === 1) {
        this.#used[extent] = 0
        this.#hand++
        continue
      }
      this.#bytesKept -= (this.#extents[extent] as Buffer).length
      this.#extents[extent] = null
      // The last one takes the free place: the order on the face matters little, moving all the others would.
      const moved = this.#face.pop() as number
      if (this.#hand < this.#face.length) this.#face[this.#hand] = moved
      this.#hand++
      return
    }
  }
}
