/**
 * How a connection of HTTP/2 ends while all is well (RFC 9113 section 6.8): two GOAWAY, and no end before the client has read everything.
 */
import { MAX_WINDOW } from '../../../wire/http2/protocol.ts'
import type { Http2Sender } from './sender.ts'

/** More than any stream. */
const ANY_STREAM = MAX_WINDOW

/** The data of our PINGs. */
const PING = Buffer.from('banyan  ', 'latin1')

/** The connection that ends. */
export interface EndingHost {
  /** Requests under way. */
  readonly streams: number
  /** The highest stream that is answered. */
  readonly lastAnswered: number
  /** Ends our side. */
  end(): void
}

/**
 * - no: requests are welcome
 * - told: a GOAWAY says that there will be another one; what is on its way is still answered
 * - final: that other one says what is answered
 */
type State = 'no' | 'told' | 'final'

/** The end of one connection. Times in milliseconds of a monotonic clock. */
export class Ending {
  readonly #host: EndingHost
  readonly #sender: Http2Sender
  #state: State = 'no'
  /** How long the client may be silent while it has not answered a PING. */
  #patienceMs = Number.POSITIVE_INFINITY
  /** PINGs that it has not answered, when the last one was sent, and when something has come since the end began. */
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

  /** What comes from now on is not answered. */
  get isFinal(): boolean {
    return this.#state === 'final'
  }

  /**
   * No more requests. A first GOAWAY tells the client to ask no more, a second one, a round trip later, which requests are answered. The
   * connection closes behind the last one.
   * @param patienceMs how long the client may be silent while it has not read everything; the shortest of several holds
   */
  begin(patienceMs: number): void {
    this.#patienceMs = Math.min(this.#patienceMs, patienceMs)
    if (this.#state !== 'no') return
    this.#state = 'told'
    this.#sender.control((to) => to.goaway(ANY_STREAM))
    this.askWhetherRead()
  }

  /** Sends a PING: the client answers once it has read what was sent before. */
  askWhetherRead(): void {
    this.#unanswered++
    this.#askedMs = performance.now()
    this.ping()
  }

  ping(): void {
    this.#sender.control((to) => to.ping(PING, false))
  }

  /** A PING has been answered. */
  answered(): void {
    if (this.#unanswered > 0) this.#unanswered--
    if (this.#unanswered > 0) return
    if (this.#state === 'told') this.finish()
    else if (this.isFinal && this.#host.streams === 0) this.#host.end()
  }

  /** Something has come. */
  heard(): void {
    if (this.hasBegun) this.#heardMs = performance.now()
  }

  /** Answers nothing that comes from now on. */
  finish(): void {
    if (this.isFinal) return
    this.#state = 'final'
    const last = this.#host.lastAnswered
    this.#sender.control((to) => to.goaway(last))
    if (this.#host.streams === 0 && this.#unanswered === 0) this.#host.end()
  }

  /** Ends what is not over because the client has not answered a PING in time. */
  check(nowMs: number): void {
    const sinceMs = nowMs - this.#patienceMs
    if (this.#state === 'told' && this.#askedMs < sinceMs) this.finish()
    // One that is still sending something would get a reset for it, and lose what it has not read.
    const isSilent = Math.max(this.#askedMs, this.#heardMs) < sinceMs
    if (this.isFinal && this.#host.streams === 0 && isSilent) this.#host.end()
  }
}
