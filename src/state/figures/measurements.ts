/**
 * What has been counted: plain counters per route and upstream. The one place that both planes read figures from.
 */

import type { FailureCode } from '../../rules/failures/failure.ts'
import type { Reason } from '../../rules/http/exchange.ts'
import { addCounts, CACHE_WORDS, type CacheWord, Cell, type CellDelta, type ExchangeRecord, REASONS } from './cell.ts'
import { RecentExchanges } from './recent-exchanges.ts'
import { UnitCounter } from './unit-counter.ts'
import { SumsRing, WINDOW_TICK_MS } from './windows.ts'

/** What has been counted since it was last told: plain data. */
export interface MeasuredDelta {
  readonly routes: readonly (readonly [routeId: string | null, cells: readonly CellDelta[]])[]
  readonly refused: Readonly<Partial<Record<FailureCode, number>>>
  readonly forceRefused: number
}

/** The figures of one route, or of what no route claims. All count from the start of the process. */
export interface RouteFigures {
  readonly exchanges: number
  /** By reason: how often each was given. */
  readonly reasons: Readonly<Record<Reason, number>>
  /** By upstream name: exchanges that went there. */
  readonly upstreams: Readonly<Record<string, number>>
  /** Answers by class: index 1 to 5; index 0 counts clients that were gone first. */
  readonly statusClasses: readonly number[]
  readonly cache: Readonly<Record<CacheWord, number>>
  readonly failures: Readonly<Partial<Record<FailureCode, number>>>
  /** Fallbacks, by the failure or the status of `to` that they were for. */
  readonly fallbacks: Readonly<Record<string, number>>
  readonly durationMsSum: number
}

/** Counts records; hands out figures. */
export class Measurements {
  readonly #routes = new Map<string | null, Map<string, Cell>>()
  /** Exchanges under way. */
  active = 0
  /** Upgraded connections that stand. */
  tunnels = 0
  /** Requests that were refused before they became exchanges, by failure. */
  readonly refused: Partial<Record<FailureCode, number>> = {}
  /** Requests whose force token was not valid: they went where they would have gone without it. */
  forceRefused = 0
  /** The last exchanges, for explain and simulation. */
  readonly recent = new RecentExchanges()
  /** Epoch milliseconds of the last tick, and of the ones before it. */
  readonly #ticks: number[] = []
  #tickCount = 0

  count(record: ExchangeRecord): void {
    const { routeId, upstream } = record.decision
    this.#cell(routeId, upstream).count(record)
  }

  /** What has been counted since the last time; from now on it counts from 0. Whoever sums it up has the totals. */
  take(): MeasuredDelta {
    const routes = [...this.#routes].map(([id, cells]) => {
      const counted = [...cells.values()].filter((cell) => cell.exchanges > 0)
      return [id, counted.map((cell) => cell.take())] as const
    })
    const delta = {
      routes: routes.filter(([, cells]) => cells.length > 0),
      refused: { ...this.refused },
      forceRefused: this.forceRefused,
    }
    for (const name of Object.keys(this.refused) as FailureCode[]) delete this.refused[name]
    this.forceRefused = 0
    return delta
  }

  /** Counts what others have counted. */
  add(delta: MeasuredDelta): void {
    for (const [id, cells] of delta.routes) for (const cell of cells) this.#cell(id, cell.upstream).add(cell)
    addCounts(this.refused, delta.refused)
    this.forceRefused += delta.forceRefused
  }

  #cell(routeId: string | null, upstream: string): Cell {
    let cells = this.#routes.get(routeId)
    if (cells === undefined) {
      cells = new Map()
      this.#routes.set(routeId, cells)
    }
    let cell = cells.get(upstream)
    if (cell === undefined) {
      cell = new Cell(upstream)
      cells.set(upstream, cell)
    }
    return cell
  }

  refuse(failure: FailureCode): void {
    this.refused[failure] = (this.refused[failure] ?? 0) + 1
  }

  /** The cells of a route, or with null of what no route claims. */
  cells(routeId: string | null): readonly Cell[] {
    return [...(this.#routes.get(routeId)?.values() ?? [])]
  }

  /** The routes that have counted anything; null is what no route claims. */
  routeIds(): (string | null)[] {
    return [...this.#routes.keys()]
  }

  /** The figures of a route, or with null of what no route claims. */
  figures(routeId: string | null): RouteFigures {
    const reasons = zeros(REASONS)
    const cache = zeros(CACHE_WORDS)
    const upstreams: Record<string, number> = {}
    const statusClasses = [0, 0, 0, 0, 0, 0]
    const failures: Partial<Record<FailureCode, number>> = {}
    const fallbacks: Record<string, number> = {}
    let [exchanges, durationMsSum] = [0, 0]
    for (const cell of this.cells(routeId)) {
      exchanges += cell.exchanges
      durationMsSum += cell.durationMsSum
      upstreams[cell.upstream] = cell.exchanges
      for (const one of cell.counts()) {
        reasons[one.reason] += one.count
        cache[one.cache] += one.count
        statusClasses[one.statusClass]! += one.count
      }
      addCounts(failures, cell.failures)
      addCounts(fallbacks, cell.fallbacks)
    }
    return { exchanges, reasons, upstreams, statusClasses, cache, failures, fallbacks, durationMsSum }
  }

  /** Ends a step of the windows. To be called every WINDOW_TICK_MS; without it there are no windows, only totals. */
  tick(nowMs: number): void {
    this.#ticks.push(nowMs)
    if (this.#ticks.length > SumsRing.LENGTH) this.#ticks.shift()
    const turns = ++this.#tickCount % (UnitCounter.SPAN_MS / WINDOW_TICK_MS) === 0
    for (const cells of this.#routes.values()) {
      for (const cell of cells.values()) {
        cell.ring.push(() => cell.sums(), cell.exchanges)
        if (turns) cell.units.turn()
      }
    }
  }

  /** How many ticks ago a window of so many milliseconds began, and how long it is by now; null where no tick has come yet. */
  windowOf(lengthMs: number, nowMs: number): { ticksAgo: number; spanMs: number } | null {
    const ticksAgo = Math.min(this.#ticks.length, Math.round(lengthMs / WINDOW_TICK_MS))
    const began = this.#ticks.at(-ticksAgo)
    return ticksAgo === 0 || began === undefined ? null : { ticksAgo, spanMs: Math.max(1, nowMs - began) }
  }

  /** Forgets the figures of routes that are no longer in the table. */
  keepOnly(routeIds: ReadonlySet<string>): void {
    for (const id of this.#routes.keys()) if (id !== null && !routeIds.has(id)) this.#routes.delete(id)
  }
}

function zeros<Word extends string>(words: readonly Word[]): Record<Word, number> {
  return Object.fromEntries(words.map((word) => [word, 0])) as Record<Word, number>
}
