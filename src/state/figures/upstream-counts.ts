/**
 * Counters of an upstream, its servers and breakers. They are kept here because edits recreate servers, pools and breakers, and
 * counters must not be reset with them.
 */
import type { FineCounts } from '../../rules/values/duration-buckets.ts'
import { FineDurations } from './durations.ts'

/** Counters of one server, updated by its pool and its ejection too. */
export class ServerCounts {
  /** Attempts, and those that failed or got a response that counts as a failure. */
  exchanges = 0
  failures = 0
  /** Responses with 4xx, and with 3xx other than 304. */
  clientErrors = 0
  redirects = 0
  /** Ejections after consecutive failures. */
  ejections = 0
  /** New connections, and requests on reused connections. */
  connects = 0
  reuses = 0
  /** Invalid responses that were accepted, since they are unambiguous. */
  repaired = 0
}

/** Counters of the breaker of one route. */
export class BreakerCounts {
  /** How often it opened. */
  opened = 0
}

/** Counters of an upstream. */
export class WholeCounts {
  /** Retries, and retries denied by the budget. */
  retries = 0
  retriesRefused = 0
  /** Requests rejected because the queue was full, and those that timed out in it. */
  shed = 0
  queueTimeouts = 0
}

/** Counts since the last report: plain data. */
export interface UpstreamDelta {
  readonly name: string
  readonly whole: Readonly<Record<keyof WholeCounts, number>>
  readonly servers: readonly (readonly [id: string, counts: Readonly<Record<keyof ServerCounts, number>>])[]
  readonly latencies: readonly (readonly [server: string, fine: FineCounts])[]
  /** By route id, for routes whose `to` it is. */
  readonly breakers: readonly (readonly [route: string, counts: Readonly<Record<keyof BreakerCounts, number>>])[]
}

/** Counters by name; unused ones are dropped after a while. */
class Kept<Counts extends object> {
  readonly #make: () => Counts
  readonly #entries = new Map<string, { readonly counts: Counts; usedMs: number }>()

  constructor(make: () => Counts) {
    this.#make = make
  }

  /** @param nowMs time of use, epoch milliseconds */
  of(name: string, nowMs = Date.now()): Counts {
    let entry = this.#entries.get(name)
    if (entry === undefined) {
      entry = { counts: this.#make(), usedMs: nowMs }
      this.#entries.set(name, entry)
    }
    entry.usedMs = Math.max(entry.usedMs, nowMs)
    return entry.counts
  }

  get size(): number {
    return this.#entries.size
  }

  [Symbol.iterator](): IteratorObject<[string, Counts]> {
    return this.#entries.entries().map(([name, { counts }]) => [name, counts])
  }

  /** Drops counters that were last used before a time. */
  forget(beforeMs: number): void {
    for (const [name, { usedMs }] of this.#entries) if (usedMs < beforeMs) this.#entries.delete(name)
  }
}

/** All counters of one upstream. */
export class UpstreamCounts {
  readonly whole = new WholeCounts()
  readonly servers = new Kept(() => new ServerCounts())
  /** By server: from the last byte of a request to the response headers. */
  readonly latencies = new Kept(() => new FineDurations())
  readonly breakers = new Kept(() => new BreakerCounts())

  /** Returns the counts since the last call, or null for none, and resets them. */
  take(name: string): UpstreamDelta | null {
    const [whole = null] = taken([['', this.whole]], new WholeCounts())
    const servers = taken(this.servers, new ServerCounts())
    const breakers = taken(this.breakers, new BreakerCounts())
    const latencies = [...this.latencies].flatMap(([server, durations]) => {
      const fine = durations.take()
      return fine.length === 0 ? [] : [[server, fine] as const]
    })
    if (whole === null && [servers, breakers, latencies].every(({ length }) => length === 0)) return null
    return { name, whole: whole?.[1] ?? new WholeCounts(), servers, latencies, breakers }
  }

  /** Adds reported counts. */
  add({ whole, servers, latencies, breakers }: UpstreamDelta, nowMs: number): void {
    addTo(this.whole, whole)
    for (const [id, counts] of servers) addTo(this.servers.of(id, nowMs), counts)
    for (const [id, fine] of latencies) this.latencies.of(id, nowMs).add(fine)
    for (const [route, counts] of breakers) addTo(this.breakers.of(route, nowMs), counts)
  }

  /** No server is in use. */
  get isIdle(): boolean {
    return this.servers.size === 0
  }

  /** Drops counters that were last used before a time. */
  forget(beforeMs: number): void {
    this.servers.forget(beforeMs)
    this.latencies.forget(beforeMs)
    this.breakers.forget(beforeMs)
  }
}

/** Copies of the counters that are not zero, which are reset. */
function taken<Counts extends object>(kept: Iterable<[string, Counts]>, zero: Counts): [string, Counts][] {
  return [...kept].flatMap(([name, counts]) => {
    if (!Object.values(counts).some((count) => count > 0)) return []
    const copy = { ...counts }
    Object.assign(counts, zero)
    return [[name, copy]]
  })
}

function addTo<Name extends string>(sums: Record<Name, number>, more: Readonly<Record<Name, number>>): void {
  for (const name of Object.keys(more) as Name[]) sums[name] += more[name]
}
