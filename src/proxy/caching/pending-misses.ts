/**
 * The flights under way, by slot and by what they fetch.
 *
 * Not a Set and a Map of flights: V8 leaves the outgrown table of such a collection as it was, pointing to the next one. One
 * that has got old keeps all later ones from the quick collector, with every flight and client request in them, until the
 * slow one comes round; with a Redis that was a fifth of all CPU time.
 */
import type { Flight } from './miss.ts'

/** Where flights are found. */
export class FlightRegister {
  readonly #slots: (Flight | null)[] = []
  readonly #free: number[] = []
  /** Slots of those that others may join, by what they fetch. */
  readonly #open = new Map<string, number>()

  /** Flights under way. */
  get size(): number {
    return this.#slots.length - this.#free.length
  }

  /** @param open others may join it */
  add(flight: Flight, open: boolean): void {
    const slot = this.#free.pop() ?? this.#slots.length
    this.#slots[slot] = flight
    flight.slot = slot
    if (open) this.#open.set(flight.name, slot)
  }

  /** The one that fetches `name` and may be joined. */
  find(name: string): Flight | null {
    const slot = this.#open.get(name)
    return slot === undefined ? null : (this.#slots[slot] as Flight | null)
  }

  /** Nobody joins it any more. */
  shut(flight: Flight): void {
    if (flight.slot !== -1 && this.#open.get(flight.name) === flight.slot) this.#open.delete(flight.name)
  }

  /** It is over. */
  remove(flight: Flight): void {
    this.shut(flight)
    if (flight.slot === -1) return
    this.#slots[flight.slot] = null
    this.#free.push(flight.slot)
    flight.slot = -1
  }

  /** Those that fetch something under a key. */
  under(key: string): Flight[] {
    return this.#slots.filter((flight) => flight !== null && flight.key === key) as Flight[]
  }
}
