/**
 * What is counted of one route at one upstream, and the words that it is counted by.
 */

import type { FailureCode } from '../../rules/failures/failure.ts'
import type { Decision, Reason } from '../../rules/http/exchange.ts'
import { type UnitBits, UnitCounter } from './unit-counter.ts'
import { type Sums, SumsRing } from './windows.ts'

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
  /** Why `from` answered for `to`: the failure, or the status that `to` gave; null where it did not. */
  readonly fallbackOn: string | null
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
  'pinned',
] as const satisfies readonly Reason[]

const REASON_INDEX = indexOf(REASONS)
/** 0 counts clients that were gone first, 1 to 5 the classes of statuses. */
const STATUS_CLASSES = 6

/** The upper bounds of the duration histogram, milliseconds; beyond the last is one more bucket. */
export const DURATION_BOUNDS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000]

/** A tunnel lasts as long as its client wants, which says nothing about how fast an upstream answers. */
const SWITCHING_PROTOCOLS = 101

/** Nothing counted. */
export function noSums(): Sums {
  const counts = { exchanges: 0, errors: 0, gone: 0, fallbacks: 0, noKey: 0, forced: 0, cacheHits: 0, cacheMisses: 0 }
  return { ...counts, durationMsSum: 0, buckets: new Float64Array(DURATION_BOUNDS_MS.length + 1) }
}

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
  /** Fallbacks that it answered, by failure or status of the other side. */
  readonly fallbacks: Record<string, number> = {}
  /** Distinct sticky keys of late. */
  readonly units = new UnitCounter()
  readonly ring = new SumsRing()

  constructor(upstream: string) {
    this.upstream = upstream
  }

  count(record: ExchangeRecord): void {
    const { decision, status, failure, durationMs, fallbackOn } = record
    const code = codeOf(REASON_INDEX[decision.reason], status, CACHE_INDEX[record.cache])
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1)
    this.exchanges++
    if (failure !== null) this.failures[failure] = (this.failures[failure] ?? 0) + 1
    if (fallbackOn !== null) this.fallbacks[fallbackOn] = (this.fallbacks[fallbackOn] ?? 0) + 1
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

  /** What has been counted since the last time; from now on it counts from 0. */
  take(): CellDelta {
    const delta = {
      upstream: this.upstream,
      counts: [...this.#counts],
      buckets: [...this.buckets],
      durationMsSum: this.durationMsSum,
      failures: { ...this.failures },
      fallbacks: { ...this.fallbacks },
      units: this.units.take(),
    }
    this.#counts.clear()
    this.buckets.fill(0)
    this.durationMsSum = 0
    this.exchanges = 0
    for (const code of Object.keys(this.failures) as FailureCode[]) delete this.failures[code]
    for (const on of Object.keys(this.fallbacks)) delete this.fallbacks[on]
    return delta
  }

  /** Counts what another cell has counted. */
  add(delta: CellDelta): void {
    for (const [code, count] of delta.counts) {
      this.#counts.set(code, (this.#counts.get(code) ?? 0) + count)
      this.exchanges += count
    }
    for (const [at, count] of delta.buckets.entries()) this.buckets[at]! += count
    this.durationMsSum += delta.durationMsSum
    addCounts(this.failures, delta.failures)
    addCounts(this.fallbacks, delta.fallbacks)
    this.units.merge(delta.units)
  }

  /** What the windows are made of, as it stands now. */
  sums(): Sums {
    const sums = noSums()
    sums.exchanges = this.exchanges
    sums.durationMsSum = this.durationMsSum
    sums.buckets.set(this.buckets)
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

/** What a cell has counted since it last told: plain data. */
export interface CellDelta {
  readonly upstream: string
  readonly counts: readonly (readonly [code: number, count: number])[]
  readonly buckets: readonly number[]
  readonly durationMsSum: number
  readonly failures: Readonly<Partial<Record<FailureCode, number>>>
  readonly fallbacks: Readonly<Record<string, number>>
  readonly units: UnitBits
}

/** Adds counts to sums, name by name. */
export function addCounts<Name extends string>(
  sums: Partial<Record<Name, number>>,
  more: Partial<Record<Name, number>>,
): void {
  for (const [name, count] of Object.entries(more) as [Name, number][]) sums[name] = (sums[name] ?? 0) + count
}

function indexOf<Word extends string>(words: readonly Word[]): Record<Word, number> {
  return Object.fromEntries(words.map((word, at) => [word, at])) as Record<Word, number>
}
