/**
 * Constants of HTTP/2 (RFC 9113), and connection errors.
 */

/** What a client sends first (section 3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/** Frame types (section 6). */
export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const

/** Flags (section 6). */
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const

/** Settings (section 6.5.2, RFC 8441 section 3). */
export const SETTING = {
  tableSize: 1,
  enablePush: 2,
  maxStreams: 3,
  initialWindow: 4,
  maxFrame: 5,
  maxFields: 6,
  connectProtocol: 8,
} as const

/** Error codes (section 7). */
export const CODE = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  settingsTimeout: 4,
  streamClosed: 5,
  frameSize: 6,
  refused: 7,
  cancel: 8,
  compression: 9,
  connect: 10,
  calm: 11,
  security: 12,
  http11: 13,
} as const

export const FRAME_HEAD_BYTES = 9

/** The largest frame payload by default. We neither announce nor use a larger one. */
export const MAX_FRAME_BYTES = 16_384

/** The largest window (section 6.9.1). */
export const MAX_WINDOW = 2 ** 31 - 1

/** The initial window of a connection and its streams (section 6.9.2). */
export const FIRST_WINDOW = 65_535

/** A connection error (section 5.4.1). `message` is for the log; the peer gets the code. */
export class Http2Fault extends Error {
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}
