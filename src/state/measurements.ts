/**
 * What has been counted: plain counters per route and upstream. The one place that both planes read figures from.
 */
import type { Decision, Reason } from '../rules/exchange.ts'
import type { FailureCode } from '../rules/failure.ts'
import { RecentExchanges } from './recent-exchanges.ts'
import { UnitCounter } from './unit-counter.ts'
import { type Sums, SumsRing, WINDOW_TICK_MS } from './windows.ts'

/** One exchange, as it is logged and counted when it is over. */
export interface ExchangeRecord {
  readonly decision: Decision
  /** Status sent to the client; 0 where the client was gone before one was sent. */
  readonly status: number
  readonly cache: CacheWord
  readonly failure: FailureCode | null
  /** From the request's head to the answer's end, milliseconds. */
  readonly durationMs: number
  /** Attempts beyond the first. */
  readonly retries: number
}

/** What the cache did: `-` where the route has none. */
export const CACHE_WORDS = ['-', 'hit', 'miss', 'bypass', 'stale', 'revalidated'] as const
export type CacheWord = (typeof CACHE_WORDS)[number]

const CACHE_INDEX = indexOf(CACHE_WORDS)

/** The reasons in the order of their counters. */
export const REASONS = [
  'default',
  'percent',
  'rest',
  'no-key',
  'forced',
  'unavailable',
  'fallback',
  'ambiguous',
] as const satisfies readonly Reason[]

const REASON_INDEX = indexOf(REASONS)
/** 0 counts clients that were gone first, 1 to 5 the classes of statuses. */
const STATUS_CLASSES = 6

/** The upper bounds of the duration histogram, milliseconds; beyond the last is one more bucket. */
export const DURATION_BOUNDS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000]

/** A tunnel lasts as long as its client wants, which says nothing about how fast an upstream answers. */
const SWITCHING_PROTOCOLS = 101

/** The counters of one route at one upstream. */
export class Cell {
  readonly upstream: string
  /** By `codeOf`: reason, class of status and cache word; only those that have occurred. */
  readonly #counts = new Map<number, number>()
  /** Exchanges by duration, each in its own bucket only; see DURATION_BOUNDS_MS. */
  readonly buckets = new Float64Array(DURATION_BOUNDS_MS.length + 1)
  durationMsSum = 0
  exchanges = 0
  readonly failures: Partial<Record<FailureCode, number>> = {}
  /** Distinct sticky keys of late. */
  readonly units = new UnitCounter()
  readonly ring = new SumsRing()

  constructor(upstream: string) {
    this.upstream = upstream
  }

  count(record: ExchangeRecord): void {
    const { decision, status, failure, durationMs } = record
    const code = codeOf(REASON_INDEX[decision.reason], status, CACHE_INDEX[record.cache])
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1)
    this.exchanges++
    if (failure !== null) this.failures[failure] = (this.failures[failure] ?? 0) + 1
    if (decision.bucket !== null && decision.sticky !== 'request') this.units.add(decision.bucket)
    if (status === SWITCHING_PROTOCOLS) return
    let bucket = 0
    while (bucket < DURATION_BOUNDS_MS.length && durationMs > (DURATION_BOUNDS_MS[bucket] as number)) bucket++
    this.buckets[bucket]!++
    this.durationMsSum += durationMs
  }

  /** Each combination that has occurred, with how often. */
  *counts(): Generator<{ reason: Reason; statusClass: number; cache: CacheWord; count: number }> {
    for (const [code, count] of this.#counts) {
      const cache = CACHE_WORDS[code % CACHE_WORDS.length] as CacheWord
      const rest = Math.floor(code / CACHE_WORDS.length)
      const reason = REASONS[Math.floor(rest / STATUS_CLASSES)] as Reason
      yield { reason, statusClass: rest % STATUS_CLASSES, cache, count }
    }
  }

  /** What the windows are made of, as it stands now. */
  sums(): Sums {
    const sums: Sums = {
      exchanges: this.exchanges,
      errors: 0,
      gone: 0,
      fallbacks: 0,
      noKey: 0,
      forced: 0,
      cacheHits: 0,
      cacheMisses: 0,
      durationMsSum: this.durationMsSum,
      buckets: this.buckets.slice(),
    }
    for (const { reason, statusClass, cache, count } of this.counts()) {
      if (statusClass === 5) sums.errors += count
      if (statusClass === 0) sums.gone += count
      if (reason === 'fallback') sums.fallbacks += count
      if (reason === 'no-key') sums.noKey += count
      if (reason === 'forced') sums.forced += count
      if (cache === 'hit' || cache === 'stale' || cache === 'revalidated') sums.cacheHits += count
      if (cache === 'miss' || cache === 'bypass') sums.cacheMisses += count
    }
    return sums
  }
}

function codeOf(reason: number, status: number, cache: number): number {
  const statusClass = Math.min(Math.floor(status / 100), 5)
  return (reason * STATUS_CLASSES + statusClass) * CACHE_WORDS.length + cache
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
  /** Attempts beyond the first, by the upstream that was asked again. */
  readonly retries: Record<string, number> = {}
  /** Requests whose force token was not valid: they went where they would have gone without it. */
  forceRefused = 0
  /** The last exchanges, for explain and simulation. */
  readonly recent = new RecentExchanges()
  /** Epoch milliseconds of the last tick, and of the ones before it. */
  readonly #ticks: number[] = []
  #tickCount = 0

  count(record: ExchangeRecord): void {
    const { routeId, upstream } = record.decision
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
    cell.count(record)
    if (record.retries > 0) this.retries[upstream] = (this.retries[upstream] ?? 0) + record.retries
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
      for (const [code, count] of Object.entries(cell.failures) as [FailureCode, number][]) {
        failures[code] = (failures[code] ?? 0) + count
      }
    }
    return { exchanges, reasons, upstreams, statusClasses, cache, failures, durationMsSum }
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

function indexOf<Word extends string>(words: readonly Word[]): Record<Word, number> {
  return Object.fromEntries(words.map((word, at) => [word, at])) as Record<Word, number>
}

function zeros<Word extends string>(words: readonly Word[]): Record<Word, number> {
  return Object.fromEntries(words.map((word) => [word, 0])) as Record<Word, number>
}
