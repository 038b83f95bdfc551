/**
 * Request bodies: read as fast as the upstream accepts them, and buffered if they may have to be replayed.
 */
import { trailerFields } from '../../rules/http/headers.ts'
import type { Connection } from '../../wire/client.ts'
import { onceWritten } from '../../wire/read-memory.ts'
import type { Exchange } from '../exchange.ts'

/** Goes to one connection at a time. */
export class RequestBody {
  readonly #exchange: Exchange
  readonly #keepBytes: number
  readonly #attempts: { sent(): void }
  #connection: Connection | null = null
  /** What was read so far, or null where that is more than is kept. */
  #kept: Buffer[] | null
  #keptBytes = 0
  #reading = false
  /** All of it has been read. */
  done = false

  /**
   * @param keepBytes up to so many bytes are kept; 0 keeps none
   * @param attempts told when all of it has been sent
   */
  constructor(exchange: Exchange, keepBytes: number, attempts: { sent(): void }) {
    this.#exchange = exchange
    this.#attempts = attempts
    this.#keepBytes = keepBytes
    this.#kept = []
  }

  /** All that was read can be sent again. */
  get isKept(): boolean {
    return this.#kept !== null
  }

  /** It is the client that has to go on. */
  get isAwaited(): boolean {
    return !this.done && this.#reading && !this.#exchange.req.isPaused()
  }

  /** Sends it on a connection on which the head has been sent: what is kept at once, the rest as it comes. */
  sendOn(connection: Connection): void {
    this.#connection = connection
    for (const piece of this.#kept ?? NOTHING) this.#write(connection, piece, undefined)
    if (this.done) this.#finish(connection)
    else if (connection.ready) this.read()
  }

  /** The connection is gone: the client waits until there is another one. */
  stop(): void {
    this.#connection = null
    if (this.#reading && !this.done) this.#exchange.req.pause()
  }

  /** Nothing more is sent again: what is kept is let go. */
  release(): void {
    this.#kept = null
  }

  /** The answer is out, or the exchange over: what still comes is read and goes nowhere, and holds nobody up. */
  drop(): void {
    this.#connection = null
    this.#kept = null
  }

  /** The connection stands: the client may send. */
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

  /** The server takes more. */
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

  /** Ends the request as it is framed: one without a byte of content may still have been chunked. */
  #finish(connection: Connection): void {
    const { req, said } = this.#exchange
    connection.finish(said.transferEncoding === null ? null : lastChunk(req.rawTrailers))
    this.#attempts.sent()
  }
}

const NOTHING: readonly Buffer[] = []

/** Where a request keeps its body: listeners are shared functions, none is made per exchange. */
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
