/**
 * Counters of an upstream, its servers and breakers. They are kept here because edits recreate servers, pools and breakers, and
 * counters must not be reset with them.
 */

/** Of one server. Its pool and its ejection count in here. */
export class ServerCounts {
  /** Attempts that were made there, and those that broke or were answered with a fault of the server's. */
  exchanges = 0
  failures = 0
  /** Times that it was left out because it failed too often in a row. */
  ejections = 0
  /** Connections made, and exchanges that found a kept-alive one. */
  connects = 0
  reuses = 0
  /** Answers that broke a rule of HTTP and were taken all the same, since they can be read in one way only. */
  repaired = 0
}

/** Of the breaker of one route. */
export class BreakerCounts {
  /** Times that it opened. */
  opened = 0
}

/** Of an upstream as a whole. */
export class WholeCounts {
  /** Second attempts, and those that would have gone beyond the budget. */
  retries = 0
  retriesRefused = 0
  /** Exchanges that found no place, and those that waited in vain for one. */
  shed = 0
  queueTimeouts = 0
}

/** What was counted since it was last told: plain data. */
export interface UpstreamDelta {
  readonly name: string
  readonly whole: Readonly<Record<keyof WholeCounts, number>>
  readonly servers: readonly (readonly [id: string, counts: Readonly<Record<keyof ServerCounts, number>>])[]
  /** By route, for those whose `to` it is. */
  readonly breakers: readonly (readonly [route: string, counts: Readonly<Record<keyof BreakerCounts, number>>])[]
}

/** Counters by name; those that nobody has asked for in a while are forgotten. */
class Kept<Counts extends object> {
  readonly #make: () => Counts
  readonly #entries = new Map<string, { readonly counts: Counts; usedMs: number }>()

  constructor(make: () => Counts) {
    this.#make = make
  }

  /** @param nowMs when they are known to be in use, epoch milliseconds */
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

  /** What is not 0, as copies; the counters themselves begin at 0 again. */
  take(): [string, Counts][] {
    return [...this.#entries].flatMap(([name, { counts }]) => {
      if (!Object.values(counts).some((count) => count > 0)) return []
      const taken = { ...counts }
      Object.assign(counts, this.#make())
      return [[name, taken]]
    })
  }

  /** Forgets those that were last in use before then. */
  forget(beforeMs: number): void {
    for (const [name, { usedMs }] of this.#entries) if (usedMs < beforeMs) this.#entries.delete(name)
  }
}

/** All counters of one upstream. */
export class UpstreamCounts {
  readonly whole = new WholeCounts()
  readonly servers = new Kept(() => new ServerCounts())
  readonly breakers = new Kept(() => new BreakerCounts())

  /** What has been counted since the last time, or null for nothing; from now on it counts from 0. */
  take(name: string): UpstreamDelta | null {
    const delta = { name, whole: { ...this.whole }, servers: this.servers.take(), breakers: this.breakers.take() }
    Object.assign(this.whole, new WholeCounts())
    const isNothing = delta.servers.length === 0 && delta.breakers.length === 0
    return isNothing && Object.values(delta.whole).every((count) => count === 0) ? null : delta
  }

  /** Counts what others have counted. */
  add({ whole, servers, breakers }: UpstreamDelta, nowMs: number): void {
    addTo(this.whole, whole)
    for (const [id, counts] of servers) addTo(this.servers.of(id, nowMs), counts)
    for (const [route, counts] of breakers) addTo(this.breakers.of(route, nowMs), counts)
  }

  /** No server has been in use of late. */
  get isIdle(): boolean {
    return this.servers.size === 0
  }

  /** Forgets what was last in use before then. */
  forget(beforeMs: number): void {
    this.servers.forget(beforeMs)
    this.breakers.forget(beforeMs)
  }
}

function addTo<Name extends string>(sums: Record<Name, number>, more: Readonly<Record<Name, number>>): void {
  for (const name of Object.keys(more) as Name[]) sums[name] += more[name]
}
