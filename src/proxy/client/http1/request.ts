/**
 * An HTTP/1.1 request, as the engine sees it.
 */
import type { BodyReader, ClientRequest, HandedOver, Peer, RequestOwner, SwitchingHead } from '../request.ts'
import type { Http1Answer } from './answer.ts'

/** The head of a request. */
export interface Head {
  readonly method: string
  readonly target: string
  readonly minor: 0 | 1
  readonly rawHeaders: readonly string[]
}

/** The connection of a request. */
export interface RequestHost {
  readonly peer: Peer
  readonly dead: boolean
  /** The request starts or resumes reading: buffered bytes can be used. */
  readOn(): void
  /** The request stops reading for now. */
  pauseReading(): void
  /** The rest of the body, which is dropped, must arrive within `limitMs` milliseconds. */
  limitBody(limitMs: number): void
  destroy(): void
  handOver(head: SwitchingHead): HandedOver
}

/** How the body of a request is read. */
type Reading = 'not-yet' | 'on' | 'paused' | 'dropped'

/** One request on a connection. */
export class Http1Request implements ClientRequest {
  readonly #host: RequestHost
  readonly method: string
  readonly target: string
  readonly minor: 0 | 1
  readonly rawHeaders: readonly string[]
  readonly upgrade: string | null
  readonly answer: Http1Answer
  readonly exclusive = true
  readonly askForHttp1 = null
  readonly bodyTaken = false
  rawTrailers: readonly string[] = NO_FIELDS
  complete = false
  owner: RequestOwner | null = null
  #reader: BodyReader | null = null
  #reading: Reading = 'not-yet'

  /** @param upgrade the value of Upgrade if the connection can be handed over, else null */
  constructor(
    host: RequestHost,
    { method, target, minor, rawHeaders }: Head,
    upgrade: string | null,
    answer: Http1Answer,
  ) {
    this.#host = host
    this.method = method
    this.target = target
    this.minor = minor
    this.rawHeaders = rawHeaders
    this.upgrade = upgrade
    this.answer = answer
  }

  get peer(): Peer {
    return this.#host.peer
  }

  get gone(): boolean {
    return this.#host.dead
  }

  get paused(): boolean {
    return this.#reading === 'paused'
  }

  /** Bytes of the body are wanted. */
  get wanted(): boolean {
    return this.#reading === 'on' || this.#reading === 'dropped'
  }

  read(reader: BodyReader): void {
    this.#reader = reader
    this.#reading = 'on'
    if (this.complete) reader.onBodyEnd()
    else this.#host.readOn()
  }

  pause(): void {
    if (this.#reading !== 'on' || this.complete) return
    this.#reading = 'paused'
    this.#host.pauseReading()
  }

  resume(): void {
    if (this.#reading !== 'paused') return
    this.#reading = 'on'
    this.#host.readOn()
  }

  discard(limitMs: number): void {
    if (this.complete) return
    this.#reader = null
    this.#reading = 'dropped'
    this.#host.limitBody(limitMs)
    this.#host.readOn()
  }

  destroy(): void {
    this.#host.destroy()
  }

  handOver(head: SwitchingHead): HandedOver {
    this.owner = null
    return this.#host.handOver(head)
  }

  /** A piece of the body has arrived. */
  onBody(piece: Buffer): void {
    this.#reader?.onBody(piece)
  }

  /** The body is complete. */
  onEnd(rawTrailers: readonly string[]): void {
    this.complete = true
    this.rawTrailers = rawTrailers
    this.#reader?.onBodyEnd()
  }
}

const NO_FIELDS: readonly string[] = []
