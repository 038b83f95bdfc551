/**
 * The body of a response as it comes: appended once, read from any offset that is still held. Small pieces are copied into
 * slabs, so that what is held is hardly more than the bytes themselves.
 */
import { keep } from '../../wire/read-memory.ts'

/** A piece of this size is kept as it is where it has its memory to itself; below it, copying costs less than a buffer. */
export const LARGE_BYTES = 16 * 1024

const MIN_SLAB_BYTES = 4 * 1024
const MAX_SLAB_BYTES = 256 * 1024

interface Chunk {
  /** Offset of its first byte in the body. */
  readonly start: number
  readonly memory: Buffer
  /** Bytes of `memory` that are filled. */
  used: number
}

/** A body that grows. */
export class GrowingBody {
  #chunks: Chunk[] = []
  /** Bytes so far, those that were dropped included. */
  length = 0
  /** Bytes of memory that are held. */
  heldBytes = 0

  /** @param knownLength bytes that will come, which then lie in one piece; 0 where that is not known */
  constructor(knownLength: number) {
    if (knownLength > 0) this.#add(Buffer.allocUnsafeSlow(knownLength), 0)
  }

  /**
   * @param piece may be a window of memory that is filled again after the call
   * @param whole it may be kept as a piece, if it is large; else it is copied
   */
  append(piece: Buffer, whole: boolean): void {
    const start = this.length
    this.length += piece.length
    const last = this.#chunks.at(-1)
    const room = last === undefined ? 0 : last.memory.length - last.used
    if (whole && room === 0 && piece.length >= LARGE_BYTES) {
      this.#add(keep(piece), piece.length, start)
      return
    }
    const fits = Math.min(room, piece.length)
    if (last !== undefined && fits > 0) {
      piece.copy(last.memory, last.used, 0, fits)
      last.used += fits
    }
    if (fits === piece.length) return
    const rest = piece.subarray(fits)
    // Most bodies are one small piece: no more memory than that.
    const size = start === 0 ? rest.length : Math.max(rest.length, this.#slabBytes())
    const slab = start === 0 && rest.length < MIN_SLAB_BYTES ? Buffer.allocUnsafe(size) : Buffer.allocUnsafeSlow(size)
    rest.copy(slab)
    this.#add(slab, rest.length, start + fits)
  }

  /** Bytes that went past it. What is held before them goes too: all have read it. */
  skip(bytes: number): void {
    if (this.#chunks.length > 0) this.clear()
    this.length += bytes
  }

  /** At most `max` bytes from an offset that is held, of one chunk; empty where no more has come. */
  view(offset: number, max: number): Buffer {
    const chunk = this.#chunks[this.#indexOf(offset)]
    if (chunk === undefined) return NOTHING
    const at = offset - chunk.start
    // The very piece that came: its memory may be given back once it has been sent.
    if (at === 0 && chunk.used === chunk.memory.length && chunk.used <= max) return chunk.memory
    return chunk.memory.subarray(at, Math.min(chunk.used, at + max))
  }

  /** Holds nothing before an offset any longer. */
  dropBefore(offset: number): void {
    let dropped = 0
    for (const chunk of this.#chunks) {
      if (chunk.start + chunk.used > offset || chunk.used < chunk.memory.length) break
      this.heldBytes -= chunk.memory.length
      dropped++
    }
    if (dropped > 0) this.#chunks.splice(0, dropped)
  }

  /** All of it, from now on in one piece with memory of exactly its size. Only where nothing was dropped. */
  whole(): Buffer {
    const [first] = this.#chunks
    if (first !== undefined && first.memory.length === this.length && first.memory.buffer.byteLength === this.length) {
      return first.memory
    }
    const body = Buffer.allocUnsafeSlow(this.length)
    for (const { start, memory, used } of this.#chunks) memory.copy(body, start, 0, used)
    this.clear()
    this.#add(body, body.length)
    return body
  }

  clear(): void {
    this.#chunks = []
    this.heldBytes = 0
  }

  #add(memory: Buffer, used: number, start = 0): void {
    this.#chunks.push({ start, memory, used })
    this.heldBytes += memory.length
  }

  #slabBytes(): number {
    return Math.min(Math.max(this.heldBytes, MIN_SLAB_BYTES), MAX_SLAB_BYTES)
  }

  #indexOf(offset: number): number {
    let [low, high] = [0, this.#chunks.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#chunks[middle] as Chunk).start <= offset) low = middle
      else high = middle - 1
    }
    return low
  }
}

const NOTHING = Buffer.alloc(0)
