/**
 * Self-registered servers: each has a lease that it renews by registering again, and is removed when the lease expires.
 */
import type { Server } from '../../rules/table/table.ts'

/** A server with a lease. */
export interface Lease {
  readonly server: Server
  readonly ttlMs: number
  /** When it expires, epoch milliseconds; for display. */
  readonly endsMs: number
}

interface Held extends Lease {
  /** Monotonic, so setting the system clock neither expires a lease nor extends it. */
  readonly timer: NodeJS.Timeout | undefined
}

/** The leases of all upstreams. */
export class Leases {
  readonly #held = new Map<string, Map<string, Held>>()
  readonly #onLapse: (upstream: string, server: Server) => void

  /** @param onLapse called after a server was removed because its lease expired */
  constructor(onLapse: (upstream: string, server: Server) => void) {
    this.#onLapse = onLapse
  }

  /**
   * Adds a lease that starts now, or renews it.
   * @param lapses false for one that another instance ends
   * @returns `new`, `changed` for another URL or weight, or `renewed`
   */
  put(upstream: string, server: Server, ttlMs: number, nowMs: number, lapses = true): 'new' | 'changed' | 'renewed' {
    const held = this.#held.get(upstream) ?? new Map<string, Held>()
    this.#held.set(upstream, held)
    const before = held.get(server.id)
    clearTimeout(before?.timer)
    const lapse = (): void => {
      this.remove(upstream, server.id)
      this.#onLapse(upstream, server)
    }
    const timer = lapses ? setTimeout(lapse, ttlMs).unref() : undefined
    held.set(server.id, { server, ttlMs, endsMs: nowMs + ttlMs, timer })
    if (before === undefined) return 'new'
    const same = before.server.url === server.url && before.server.weight === server.weight && before.ttlMs === ttlMs
    return same ? 'renewed' : 'changed'
  }

  /** Removes a lease. @returns whether there was one */
  remove(upstream: string, id: string): boolean {
    const held = this.#held.get(upstream)
    clearTimeout(held?.get(id)?.timer)
    return held?.delete(id) === true
  }

  get(upstream: string, id: string): Lease | null {
    return this.#held.get(upstream)?.get(id) ?? null
  }

  /** The leases of an upstream, oldest first. */
  of(upstream: string): Lease[] {
    return [...(this.#held.get(upstream)?.values() ?? [])]
  }

  /** Upstreams that have or had leases. */
  upstreams(): string[] {
    return [...this.#held.keys()]
  }

  /** Stops all timers. */
  close(): void {
    for (const held of this.#held.values()) for (const { timer } of held.values()) clearTimeout(timer)
    this.#held.clear()
  }
}
