/**
 * The misses in progress, by slot and by collapse key.
 *
 * Not a Set and a Map of misses: V8 leaves the outgrown table of such a collection as it was, pointing to the next one. One
 * that has got old keeps all later ones from the quick collector, with every miss and client request in them, until the
 * slow one comes round; with a Redis that was a fifth of all CPU time.
 */
import type { Miss } from './miss.ts'

/** Where misses in progress are found. */
export class PendingMisses {
  readonly #slots: (Miss | null)[] = []
  readonly #free: number[] = []
  /** Slots of those that others may join, by collapse key. */
  readonly #open = new Map<string, number>()

  /** Misses in progress. */
  get size(): number {
    return this.#slots.length - this.#free.length
  }

  /** @param open others may join it */
  add(miss: Miss, open: boolean): void {
    const slot = this.#free.pop() ?? this.#slots.length
    this.#slots[slot] = miss
    miss.slot = slot
    if (open) this.#open.set(miss.collapseKey, slot)
  }

  /** The one that others may join, or null. */
  find(collapseKey: string): Miss | null {
    const slot = this.#open.get(collapseKey)
    return slot === undefined ? null : (this.#slots[slot] as Miss | null)
  }

  /** No others may join it from now on. */
  close(miss: Miss): void {
    if (miss.slot !== -1 && this.#open.get(miss.collapseKey) === miss.slot) this.#open.delete(miss.collapseKey)
  }

  /** It is over. */
  remove(miss: Miss): void {
    this.close(miss)
    if (miss.slot === -1) return
    this.#slots[miss.slot] = null
    this.#free.push(miss.slot)
    miss.slot = -1
  }
}
