/**
 * All measurements: responses to clients, attempts at servers, and upstream counters. The single source of figures for both
 * planes, and for comparing the two upstreams of a route.
 */

import type { FailureCode } from '../../rules/failures/failure.ts'
import type { Reason } from '../../rules/http/exchange.ts'
import type { Table } from '../../rules/table/table.ts'
import { takeExceptions } from '../../wire/exceptions.ts'
import { AttemptCell, type AttemptDelta, type Outcome } from './attempt-cell.ts'
import { CACHE_WORDS, type CacheWord, Cell, type CellDelta, type ExchangeRecord, REASONS } from './cell.ts'
import { RecentExchanges } from './recent-exchanges.ts'
import { addCounts, type Series } from './series.ts'
import { UnitCounter } from './unit-counter.ts'
import { UpstreamCounts, type UpstreamDelta } from './upstream-counts.ts'
import { WINDOW_STEPS, WINDOW_TICK_MS } from './windows.ts'

/** What has been counted since it was last told: plain data. */
export interface MeasuredDelta {
  readonly routes: readonly RouteDelta[]
  readonly upstreams: readonly UpstreamDelta[]
  readonly refused: Readonly<Partial<Record<FailureCode, number>>>
  readonly forceRefused: number
  readonly exceptions: number
}

interface RouteDelta {
  readonly routeId: string | null
  readonly cells: readonly CellDelta[]
  readonly attempts: readonly AttemptDelta[]
}

/** The figures of one route, or of what no route claims. All count from the start of the process. */
export interface RouteFigures {
  readonly exchanges: number
  /** By reason: how often each was given. */
  readonly reasons: Readonly<Record<Reason, number>>
  /** By upstream name: exchanges that it answered. */
  readonly upstreams: Readonly<Record<string, number>>
  /** Answers by class: index 1 to 5; index 0 counts clients that were gone first. */
  readonly statusClasses: readonly number[]
  readonly cache: Readonly<Record<CacheWord, number>>
  readonly failures: Readonly<Partial<Record<FailureCode, number>>>
  /** Fallbacks, by the failure or the status of `to` that they were for. */
  readonly fallbacks: Readonly<Record<string, number>>
  readonly durationMsSum: number
}

/** The cells of one route. Few, so that a list is the quickest way to the right one. */
interface RouteCells {
  cells: Cell[]
  attempts: AttemptCell[]
}

/** What the table no longer names is remembered for so long: what comes back goes on from where it was. */
const KEEP_MS = 3_600_000
/** And no more of it than this, the newest. */
const MAX_GONE = 2000
/** A window is never said to be shorter: one exchange in the first millisecond is no thousand in a second. */
const MIN_SPAN_MS = 1000

/** Counts records; hands out figures. */
export class Measurements {
  readonly #routes = new Map<string | null, RouteCells>()
  readonly #upstreams = new Map<string, UpstreamCounts>()
  /** What the table in force names; null before that is known. */
  #table: { readonly routes: ReadonlySet<string>; readonly upstreams: ReadonlySet<string> } | null = null
  /** Exchanges under way. */
  active = 0
  /** Upgraded connections that stand. */
  tunnels = 0
  /** Requests that were refused before they became exchanges, by failure. */
  readonly refused: Partial<Record<FailureCode, number>> = {}
  /** Requests whose force token was not valid: they went where they would have gone without it. */
  forceRefused = 0
  /** What callbacks and middleware have thrown: each ended one exchange or message. */
  exceptions = 0
  /** The last exchanges, for explain and simulation. */
  readonly recent = new RecentExchanges()
  /** Epoch milliseconds of the start and the last ticks. */
  readonly #ticks: number[]
  #tickCount = 0
  /** Epoch milliseconds, as last told. */
  #nowMs: number

  /** @param nowMs epoch milliseconds */
  constructor(nowMs = Date.now()) {
    this.#nowMs = nowMs
    this.#ticks = [nowMs]
  }

  /** An exchange is over. */
  count(record: ExchangeRecord): void {
    const { decision, side } = record
    const { cells } = this.#of(decision.routeId)
    for (const cell of cells) {
      if (cell.is(decision.upstream, side, decision.reason)) {
        cell.count(record)
        return
      }
    }
    this.#add(cells, decision.routeId, new Cell({ upstream: decision.upstream, side, reason: decision.reason })).count(
      record,
    )
  }

  /**
   * An attempt is over.
   * @param durationMs until the head of the answer, or until it broke; null where neither came, and for upgrades
   */
  attempted(
    routeId: string | null,
    upstream: string,
    reason: Reason,
    outcome: Outcome,
    durationMs: number | null,
  ): void {
    const { attempts } = this.#of(routeId)
    for (const cell of attempts) {
      if (cell.is(upstream, reason)) {
        cell.count(outcome, durationMs)
        return
      }
    }
    this.#add(attempts, routeId, new AttemptCell({ upstream, reason })).count(outcome, durationMs)
  }

  /** The counters of an upstream, its servers and breakers. */
  upstream(name: string): UpstreamCounts {
    let counts = this.#upstreams.get(name)
    if (counts === undefined) {
      counts = new UpstreamCounts()
      this.#upstreams.set(name, counts)
    }
    return counts
  }

  refuse(failure: FailureCode): void {
    this.refused[failure] = (this.refused[failure] ?? 0) + 1
  }

  /** What has been counted since the last time; from now on it counts from 0. Whoever sums it up has the totals. */
  take(): MeasuredDelta {
    const routes: RouteDelta[] = []
    for (const [routeId, own] of this.#routes) {
      // What stood still is not kept here: the totals are somewhere else.
      own.cells = own.cells.filter(hasCounted)
      own.attempts = own.attempts.filter(hasCounted)
      if (own.cells.length + own.attempts.length === 0) this.#routes.delete(routeId)
      else {
        const cells = own.cells.map((cell) => cell.take())
        routes.push({ routeId, cells, attempts: own.attempts.map((cell) => cell.take()) })
      }
    }
    const upstreams = [...this.#upstreams].map(([name, counts]) => counts.take(name)).filter((delta) => delta !== null)
    const { forceRefused } = this
    const delta = { routes, upstreams, refused: { ...this.refused }, forceRefused, exceptions: takeExceptions() }
    for (const name of Object.keys(this.refused) as FailureCode[]) delete this.refused[name]
    this.forceRefused = 0
    return delta
  }

  /** Counts what others have counted. @param nowMs epoch milliseconds */
  add(delta: MeasuredDelta, nowMs: number): void {
    for (const { routeId, cells, attempts } of delta.routes) {
      const own = this.#of(routeId)
      for (const one of cells) {
        const { upstream, side, reason } = one.labels
        const known = own.cells.find((cell) => cell.is(upstream, side, reason))
        ;(known ?? this.#add(own.cells, routeId, new Cell(one.labels))).add(one)
      }
      for (const one of attempts) {
        const { upstream, reason } = one.labels
        const known = own.attempts.find((cell) => cell.is(upstream, reason))
        ;(known ?? this.#add(own.attempts, routeId, new AttemptCell(one.labels))).add(one)
      }
    }
    for (const one of delta.upstreams) this.upstream(one.name).add(one, nowMs)
    addCounts(this.refused, delta.refused)
    this.forceRefused += delta.forceRefused
    this.exceptions += delta.exceptions
  }

  #of(routeId: string | null): RouteCells {
    let own = this.#routes.get(routeId)
    if (own === undefined) {
      own = { cells: [], attempts: [] }
      this.#routes.set(routeId, own)
    }
    return own
  }

  #add<One extends Series & { readonly upstream: string }>(list: One[], routeId: string | null, cell: One): One {
    if (!this.#isNamed(routeId, cell.upstream)) cell.goneMs = this.#nowMs
    list.push(cell)
    return cell
  }

  /** What clients got on a route, or with null on none. */
  cells(routeId: string | null): readonly Cell[] {
    return this.#routes.get(routeId)?.cells ?? []
  }

  /** What servers did for a route, or with null for what no route claims. */
  attempts(routeId: string | null): readonly AttemptCell[] {
    return this.#routes.get(routeId)?.attempts ?? []
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
      durationMsSum += cell.durations.sumMs
      upstreams[cell.upstream] = (upstreams[cell.upstream] ?? 0) + cell.exchanges
      reasons[cell.reason] += cell.exchanges
      for (const one of cell.counts()) {
        cache[one.cache] += one.count
        statusClasses[one.statusClass]! += one.count
      }
      addCounts(failures, cell.failures)
      addCounts(fallbacks, cell.fallbacks)
    }
    return { exchanges, reasons, upstreams, statusClasses, cache, failures, fallbacks, durationMsSum }
  }

  /** Ends a step of the windows. To be called every WINDOW_TICK_MS; without it a window is all since the start. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs
    this.#ticks.push(nowMs)
    if (this.#ticks.length > WINDOW_STEPS) this.#ticks.shift()
    const turns = ++this.#tickCount % (UnitCounter.SPAN_MS / WINDOW_TICK_MS) === 0
    for (const { cells, attempts } of this.#routes.values()) {
      for (const cell of cells) {
        cell.tick()
        if (turns) cell.units.turn()
      }
      for (const cell of attempts) cell.tick()
    }
    this.forget(nowMs)
  }

  /** How many ticks ago a window of so many milliseconds began, and how long it is by now. */
  windowOf(lengthMs: number, nowMs: number): { ticksAgo: number; spanMs: number } {
    const ticksAgo = Math.min(this.#ticks.length, Math.round(lengthMs / WINDOW_TICK_MS))
    return { ticksAgo, spanMs: Math.max(MIN_SPAN_MS, nowMs - (this.#ticks.at(-ticksAgo) as number)) }
  }

  /**
   * This table is in force. The figures of what it does not name are kept for an hour, since an id that is away for a moment
   * must not begin anew, and then forgotten.
   * @param nowMs epoch milliseconds
   */
  follow({ routes, upstreams }: Pick<Table, 'routes' | 'upstreams'>, nowMs: number): void {
    this.#nowMs = nowMs
    this.#table = { routes: new Set(routes.map(({ id }) => id)), upstreams: new Set(upstreams.keys()) }
    for (const [routeId, { cells, attempts }] of this.#routes) {
      for (const cell of [...cells, ...attempts]) {
        cell.goneMs = this.#isNamed(routeId, cell.upstream) ? null : (cell.goneMs ?? nowMs)
      }
    }
    this.forget(nowMs)
  }

  #isNamed(routeId: string | null, upstream: string): boolean {
    if (this.#table === null) return true
    return this.#table.upstreams.has(upstream) && (routeId === null || this.#table.routes.has(routeId))
  }

  /** Forgets what nothing has named for an hour. @param nowMs epoch milliseconds */
  forget(nowMs: number): void {
    const gone: number[] = []
    for (const { cells, attempts } of this.#routes.values()) {
      for (const { goneMs } of cells) if (goneMs !== null) gone.push(goneMs)
      for (const { goneMs } of attempts) if (goneMs !== null) gone.push(goneMs)
    }
    if (gone.length > 0) {
      // Those of one edit go or stay together.
      const oldestKept = gone.length > MAX_GONE ? (gone.sort((a, b) => b - a)[MAX_GONE] as number) : 0
      this.#forgetCells(Math.max(nowMs - KEEP_MS, oldestKept))
    }
    for (const [name, counts] of this.#upstreams) {
      counts.forget(nowMs - KEEP_MS)
      if (counts.isIdle && this.#table?.upstreams.has(name) === false) this.#upstreams.delete(name)
    }
  }

  #forgetCells(beforeMs: number): void {
    const stays = ({ goneMs }: Series): boolean => goneMs === null || goneMs >= beforeMs
    for (const [routeId, own] of this.#routes) {
      own.cells = own.cells.filter(stays)
      own.attempts = own.attempts.filter(stays)
      if (own.cells.length + own.attempts.length === 0) this.#routes.delete(routeId)
    }
  }
}

function hasCounted({ exchanges }: Series): boolean {
  return exchanges > 0
}

function zeros<Word extends string>(words: readonly Word[]): Record<Word, number> {
  return Object.fromEntries(words.map((word) => [word, 0])) as Record<Word, number>
}
