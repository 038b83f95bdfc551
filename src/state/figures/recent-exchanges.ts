/**
 * Recent exchanges, bounded in number and bytes: for explaining by request id, and for simulating a proposed table.
 */

import type { FailureCode } from '../../rules/failures/failure.ts'
import type { Decision, RequestView } from '../../rules/http/exchange.ts'

/** One exchange that is over. */
export interface RecentExchange {
  /** As in the access log. */
  readonly id: string
  /** Epoch milliseconds at which it was over. */
  readonly atMs: number
  /** The request, but for the values of SECRET_FIELDS. */
  readonly view: RequestView
  readonly decision: Decision
  /** Number of the revision that it was decided by. */
  readonly revision: number
  readonly status: number
  readonly cache: string
  readonly server: string | null
  readonly failure: FailureCode | null
  readonly retries: number
  readonly durationMs: number
}

/** Exchanges that are kept. */
const MAX_EXCHANGES = 2048
/** Of their targets and header fields together; the size of a request's head is bounded by the listener. */
const MAX_BYTES = 4 * 1024 * 1024
/** At most one in this time is kept, and as many failed ones besides: what comes faster is a sample. */
const SPACING_MS = 10

/** Fields whose values are never kept: no route can need them to be what they were. */
const SECRET_FIELDS: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'banyan-force'])

/** A ring of exchanges. */
export class RecentExchanges {
  readonly #ring: (RecentExchange | undefined)[] = new Array(MAX_EXCHANGES)
  #next = 0
  #bytes = 0
  #oldest = 0
  #keptMs = Number.NEGATIVE_INFINITY
  #keptFailureMs = Number.NEGATIVE_INFINITY
  /** Exchanges that were not kept because they came too fast. */
  skipped = 0

  /**
   * Whether the exchange that is over now should be kept; asked before anything is made for it, since nearly all of a busy
   * proxy's are not. `nowMs` is any clock that only goes forward.
   */
  wants(nowMs: number, failed: boolean): boolean {
    if (nowMs - this.#keptMs >= SPACING_MS) {
      this.#keptMs = nowMs
      return true
    }
    if (failed && nowMs - this.#keptFailureMs >= SPACING_MS) {
      this.#keptFailureMs = nowMs
      return true
    }
    this.skipped++
    return false
  }

  add(exchange: RecentExchange): void {
    const kept = { ...exchange, view: { ...exchange.view, rawHeaders: withoutSecrets(exchange.view.rawHeaders) } }
    if (this.#next - this.#oldest === MAX_EXCHANGES) this.#forgetOldest()
    this.#ring[this.#next++ % MAX_EXCHANGES] = kept
    this.#bytes += sizeOf(kept)
    while (this.#bytes > MAX_BYTES && this.#next - this.#oldest > 1) this.#forgetOldest()
  }

  /** The newest first. */
  *all(): Generator<RecentExchange> {
    for (let at = this.#next - 1; at >= this.#oldest; at--) yield this.#ring[at % MAX_EXCHANGES] as RecentExchange
  }

  find(id: string): RecentExchange | undefined {
    for (const exchange of this.all()) if (exchange.id === id) return exchange
    return undefined
  }

  #forgetOldest(): void {
    const at = this.#oldest++ % MAX_EXCHANGES
    this.#bytes -= sizeOf(this.#ring[at] as RecentExchange)
    this.#ring[at] = undefined
  }
}

function sizeOf({ view }: RecentExchange): number {
  return view.rawHeaders.reduce((sum, text) => sum + text.length, view.target.length)
}

function withoutSecrets(rawHeaders: readonly string[]): string[] {
  return rawHeaders.map((text, at) =>
    at % 2 === 1 && SECRET_FIELDS.has((rawHeaders[at - 1] as string).toLowerCase()) ? '' : text,
  )
}
