/**
 * Counters of the responses on one route, by decision and responding upstream, and their labels.
 */

import type { FailureCode } from '../../rules/failures/failure.ts'
import type { Decision, Reason, Side } from '../../rules/http/exchange.ts'
import type { DurationsDelta } from './durations.ts'
import { addCounts, indexOf, Series, takeCounts } from './series.ts'
import { type UnitBits, UnitCounter } from './unit-counter.ts'
import type { Sums } from './windows.ts'

/** A finished exchange, for the log and the counters. */
export interface ExchangeRecord {
  readonly decision: Decision
  /** The decided side of its route, whichever upstream responded. */
  readonly side: Side | null
  /** Status sent to the client; 0 if the client disconnected before. */
  readonly status: number
  readonly cache: CacheWord
  readonly failure: FailureCode | null
  /** From the request headers to the end of the response, milliseconds. */
  readonly durationMs: number
  /** Attempts after the first. */
  readonly retries: number
  /** Cause of the fallback to `from`: a failure, or the status of the response from `to`; null without a fallback. */
  readonly fallbackOn: string | null
}

/** Cache results: `-` if the route has no cache. */
export const CACHE_WORDS = ['-', 'hit', 'miss', 'bypass', 'stale', 'revalidated'] as const
export type CacheWord = (typeof CACHE_WORDS)[number]

const CACHE_INDEX = indexOf(CACHE_WORDS)

/** The reasons, in the order of reports. */
export const REASONS = [
  'default',
  'percent',
  'rest',
  'no-key',
  'forced',
  'unavailable',
  'fallback',
  'ambiguous',
  'pinned',
  'retired',
] as const satisfies readonly Reason[]

/** 0 for clients that disconnected before a response, 1 to 5 for status classes. */
const STATUS_CLASSES = 6
/** Codes from here on are 5xx responses. */
const FIRST_ERROR = (STATUS_CLASSES - 1) * CACHE_WORDS.length

/** Upgrades are not timed: a tunnel lasts as long as its client wants. */
const SWITCHING_PROTOCOLS = 101

/** Labels of the cells of a route. */
export interface CellLabels {
  /** The upstream that responded. */
  readonly upstream: string
  readonly side: Side | null
  readonly reason: Reason
}

/** The exchanges of one route with the same decision and the same responding upstream. */
export class Cell extends Series implements CellLabels {
  readonly upstream: string
  readonly side: Side | null
  readonly reason: Reason
  /** By `codeOf`: status class and cache result. */
  readonly #counts: number[] = new Array(STATUS_CLASSES * CACHE_WORDS.length).fill(0)
  readonly failures: Partial<Record<FailureCode, number>> = {}
  /** Fallbacks by cause: failure or status of the other side. */
  readonly fallbacks: Record<string, number> = {}
  /** Recent distinct sticky keys. */
  readonly units = new UnitCounter()

  constructor({ upstream, side, reason }: CellLabels) {
    super()
    this.upstream = upstream
    this.side = side
    this.reason = reason
  }

  /** Whether it has these labels. */
  is(upstream: string, side: Side | null, reason: Reason): boolean {
    return this.reason === reason && this.upstream === upstream && this.side === side
  }

  count(record: ExchangeRecord): void {
    const { decision, status, failure, durationMs, fallbackOn } = record
    this.#counts[codeOf(status, CACHE_INDEX[record.cache])]!++
    this.exchanges++
    if (failure !== null) this.failures[failure] = (this.failures[failure] ?? 0) + 1
    if (fallbackOn !== null) this.fallbacks[fallbackOn] = (this.fallbacks[fallbackOn] ?? 0) + 1
    if (decision.bucket !== null && decision.sticky !== 'request') this.units.add(decision.bucket)
    if (status !== SWITCHING_PROTOCOLS) this.durations.count(durationMs)
  }

  /** The combinations that have occurred, with their counts. */
  *counts(): Generator<{ statusClass: number; cache: CacheWord; count: number }> {
    for (const [code, count] of this.#counts.entries()) {
      if (count === 0) continue
      const cache = CACHE_WORDS[code % CACHE_WORDS.length] as CacheWord
      yield { statusClass: Math.floor(code / CACHE_WORDS.length), cache, count }
    }
  }

  /** Returns the counts since the last call and resets them. */
  take(): CellDelta {
    const delta = {
      labels: { upstream: this.upstream, side: this.side, reason: this.reason },
      counts: takeCounts(this.#counts),
      durations: this.durations.take(),
      failures: { ...this.failures },
      fallbacks: { ...this.fallbacks },
      units: this.units.take(),
    }
    this.exchanges = 0
    for (const code of Object.keys(this.failures) as FailureCode[]) delete this.failures[code]
    for (const on of Object.keys(this.fallbacks)) delete this.fallbacks[on]
    return delta
  }

  /** Adds the counts of another cell. */
  add(delta: CellDelta): void {
    for (const [code, count] of delta.counts) {
      this.#counts[code]! += count
      this.exchanges += count
    }
    this.durations.add(delta.durations)
    addCounts(this.failures, delta.failures)
    addCounts(this.fallbacks, delta.fallbacks)
    this.units.merge(delta.units)
  }

  override sums(): Sums {
    let [errors, cacheHits, cacheMisses] = [0, 0, 0]
    for (let code = 0; code < this.#counts.length; code++) {
      const count = this.#counts[code] as number
      if (count === 0) continue
      const cache = CACHE_WORDS[code % CACHE_WORDS.length]
      if (code >= FIRST_ERROR) errors += count
      if (cache === 'hit' || cache === 'stale' || cache === 'revalidated') cacheHits += count
      if (cache === 'miss' || cache === 'bypass') cacheMisses += count
    }
    const { exchanges, durations } = this
    const { timed, sumMs } = durations
    return { exchanges, errors, cacheHits, cacheMisses, timed, durationMsSum: sumMs }
  }
}

function codeOf(status: number, cache: number): number {
  return Math.min(Math.floor(status / 100), STATUS_CLASSES - 1) * CACHE_WORDS.length + cache
}

/** Counts of a cell since its last report: plain data. */
export interface CellDelta {
  readonly labels: CellLabels
  readonly counts: readonly (readonly [code: number, count: number])[]
  readonly durations: DurationsDelta
  readonly failures: Readonly<Partial<Record<FailureCode, number>>>
  readonly fallbacks: Readonly<Record<string, number>>
  readonly units: UnitBits
}
