/**
 * Upgraded connections (RFC 9110 section 7.8): two sockets, bytes in both directions, half-close forwarded, closed together.
 */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { FailureCode } from '../../rules/failures/failure.ts'
import { responseFields, withoutLength } from '../../rules/http/headers.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../../wire/deadlines.ts'
import type { ResponseHead } from '../../wire/http1.ts'
import { onceWritten } from '../../wire/read-memory.ts'
import type { Answer } from './answer.ts'
import type { ClientRequest } from './request.ts'
import { reset } from './sockets.ts'

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
  #closed = 0
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
  }

  /** @param rest bytes that came right after the 101 response */
  open(server: Socket, rest: Buffer | null): void {
    const { request, answer } = this.#exchange
    const { stream: client, early } = request.handOver(switchingHead(this.#head, answer))
    this.#client = client
    this.#server = server
    answer.switched(this.#head.status)
    if (rest !== null) this.#toClient(rest)
    for (const bytes of early) this.#toServer(bytes)
    this.#join(client, server, 'client-gone', (bytes) => this.#toServer(bytes))
    this.#join(server, client, 'upgrade', (bytes) => this.#toClient(bytes))
    this.deadlineMs = coarseNowMs() + this.#idleMs
    watch(this)
    if (client.destroyed) reset(server)
  }

  expire(): void {
    this.#tell('upgrade', new Error(`idle for ${this.#idleMs} ms`))
    this.#client.destroy()
    this.#server.destroy()
  }

  #toServer(bytes: Buffer): boolean {
    this.#exchange.requestBytes += bytes.length
    return this.#server.write(bytes, onceWritten(bytes))
  }

  #toClient(bytes: Buffer): boolean {
    this.#exchange.answer.bodyBytes += bytes.length
    return this.#client.write(bytes, onceWritten(bytes))
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

  /** @param failure if `from` is closed without an end */
  #join(from: Duplex, to: Duplex, failure: FailureCode, pass: (bytes: Buffer) => boolean): void {
    from.on('data', (bytes: Buffer) => {
      this.deadlineMs = coarseNowMs() + this.#idleMs
      if (!pass(bytes)) from.pause()
    })
    to.on('drain', () => {
      this.deadlineMs = coarseNowMs() + this.#idleMs
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

function switchingHead(head: ResponseHead, answer: Pick<Answer, 'own' | 'withOthers'>): string {
  const passed = withoutLength(responseFields(head.rawHeaders, false, head.minor))
  const fields = answer.withOthers(answer.own?.addTo(head.status, passed) ?? passed)
  let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n`
  for (let i = 0; i < head.rawHeaders.length; i += 2) {
    const name = head.rawHeaders[i] as string
    if (name.toLowerCase() === 'upgrade') text += `Connection: Upgrade\r\n${name}: ${head.rawHeaders[i + 1]}\r\n`
  }
  for (let i = 0; i < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
  return `${text}\r\n`
}
