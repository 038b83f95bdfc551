/**
 * The requests of one connection by stream id.
 */
import type { Http2Request } from './request.ts'

/** Slots for fast lookups: as many as there can be streams, and some more. */
const SLOTS = 128

/** Requests in flight. */
export class Streams {
  /** Unordered. Not a Map: one with much turnover keeps many removed entries alive in its old tables until the next full garbage collection. */
  readonly all: Http2Request[] = []
  readonly #slots: (Http2Request | null)[] = []

  get count(): number {
    return this.all.length
  }

  add(request: Http2Request): void {
    request.place = this.all.push(request) - 1
    this.#slots[slotOf(request.id)] = request
  }

  remove(request: Http2Request): void {
    const last = this.all.pop() as Http2Request
    if (last !== request) {
      this.all[request.place] = last
      last.place = request.place
    }
    const slot = slotOf(request.id)
    if (this.#slots[slot] === request) this.#slots[slot] = null
  }

  /** The request on a stream, or null if there is none, or none any more. */
  find(id: number): Http2Request | null {
    const slot = this.#slots[slotOf(id)]
    if (slot?.id === id) return slot
    // Another stream uses the same slot.
    for (const request of this.all) if (request.id === id) return request
    return null
  }
}

function slotOf(id: number): number {
  return (id >> 1) & (SLOTS - 1)
}
