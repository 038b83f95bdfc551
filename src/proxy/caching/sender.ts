/**
 * Sends a body, or ranges of it, to one client: slice by slice, as the client takes them, while the body may still be growing.
 */
import type { Holder } from './held-bodies.ts'
import type { Lookup } from './lookup.ts'
import { type Sending, SLICE_BYTES, sendSoon } from './send-queue.ts'

/** A body that is complete or still growing. */
export interface BodySource {
  /** Bytes that have come. */
  readonly length: number
  /** The trailers, name, value, name, value; null while more may come. */
  readonly trailers: readonly string[] | null
  /** At most `max` bytes from an offset. */
  view(offset: number, max: number): Buffer
}

/** A range of the body, both ends included, or bytes of its own. */
export type Part = Buffer | { readonly first: number; readonly last: number }

const WHOLE: readonly Part[] = [{ first: 0, last: Number.POSITIVE_INFINITY }]

/** Who is told of a sender. */
export interface SenderOwner {
  /** Its client has taken more, or does not take more for now. */
  onProgress(sender: Sender): void
  /** All of it was sent. */
  onSent(sender: Sender): void
}

/** A body on its way to one client. */
export class Sender implements Sending, Holder {
  readonly lookup: Lookup
  readonly #source: BodySource
  readonly #owner: SenderOwner
  readonly #parts: readonly Part[]
  #part = 0
  /** Offset in the body of the next byte. */
  #offset: number
  #over = false
  queued = false
  /** The client does not keep up: nothing more until its 'drain'. */
  full = false
  /** Nobody else needs the pieces: their memory may be gone once they are written. */
  spends = false
  progressMs = performance.now()

  /** @param parts default: all of it */
  constructor(lookup: Lookup, source: BodySource, owner: SenderOwner, parts: readonly Part[] = WHOLE) {
    this.lookup = lookup
    this.#source = source
    this.#owner = owner
    this.#parts = parts
    this.#offset = firstOf(parts[0])
  }

  /** The first byte of the body that is still to be sent. */
  get needsFrom(): number {
    let first = this.#offset
    for (let i = this.#part + 1; i < this.#parts.length; i++) first = Math.min(first, firstOf(this.#parts[i]))
    return first
  }

  /** All that has come has been sent. */
  get isLevel(): boolean {
    return this.#parts === WHOLE && this.#offset === this.#source.length
  }

  /** Sends on: more has come, or the client takes more. */
  send(): void {
    if (!this.full && !this.#over) sendSoon(this)
  }

  /** A piece that goes past the source, to a sender that is level with it. */
  passOn(piece: Buffer): void {
    this.#offset += piece.length
    if (!this.lookup.exchange.answer.body(piece, this.spends)) this.#awaitDrain()
  }

  /** What was held back for a larger write goes out. */
  flush(): void {
    if (!this.#over && !this.lookup.exchange.answer.flush()) this.#awaitDrain()
  }

  /** Sends nothing more. */
  stop(): void {
    this.#over = true
  }

  cutOff(): void {
    this.stop()
    this.lookup.fail('client-stalled', null)
  }

  sendSlice(): number {
    if (this.#over || this.full) return 0
    const { answer } = this.lookup.exchange
    for (let part = this.#parts[this.#part]; part !== undefined; part = this.#parts[this.#part]) {
      if (Buffer.isBuffer(part)) {
        this.#next()
        if (!answer.body(part)) this.#awaitDrain()
        return part.length
      }
      const slice = this.#source.view(this.#offset, Math.min(part.last + 1 - this.#offset, SLICE_BYTES))
      if (slice.length > 0) {
        this.#offset += slice.length
        if (this.#offset > part.last) this.#next()
        if (!answer.body(slice, this.spends)) this.#awaitDrain()
        return slice.length
      }
      if (this.#source.trailers === null) return 0
      this.#next()
    }
    this.#over = true
    answer.end([...(this.#source.trailers ?? [])])
    this.#owner.onSent(this)
    return 0
  }

  #next(): void {
    this.#part++
    this.#offset = firstOf(this.#parts[this.#part])
  }

  #awaitDrain(): void {
    if (this.full) return
    this.full = true
    this.lookup.exchange.answer.whenDrained(() => {
      this.full = false
      this.progressMs = performance.now()
      if (this.#over) return
      this.send()
      this.#owner.onProgress(this)
    })
    this.#owner.onProgress(this)
  }
}

function firstOf(part: Part | undefined): number {
  return part === undefined || Buffer.isBuffer(part) ? Number.POSITIVE_INFINITY : part.first
}
