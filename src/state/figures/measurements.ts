/**
 * All measurements: responses to clients, attempts at servers, and upstream counters. The single source of figures for both
 * planes, and for comparing the two upstreams of a route.
 */

import type { FailureCode } from '../../rules/failures/failure.ts'
import type { Reason } from '../../rules/http/exchange.ts'
import { NO_UPSTREAM, type Table } from '../../rules/table/table.ts'
import { goneIds, newIds, replaced } from '../../rules/values/replaced.ts'
import { takeExceptions } from '../../wire/exceptions.ts'
import type { HandshakeOutcome } from '../tls/server-tls.ts'
import { AttemptCell, type AttemptDelta, type Outcome } from './attempt-cell.ts'
import { CACHE_WORDS, type CacheWord, Cell, type CellDelta, type ExchangeRecord, REASONS } from './cell.ts'
import { RecentExchanges } from './recent-exchanges.ts'
import { addCounts, type Series } from './series.ts'
import { UnitCounter } from './unit-counter.ts'
import { UpstreamCounts, type UpstreamDelta } from './upstream-counts.ts'
import { WINDOW_STEPS, WINDOW_TICK_MS } from './windows.ts'

/** Counts since the last report: plain data. */
export interface MeasuredDelta {
  readonly routes: readonly RouteDelta[]
  readonly upstreams: readonly UpstreamDelta[]
  readonly refused: Readonly<Partial<Record<FailureCode, number>>>
  readonly forceRefused: number
  /** TLS handshakes of clients, by how they ended. */
  readonly handshakes: Readonly<Partial<Record<HandshakeOutcome, number>>>
  readonly exceptions: number
}

interface RouteDelta {
  readonly routeId: string | null
  readonly cells: readonly CellDelta[]
  readonly attempts: readonly AttemptDelta[]
}

/** The figures of one route, or of unmatched requests, since the start of the process. */
export interface RouteFigures {
  readonly exchanges: number
  /** Number of decisions by reason. */
  readonly reasons: Readonly<Record<Reason, number>>
  /** Responses by upstream name. */
  readonly upstreams: Readonly<Record<string, number>>
  /** Responses by status class: index 1 to 5; index 0 counts clients that disconnected before a response. */
  readonly statusClasses: readonly number[]
  readonly cache: Readonly<Record<CacheWord, number>>
  readonly failures: Readonly<Partial<Record<FailureCode, number>>>
  /** Fallbacks by cause: failure or status of `to`. */
  readonly fallbacks: Readonly<Record<string, number>>
  readonly durationMsSum: number
}

/** The cells of one route. There are few, so a list is fastest. */
interface RouteCells {
  cells: Cell[]
  attempts: AttemptCell[]
}

/** How long figures of removed routes and upstreams are kept: if they return, counting continues. */
const KEEP_MS = 3_600_000
/** Maximum number of removed ones, the newest. */
const MAX_GONE = 2000
/** Minimum reported length of a window: one request in the first millisecond must not become 1,000 per second. */
const MIN_SPAN_MS = 1000

/** Counts exchanges and provides figures. */
export class Measurements {
  readonly #routes = new Map<string | null, RouteCells>()
  readonly #upstreams = new Map<string, UpstreamCounts>()
  /** Names in the current table; null before it is known. */
  #table: Pick<Table, 'routes' | 'upstreams'> | null = null
  /** The ids of its routes. */
  readonly #ids = new Set<string>()
  /** Requests in flight. */
  active = 0
  /** Open upgraded connections. */
  tunnels = 0
  /** Requests that were refused before routing, by failure. */
  readonly refused: Partial<Record<FailureCode, number>> = {}
  /** Requests with an invalid force token, which is ignored. */
  forceRefused = 0
  /** TLS handshakes of clients, by how they ended. */
  handshakes: Partial<Record<HandshakeOutcome, number>> = {}
  /** Uncaught exceptions of callbacks and middleware: each ended one exchange or message. */
  exceptions = 0
  /** Recent exchanges, for explain and simulation. */
  readonly recent = new RecentExchanges()
  /** Times of the start and the last ticks, epoch milliseconds. */
  readonly #ticks: number[]
  #tickCount = 0
  /** The last known time, epoch milliseconds. */
  #nowMs: number

  /** @param nowMs epoch milliseconds */
  constructor(nowMs = Date.now()) {
    this.#nowMs = nowMs
    this.#ticks = [nowMs]
  }

  /** Counts a finished exchange. */
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
   * Counts a finished attempt.
   * @param durationMs until the response headers or the failure; null if there was neither, and for upgrades
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

  /** Counts TLS handshakes of clients. */
  shook(outcome: HandshakeOutcome, count = 1): void {
    this.handshakes[outcome] = (this.handshakes[outcome] ?? 0) + count
  }

  refuse(failure: FailureCode): void {
    this.refused[failure] = (this.refused[failure] ?? 0) + 1
  }

  /** Returns the counts since the last call and resets them: the receiver keeps the totals. */
  take(): MeasuredDelta {
    const routes: RouteDelta[] = []
    for (const [routeId, own] of this.#routes) {
      // Idle cells are dropped: the totals are kept by the receiver.
      own.cells = own.cells.filter(hasCounted)
      own.attempts = own.attempts.filter(hasCounted)
      if (own.cells.length + own.attempts.length === 0) this.#routes.delete(routeId)
      else {
        const cells = own.cells.map((cell) => cell.take())
        routes.push({ routeId, cells, attempts: own.attempts.map((cell) => cell.take()) })
      }
    }
    const upstreams = [...this.#upstreams].map(([name, counts]) => counts.take(name)).filter((delta) => delta !== null)
    const { forceRefused, handshakes } = this
    const exceptions = takeExceptions()
    const delta = { routes, upstreams, refused: { ...this.refused }, forceRefused, handshakes, exceptions }
    for (const name of Object.keys(this.refused) as FailureCode[]) delete this.refused[name]
    this.forceRefused = 0
    this.handshakes = {}
    return delta
  }

  /** Adds reported counts. @param nowMs epoch milliseconds */
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
    for (const [outcome, count] of Object.entries(delta.handshakes)) this.shook(outcome as HandshakeOutcome, count)
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

  /** Responses on a route; null: for unmatched requests. */
  cells(routeId: string | null): readonly Cell[] {
    return this.#routes.get(routeId)?.cells ?? []
  }

  /** Attempts for a route; null: for unmatched requests. */
  attempts(routeId: string | null): readonly AttemptCell[] {
    return this.#routes.get(routeId)?.attempts ?? []
  }

  /** Routes with counts; null stands for unmatched requests. */
  routeIds(): (string | null)[] {
    return [...this.#routes.keys()]
  }

  /** The figures of a route; null: of unmatched requests. */
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
      if (cell.upstream !== NO_UPSTREAM) upstreams[cell.upstream] = (upstreams[cell.upstream] ?? 0) + cell.exchanges
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

  /** Ends a step of the windows. Call it every WINDOW_TICK_MS; otherwise a window covers everything since the start. */
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

  /** For a window of some length: how many ticks ago it began, and its actual length. */
  windowOf(lengthMs: number, nowMs: number): { ticksAgo: number; spanMs: number } {
    const ticksAgo = Math.min(this.#ticks.length, Math.round(lengthMs / WINDOW_TICK_MS))
    return { ticksAgo, spanMs: Math.max(MIN_SPAN_MS, nowMs - (this.#ticks.at(-ticksAgo) as number)) }
  }

  /**
   * Sets the current table. Figures of removed routes and upstreams are kept for an hour, so that an id that returns does not
   * start at 0.
   * @param nowMs epoch milliseconds
   */
  follow(table: Pick<Table, 'routes' | 'upstreams'>, nowMs: number): void {
    this.#nowMs = nowMs
    const before = this.#table
    this.#table = table
    const changed = replaced(before?.routes ?? [], table.routes)
    const gone = goneIds(changed)
    // Where as many have come as have gone, and none of these is missing, they are the same.
    const come = gone.length === 0 && changed.gone.length === changed.come.length ? [] : newIds(changed)
    for (const id of come) this.#ids.add(id)
    for (const id of gone) this.#ids.delete(id)
    const isNamedAlike = before?.upstreams === table.upstreams || (before !== null && sameNames(before, table))
    if (gone.length + come.length > 0 || !isNamedAlike) this.#markGone(nowMs)
    this.forget(nowMs)
  }

  #markGone(nowMs: number): void {
    for (const [routeId, { cells, attempts }] of this.#routes) {
      for (const cell of [...cells, ...attempts]) {
        cell.goneMs = this.#isNamed(routeId, cell.upstream) ? null : (cell.goneMs ?? nowMs)
      }
    }
  }

  #isNamed(routeId: string | null, upstream: string): boolean {
    if (this.#table === null) return true
    const isKnown = upstream === NO_UPSTREAM || this.#table.upstreams.has(upstream)
    return isKnown && (routeId === null || this.#ids.has(routeId))
  }

  /** Drops figures whose names were removed an hour ago. @param nowMs epoch milliseconds */
  forget(nowMs: number): void {
    const gone: number[] = []
    for (const { cells, attempts } of this.#routes.values()) {
      for (const { goneMs } of cells) if (goneMs !== null) gone.push(goneMs)
      for (const { goneMs } of attempts) if (goneMs !== null) gone.push(goneMs)
    }
    if (gone.length > 0) {
      // All figures removed by one edit are dropped or kept together.
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

function sameNames(
  { upstreams: one }: Pick<Table, 'upstreams'>,
  { upstreams: other }: Pick<Table, 'upstreams'>,
): boolean {
  return one.size === other.size && [...one.keys()].every((name) => other.has(name))
}
