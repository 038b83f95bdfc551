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

/** Body chunks up to this size are copied into one string with the headers: cheaper than two buffers. */
const SMALL_BYTES = 16 * 1024

/** How long a client may continue sending after the final response before its connection is cut. */
const LINGER_MS = 2000

const NO_FIELDS: readonly string[] = []

/** Headers that are sent repeatedly. */
export interface Again {
  /** Of `headText`. */
  readonly head: string | null
  /** Additional headers: name, value, name, value. */
  readonly more: readonly string[]
}

/** The response of one exchange. */
export class Answer implements Held {
  readonly #res: ServerResponse
  readonly #own: boolean
  /** The first chunk of the body, held until it is known whether more follows at once; a Latin-1 string if small. */
  #held: Buffer | string | null = null
  /** It is not used elsewhere. */
  #heldSpent = false
  #flushed = false
  /** The headers were passed to node:http. */
  #opened = false
  #reason = ''
  #fields: readonly string[] = []
  /** Additional headers. */
  #more: readonly string[] = NO_FIELDS
  /** The status line and `#fields` as text, if already formatted. */
  #head: string | null = null
  /** Final headers were set: there can be no second response. */
  begun = false
  /** The response is complete or was aborted. */
  over = false
  /** Status of the final response, 0 before. */
  status = 0
  /** Body bytes so far. */
  bodyBytes = 0

  /** @param own the headers may be written directly to the socket, bypassing node:http */
  constructor(res: ServerResponse, own = false) {
    this.#res = res
    this.#own = own
  }

  /** Other code has responded. */
  get isTaken(): boolean {
    return false
  }

  /**
   * Headers of a response that is not written here, with those set by other code.
   * @param fields name, value, name, value
   */
  withOthers(fields: readonly string[]): readonly string[] {
    return fields
  }

  /** The headers to send: name, value, name, value. */
  protected openingFields(fields: readonly string[]): readonly string[] {
    return fields
  }

  /** The head has been given to node:http, and nothing of it is sent yet. */
  protected opened(_fields: readonly string[]): void {}

  /**
   * Relays an interim response (RFC 9110 section 15.2), not to HTTP/1.0 clients.
   * @param fields name, value, name, value
   */
  information(status: number, fields: string[]): void {
    if (this.begun || this.over || this.#res.req.httpVersionMinor === 0) return
    if (status === 100 && fields.length === 0) this.#res.writeContinue()
    else this.#res.writeInformation(status, fields)
  }

  /**
   * Sets the final status and headers. They are written together with what follows, by `flush` at the latest.
   * @param fields name, value, name, value
   */
  begin(status: number, reason: string, fields: string[]): void {
    this.begun = true
    this.status = status
    this.#reason = reason
    this.#fields = fields
  }

  /**
   * Like `begin`, for headers that are sent repeatedly.
   * @param fields the headers: name, value, name, value
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
   * Adds a chunk of the body. Its memory may be reused after the call.
   * @param spent it is not used elsewhere: its memory may be released once it has been written
   * @returns false if the client does not keep up: wait for 'drain' of the response
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
   * Writes everything so far.
   * @returns false if the client does not keep up
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

  /** @param trailers name, value, name, value; sent only with chunked encoding */
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
    // node:http may close the connection while the client is still sending: avoid an RST.
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

  /** Part of it was or may have been sent: it can't be replaced by another response. */
  get left(): boolean {
    return this.#opened || this.over
  }

  /** Discards the response, of which nothing has `left`, so that another one can begin. */
  withdraw(): void {
    this.begun = false
    this.status = 0
    this.bodyBytes = 0
    this.#held = null
    this.#head = null
    this.#more = NO_FIELDS
  }

  /** Aborts the transfer, so that the client notices that it is incomplete. */
  break(): void {
    this.over = true
    this.#held = null
    const { socket } = this.#res
    // If the body ends with the connection, only a reset tells the client that it is incomplete.
    const openEnded =
      this.#opened && !this.#res.chunkedEncoding && fieldValue(this.#fields, 'content-length') === undefined
    if (openEnded && socket !== null) reset(socket)
    this.#res.destroy()
  }

  /**
   * Sends a response of banyan's own (RFC 9457), replacing one of which nothing was sent. If headers were sent already, the
   * transfer is aborted instead.
   * @param requestId to find the exchange in the log
   * @param as a status in place of the failure's own
   * @returns the status sent, 0 if no response was possible
   */
  problem(failure: FailureCode, requestId: string, as?: number): number {
    const { culprit } = FAILURES[failure]
    const status = as ?? FAILURES[failure].status
    if (this.over) return this.status
    if (this.#opened || status === 0) {
      this.break()
      return this.status
    }
    this.withdraw()
    const body = Buffer.from(problemText(failure, requestId, status))
    const fields = ['Content-Type', 'application/problem+json', 'Content-Length', String(body.length)]
    fields.push('Cache-Control', 'no-store')
    const retryAfter = retryAfterSeconds(failure)
    if (retryAfter !== null) fields.push('Retry-After', String(retryAfter))
    // After a client error the rest of this connection is unreliable.
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
    this.opened(fields)
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

/** Cuts a connection so that the peer notices that data is missing: an RST, if the socket supports it. */
export function reset(socket: Duplex): void {
  if ('resetAndDestroy' in socket) (socket as Socket).resetAndDestroy()
  else socket.destroy()
}

/**
 * Closes a connection whose client may still be sending. Incoming data is read and dropped for a moment first: otherwise the
 * kernel would send an RST, and the client could lose the response (RFC 9112 section 9.6).
 */
export function endGently(socket: Duplex): void {
  socket.end()
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
}

/** The text of a problem document (RFC 9457 section 3). It names the failure and reveals no internals. */
export function problemText(failure: FailureCode, requestId: string, as?: number): string {
  const { detail } = FAILURES[failure]
  const status = as ?? FAILURES[failure].status
  const title = STATUS_CODES[status] ?? 'Error'
  return `${JSON.stringify({ type: `urn:banyan:problem:${failure}`, title, status, detail, requestId })}\n`
}

function pairs(flat: readonly string[]): [string, string][] {
  const out: [string, string][] = []
  for (let i = 0; i < flat.length; i += 2) out.push([flat[i] as string, flat[i + 1] as string])
  return out
}
