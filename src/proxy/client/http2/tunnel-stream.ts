/**
 * An HTTP/2 stream that carries another protocol (RFC 8441 section 5), with the interface of a socket.
 */
import { Duplex } from 'node:stream'
import { CODE } from '../../../wire/http2/protocol.ts'
import { keep } from '../../../wire/read-memory.ts'
import type { Http2Answer } from './answer.ts'

/** The underlying stream. */
interface TunnelHost {
  readonly answer: Http2Answer
  readonly isClosed: boolean
  resetCode: number
  resume(): void
  destroy(): void
}

/** One tunnel. */
export class TunnelStream extends Duplex {
  readonly #host: TunnelHost
  #whenSent: (() => void) | null = null

  constructor(host: TunnelHost) {
    super({ allowHalfOpen: true })
    this.#host = host
  }

  /** @returns false to pause reading */
  onData(piece: Buffer): boolean {
    return this.push(keep(piece))
  }

  onEnd(): void {
    this.push(null)
  }

  /** The underlying stream is closed. */
  onClosed(): void {
    this.destroy()
  }

  /** As on a socket: the peer notices that data is missing. */
  resetAndDestroy(): void {
    this.#host.resetCode = CODE.connect
    this.destroy()
  }

  override _read(): void {
    this.#host.resume()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#host.answer.pass(bytes)) done()
    else this.#host.answer.whenDrained(done)
  }

  override _final(done: () => void): void {
    this.#whenSent = done
    this.#host.answer.endTunnel()
  }

  /** END_STREAM has been sent. */
  onSent(): void {
    this.#whenSent?.()
    this.#whenSent = null
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#host.isClosed) this.#host.destroy()
    done(error)
  }
}
