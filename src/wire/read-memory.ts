/**
 * The buffers that answers are read into. All connections share one buffer for small reads, which leave no garbage then; reads
 * of a large body get slabs of their own, which are passed on to the client without a copy.
 */

/** The size of one read; libuv's own default. */
const READ_BYTES = 64 * 1024

/** A read of this size or more is part of a large body: the next one is likely to be as large. */
const BULK_BYTES = READ_BYTES / 2

/** Below this, garbage collection is cheaper than a callback for each piece. */
const LARGE_BYTES = 16 * 1024

/** The number of free slabs that are kept, 2 MiB; others are returned to the system. */
const MAX_FREE = 32

const shared = Buffer.allocUnsafeSlow(READ_BYTES)

/** Free slabs, last in, first out: the last one used is likely to be in the processor's cache still. */
const free: Buffer[] = []

/** Pieces that are alone in their slab. */
const alone = new WeakSet<Buffer>()

/** The buffer currently lent, which a later read will overwrite, or null. */
let lent: ArrayBufferLike | null = null

/**
 * The buffer for a connection's next read.
 * @param bulk the read is likely to be part of a large body
 */
export function readBuffer(bulk: boolean): Buffer {
  return bulk ? slab() : shared
}

/** Whether a read of `count` bytes counts as part of a large body. */
export function isBulk(count: number): boolean {
  return count >= BULK_BYTES
}

/**
 * The bytes of a read. They are valid until `takeBack`; to hold on to them, or a view of them, for longer, call `keep`.
 * @param buffer from `readBuffer`; a slab that is full enough stays with the bytes
 * @param count the number of bytes read into it
 */
export function lend(buffer: Buffer, count: number): Buffer {
  const bytes = buffer.subarray(0, count)
  if (buffer !== shared && isBulk(count)) alone.add(bytes)
  else lent = buffer.buffer
  return bytes
}

/** Ends the loan that `lend` began. */
export function takeBack(): void {
  lent = null
}

/** A piece that remains valid: itself if its memory is its own, otherwise a copy. */
export function keep(piece: Buffer): Buffer {
  if (lent === null || piece.buffer !== lent) return piece
  if (piece.length < LARGE_BYTES) return Buffer.from(piece)
  const copy = slab().subarray(0, piece.length)
  piece.copy(copy)
  alone.add(copy)
  return copy
}

/**
 * What to do once a piece has been written: reuse or free its memory at once, without waiting for the garbage collector. The
 * collector hardly counts memory outside its heap: some 60 MiB of it would pile up during a large transfer.
 * @param piece from `keep` or a socket's 'data'; nothing else may refer to it, because its bytes are gone afterwards
 * @returns the callback for `write`, or undefined if the piece is small or shares its buffer with others
 */
export function onceWritten(piece: Buffer): (() => void) | undefined {
  const { buffer } = piece
  if (piece.length < LARGE_BYTES || !(buffer instanceof ArrayBuffer)) return undefined
  if (alone.has(piece)) {
    return () => {
      // Once only: a slab released twice would be lent to two readers at a time.
      if (alone.delete(piece)) release(buffer)
    }
  }
  return piece.length === buffer.byteLength ? () => drop(buffer) : undefined
}

function slab(): Buffer {
  return free.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES)
}

function release(buffer: ArrayBuffer): void {
  if (free.length < MAX_FREE) free.push(Buffer.from(buffer))
  else drop(buffer)
}

function drop(buffer: ArrayBuffer): void {
  // ECMA-262 section 25.1.6.8: the old buffer is detached, the new one of 0 bytes is dropped.
  buffer.transfer(0)
}
