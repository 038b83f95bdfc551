/**
 * Request bodies: read as fast as the upstream accepts them, and buffered if they may have to be replayed.
 */
import { trailerFields } from '../../rules/http/headers.ts'
import type { Connection } from '../../wire/client.ts'
import { onceWritten } from '../../wire/read-memory.ts'
import type { Exchange } from '../exchange.ts'

/** A request body. It is sent on one connection at a time. */
export class RequestBody {
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
    return !this.done && this.#reading && !this.#exchange.req.isPaused()
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
    if (this.#reading && !this.done) this.#exchange.req.pause()
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
    const { req } = this.#exchange
    if (this.#reading) {
      req.resume()
      return
    }
    this.#reading = true
    const owned = req as typeof req & Owned
    owned[BODY] = this
    req.on('data', onData)
    req.on('end', onEnd)
  }

  /** The server accepts more data. */
  drained(): void {
    if (this.#reading && this.#exchange.req.isPaused()) this.#exchange.req.resume()
  }

  /** @internal */
  data(piece: Buffer): void {
    const { exclusive, req } = this.#exchange
    this.#exchange.requestBytes += piece.length
    this.#keep(piece)
    const connection = this.#connection
    if (connection === null) return
    const written = exclusive && this.#kept === null ? onceWritten(piece) : undefined
    if (!this.#write(connection, piece, written)) req.pause()
  }

  /** @internal */
  end(): void {
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
    const { req, said } = this.#exchange
    connection.finish(said.transferEncoding === null ? null : lastChunk(req.rawTrailers))
    this.#attempts.sent()
  }
}

const NOTHING: readonly Buffer[] = []

/** Property of a request with its body: listeners are shared functions, not created per exchange. */
const BODY = Symbol('body')

interface Owned {
  [BODY]?: RequestBody
}

function onData(this: Owned, piece: Buffer): void {
  this[BODY]!.data(piece)
}

function onEnd(this: Owned): void {
  this[BODY]!.end()
}

function lastChunk(rawTrailers: readonly string[]): string {
  if (rawTrailers.length === 0) return '0\r\n\r\n'
  let text = '0\r\n'
  const fields = trailerFields(rawTrailers)
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
  return `${text}\r\n`
}
