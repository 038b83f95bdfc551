/**
 * Gives the memory of large pieces back as soon as they are written, instead of when garbage is collected.
 */

/** Below this, collecting the garbage is cheaper than a callback per piece. */
const LARGE_BYTES = 16 * 1024

/**
 * What to do once a piece has been written: every read of a socket makes a buffer of its own outside the heap, which the
 * collector hardly feels, so that some 60 MiB of them pile up during a large transfer before it comes.
 * @param piece of which nobody else holds a reference: its memory is gone afterwards
 * @returns the callback for `write`, or undefined where the piece is small or only a window of a larger buffer
 */
export function onceWritten(piece: Buffer): (() => void) | undefined {
  const { buffer } = piece
  if (piece.length < LARGE_BYTES || piece.length !== buffer.byteLength || !(buffer instanceof ArrayBuffer)) {
    return undefined
  }
  return () => {
    // ECMA-262 section 25.1.6.8: the old buffer is detached, the new one of 0 bytes is dropped.
    buffer.transfer(0)
  }
}
