/**
 * What has been counted: plain counters per route and upstream. The one place that both planes read figures from.
 */
import type { Decision, Reason } from '../rules/exchange.ts'
import type { FailureCode } from '../rules/failure.ts'

/** One exchange, as it is logged and counted when it is over. */
export interface ExchangeRecord {
  readonly decision: Decision
  /** Status sent to the client; 0 where the client was gone before one was sent. */
  readonly status: number
  readonly cache: CacheWord
  readonly failure: FailureCode | null
  /** From the request's head to the answer's end, milliseconds. */
  readonly durationMs: number
}

/** What the cache did: `-` where the route has none. */
export type CacheWord = '-' | 'hit' | 'miss' | 'bypass' | 'stale' | 'revalidated'

/** The figures of one route, or of what no route claims. All count from the start of the process. */
export interface RouteFigures {
  exchanges: number
  /** By reason: how often each was given. */
  readonly reasons: Record<Reason, number>
  /** By upstream name: exchanges that were decided for it. */
  readonly upstreams: Record<string, number>
  /** Answers by class: index 1 to 5; index 0 counts clients that were gone first. */
  readonly statusClasses: number[]
  readonly cache: Record<CacheWord, number>
  readonly failures: Partial<Record<FailureCode, number>>
  durationMsSum: number
}

/** Counts records; hands out figures. */
export class Measurements {
  readonly #routes = new Map<string | null, RouteFigures>()
  /** Exchanges under way. */
  active = 0
  /** Upgraded connections that stand. */
  tunnels = 0
  /** Requests that were refused before they became exchanges, by failure. */
  readonly refused: Partial<Record<FailureCode, number>> = {}

  /** The figures of a route, or with null of what no route claims. */
  figures(routeId: string | null): RouteFigures {
    let figures = this.#routes.get(routeId)
    if (figures === undefined) {
      figures = emptyFigures()
      this.#routes.set(routeId, figures)
    }
    return figures
  }

  count(record: ExchangeRecord): void {
    const { decision } = record
    const figures = this.figures(decision.routeId)
    figures.exchanges++
    figures.reasons[decision.reason]++
    figures.upstreams[decision.upstream] = (figures.upstreams[decision.upstream] ?? 0) + 1
    const statusClass = Math.floor(record.status / 100)
    figures.statusClasses[Math.min(statusClass, 5)]!++
    figures.cache[record.cache]++
    if (record.failure !== null) figures.failures[record.failure] = (figures.failures[record.failure] ?? 0) + 1
    figures.durationMsSum += record.durationMs
  }

  refuse(failure: FailureCode): void {
    this.refused[failure] = (this.refused[failure] ?? 0) + 1
  }

  /** Forgets the figures of routes that are no longer in the table. */
  keepOnly(routeIds: ReadonlySet<string>): void {
    for (const id of this.#routes.keys()) if (id !== null && !routeIds.has(id)) this.#routes.delete(id)
  }
}

function emptyFigures(): RouteFigures {
  return {
    exchanges: 0,
    reasons: {
      default: 0,
      percent: 0,
      rest: 0,
      'no-key': 0,
      forced: 0,
      unavailable: 0,
      fallback: 0,
      ambiguous: 0,
    },
    upstreams: {},
    statusClasses: [0, 0, 0, 0, 0, 0],
    cache: { '-': 0, hit: 0, miss: 0, bypass: 0, stale: 0, revalidated: 0 },
    failures: {},
    durationMsSum: 0,
  }
}
