/**
 * Flow control for received bodies on an HTTP/2 connection (RFC 9113 section 6.9), and the overhead of their frames.
 */
import { CODE, FRAME_HEAD_BYTES, Http2Fault } from '../../../wire/http2/protocol.ts'
import { CONNECTION_WINDOW_BYTES } from './limits.ts'

/** Allowed overhead per body byte: enough for a frame of its own. */
const BYTES_PER_BODY_BYTE = 12

/** The window of one connection. */
export class ReceiveWindow {
  #window = CONNECTION_WINDOW_BYTES
  /** Bytes received since the last WINDOW_UPDATE. */
  #credit = 0
  /** Bytes that may still arrive for streams that we reset or refused: the client may not know yet, so they don't count as a flood. */
  #excusedBytes = 0

  /** A DATA frame begins. @throws {Http2Fault} it exceeds the window */
  begin(length: number): void {
    if (length > this.#window) throw new Http2Fault(CODE.flowControl, 'more than the window of the connection')
    this.#window -= length
  }

  /** The frame is complete. @returns the increment for a WINDOW_UPDATE to send, or 0 */
  end(length: number): number {
    this.#credit += length
    if (this.#credit < CONNECTION_WINDOW_BYTES / 2) return 0
    const credit = this.#credit
    this.#credit = 0
    this.#window += credit
    return credit
  }

  /** A stream is no longer read. @param bytes that may still arrive for it; the connection window bounds their total */
  excuse(bytes: number): void {
    this.#excusedBytes = Math.min(this.#excusedBytes + bytes, CONNECTION_WINDOW_BYTES)
  }

  /**
   * The overhead of a frame beyond its useful data, in bytes.
   * @param length of the frame, with padding
   * @param size of its data
   * @param isRead its stream exists
   */
  cost(length: number, size: number, isRead: boolean): number {
    const free = isRead ? size : Math.min(size, this.#excusedBytes)
    if (!isRead) this.#excusedBytes -= free
    const cost = length + FRAME_HEAD_BYTES - BYTES_PER_BODY_BYTE * free
    return size > 0 ? Math.max(cost, 0) : 0
  }
}
