/**
 * WebSocket frames (RFC 6455 section 5.2) as far as the echo load needs them: whole messages below 64 KiB in one frame.
 */

const MASK_BIT = 0x80
const FINAL = 0x80
const LENGTH_16 = 126
const LENGTH_64 = 127

/** An unmasked frame, as servers send them. Throws RangeError above 65535 bytes of payload. */
export function serverFrame(payload: Buffer, opcode: number): Buffer {
  return Buffer.concat([head(payload.length, opcode, 0), payload])
}

/** A masked frame, as clients send them. Throws RangeError above 65535 bytes of payload. */
export function clientFrame(payload: Buffer, opcode: number, mask: Buffer): Buffer {
  const masked = Buffer.from(payload)
  unmask(masked, mask)
  return Buffer.concat([head(payload.length, opcode, MASK_BIT), mask, masked])
}

function head(length: number, opcode: number, maskBit: number): Buffer {
  if (length > 0xffff) throw new RangeError(`a frame of ${length} bytes`)
  if (length < LENGTH_16) return Buffer.from([FINAL | opcode, maskBit | length])
  return Buffer.from([FINAL | opcode, maskBit | LENGTH_16, length >> 8, length & 0xff])
}

function unmask(bytes: Buffer, mask: Buffer): void {
  for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] as number) ^ (mask[i & 3] as number)
}

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  readonly #onFrame: (payload: Buffer, opcode: number) => void
  #rest: Buffer = Buffer.alloc(0)

  constructor(onFrame: (payload: Buffer, opcode: number) => void) {
    this.#onFrame = onFrame
  }

  /** Takes the next bytes; calls back for each frame that is complete, unmasked. */
  take(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    for (let used = this.#one(bytes); used > 0; used = this.#one(bytes)) bytes = bytes.subarray(used)
    // A copy where something is left: the chunk's memory belongs to the socket's buffer.
    this.#rest = bytes.length === 0 ? Buffer.alloc(0) : Buffer.from(bytes)
  }

  /** Reads one frame from the beginning; returns the bytes it took, or 0 where it is not complete. */
  #one(bytes: Buffer): number {
    if (bytes.length < 2) return 0
    const short = (bytes[1] as number) & 0x7f
    if (short === LENGTH_64) throw new RangeError('a frame above 65535 bytes')
    const lengthEnd = short === LENGTH_16 ? 4 : 2
    if (bytes.length < lengthEnd) return 0
    const length = short === LENGTH_16 ? bytes.readUInt16BE(2) : short
    const masked = ((bytes[1] as number) & MASK_BIT) !== 0
    const start = lengthEnd + (masked ? 4 : 0)
    if (bytes.length < start + length) return 0
    const payload = Buffer.from(bytes.subarray(start, start + length))
    if (masked) unmask(payload, bytes.subarray(lengthEnd, start))
    this.#onFrame(payload, (bytes[0] as number) & 0x0f)
    return start + length
  }
}
