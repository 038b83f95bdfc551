/**
 * Request bodies: read as fast as the upstream accepts them, and buffered if they may have to be replayed.
 */
import type { FailureCode } from '../../rules/failures/failure.ts'
import { trailerFields } from '../../rules/http/headers.ts'
import type { ServerConnection } from '../../wire/connections.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../../wire/deadlines.ts'
import { keep, onceWritten } from '../../wire/read-memory.ts'
import type { BodyReader } from '../client/request.ts'
import type { Exchange } from '../exchange.ts'
import type { Attempts } from './attempts.ts'
import { trailersFor } from './heads.ts'

/** Hears of a body that is read before it is sent. */
export interface BodyOwner {
  /** All of it has been read. */
  onGathered(): void
  /** It is not read further. */
  onNotGathered(failure: FailureCode): void
}

/** What all bodies that are read before they are sent may hold, in one process. */
const MAX_GATHERED_BYTES = 64 * 1024 * 1024

let gatheredBytes = 0

/** A request body. It is sent on one connection at a time. */
export class RequestBody implements BodyReader, Watched {
  readonly #exchange: Exchange
  readonly #keepBytes: number
  readonly #attempts: Pick<Attempts, 'sent' | 'upstream'>
  #connection: ServerConnection | null = null
  /** What was read so far, or null if that exceeds the limit. */
  #kept: Buffer[] | null
  #keptBytes = 0
  #reading = false
  /** It is being read before it is sent. */
  #gathering: { readonly owner: BodyOwner; readonly most: number; readonly idleMs: number } | null = null
  /** Of the bytes of all that are. */
  #gatheredBytes = 0
  /** Until when more must come while it is being read. */
  deadlineMs = Number.POSITIVE_INFINITY
  /** A chunked body is sent with its length. */
  sized = false
  /** It has been read completely. */
  done = false

  /**
   * @param keepBytes maximum size to keep for retries; 0 keeps nothing
   * @param attempts informed when it has been sent completely
   */
  constructor(exchange: Exchange, keepBytes: number, attempts: Pick<Attempts, 'sent' | 'upstream'>) {
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

  /** What has been read of it. */
  get length(): number {
    return this.#keptBytes
  }

  /**
   * Reads all of it before it is sent. What was read so far must be kept.
   * @param most bytes that it may have
   * @param idleMs without a byte until it is given up
   */
  gather(most: number, idleMs: number, owner: BodyOwner): void {
    this.#gathering = { owner, most, idleMs }
    this.#gatheredBytes = this.#keptBytes
    gatheredBytes += this.#keptBytes
    this.deadlineMs = coarseNowMs() + idleMs
    watch(this)
    if (this.#keptBytes > most) this.#giveUp('body-too-large')
    else this.read()
  }

  /** No byte has come for too long. */
  expire(): void {
    this.#giveUp('request-timeout')
  }

  #gather(arrived: Buffer): void {
    const { most, idleMs } = this.#gathering!
    if (this.#keptBytes + arrived.length > most) this.#giveUp('body-too-large')
    else if (gatheredBytes + arrived.length > MAX_GATHERED_BYTES) this.#giveUp('overloaded')
    else {
      this.#kept!.push(keep(arrived))
      this.#keptBytes += arrived.length
      this.#gatheredBytes += arrived.length
      gatheredBytes += arrived.length
      this.deadlineMs = coarseNowMs() + idleMs
    }
  }

  #giveUp(failure: FailureCode): void {
    const { owner } = this.#gathering!
    this.drop()
    owner.onNotGathered(failure)
  }

  #endGathering(): void {
    this.#gathering = null
    this.deadlineMs = Number.POSITIVE_INFINITY
    unwatch(this)
  }

  #free(): void {
    gatheredBytes -= this.#gatheredBytes
    this.#gatheredBytes = 0
    this.#kept = null
  }

  /** Sends it on a connection after the headers: kept data at once, the rest as it arrives. */
  sendOn(connection: ServerConnection): void {
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
    this.#free()
  }

  /** The response or the exchange is over: reads and drops what still arrives. */
  drop(): void {
    this.#connection = null
    if (this.#gathering !== null) this.#endGathering()
    this.#free()
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
    if (this.#gathering !== null) {
      this.#gather(arrived)
      return
    }
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
    const gathering = this.#gathering
    if (gathering !== null) {
      this.#endGathering()
      gathering.owner.onGathered()
    } else if (this.#connection !== null) this.#finish(this.#connection)
  }

  #keep(piece: Buffer): void {
    if (this.#kept === null) return
    this.#keptBytes += piece.length
    if (this.#keptBytes > this.#keepBytes) this.#free()
    else this.#kept.push(piece)
  }

  #write(connection: ServerConnection, piece: Buffer, written: (() => void) | undefined): boolean {
    const chunked = this.#exchange.said.transferEncoding !== null && !this.sized
    return chunked ? connection.writeChunk(piece, written) : connection.write(piece, written)
  }

  /** Ends the request according to its framing: an empty body may still be chunked. */
  #finish(connection: ServerConnection): void {
    const chunked = this.#exchange.said.transferEncoding !== null && !this.sized
    connection.finish(chunked ? this.#lastChunk() : null)
    this.#attempts.sent()
  }

  #lastChunk(): string {
    const { rawTrailers } = this.#exchange.request
    if (rawTrailers.length === 0) return '0\r\n\r\n'
    let text = '0\r\n'
    const fields = trailersFor(this.#exchange, trailerFields(rawTrailers), this.#attempts.upstream!)
    for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
    return `${text}\r\n`
  }
}

const NOTHING: readonly Buffer[] = []
