/**
 * One copy of a request at a server. Its response is compared and goes to no client; nothing of it counts as traffic.
 */
import type { ComparedAnswer } from '../../rules/evidence/compare.ts'
import type { Side } from '../../rules/http/exchange.ts'
import { outcomeOf } from '../../state/figures/attempt-cell.ts'
import type { ServerState } from '../../state/upstreams/server-state.ts'
import type { UpstreamState } from '../../state/upstreams/upstream.ts'
import type { ClientExchange, WireFailure } from '../../wire/client.ts'
import type { ConnectionPool, ServerConnection } from '../../wire/connections.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../../wire/deadlines.ts'
import { keep, onceWritten } from '../../wire/read-memory.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import type { Exchange } from '../exchange.ts'
import type { AttemptSpan } from '../tracing/trace.ts'
import { clientFields, requestHeadOf } from '../upstream/heads.ts'

/** Tells applications that a request is a copy. A client's own field of this name goes no further. */
const MARK = 'Banyan-Shadow: 1\r\n\r\n'

/** How a copy ended: with a response, or without one. */
export type CopyResult = ComparedAnswer | { readonly failure: WireFailure | 'deadline' }

/** Where a copy goes. */
export interface CopyTarget {
  readonly upstream: UpstreamState
  readonly server: ServerState
  /** Of the route, for what it rewrites. */
  readonly side: Side
  /** Connections for copies only. */
  readonly pool: ConnectionPool
}

/** Sends the request of an exchange again. @param maxBytes of the body; a larger one is not read to its end @param timeoutMs for all of it */
export function sendCopy(
  exchange: Exchange,
  target: CopyTarget,
  maxBytes: number,
  timeoutMs: number,
): Promise<CopyResult> {
  return new Promise((resolve) => new Copy(exchange, target, { maxBytes, timeoutMs, done: resolve }).start())
}

class Copy implements ClientExchange, Watched {
  readonly #exchange: Exchange
  readonly #target: CopyTarget
  readonly #maxBytes: number
  readonly #timeoutMs: number
  readonly #done: (result: CopyResult) => void
  #connection!: ServerConnection
  #again = false
  #span: AttemptSpan | null = null
  #head: { readonly status: number; readonly fields: readonly string[] } | null = null
  #pieces: Buffer[] = []
  #bytes = 0
  /** By its head; 0 where that is not known. */
  #length = 0
  #over = false
  deadlineMs = Number.POSITIVE_INFINITY

  constructor(
    exchange: Exchange,
    target: CopyTarget,
    { maxBytes, timeoutMs, done }: { maxBytes: number; timeoutMs: number; done: (result: CopyResult) => void },
  ) {
    this.#exchange = exchange
    this.#target = target
    this.#maxBytes = maxBytes
    this.#done = done
    this.#timeoutMs = timeoutMs
  }

  /** @throws what the request can't be made of; nothing is under way then */
  start(): void {
    const { upstream, server, pool, side } = this.#target
    const { view, trace } = this.#exchange
    if (trace !== null) this.#span = trace.copy(server, upstream.name, side)
    const head = requestHeadOf(this.#exchange, { ...view, side }, null, upstream, server)
    this.#connection = pool.take(this, this.#again ? 0 : Number.POSITIVE_INFINITY)
    this.#connection.send(head.slice(0, -2) + MARK, view.method, false)
    this.#connection.finish(null)
    if (this.#again) return
    watch(this)
    this.deadlineMs = coarseNowMs() + this.#timeoutMs
  }

  onReady(): void {}
  onDrain(): void {}
  onPause(): void {}
  onUpgrade(): void {}
  onInformation(): void {}

  onHead(head: ResponseHead): void {
    // The next copy may be another client's.
    if (head.bindsConnection) this.#connection.retire()
    this.#span?.answered(head.status)
    this.#length = head.contentLength
    this.#head = {
      status: head.status,
      fields: clientFields(this.#exchange, head, this.#target.upstream, this.#target.side),
    }
  }

  onBody(piece: Buffer): void {
    this.#bytes += piece.length
    this.#pieces.push(keep(piece))
    // What its head says is too long is not even begun.
    if (Math.max(this.#bytes, this.#length) > this.#maxBytes) {
      this.#connection.abort()
      this.#answered(null, { tooLarge: this.#length || null })
    }
  }

  onEnd(): void {
    this.#answered(this.#exchange.view.method === 'HEAD' ? null : Buffer.concat(this.#pieces))
  }

  onFailure(failure: WireFailure): void {
    // A kept-alive connection that the server was about to close says nothing of the server.
    if (this.#connection.reused && !this.#connection.answered && !this.#again) {
      this.#again = true
      this.#span?.end('stale')
      this.start()
    } else this.#end({ failure })
  }

  expire(): void {
    this.#connection.abort()
    this.#end({ failure: 'deadline' })
  }

  #answered(body: Buffer | null, more: Pick<ComparedAnswer, 'tooLarge'> = {}): void {
    const { status, fields } = this.#head!
    this.#end({ status, rawHeaders: fields, body, ...more })
  }

  #end(result: CopyResult): void {
    if (this.#over) return
    this.#over = true
    // A side that sends nothing but long answers would keep the garbage collector busy.
    for (const piece of this.#pieces) onceWritten(piece)?.()
    this.#pieces = []
    unwatch(this)
    this.#span?.end('failure' in result ? result.failure : outcomeOf(result.status))
    this.#done(result)
  }
}
