/**
 * The bodies that come on a connection of HTTP/2: how much may (RFC 9113 section 6.9), and what their frames cost beside them.
 */
import { CODE, FRAME_HEAD_BYTES, Http2Fault } from '../../../wire/http2/protocol.ts'
import { CONNECTION_WINDOW_BYTES } from './limits.ts'

/** A byte of a body may have come in a frame of its own. */
const BYTES_PER_BODY_BYTE = 12

/** The window of one connection. */
export class ReceiveWindow {
  #window = CONNECTION_WINDOW_BYTES
  /** What has been received since the client was told. */
  #credit = 0
  /** Of bodies that may still come of streams that were reset or refused here: their client may not know yet, so they are no flood. */
  #excusedBytes = 0

  /** A frame of DATA begins. @throws {Http2Fault} where it is too long */
  begin(length: number): void {
    if (length > this.#window) throw new Http2Fault(CODE.flowControl, 'more than the window of the connection')
    this.#window -= length
  }

  /** That frame has come. @returns by how much the window grows, which the client is to be told, or 0 */
  end(length: number): number {
    this.#credit += length
    if (this.#credit < CONNECTION_WINDOW_BYTES / 2) return 0
    const credit = this.#credit
    this.#credit = 0
    this.#window += credit
    return credit
  }

  /** A stream is no longer read. @param bytes that may still come of it; the window of the connection bounds what is on its way */
  excuse(bytes: number): void {
    this.#excusedBytes = Math.min(this.#excusedBytes + bytes, CONNECTION_WINDOW_BYTES)
  }

  /**
   * @param length of a frame, with padding
   * @param size of its data
   * @param isRead its stream is there
   * @returns what it costs that is no body, in bytes
   */
  cost(length: number, size: number, isRead: boolean): number {
    const free = isRead ? size : Math.min(size, this.#excusedBytes)
    if (!isRead) this.#excusedBytes -= free
    const cost = length + FRAME_HEAD_BYTES - BYTES_PER_BODY_BYTE * free
    return size > 0 ? Math.max(cost, 0) : 0
  }
}
