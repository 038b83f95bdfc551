/**
 * Recent exchanges, bounded in number and bytes: for explaining by request id, and for simulating a proposed table.
 */

import type { FailureCode } from '../../rules/failures/failure.ts'
import type { Decision, RequestView } from '../../rules/http/exchange.ts'

/** A finished exchange. */
export interface RecentExchange {
  /** Request id, as in the access log. */
  readonly id: string
  /** When it ended, epoch milliseconds. */
  readonly atMs: number
  /** The request, without the values of SECRET_FIELDS. */
  readonly view: RequestView
  readonly decision: Decision
  /** Number of the revision that decided it. */
  readonly revision: number
  readonly status: number
  readonly cache: string
  readonly server: string | null
  readonly failure: FailureCode | null
  readonly retries: number
  readonly durationMs: number
}

/** Maximum number of exchanges. */
const MAX_EXCHANGES = 2048
/** Maximum size of their targets and headers together. The listener limits the size of a single request. */
const MAX_BYTES = 4 * 1024 * 1024
/** At most one exchange per interval is kept, plus one failed one: under load it is a sample. */
const SPACING_MS = 10

/** Exchanges of one route that are told at once: a sample that is sent in less than a millisecond. */
export const MAX_OF_ROUTE = 100

/** Headers whose values are never kept: they are secrets. */
const SECRET_FIELDS: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'banyan-force'])

/** A ring of exchanges. */
export class RecentExchanges {
  readonly #ring: (RecentExchange | undefined)[] = new Array(MAX_EXCHANGES)
  #next = 0
  #bytes = 0
  #oldest = 0
  #keptMs = Number.NEGATIVE_INFINITY
  #keptFailureMs = Number.NEGATIVE_INFINITY
  /** Number of exchanges that were not kept because they came too fast. */
  skipped = 0

  /**
   * Whether to keep an exchange that ends now. Called before its record is created, since a busy proxy keeps very few.
   * `nowMs` is any monotonic clock.
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

  /** Newest first. */
  *all(): Generator<RecentExchange> {
    for (let at = this.#next - 1; at >= this.#oldest; at--) yield this.#ring[at % MAX_EXCHANGES] as RecentExchange
  }

  /** Newest first; at most `MAX_OF_ROUTE`. */
  ofRoute(id: string): RecentExchange[] {
    return this.all()
      .filter(({ decision }) => decision.routeId === id)
      .take(MAX_OF_ROUTE)
      .toArray()
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
