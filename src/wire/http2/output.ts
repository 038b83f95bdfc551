/**
 * Writes HTTP/2 frames to a socket. Small frames are collected into one write; large DATA is written without a copy, after the head of
 * its frame.
 */
import { onceWritten } from '../read-memory.ts'
import type { FieldEncoder } from './hpack-encoder.ts'
import { CODE, FLAG, FRAME_HEAD_BYTES, MAX_FRAME_BYTES, TYPE } from './protocol.ts'

/** Where the bytes go: a socket. */
export interface FrameTarget {
  write(bytes: Buffer): boolean
  write(bytes: Buffer, done: (() => void) | undefined): boolean
  write(text: string, encoding: 'latin1'): boolean
  cork(): void
  uncork(): void
}

/** The size of the buffer in which frames are collected. */
const OUTPUT_BYTES = 64 * 1024

/** Smaller data is copied: a write of its own would cost more. */
const SMALL_DATA_BYTES = 4096

/** Up to this size, node writes a string from a buffer on the stack. */
const SMALL_WRITE_BYTES = 16 * 1024

/** One instance for all connections: each uses it from `begin` to `end`, without interruption. */
export class FrameOutput {
  readonly #bytes = Buffer.allocUnsafeSlow(OUTPUT_BYTES)
  #at = 0
  #target: FrameTarget | null = null
  #isCorked = false
  /** Bytes since `begin`. */
  total = 0

  /** A connection is between `begin` and `end`. */
  get isInUse(): boolean {
    return this.#target !== null
  }

  begin(target: FrameTarget): void {
    this.#target = target
    this.#at = 0
    this.total = 0
  }

  /** Writes what is left. */
  end(): void {
    const target = this.#target as FrameTarget
    this.#flush()
    this.#target = null
    if (!this.#isCorked) return
    this.#isCorked = false
    target.uncork()
  }

  /** HEADERS, and CONTINUATION if they are large (section 6.2). Names in lower case. */
  headers(encoder: FieldEncoder, stream: number, fields: readonly string[], endStream: boolean): void {
    const flags = endStream ? FLAG.endStream : 0
    let end = encoder.encode(fields, this.#bytes, this.#at + FRAME_HEAD_BYTES)
    if (end === -1) {
      this.#flush()
      end = encoder.encode(fields, this.#bytes, FRAME_HEAD_BYTES)
    }
    const length = end - this.#at - FRAME_HEAD_BYTES
    if (end === -1) this.#largeHeaders(largeBlock(encoder, fields), stream, flags)
    else if (length > MAX_FRAME_BYTES) {
      const at = this.#at + FRAME_HEAD_BYTES
      this.#largeHeaders(Buffer.from(this.#bytes.subarray(at, end)), stream, flags)
    } else {
      this.#head(length, TYPE.headers, flags | FLAG.endHeaders, stream)
      this.#at = end
      this.total += length
    }
  }

  #largeHeaders(block: Buffer, stream: number, flags: number): void {
    for (let from = 0; from < block.length; from += MAX_FRAME_BYTES) {
      const to = Math.min(from + MAX_FRAME_BYTES, block.length)
      const last = to === block.length ? FLAG.endHeaders : 0
      this.#need(FRAME_HEAD_BYTES + to - from)
      if (from === 0) this.#head(to, TYPE.headers, flags | last, stream)
      else this.#head(to - from, TYPE.continuation, last, stream)
      this.#copy(block, from, to)
    }
  }

  /**
   * DATA (section 6.1).
   * @param piece of which the bytes from `from` to `to` are sent, at most MAX_FRAME_BYTES; a string is Latin-1
   * @param spent nothing else uses the piece: its memory can be reused after its last byte has been sent
   */
  data(stream: number, piece: Buffer | string, from: number, to: number, endStream: boolean, spent: boolean): void {
    const length = to - from
    // Memory can't be reused while another part of it is still being written.
    const isCopied = typeof piece === 'string' || (length < SMALL_DATA_BYTES && !(spent && from > 0))
    this.#need(FRAME_HEAD_BYTES + (isCopied ? length : 0))
    this.#head(length, TYPE.data, endStream ? FLAG.endStream : 0, stream)
    if (typeof piece === 'string') {
      const text = length === piece.length ? piece : piece.slice(from, to)
      this.#at += this.#bytes.write(text, this.#at, 'latin1')
      this.total += length
      return
    }
    const written = spent && to === piece.length ? onceWritten(piece) : undefined
    if (isCopied) {
      this.#copy(piece, from, to)
      written?.()
      return
    }
    const target = this.#target as FrameTarget
    if (!this.#isCorked) {
      this.#isCorked = true
      target.cork()
    }
    this.#flush()
    this.total += length
    target.write(length === piece.length ? piece : piece.subarray(from, to), written)
  }

  /** RST_STREAM (section 6.4). */
  reset(stream: number, code: number): void {
    this.#need(FRAME_HEAD_BYTES + 4)
    this.#head(4, TYPE.reset, 0, stream)
    this.#word(code)
  }

  /** @param values id, value, id, value (section 6.5) */
  settings(values: readonly number[]): void {
    const length = values.length * 3
    this.#need(FRAME_HEAD_BYTES + length)
    this.#head(length, TYPE.settings, 0, 0)
    for (let i = 0; i < values.length; i += 2) {
      this.#at = this.#bytes.writeUInt16BE(values[i] as number, this.#at)
      this.total += 2
      this.#word(values[i + 1] as number)
    }
  }

  settingsAck(): void {
    this.#need(FRAME_HEAD_BYTES)
    this.#head(0, TYPE.settings, FLAG.ack, 0)
  }

  /** @param data 8 bytes (section 6.7) */
  ping(data: Buffer, isAck: boolean): void {
    this.#need(FRAME_HEAD_BYTES + data.length)
    this.#head(data.length, TYPE.ping, isAck ? FLAG.ack : 0, 0)
    this.#copy(data, 0, data.length)
  }

  /** @param last the last stream that is processed (section 6.8) */
  goaway(last: number, code: number = CODE.none): void {
    this.#need(FRAME_HEAD_BYTES + 8)
    this.#head(8, TYPE.goaway, 0, 0)
    this.#word(last)
    this.#word(code)
  }

  /** WINDOW_UPDATE (section 6.9). @param stream 0 for the connection */
  window(stream: number, increment: number): void {
    this.#need(FRAME_HEAD_BYTES + 4)
    this.#head(4, TYPE.window, 0, stream)
    this.#word(increment)
  }

  #head(length: number, type: number, flags: number, stream: number): void {
    const bytes = this.#bytes
    let at = this.#at
    bytes[at++] = length >>> 16
    bytes[at++] = length >>> 8
    bytes[at++] = length
    bytes[at++] = type
    bytes[at++] = flags
    bytes[at++] = stream >>> 24
    bytes[at++] = stream >>> 16
    bytes[at++] = stream >>> 8
    bytes[at++] = stream
    this.#at = at
    this.total += FRAME_HEAD_BYTES
  }

  #word(value: number): void {
    this.#at = this.#bytes.writeUInt32BE(value, this.#at)
    this.total += 4
  }

  #copy(bytes: Buffer, from: number, to: number): void {
    this.#at += bytes.copy(this.#bytes, this.#at, from, to)
    this.total += to - from
  }

  #need(length: number): void {
    if (this.#at + length > OUTPUT_BYTES) this.#flush()
  }

  #flush(): void {
    const length = this.#at
    if (length === 0) return
    this.#at = 0
    const target = this.#target as FrameTarget
    if (!this.#isCorked && length <= SMALL_WRITE_BYTES)
      target.write(this.#bytes.toString('latin1', 0, length), 'latin1')
    else target.write(Buffer.from(this.#bytes.subarray(0, length)))
  }
}

/** A field section that is larger than the buffer. */
function largeBlock(encoder: FieldEncoder, fields: readonly string[]): Buffer {
  for (let size = 2 * OUTPUT_BYTES; ; size *= 2) {
    const bytes = Buffer.allocUnsafeSlow(size)
    const end = encoder.encode(fields, bytes, 0)
    if (end !== -1) return bytes.subarray(0, end)
  }
}
