/**
 * A strict streaming parser for HTTP/2 frames from clients (RFC 9113 sections 4 and 6), independent of sockets and streams. DATA payloads
 * are passed on in pieces as they arrive, other frames once they are complete.
 */
import { HeldBytes } from '../fields.ts'
import {
  CODE,
  FLAG,
  FRAME_HEAD_BYTES,
  Http2Fault,
  MAX_FRAME_BYTES,
  MAX_WINDOW,
  PREFACE,
  SETTING,
  TYPE,
} from './protocol.ts'

/** Limit on CONTINUATION frames for one field section (VU#421644). */
const MAX_CONTINUATIONS = 8

/** Limit on settings in one frame: seven are defined, and a few more in extensions. */
const MAX_SETTINGS = 32

/** Receives what the reader finds, in order. An exception in it ends the connection. */
export interface FrameSink {
  /** A DATA frame begins. @param length of its payload, padding included: what flow control counts (section 6.9.1) */
  onDataHead(stream: number, length: number): void
  /** A piece of its data: a view of the bytes that were pushed. */
  onData(piece: Buffer): void
  /** @param size of its data, without padding */
  onDataEnd(size: number, endStream: boolean): void
  /** @param block a whole field section; it may be a view of the bytes that were pushed */
  onHeaders(stream: number, endStream: boolean, block: Buffer): void
  onReset(stream: number, code: number): void
  /** @param values id, value, id, value; all valid */
  onSettings(values: readonly number[]): void
  onSettingsAck(): void
  /** @param data 8 bytes: a view of the bytes that were pushed */
  onPing(data: Buffer, isAck: boolean): void
  onGoaway(): void
  /** @param stream 0 for the connection */
  onWindow(stream: number, increment: number): void
  /** A frame had an error that ends only its stream. */
  onStreamFault(stream: number, code: number): void
}

type State = 'preface' | 'head' | 'payload' | 'pad-length' | 'data' | 'skip'

/** Reads the frames of one client. Call `push` with what arrives. After it has thrown, the connection can't be used any more. */
export class FrameReader {
  readonly #sink: FrameSink
  #state: State = 'preface'
  /** Bytes of the preface read so far. */
  #greeted = 0
  #hasSettings = false
  /** A head or a payload that is not complete. */
  readonly #held = new HeldBytes()
  // The frame under way.
  #length = 0
  #type = 0
  #flags = 0
  #stream = 0
  /** Bytes of the frame's data, or of a skipped frame, still to come. */
  #left = 0
  #padding = 0
  #size = 0
  /** A field section that waits for CONTINUATION; null for none. */
  #block: HeldBytes | null = null
  #blockEndsStream = false
  #continuations = 0
  /** Bytes of frames that are neither requests nor bodies, since somebody has set it to 0. */
  controlBytes = 0

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /**
   * Parses bytes and reports to the sink what is complete in them.
   * @throws {Http2Fault} what came is none of HTTP/2, or beyond a limit
   */
  push(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      switch (this.#state) {
        case 'preface':
          at = this.#readPreface(bytes, at)
          break
        case 'head':
          at = this.#readHead(bytes, at)
          break
        case 'payload':
          at = this.#readPayload(bytes, at)
          break
        case 'pad-length':
          this.#padded(bytes[at++] as number)
          break
        case 'data': {
          const end = Math.min(bytes.length, at + this.#left)
          this.#left -= end - at
          this.#sink.onData(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end))
          at = end
          if (this.#left === 0) this.#dataRead()
          break
        }
        case 'skip': {
          const end = Math.min(bytes.length, at + this.#left)
          this.#left -= end - at
          at = end
          if (this.#left === 0) this.#state = 'head'
        }
      }
    }
  }

  #readPreface(bytes: Buffer, from: number): number {
    const length = Math.min(bytes.length - from, PREFACE.length - this.#greeted)
    if (PREFACE.compare(bytes, from, from + length, this.#greeted, this.#greeted + length) !== 0)
      throw new Http2Fault(CODE.protocol, 'not the HTTP/2 preface')
    this.#greeted += length
    if (this.#greeted === PREFACE.length) this.#state = 'head'
    return from + length
  }

  #readHead(bytes: Buffer, from: number): number {
    const held = this.#held
    if (held.length === 0 && bytes.length - from >= FRAME_HEAD_BYTES) {
      this.#begin(bytes, from)
      return from + FRAME_HEAD_BYTES
    }
    const end = Math.min(bytes.length, from + FRAME_HEAD_BYTES - held.length)
    held.add(bytes, from, end)
    if (held.length === FRAME_HEAD_BYTES) {
      const head = held.bytes
      held.clear()
      this.#begin(head, 0)
    }
    return end
  }

  /** Checks the head of a frame (section 4.1). */
  #begin(bytes: Buffer, at: number): void {
    const length = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)
    const type = bytes[at + 3] as number
    const flags = bytes[at + 4] as number
    const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff
    this.#length = length
    this.#type = type
    this.#flags = flags
    this.#stream = stream
    if (length > MAX_FRAME_BYTES) throw new Http2Fault(CODE.frameSize, `a frame of ${length} bytes`)
    if (!this.#hasSettings) {
      if (type !== TYPE.settings || (flags & FLAG.ack) !== 0)
        throw new Http2Fault(CODE.protocol, 'the first frame is not SETTINGS')
      this.#hasSettings = true
    }
    if (this.#block !== null && type !== TYPE.continuation)
      throw new Http2Fault(CODE.protocol, 'another frame within a field section')
    switch (type) {
      case TYPE.data:
        this.#beginData()
        return
      case TYPE.headers:
      case TYPE.continuation:
        break
      default:
        this.controlBytes += FRAME_HEAD_BYTES + length
        if (type > TYPE.continuation) {
          this.#left = length
          if (length > 0) this.#state = 'skip'
          return
        }
    }
    if (length === 0) this.#act(bytes, 0, 0)
    else this.#state = 'payload'
  }

  #readPayload(bytes: Buffer, from: number): number {
    const held = this.#held
    if (held.length === 0 && bytes.length - from >= this.#length) {
      this.#state = 'head'
      const end = from + this.#length
      this.#act(bytes, from, end)
      return end
    }
    const end = Math.min(bytes.length, from + this.#length - held.length)
    held.add(bytes, from, end)
    if (held.length === this.#length) {
      const payload = held.bytes
      held.clear()
      this.#state = 'head'
      this.#act(payload, 0, payload.length)
    }
    return end
  }

  /** Section 6.1. */
  #beginData(): void {
    if (this.#stream === 0) throw new Http2Fault(CODE.protocol, 'DATA on stream 0')
    this.#sink.onDataHead(this.#stream, this.#length)
    this.#padding = 0
    if ((this.#flags & FLAG.padded) === 0) this.#beginPieces(this.#length)
    else if (this.#length === 0) throw new Http2Fault(CODE.frameSize, 'DATA without its pad length')
    else this.#state = 'pad-length'
  }

  #padded(padding: number): void {
    if (padding >= this.#length) throw new Http2Fault(CODE.protocol, 'padding as long as its frame')
    this.#padding = padding
    this.#beginPieces(this.#length - 1 - padding)
  }

  #beginPieces(size: number): void {
    this.#size = size
    this.#left = size
    // An empty DATA frame costs as much as a full one.
    if (size === 0) this.controlBytes += FRAME_HEAD_BYTES + this.#length
    if (size > 0) this.#state = 'data'
    else this.#dataRead()
  }

  #dataRead(): void {
    this.#left = this.#padding
    this.#state = this.#left > 0 ? 'skip' : 'head'
    this.#sink.onDataEnd(this.#size, (this.#flags & FLAG.endStream) !== 0)
  }

  /** Handles a frame whose payload is in `bytes` between `from` and `end`. */
  #act(bytes: Buffer, from: number, end: number): void {
    switch (this.#type) {
      case TYPE.headers:
        this.#onHeaders(bytes, from, end)
        break
      case TYPE.continuation:
        this.#onContinuation(bytes, from, end)
        break
      case TYPE.priority:
        // Deprecated (section 5.3.2), and ignored.
        this.#needStream()
        if (this.#length !== 5) this.#sink.onStreamFault(this.#stream, CODE.frameSize)
        break
      case TYPE.reset:
        this.#needStream()
        this.#needLength(4)
        this.#sink.onReset(this.#stream, bytes.readUInt32BE(from))
        break
      case TYPE.settings:
        this.#needNoStream()
        this.#onSettings(bytes, from)
        break
      case TYPE.ping:
        this.#needNoStream()
        this.#needLength(8)
        this.#sink.onPing(bytes.subarray(from, end), (this.#flags & FLAG.ack) !== 0)
        break
      case TYPE.goaway:
        this.#needNoStream()
        if (this.#length < 8) throw new Http2Fault(CODE.frameSize, 'a GOAWAY that is too short')
        this.#sink.onGoaway()
        break
      case TYPE.window: {
        this.#needLength(4)
        const increment = bytes.readUInt32BE(from) & 0x7fffffff
        if (increment > 0) this.#sink.onWindow(this.#stream, increment)
        else if (this.#stream === 0) throw new Http2Fault(CODE.protocol, 'WINDOW_UPDATE with an increment of 0')
        else this.#sink.onStreamFault(this.#stream, CODE.protocol)
        break
      }
      default:
        throw new Http2Fault(CODE.protocol, 'PUSH_PROMISE from a client')
    }
  }

  /** Section 6.2. */
  #onHeaders(bytes: Buffer, from: number, end: number): void {
    this.#needStream()
    const flags = this.#flags
    let first = from
    let last = end
    if ((flags & FLAG.padded) !== 0) {
      if (first === end) throw new Http2Fault(CODE.frameSize, 'HEADERS without their pad length')
      last -= bytes[first++] as number
    }
    if ((flags & FLAG.priority) !== 0) {
      if (first + 5 > end) throw new Http2Fault(CODE.frameSize, 'HEADERS without their priority')
      first += 5
    }
    if (first > last) throw new Http2Fault(CODE.protocol, 'padding as long as its frame')
    const endStream = (flags & FLAG.endStream) !== 0
    if ((flags & FLAG.endHeaders) !== 0) {
      this.#sink.onHeaders(this.#stream, endStream, bytes.subarray(first, last))
      return
    }
    this.#block = new HeldBytes()
    this.#block.add(bytes, first, last)
    this.#blockStream = this.#stream
    this.#blockEndsStream = endStream
    this.#continuations = 0
  }

  #blockStream = 0

  /** Section 6.10. */
  #onContinuation(bytes: Buffer, from: number, end: number): void {
    const block = this.#block
    if (block === null || this.#stream !== this.#blockStream)
      throw new Http2Fault(CODE.protocol, 'CONTINUATION without HEADERS')
    if (++this.#continuations > MAX_CONTINUATIONS) throw new Http2Fault(CODE.calm, 'too many CONTINUATION frames')
    block.add(bytes, from, end)
    if ((this.#flags & FLAG.endHeaders) === 0) return
    this.#block = null
    this.#sink.onHeaders(this.#stream, this.#blockEndsStream, block.bytes)
  }

  /** Section 6.5. */
  #onSettings(bytes: Buffer, from: number): void {
    const length = this.#length
    if ((this.#flags & FLAG.ack) !== 0) {
      this.#needLength(0)
      this.#sink.onSettingsAck()
      return
    }
    if (length % 6 !== 0) throw new Http2Fault(CODE.frameSize, 'SETTINGS with a length that is not a multiple of 6')
    if (length > 6 * MAX_SETTINGS) throw new Http2Fault(CODE.calm, 'too many settings')
    const values: number[] = []
    for (let at = from; at < from + length; at += 6) {
      const id = bytes.readUInt16BE(at)
      const value = bytes.readUInt32BE(at + 2)
      if (id === SETTING.initialWindow && value > MAX_WINDOW)
        throw new Http2Fault(CODE.flowControl, 'an initial window that is too large')
      const isPush = id === SETTING.enablePush && value > 1
      const isFrame = id === SETTING.maxFrame && (value < MAX_FRAME_BYTES || value > 0xffffff)
      if (isPush || isFrame) throw new Http2Fault(CODE.protocol, `invalid value ${value} for setting ${id}`)
      values.push(id, value)
    }
    this.#sink.onSettings(values)
  }

  #needStream(): void {
    if (this.#stream === 0) throw new Http2Fault(CODE.protocol, `a frame of type ${this.#type} on stream 0`)
  }

  #needNoStream(): void {
    if (this.#stream !== 0) throw new Http2Fault(CODE.protocol, `a frame of type ${this.#type} on a stream`)
  }

  #needLength(length: number): void {
    if (this.#length !== length)
      throw new Http2Fault(CODE.frameSize, `a frame of type ${this.#type} with ${this.#length} bytes`)
  }
}
