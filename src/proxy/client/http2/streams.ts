/**
 * The requests of one connection by their streams.
 */
import type { Http2Request } from './request.ts'

/** Places for those that are looked up most: as many as there can be, and some more. */
const SLOTS = 128

/** Requests under way. */
export class Streams {
  /** In no order: a Map that requests come to and leave keeps many of them, in tables that it has outgrown, until the next full collection. */
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

  /** The request of a stream, or null where there is none any more, or not yet. */
  find(id: number): Http2Request | null {
    const slot = this.#slots[slotOf(id)]
    if (slot?.id === id) return slot
    // Another one has come to its place.
    for (const request of this.all) if (request.id === id) return request
    return null
  }
}

function slotOf(id: number): number {
  return (id >> 1) & (SLOTS - 1)
}
