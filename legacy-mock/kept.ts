/**
 * What the application keeps of its clients while it runs: orders and sessions. Bounded: the oldest are forgotten.
 */

const MAX_ORDERS = 10_000
const MAX_SESSIONS = 100_000

export class Kept {
  /** How often each order was placed, by product and quantity; the latest last. */
  readonly #orders = new Map<string, number>()
  readonly #sessions = new Set<string>()

  /** Keeps an order, and returns its number: `123456789012-2`, and where the same comes again `123456789012-2-2`, ... */
  order(what: string): string {
    const times = (this.#orders.get(what) ?? 0) + 1
    this.#orders.delete(what)
    this.#orders.set(what, times)
    forget(this.#orders, MAX_ORDERS)
    return times === 1 ? what : `${what}-${times}`
  }

  /** Every order since the start that is not forgotten, with how often it was placed. */
  orders(): (readonly [what: string, times: number])[] {
    return [...this.#orders]
  }

  /** Keeps a session that the application has given out. */
  open(session: string): void {
    this.#sessions.add(session)
    forget(this.#sessions, MAX_SESSIONS)
  }

  isOpen(session: string): boolean {
    return this.#sessions.has(session)
  }

  close(session: string): void {
    this.#sessions.delete(session)
  }
}

function forget(kept: Map<string, unknown> | Set<string>, most: number): void {
  for (const oldest of kept.keys()) {
    if (kept.size <= most) return
    kept.delete(oldest)
  }
}
