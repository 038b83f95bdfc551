/**
 * The client side of an upgrade on node:http, until the upstream responds.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

/** Bytes that a client may send before the response to its upgrade; then reading pauses. */
const EARLY_BYTES = 64 * 1024

/** The client side of an upgrade until the upstream responds. */
export class UpgradeClient {
  readonly socket: Duplex
  /** The value of Upgrade as received. */
  readonly protocol: string
  readonly #req: IncomingMessage
  readonly #early: Buffer[] = []
  #earlyBytes = 0

  /**
   * Keeps reading while waiting for the response: a disconnect is only noticed while reading.
   * @param head bytes that came right after the request
   */
  constructor(req: IncomingMessage, socket: Duplex, head: Buffer) {
    this.socket = socket
    this.protocol = req.headers.upgrade ?? ''
    this.#req = req
    if (head.length > 0) this.#hold(head)
    socket.on('error', ignore)
    // Not before the body is complete: reading the socket would make node:http read and drop the body.
    if (req.complete) this.#listen()
    else req.once('end', this.#listen)
  }

  /** Stops waiting. @returns what the client has sent meanwhile, in order */
  take(): Buffer[] {
    this.#req.off('end', this.#listen)
    this.socket.off('data', this.#hold)
    this.socket.off('end', this.#gone)
    this.socket.pause()
    return this.#early
  }

  readonly #listen = (): void => {
    this.socket.on('data', this.#hold)
    this.socket.on('end', this.#gone)
  }

  readonly #hold = (bytes: Buffer): void => {
    this.#early.push(bytes)
    this.#earlyBytes += bytes.length
    if (this.#earlyBytes >= EARLY_BYTES) this.socket.pause()
  }

  readonly #gone = (): void => {
    this.socket.destroy()
  }
}

function ignore(): void {
  // 'close' follows each error and handles it.
}
