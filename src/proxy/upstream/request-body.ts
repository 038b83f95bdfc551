/**
 * Request bodies: read as fast as the upstream accepts them, and buffered if they may have to be replayed.
 */
import { trailerFields } from '../../rules/http/headers.ts'
import type { Connection } from '../../wire/client.ts'
import { keep, onceWritten } from '../../wire/read-memory.ts'
import type { BodyReader } from '../client/request.ts'
import type { Exchange } from '../exchange.ts'

/** A request body. It is sent on one connection at a time. */
export class RequestBody implements BodyReader {
  readonly #exchange: Exchange
  readonly #keepBytes: number
  readonly #attempts: { sent(): void }
  #connection: Connection | null = null
  /** What was read so far, or null if that exceeds the limit. */
  #kept: Buffer[] | null
  #keptBytes = 0
  #reading = false
  /** It has been read completely. */
  done = false

  /**
   * @param keepBytes maximum size to keep for retries; 0 keeps nothing
   * @param attempts informed when it has been sent completely
   */
  constructor(exchange: Exchange, keepBytes: number, attempts: { sent(): void }) {
    this.#exchange = exchange
    this.#attempts = attempts
    this.#keepBytes = keepBytes
    this.#kept = []
  }

  /** Everything read so far can be sent again. */
  get isKept(): boolean {
    return this.#kept !== null
  }

  /** Waiting for the client to send more. */
  get isAwaited(): boolean {
    return !this.done && this.#reading && !this.#exchange.request.paused
  }

  /** Sends it on a connection after the headers: kept data at once, the rest as it arrives. */
  sendOn(connection: Connection): void {
    this.#connection = connection
    for (const piece of this.#kept ?? NOTHING) this.#write(connection, piece, undefined)
    if (this.done) this.#finish(connection)
    else if (connection.ready) this.read()
  }

  /** The connection is gone: pauses the client until there is another one. */
  stop(): void {
    this.#connection = null
    if (this.#reading && !this.done) this.#exchange.request.pause()
  }

  /** No more retries: frees kept data. */
  release(): void {
    this.#kept = null
  }

  /** The response or the exchange is over: reads and drops what still arrives. */
  drop(): void {
    this.#connection = null
    this.#kept = null
  }

  /** The connection is open: starts reading from the client. */
  read(): void {
    if (this.done) return
    const { request } = this.#exchange
    if (this.#reading) {
      request.resume()
      return
    }
    this.#reading = true
    request.read(this)
  }

  /** The server accepts more data. */
  drained(): void {
    if (this.#reading && this.#exchange.request.paused) this.#exchange.request.resume()
  }

  onBody(arrived: Buffer): void {
    const { request } = this.#exchange
    this.#exchange.requestBytes += arrived.length
    const connection = this.#connection
    if (this.#kept === null && connection === null) return
    const piece = keep(arrived)
    this.#keep(piece)
    if (connection === null) return
    const written = request.exclusive && this.#kept === null ? onceWritten(piece) : undefined
    if (!this.#write(connection, piece, written)) request.pause()
  }

  onBodyEnd(): void {
    this.done = true
    if (this.#connection !== null) this.#finish(this.#connection)
  }

  #keep(piece: Buffer): void {
    if (this.#kept === null) return
    this.#keptBytes += piece.length
    if (this.#keptBytes > this.#keepBytes) this.#kept = null
    else this.#kept.push(piece)
  }

  #write(connection: Connection, piece: Buffer, written: (() => void) | undefined): boolean {
    const chunked = this.#exchange.said.transferEncoding !== null
    return chunked ? connection.writeChunk(piece, written) : connection.write(piece, written)
  }

  /** Ends the request according to its framing: an empty body may still be chunked. */
  #finish(connection: Connection): void {
    const { request, said } = this.#exchange
    connection.finish(said.transferEncoding === null ? null : lastChunk(request.rawTrailers))
    this.#attempts.sent()
  }
}

const NOTHING: readonly Buffer[] = []

function lastChunk(rawTrailers: readonly string[]): string {
  if (rawTrailers.length === 0) return '0\r\n\r\n'
  let text = '0\r\n'
  const fields = trailerFields(rawTrailers)
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
  return `${text}\r\n`
}
