/**
 * Writes responses to the client: the only place that knows whether the headers are sent. Nothing is written twice.
 */
import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { FAILURES, type FailureCode, retryAfterSeconds } from '../../rules/failures/failure.ts'
import { fieldValue } from '../../rules/http/exchange.ts'
import { keep, onceWritten } from '../../wire/read-memory.ts'
import { type Held, sendLater } from '../../wire/turn.ts'
import { endWhole, wholeAnswer, wholeOf } from './whole-answer.ts'

/** Body pieces up to this size share one write with the head, copied into one string: cheaper than two buffers. */
const SMALL_BYTES = 16 * 1024

/** How long a client that is not listened to any more may go on sending before its connection is cut. */
const LINGER_MS = 2000

const NO_FIELDS: readonly string[] = []

/** A head that is given many times. */
export interface Again {
  /** Of `headText`. */
  readonly head: string | null
  /** Fields behind those of the head: name, value, name, value. */
  readonly more: readonly string[]
}

/** The answer to one exchange. */
export class Answer implements Held {
  readonly #res: ServerResponse
  readonly #own: boolean
  /** The first piece of the body, until it is known whether more comes at once; a Latin-1 string where it is small. */
  #held: Buffer | string | null = null
  /** Nobody else needs it. */
  #heldSpent = false
  #flushed = false
  /** The head has been given to node:http. */
  #opened = false
  #reason = ''
  #fields: readonly string[] = []
  /** Fields behind those. */
  #more: readonly string[] = NO_FIELDS
  /** The status line and `#fields` as a text, where that has been made before. */
  #head: string | null = null
  /** A final head has been given: from here on no second answer can be. */
  begun = false
  /** The answer is complete, or was broken off. */
  over = false
  /** Status of the final head, 0 before. */
  status = 0
  /** Body bytes given so far. */
  bodyBytes = 0

  /** @param own the head may be written past node:http */
  constructor(res: ServerResponse, own = false) {
    this.#res = res
    this.#own = own
  }

  /** Somebody else has answered. */
  get isTaken(): boolean {
    return false
  }

  /**
   * Fields of an answer that is not written here, with those that others have set.
   * @param fields name, value, name, value
   */
  withOthers(fields: readonly string[]): readonly string[] {
    return fields
  }

  /** The fields that the head is opened with: name, value, name, value. */
  protected openingFields(fields: readonly string[]): readonly string[] {
    return fields
  }

  /**
   * Relays an interim response (RFC 9110 section 15.2). HTTP/1.0 clients know none.
   * @param fields name, value, name, value
   */
  information(status: number, fields: string[]): void {
    if (this.begun || this.over || this.#res.req.httpVersionMinor === 0) return
    if (status === 100 && fields.length === 0) this.#res.writeContinue()
    else this.#res.writeInformation(status, fields)
  }

  /**
   * The final head. It is written together with what follows, by `flush` at the latest.
   * @param fields name, value, name, value
   */
  begin(status: number, reason: string, fields: string[]): void {
    this.begun = true
    this.status = status
    this.#reason = reason
    this.#fields = fields
  }

  /**
   * As `begin`, for a head that is given many times.
   * @param fields those of the head: name, value, name, value
   */
  beginAgain(status: number, reason: string, fields: readonly string[], { head, more }: Again): void {
    if (head === null) {
      this.begin(status, reason, [...fields, ...more])
      return
    }
    this.begun = true
    this.status = status
    this.#reason = reason
    this.#fields = fields
    this.#head = head
    this.#more = more
  }

  /**
   * A piece of the body. It may be a window of memory that is filled again after the call.
   * @param spent nobody else needs it: its memory may be gone once it has been written
   * @returns false where the client does not keep up: wait for 'drain' of the response
   */
  body(piece: Buffer, spent = false): boolean {
    this.bodyBytes += piece.length
    if (!this.#flushed && this.#held === null) {
      this.#held = piece.length <= SMALL_BYTES ? piece.toString('latin1') : keep(piece)
      this.#heldSpent = spent
      return true
    }
    this.#release()
    return this.#write(keep(piece), spent)
  }

  /**
   * Writes what has been given so far.
   * @returns false where the client does not keep up
   */
  flush(): boolean {
    if (!this.begun || this.over || (this.#flushed && this.#held === null)) return true
    if (this.#held === null) {
      this.#flushed = true
      this.#open()
      this.#res.flushHeaders()
      return true
    }
    return this.#release()
  }

  /** @param trailers name, value, name, value; sent only where the answer goes on chunked */
  end(trailers: string[]): void {
    if (this.over) return
    this.over = true
    if (trailers.length > 0) {
      this.#open()
      if (this.#res.chunkedEncoding) this.#res.addTrailers(pairs(trailers) as never)
    }
    sendLater(this)
  }

  /** @internal */
  sendNow(): void {
    const { req, socket, destroyed } = this.#res
    if (destroyed) return
    // node:http may be about to close the connection on a client that is still sending: not with an RST.
    if (!req.complete && socket !== null) socket.destroySoon = () => endGently(socket)
    const held = this.#held
    this.#held = null
    if (!this.#opened && this.#own && (held === null || typeof held === 'string')) {
      const text =
        this.#head === null
          ? wholeAnswer(this.#res, this.status, this.#reason, this.#fields, held)
          : wholeOf(this.#res, this.#head, this.#more, held)
      if (text !== null) {
        endWhole(this.#res, text)
        return
      }
    }
    this.#open()
    if (held === null) this.#res.end()
    else if (typeof held === 'string') this.#res.end(held, 'latin1')
    else this.#res.end(held, this.#heldSpent ? onceWritten(held) : undefined)
  }

  /** Something of it has left, or may have: no other answer can take its place. */
  get left(): boolean {
    return this.#opened || this.over
  }

  /** Forgets what has been given, of which nothing has `left`: another answer can be begun. */
  withdraw(): void {
    this.begun = false
    this.status = 0
    this.bodyBytes = 0
    this.#held = null
    this.#head = null
    this.#more = NO_FIELDS
  }

  /** Breaks the transfer off, so that the client can't take it for complete. */
  break(): void {
    this.over = true
    this.#held = null
    const { socket } = this.#res
    // Where the end of the body is the end of the connection, only a reset tells the client that it is not complete.
    const openEnded =
      this.#opened && !this.#res.chunkedEncoding && fieldValue(this.#fields, 'content-length') === undefined
    if (openEnded && socket !== null) reset(socket)
    this.#res.destroy()
  }

  /**
   * An answer of banyan's own (RFC 9457), in the place of what has not left yet; where a head is out already, the transfer is
   * broken off instead.
   * @param requestId for the operator to find the exchange in the log
   * @returns the status sent, 0 where there was nobody or nothing left to answer
   */
  problem(failure: FailureCode, requestId: string): number {
    const { status, culprit } = FAILURES[failure]
    if (this.over) return this.status
    if (this.#opened || status === 0) {
      this.break()
      return this.status
    }
    this.withdraw()
    const body = Buffer.from(problemText(failure, requestId))
    const fields = ['Content-Type', 'application/problem+json', 'Content-Length', String(body.length)]
    fields.push('Cache-Control', 'no-store')
    const retryAfter = retryAfterSeconds(failure)
    if (retryAfter !== null) fields.push('Retry-After', String(retryAfter))
    // After a client's fault nothing more on this connection can be relied on.
    if (culprit === 'client') fields.push('Connection', 'close')
    this.begin(status, STATUS_CODES[status] ?? '', fields)
    if (this.#res.req.method !== 'HEAD') this.body(body)
    this.end([])
    return status
  }

  #open(): void {
    if (this.#opened) return
    const given = this.#more.length === 0 ? this.#fields : [...this.#fields, ...this.#more]
    const fields = this.openingFields(given)
    this.#res.writeHead(this.status, this.#reason, fields as never)
    this.#opened = true
  }

  #release(): boolean {
    const held = this.#held
    if (held === null) return true
    this.#open()
    this.#held = null
    this.#flushed = true
    return typeof held === 'string' ? this.#res.write(held, 'latin1') : this.#write(held, this.#heldSpent)
  }

  #write(piece: Buffer, spent: boolean): boolean {
    return this.#res.write(piece, spent ? onceWritten(piece) : undefined)
  }
}

/** Cuts a connection so that its peer can't take what it has for all there was: an RST, where the socket knows one. */
export function reset(socket: Duplex): void {
  if ('resetAndDestroy' in socket) (socket as Socket).resetAndDestroy()
  else socket.destroy()
}

/**
 * Ends a connection whose client may still be sending. What comes is dropped for a moment first: closed at once, the
 * kernel would answer it with an RST, and the client might lose the answer it has not read yet (RFC 9112 section 9.6).
 */
export function endGently(socket: Duplex): void {
  socket.end()
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
}

/** The text of a problem document (RFC 9457 section 3). It names the failure and says nothing about the inside. */
export function problemText(failure: FailureCode, requestId: string): string {
  const { status, detail } = FAILURES[failure]
  const title = STATUS_CODES[status] ?? 'Error'
  return `${JSON.stringify({ type: `urn:banyan:problem:${failure}`, title, status, detail, requestId })}\n`
}

function pairs(flat: readonly string[]): [string, string][] {
  const out: [string, string][] = []
  for (let i = 0; i < flat.length; i += 2) out.push([flat[i] as string, flat[i + 1] as string])
  return out
}
