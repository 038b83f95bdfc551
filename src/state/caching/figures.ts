/**
 * What the control plane may ask of the cache, and order: figures and purges.
 */

import { randomUUID } from 'node:crypto'
import type { SkipReason } from '../../rules/caching/meta.ts'
import type { Purge, PurgeTarget } from '../../rules/caching/purge.ts'
import { type CacheExplanation, passReasonOf } from '../../rules/explain.ts'
import type { Decision, RequestView } from '../../rules/http/exchange.ts'
import { matchRoute } from '../../rules/routing/match.ts'
import type { CacheSettings, Route, Table } from '../../rules/table/table.ts'
import { explainCache, isCaching } from './explain.ts'
import type { RemoteFigures } from './remote.ts'
import type { CacheTiers } from './tiers.ts'

/** What the cache has counted since the start of the process, beside the words of each exchange. */
export interface CacheCounters {
  /** Requests that the cache has sent to upstreams. */
  fetches: number
  /** Exchanges answered by another one's fetch. */
  collapsed: number
  /** Answers stored, and validated by a 304. */
  stored: number
  revalidated: number
  /** Answers not stored, by reason; `too-large` is beyond the route's maxBody, for `memory` too much was held at the time. */
  readonly skipped: Partial<Record<SkipReason | 'too-large' | 'memory', number>>
  /** Refreshes behind a stale answer, and those of them that failed. */
  refreshes: number
  refreshFailures: number
  /** Stale answers in place of an upstream's failure. */
  staleOnError: number
  /** Requests that did not wait for another one's answer, since that can't be shared. */
  hitForMiss: number
  /** Waits for the fill of another process. */
  waits: number
  /** URLs whose answers unsafe requests have made untrue. */
  invalidations: number
  purges: number
  /** Entries of the remote store that were made for another key than they lay under: each a miss. */
  misplaced: number
}

/** Counters at 0. */
export function newCounters(): CacheCounters {
  return {
    fetches: 0,
    collapsed: 0,
    stored: 0,
    revalidated: 0,
    skipped: {},
    refreshes: 0,
    refreshFailures: 0,
    staleOnError: 0,
    hitForMiss: 0,
    waits: 0,
    invalidations: 0,
    purges: 0,
    misplaced: 0,
  }
}

/** The cache in figures. */
export interface CacheFigures {
  readonly memory: { readonly entries: number; readonly bytes: number; readonly maxBytes: number }
  /** Null where there is no remote store. */
  readonly remote: RemoteFigures | null
  /** The last purge that all processes share; 0 before any. Processes that agree here are in step. */
  readonly generation: number
  readonly counters: Readonly<CacheCounters>
}

/** What a purge has reached. */
export interface PurgeResult {
  /** False where other processes may not have learned of it. */
  readonly shared: boolean
  /** Why not, in a few words. */
  readonly why?: string
  /** Answers in memory that it covers; null where purges come too fast for them to be counted. */
  readonly entries: number | null
}

/** Counting takes no more than this part of the time, but for a while at first. */
const COUNTING_SHARE = 0.1
const MAX_COUNTING_MS = 50

/** The cache as the control plane sees it. */
export class CacheControl {
  readonly #tiers: CacheTiers
  readonly #counters: CacheCounters
  readonly #now: () => number
  readonly #settingsOf: (route: string) => CacheSettings | null
  /** Time that counting has taken, less its share of the time since. */
  #countingMs = 0
  #countedMs = 0

  /** @param settingsOf the cache settings of a route in force */
  constructor(
    tiers: CacheTiers,
    counters: CacheCounters,
    now: () => number,
    settingsOf: (route: string) => CacheSettings | null = () => null,
  ) {
    this.#settingsOf = settingsOf
    this.#tiers = tiers
    this.#counters = counters
    this.#now = now
  }

  /**
   * Purges. From now on nothing that it covers is served here; the same holds in all processes once `shared` is told.
   * @param soft what is covered becomes stale instead, and stays for validation and failures
   */
  purge(target: PurgeTarget, soft: boolean): Promise<PurgeResult> {
    return this.apply({ id: randomUUID(), target, soft, atMs: this.#now() }, true)
  }

  /** Purges, as one of several processes of a proxy. @param leads whether it shares the purge with other instances */
  async apply(purge: Purge, leads: boolean): Promise<PurgeResult> {
    this.#counters.purges++
    const entries = this.#count(purge.target)
    const why = await this.#tiers.purge(purge, leads)
    return why === null ? { shared: true, entries } : { shared: false, why, entries }
  }

  #count(target: PurgeTarget): number | null {
    const beganMs = performance.now()
    this.#countingMs = Math.max(0, this.#countingMs - (beganMs - this.#countedMs) * COUNTING_SHARE)
    this.#countedMs = beganMs
    if (this.#countingMs > MAX_COUNTING_MS) return null
    const count = this.#tiers.countCovered(target, this.#settingsOf)
    this.#countingMs += performance.now() - beganMs
    return count
  }

  /** What the cache would do for a request of a route that was decided so; null where the route does not cache. */
  async explain(
    table: Table,
    route: Route | null,
    request: RequestView,
    decision: Decision,
  ): Promise<CacheExplanation | null> {
    if (!isCaching(route)) return null
    const why = passReasonOf(request, decision, matchRoute(table, request).ambiguous)
    if (why !== null) return { key: null, verdict: 'pass', why, stored: null }
    return await explainCache(this.#tiers, table, route, request, decision, this.#now)
  }

  /** Whom to tell of what an unsafe request has made untrue. */
  onInvalidated(tell: (purge: Purge) => void): void {
    this.#tiers.tellInvalidated = tell
  }

  /** Takes in what has become untrue in another process of this proxy. */
  invalidated(purges: readonly Purge[]): void {
    for (const purge of purges) this.#tiers.purges.add(purge)
  }

  /** Ends the connections to the remote store. */
  async close(): Promise<void> {
    await this.#tiers.remote?.close()
  }

  figures(): CacheFigures {
    const { memory, remote, purges } = this.#tiers
    return {
      memory: { entries: memory.entries, bytes: memory.bytes, maxBytes: memory.maxBytes },
      remote: remote?.figures() ?? null,
      generation: purges.generation,
      counters: { ...structuredClone(this.#counters), misplaced: this.#tiers.misplaced },
    }
  }

  /** Why the cache is not all it should be, in a few words; null where it is. For /readyz: requests are served all the same. */
  get degraded(): string | null {
    const { remote } = this.#tiers
    if (remote === null) return null
    const { state, why } = remote.figures()
    return state === 'up' ? null : `cache: ${why ?? 'redis is not in use'}`
  }
}
