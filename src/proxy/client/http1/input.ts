/**
 * What a client sends in HTTP/1.1: it goes to the reader as far as it can be used, and is held within a bound until then.
 */
import { HeldBytes } from '../../../wire/fields.ts'
import { keep } from '../../../wire/read-memory.ts'
import { RefusedRequest, RequestReader, type RequestSink } from '../../../wire/requests.ts'

/** How a client begins that knows before that the server speaks HTTP/2 (RFC 9113 section 3.4). */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/** Bytes that are read while they can't be used: of a body before its upstream is there, of requests in the pipeline. */
const AHEAD_BYTES = 64 * 1024

/** Fields and characters of the target are counted by the engine, which refuses the request with all that is known of it. */
const ANY = Number.MAX_SAFE_INTEGER

/** When the bytes that come can be used. */
export type Use = 'now' | 'later' | 'never'

/** The connection that is read from. */
export interface InputHost extends RequestSink {
  /** When bytes that have come, or are about to, can be used. */
  readonly use: Use
  /** The reader gets some. */
  onUse(): void
  /** They are no request, or none of its body. */
  onMalformed(refused: RefusedRequest): void
  /** The client speaks HTTP/2. @param bytes all that it has sent */
  onPreface(bytes: Buffer): void
  /** Enough is held. */
  pauseReading(): void
}

/** The input of one connection. */
export class Http1Input {
  readonly #host: InputHost
  readonly #reader: RequestReader
  #isOpen: boolean
  /** What has been read and can't be used yet; null for nothing. */
  #ahead: Buffer | null = null
  /** What has been read behind that: one buffer, however many pieces come. */
  #behind: HeldBytes | null = null
  /** Bytes are being given to the reader. */
  busy = false

  /** @param maxHeadBytes of a request line and its fields @param mayBeHttp2 the client may begin with the preface of HTTP/2 */
  constructor(host: InputHost, maxHeadBytes: number, mayBeHttp2: boolean) {
    this.#host = host
    this.#reader = new RequestReader(host, { maxHeadBytes, maxFields: ANY, maxTargetLength: ANY })
    this.#isOpen = mayBeHttp2
  }

  /** Nothing is held. */
  get isEmpty(): boolean {
    return this.#ahead === null
  }

  /** Nothing says yet whether it is HTTP/1.1 or HTTP/2: what is held may be either. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** As much is held as may be. */
  get isFull(): boolean {
    return this.#ahead !== null && this.#ahead.length + (this.#behind?.length ?? 0) >= AHEAD_BYTES
  }

  /** What is held, which is given away. */
  take(): Buffer[] {
    const held = [this.#ahead, this.#behind?.bytes ?? null].filter((bytes) => bytes !== null)
    this.drop()
    return held
  }

  drop(): void {
    this.#ahead = null
    this.#behind = null
  }

  /** The reader stops behind the head that it has just given. */
  stop(): void {
    this.#reader.stop()
  }

  /** Bytes have come. They may be in memory that is read into again. */
  push(bytes: Buffer): void {
    if (this.#isOpen) this.#tell(bytes)
    else if (this.#ahead !== null) this.#hold(bytes)
    else this.#use(bytes)
  }

  /** Goes on with what is held. */
  goOn(): void {
    while (this.#ahead !== null && this.#host.use === 'now') {
      const bytes = this.#ahead
      this.#ahead = null
      this.#use(bytes)
      if (this.#ahead === null && this.#behind !== null) {
        this.#ahead = this.#behind.bytes
        this.#behind = null
      }
    }
  }

  /** Tells HTTP/2 from HTTP/1.1 by the first bytes. */
  #tell(arrived: Buffer): void {
    const bytes = this.#ahead === null ? arrived : Buffer.concat([this.#ahead, arrived])
    const length = Math.min(bytes.length, PREFACE.length)
    this.#ahead = null
    if (PREFACE.compare(bytes, 0, length, 0, length) !== 0) {
      this.#isOpen = false
      this.#use(bytes)
    } else if (length === PREFACE.length) this.#host.onPreface(keep(bytes))
    else this.#ahead = keep(bytes)
  }

  #use(bytes: Buffer): void {
    const host = this.#host
    let at = 0
    this.busy = true
    try {
      while (at < bytes.length && host.use === 'now') {
        host.onUse()
        at = this.#reader.push(bytes, at)
      }
    } catch (error) {
      if (!(error instanceof RefusedRequest)) throw error
      host.onMalformed(error)
      return
    } finally {
      this.busy = false
    }
    if (at < bytes.length) this.#hold(at === 0 ? bytes : bytes.subarray(at))
  }

  /** Keeps bytes for later, and reads no more where they are many. */
  #hold(bytes: Buffer): void {
    if (this.#host.use === 'never') return
    if (this.#ahead === null) this.#ahead = keep(bytes)
    else {
      this.#behind ??= new HeldBytes()
      this.#behind.add(bytes, 0, bytes.length)
    }
    if (this.isFull) this.#host.pauseReading()
  }
}
