/**
 * Input from an HTTP/1.1 client: passed to the reader when it can be used, and buffered up to a limit until then.
 */
import { HeldBytes } from '../../../wire/fields.ts'
import { PREFACE } from '../../../wire/http2/protocol.ts'
import { keep } from '../../../wire/read-memory.ts'
import { RefusedRequest, RequestReader, type RequestSink } from '../../../wire/requests.ts'

/** Limit for bytes read before they can be used: a body whose upstream isn't connected yet, or pipelined requests. */
const AHEAD_BYTES = 64 * 1024

/** The engine enforces the limits on fields and target, so that it can refuse the request with everything known about it. */
const ANY = Number.MAX_SAFE_INTEGER

/** When arriving bytes can be used. */
export type Use = 'now' | 'later' | 'never'

/** The connection that is read from. */
export interface InputHost extends RequestSink {
  /** When bytes that have arrived, or are about to, can be used. */
  readonly use: Use
  /** The reader is about to get bytes. */
  onUse(): void
  /** The bytes are not a valid request or body. */
  onMalformed(refused: RefusedRequest): void
  /** The client speaks HTTP/2. @param bytes everything it has sent so far */
  onPreface(bytes: Buffer): void
  /** The buffer is full. */
  pauseReading(): void
}

/** The input of one connection. */
export class Http1Input {
  readonly #host: InputHost
  readonly #reader: RequestReader
  #isOpen: boolean
  /** Bytes that can't be used yet; null for none. */
  #ahead: Buffer | null = null
  /** Bytes read after those, in one buffer however many pieces arrive. */
  #behind: HeldBytes | null = null
  /** The reader is being given bytes. */
  busy = false

  /** @param maxHeadBytes limit for a request line with its fields @param mayBeHttp2 the client may begin with the HTTP/2 preface */
  constructor(host: InputHost, maxHeadBytes: number, mayBeHttp2: boolean) {
    this.#host = host
    this.#reader = new RequestReader(host, { maxHeadBytes, maxFields: ANY, maxTargetLength: ANY })
    this.#isOpen = mayBeHttp2
  }

  /** Nothing is buffered. */
  get isEmpty(): boolean {
    return this.#ahead === null
  }

  /** It is not known yet whether the client speaks HTTP/1.1 or HTTP/2. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** The buffer is full. */
  /** The buffer is full. */
  get isFull(): boolean {
    return this.#ahead !== null && this.#ahead.length + (this.#behind?.length ?? 0) >= AHEAD_BYTES
  }

  /** Returns what is buffered, and clears the buffer. */
  take(): Buffer[] {
    const held = [this.#ahead, this.#behind?.bytes ?? null].filter((bytes) => bytes !== null)
    this.drop()
    return held
  }

  drop(): void {
    this.#ahead = null
    this.#behind = null
  }

  /** Makes the reader stop after the head that it has just reported. */
  stop(): void {
    this.#reader.stop()
  }

  /** Bytes have arrived. Their memory may be reused after the call. */
  push(bytes: Buffer): void {
    if (this.#isOpen) this.#tell(bytes)
    else if (this.#ahead !== null) this.#hold(bytes)
    else this.#use(bytes)
  }

  /** Continues with what is buffered. */
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

  /** Distinguishes HTTP/2 from HTTP/1.1 by the first bytes. */
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

  /** Buffers bytes for later, and pauses reading if the buffer is full. */
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
