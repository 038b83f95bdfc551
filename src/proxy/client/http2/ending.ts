/**
 * Graceful shutdown of an HTTP/2 connection (RFC 9113 section 6.8): two GOAWAY frames, and no close before the client has read everything.
 */
import { MAX_WINDOW } from '../../../wire/http2/protocol.ts'
import type { Http2Sender } from './sender.ts'

/** Higher than any stream. */
const ANY_STREAM = MAX_WINDOW

/** The data of our PINGs. */
const PING = Buffer.from('banyan  ', 'latin1')

/** The connection being shut down. */
export interface EndingHost {
  /** Requests in flight. */
  readonly streams: number
  /** The highest stream that has been or will be answered. */
  readonly lastAnswered: number
  /** Half-closes the connection. */
  end(): void
}

/**
 * - no: requests are accepted
 * - told: the first GOAWAY has been sent; requests already in flight to us are still answered
 * - final: the second GOAWAY has been sent, with the last stream that is answered
 */
type State = 'no' | 'told' | 'final'

/** Shuts down one connection. Times in milliseconds of a monotonic clock. */
export class Ending {
  readonly #host: EndingHost
  readonly #sender: Http2Sender
  #state: State = 'no'
  /** How long the client may be silent with a PING unanswered. */
  #patienceMs = Number.POSITIVE_INFINITY
  /** Unanswered PINGs, when the last one was sent, and when something last arrived since the shutdown began. */
  #unanswered = 0
  #askedMs = 0
  #heardMs = 0

  constructor(host: EndingHost, sender: Http2Sender) {
    this.#host = host
    this.#sender = sender
  }

  get hasBegun(): boolean {
    return this.#state !== 'no'
  }

  /** New requests are not answered any more. */
  get isFinal(): boolean {
    return this.#state === 'final'
  }

  /**
   * Begins the shutdown. A first GOAWAY tells the client to send no more requests; a second one, a round trip later, tells it which ones
   * are answered. The connection closes after the last of them.
   * @param patienceMs how long the client may be silent before it has read everything; the shortest of several calls applies
   */
  begin(patienceMs: number): void {
    this.#patienceMs = Math.min(this.#patienceMs, patienceMs)
    if (this.#state !== 'no') return
    this.#state = 'told'
    this.#sender.control((to) => to.goaway(ANY_STREAM))
    this.askWhetherRead()
  }

  /** Sends a PING: the client answers it once it has read everything sent before. */
  askWhetherRead(): void {
    this.#unanswered++
    this.#askedMs = performance.now()
    this.ping()
  }

  ping(): void {
    this.#sender.control((to) => to.ping(PING, false))
  }

  /** The client has answered a PING. */
  answered(): void {
    if (this.#unanswered > 0) this.#unanswered--
    if (this.#unanswered > 0) return
    if (this.#state === 'told') this.finish()
    else if (this.isFinal && this.#host.streams === 0) this.#host.end()
  }

  /** Something has arrived. */
  heard(): void {
    if (this.hasBegun) this.#heardMs = performance.now()
  }

  /** Answers no further requests. */
  finish(): void {
    if (this.isFinal) return
    this.#state = 'final'
    const last = this.#host.lastAnswered
    this.#sender.control((to) => to.goaway(last))
    if (this.#host.streams === 0 && this.#unanswered === 0) this.#host.end()
  }

  /** Moves on if the client has not answered a PING in time. */
  check(nowMs: number): void {
    const sinceMs = nowMs - this.#patienceMs
    if (this.#state === 'told' && this.#askedMs < sinceMs) this.finish()
    // A client that is still sending would get a reset, and lose what it has not read yet.
    const isSilent = Math.max(this.#askedMs, this.#heardMs) < sinceMs
    if (this.isFinal && this.#host.streams === 0 && isSilent) this.#host.end()
  }
}
