/**
 * Upgraded connections (RFC 9110 section 7.8): two sockets, bytes in both directions, half-close forwarded, closed together.
 */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FailureCode } from '../../rules/failures/failure.ts'
import { fieldValue } from '../../rules/http/exchange.ts'
import { responseFields, withoutLength } from '../../rules/http/headers.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../../wire/deadlines.ts'
import { onceWritten } from '../../wire/read-memory.ts'
import { mayReadOn } from '../../wire/read-turns.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import type { Answer } from './answer.ts'
import { Frames, GOING_AWAY } from './frames.ts'
import type { ClientRequest, SwitchingHead } from './request.ts'
import { reset } from './sockets.ts'

/** How long both sides of a WebSocket may take to close after the client was sent a close frame. */
const LAST_WORDS_MS = 5000

/** The exchange of a tunnel. */
interface TunnelExchange {
  readonly request: Pick<ClientRequest, 'handOver'>
  requestBytes: number
  failure: FailureCode | null
  cause: Error | null
  readonly answer: Pick<Answer, 'bodyBytes' | 'switched' | 'own' | 'withOthers'>
}

/** Two connected sockets. */
export class Tunnel implements Watched {
  readonly #exchange: TunnelExchange
  readonly #head: ResponseHead
  readonly #idleMs: number
  readonly #over: () => void
  #client!: Duplex
  #server!: Socket
  #exclusive = false
  #closed = 0
  /** Tracks the server's frames of a WebSocket; null for other protocols. */
  readonly #frames: Frames | null
  /** Whether the client is about to be sent a close frame, or has been. */
  #ending: 'no' | 'soon' | 'told' = 'no'
  deadlineMs = Number.POSITIVE_INFINITY

  /**
   * @param head the 101 response
   * @param idleMs both sockets are closed after this long without a byte in either direction
   * @param over called once, when both are closed
   */
  constructor(exchange: TunnelExchange, head: ResponseHead, idleMs: number, over: () => void) {
    this.#exchange = exchange
    this.#head = head
    this.#idleMs = idleMs
    this.#over = over
    const protocol = fieldValue(head.rawHeaders, 'upgrade')
    this.#frames = protocol !== undefined && /^websocket$/i.test(protocol) ? new Frames() : null
  }

  /** @param rest bytes that came right after the 101 response */
  open(server: Socket, rest: Buffer | null): void {
    const { request, answer } = this.#exchange
    const { stream: client, early, exclusive, whenEnding } = request.handOver(switchingHead(this.#head, answer))
    this.#client = client
    this.#exclusive = exclusive
    this.#server = server
    answer.switched(this.#head.status)
    if (rest !== null) this.#toClient(rest)
    for (const bytes of early) this.#toServer(bytes)
    this.#join(client, server, 'client-gone', (bytes) => this.#toServer(bytes))
    this.#join(server, client, 'upgrade', (bytes) => this.#toClient(bytes))
    this.deadlineMs = coarseNowMs() + this.#idleMs
    watch(this)
    if (client.destroyed) reset(server)
    whenEnding(() => this.#end())
  }

  /**
   * The process ends. A WebSocket client is sent a close frame after the current frame, as its server would send it; the client's own
   * close frame then goes to the server, which closes (RFC 6455 section 7.1.1). Other protocols are unknown here, so both sides are closed.
   */
  #end(): void {
    if (this.#frames === null) this.#close()
    else if (this.#frames.atBoundary) this.#goAway()
    else this.#ending = 'soon'
  }

  #goAway(): void {
    this.#ending = 'told'
    this.#client.write(GOING_AWAY)
    this.deadlineMs = coarseNowMs() + LAST_WORDS_MS
  }

  #close(): void {
    this.#client.destroy()
    this.#server.destroy()
  }

  expire(): void {
    if (this.#ending !== 'told') this.#tell('upgrade', new Error(`idle for ${this.#idleMs} ms`))
    this.#close()
  }

  #toServer(bytes: Buffer): boolean {
    this.#exchange.requestBytes += bytes.length
    return this.#server.write(bytes, this.#exclusive ? onceWritten(bytes) : undefined)
  }

  #toClient(bytes: Buffer): boolean {
    // Nothing may follow a close frame (RFC 6455 section 5.5.1).
    if (this.#ending === 'told') return true
    const end = this.#frames?.read(bytes, this.#ending === 'soon') ?? bytes.length
    const passed = end === bytes.length ? bytes : bytes.subarray(0, end)
    this.#exchange.answer.bodyBytes += end
    const keepsUp = this.#client.write(passed, this.#exclusive ? onceWritten(passed) : undefined)
    if (this.#ending === 'soon' && this.#frames!.atBoundary) this.#goAway()
    return keepsUp
  }

  /** Once one side has ended, errors of the other side do not matter. */
  #broke(failure: FailureCode, cause: Error | null): void {
    if (!this.#client.readableEnded && !this.#server.readableEnded) this.#tell(failure, cause)
  }

  /** Only the first failure is reported: it breaks the other side too. */
  #tell(failure: FailureCode, cause: Error | null): void {
    if (this.#exchange.failure !== null) return
    this.#exchange.failure = failure
    this.#exchange.cause = cause
  }

  #touch(): void {
    if (this.#ending !== 'told') this.deadlineMs = coarseNowMs() + this.#idleMs
  }

  /** @param failure if `from` is closed without an end */
  #join(from: Duplex, to: Duplex, failure: FailureCode, pass: (bytes: Buffer) => boolean): void {
    let isHeldBack = false
    const source = { isPaused: () => isHeldBack, resume: () => from.resume() }
    from.on('data', (bytes: Buffer) => {
      this.#touch()
      isHeldBack = !pass(bytes)
      if (isHeldBack || !mayReadOn(source, bytes.length)) from.pause()
    })
    to.on('drain', () => {
      this.#touch()
      isHeldBack = false
      from.resume()
    })
    from.on('end', () => to.end())
    from.on('error', (error) => {
      this.#broke(failure, error)
      reset(to)
    })
    from.on('close', () => {
      // Closed without an end: the other side must notice that data is missing.
      if (!from.readableEnded) {
        this.#broke(failure, null)
        reset(to)
      }
      this.#closed++
      if (this.#closed < 2) return
      unwatch(this)
      this.#over()
    })
    from.resume()
  }
}

function switchingHead(head: ResponseHead, answer: Pick<Answer, 'own' | 'withOthers'>): SwitchingHead {
  const passed = withoutLength(responseFields(head.rawHeaders, false, head.minor))
  const fields: string[] = []
  for (let i = 0; i < head.rawHeaders.length; i += 2) {
    const name = head.rawHeaders[i] as string
    if (name.toLowerCase() === 'upgrade') fields.push('Connection', 'Upgrade', name, head.rawHeaders[i + 1] as string)
  }
  fields.push(...answer.withOthers(answer.own?.addTo(head.status, passed) ?? passed))
  return { status: head.status, reason: head.reason, fields }
}
