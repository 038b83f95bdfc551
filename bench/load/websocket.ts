/**
 * The client's side of a WebSocket over a raw socket: the handshake's text, and a reader of what comes back.
 */
import { randomBytes } from 'node:crypto'
import { FrameReader } from './frames.ts'

/** The opening handshake (RFC 6455 section 4.1) for the echo of the Node upstream. */
export function upgradeRequest(port: number): string {
  return (
    `GET /echo HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`
  )
}

/** What a reader tells. */
export interface UpgradeEvents {
  /** The server has answered 101. */
  opened(): void
  /** The server has answered anything else. */
  refused(): void
  /** A message or a control frame is complete. */
  frame(payload: Buffer, opcode: number): void
}

/** Reads the answer to the handshake, then frames. */
export class UpgradeReader {
  readonly #events: UpgradeEvents
  readonly #frames: FrameReader
  #head = ''
  #open = false

  constructor(events: UpgradeEvents) {
    this.#events = events
    this.#frames = new FrameReader((payload, opcode) => events.frame(payload, opcode))
  }

  /** Takes the next bytes. Throws RangeError for a frame above 65535 bytes. */
  take(chunk: Buffer): void {
    if (this.#open) {
      this.#frames.take(chunk)
      return
    }
    this.#head += chunk.toString('latin1')
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) return
    if (!this.#head.startsWith('HTTP/1.1 101 ')) {
      this.#events.refused()
      return
    }
    this.#open = true
    this.#events.opened()
    this.#frames.take(Buffer.from(this.#head.slice(end + 4), 'latin1'))
  }
}
