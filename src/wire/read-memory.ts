/**
 * The memory that answers are read into. All plain connections share one buffer, so that a small answer leaves none behind
 * for the garbage collector; the reads of a large body get slabs of their own, which go on to the client without a copy.
 */

/** What one read takes at most; as much as libuv offers the kernel by itself. */
const READ_BYTES = 64 * 1024

/** A read of so many bytes is part of a large body: the next one is likely to be as large. */
const BULK_BYTES = READ_BYTES / 2

/** Below this, collecting the garbage is cheaper than a callback per piece. */
const LARGE_BYTES = 16 * 1024

/** Slabs beyond this number are given back to the system: 2 MiB are kept. */
const MAX_FREE = 32

const shared = Buffer.allocUnsafeSlow(READ_BYTES)

/** Slabs that nobody uses, the last used on top: it is the one that is still in the processor's cache. */
const free: Buffer[] = []

/** Pieces that have a slab to themselves. */
const alone = new WeakSet<Buffer>()

/** The memory in hand that a later read will fill again, or null. */
let lent: ArrayBufferLike | null = null

/**
 * The buffer for a connection's next read.
 * @param bulk more of a large body is to come
 */
export function readBuffer(bulk: boolean): Buffer {
  return bulk ? slab() : shared
}

/** Whether a read of `count` bytes is one of a large body. */
export function isBulk(count: number): boolean {
  return count >= BULK_BYTES
}

/**
 * The bytes of a read. Until `takeBack` they may be looked at; who needs them, or a window of them, for longer, calls `keep`.
 * @param buffer of `readBuffer`; where it is a slab of which enough is filled, it stays with the bytes
 * @param count so many bytes were read into it
 */
export function lend(buffer: Buffer, count: number): Buffer {
  const bytes = buffer.subarray(0, count)
  if (buffer !== shared && isBulk(count)) alone.add(bytes)
  else lent = buffer.buffer
  return bytes
}

/** Ends what `lend` began. */
export function takeBack(): void {
  lent = null
}

/** A piece that stays as it is: itself where its memory is its own, or a copy. */
export function keep(piece: Buffer): Buffer {
  if (lent === null || piece.buffer !== lent) return piece
  if (piece.length < LARGE_BYTES) return Buffer.from(piece)
  const copy = slab().subarray(0, piece.length)
  piece.copy(copy)
  alone.add(copy)
  return copy
}

/**
 * What to do once a piece has been written: its memory is used again, or given back, at once instead of when garbage is
 * collected. The collector hardly feels buffers outside its heap: some 60 MiB of them pile up during a large transfer.
 * @param piece that `keep` gave, or of a socket's 'data'; nobody else may hold a reference, for its bytes are gone afterwards
 * @returns the callback for `write`, or undefined where the piece is small or shares its buffer with others
 */
export function onceWritten(piece: Buffer): (() => void) | undefined {
  const { buffer } = piece
  if (piece.length < LARGE_BYTES || !(buffer instanceof ArrayBuffer)) return undefined
  if (alone.has(piece)) {
    return () => {
      // Once only: given back twice, it would be lent to two at a time.
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
