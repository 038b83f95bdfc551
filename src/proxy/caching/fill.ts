/**
 * An answer on its way from the upstream to those who read it, and into the store: each reads at its own pace.
 *
 * While it is being stored all of it is held, so that others may still begin to read it; the upstream waits only where
 * nobody keeps up. What is not stored (any more) is held no longer than its slowest reader needs.
 */

import { isMadeFor, type MadeFor } from '../../state/caching/content.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../../wire/deadlines.ts'
import { keep } from '../../wire/read-memory.ts'
import type { Lookup } from './lookup.ts'
import type { UpstreamRequest } from './upstream-request.ts'

/** How far the fastest reader may lie behind before the upstream waits for it. */
const AHEAD_BYTES = 256 * 1024

/** A reader that keeps others waiting for so long, of what can't be held for it, is cut off. */
const LAGGARD_MS = 5000

/** What becomes of a fill. */
export interface FillOwner {
  /** All of the body is there; it is stored. */
  onFilled(body: Buffer): void
  /** The body has grown beyond what is stored. */
  onTooLarge(): void
}

/** What is done with a body. */
export interface FillTerms {
  /** All of it is kept until it is complete. */
  readonly storing: boolean
  /** It is kept no longer once it has grown beyond this. */
  readonly maxBytes: number
  /** In bytes, where it is known; else -1. */
  readonly length: number
  /** The lookup whose request was sent upstream. */
  readonly first: Lookup
  /** What others it may answer as well; null for none. */
  readonly madeFor: MadeFor | null
}

/** One reader and how far it has come. */
interface Reader {
  readonly lookup: Lookup
  /** Pieces given to it, counted from the beginning. */
  at: number
  sentBytes: number
  /** It does not keep up: nothing more until its 'drain'. */
  full: boolean
}

/** The body of one answer. */
export class Fill implements Watched {
  readonly #request: UpstreamRequest
  readonly #owner: FillOwner
  readonly #maxBytes: number
  readonly #first: Lookup
  readonly #madeFor: MadeFor | null
  readonly #readers: Reader[] = []
  /** Readers so far. Who is done with a piece may still have it on its way, so that no more than one may ever have had it. */
  #attached = 0
  #storing: boolean
  #pieces: Buffer[] = []
  /** Pieces dropped from the front. */
  #dropped = 0
  #bytes = 0
  /** Where the whole body comes to lie, if its length is known beforehand and it is stored. */
  readonly #body: Buffer | null
  #trailers: string[] | null = null
  deadlineMs = Number.POSITIVE_INFINITY

  constructor(request: UpstreamRequest, owner: FillOwner, { storing, maxBytes, length, first, madeFor }: FillTerms) {
    this.#request = request
    this.#owner = owner
    this.#storing = storing
    this.#maxBytes = maxBytes
    this.#first = first
    this.#madeFor = madeFor
    this.#body = storing && length > 0 && length <= maxBytes ? Buffer.allocUnsafeSlow(length) : null
  }

  /** It is still kept whole: one more may read it from its beginning. */
  get storing(): boolean {
    return this.#storing
  }

  get readers(): number {
    return this.#readers.length
  }

  /** The upstream waits for those who read. */
  get paused(): boolean {
    return this.#request.paused
  }

  /**
   * Begins an answer with these fields, and goes on with the body as it comes.
   * @throws {Error} for a request that the answer was not made for: its caller has not checked `suits`
   */
  attach(lookup: Lookup, status: number, reason: string, fields: string[]): void {
    if (lookup !== this.#first && (this.#madeFor === null || !isMadeFor(this.#madeFor, lookup))) {
      throw new Error('an answer of the cache was about to reach a request that it was not made for')
    }
    lookup.exchange.answer.begin(status, reason, fields)
    const reader: Reader = { lookup, at: this.#dropped, sentBytes: 0, full: false }
    this.#readers.push(reader)
    this.#attached++
    if (this.#dropped + this.#pieces.length === 0) return
    this.#pump(reader)
    lookup.exchange.answer.flush()
  }

  /** The client of a reader is gone. */
  detach(lookup: Lookup): void {
    const at = this.#readers.findIndex((reader) => reader.lookup === lookup)
    if (at !== -1) this.#readers.splice(at, 1)
    this.#settle()
  }

  onBody(piece: Buffer): void {
    this.#bytes += piece.length
    if (this.#storing && this.#bytes > this.#maxBytes) {
      this.#storing = false
      this.#owner.onTooLarge()
    }
    this.#pieces.push(this.#storing ? this.#kept(piece) : keep(piece))
    for (const reader of this.#readers) this.#pump(reader)
    this.#settle()
  }

  /** All bytes that had arrived have been given: what was held back for a larger write goes on. */
  onPause(): void {
    for (const reader of this.#readers) {
      if (!reader.lookup.exchange.answer.flush()) this.#awaitDrain(reader)
    }
    this.#settle()
  }

  onEnd(trailers: string[]): void {
    this.#trailers = trailers
    if (this.#storing) this.#owner.onFilled(this.#whole())
    for (const reader of [...this.#readers]) this.#pump(reader)
    this.#settle()
  }

  /**
   * The answer broke off.
   * @returns those who were reading: what becomes of them is the caller's to say
   */
  breakOff(): Lookup[] {
    unwatch(this)
    this.#storing = false
    this.#pieces = []
    return this.#readers.splice(0).map((reader) => reader.lookup)
  }

  /** Some wait for one that does not read: it is given up for them. */
  expire(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY
    for (const reader of this.#readers.filter(({ full }) => full)) reader.lookup.fail('client-stalled', null)
    const left = this.#readers.filter(({ full }) => !full)
    this.#readers.splice(0, this.#readers.length, ...left)
    this.#settle()
  }

  #pump(reader: Reader): void {
    const { answer, exclusive } = reader.lookup.exchange
    while (!reader.full && reader.at < this.#dropped + this.#pieces.length) {
      const piece = this.#pieces[reader.at - this.#dropped] as Buffer
      reader.at++
      reader.sentBytes += piece.length
      const spent = !this.#storing && exclusive && this.#attached === 1
      if (!answer.body(piece, spent)) this.#awaitDrain(reader)
    }
    if (this.#trailers === null || reader.at < this.#dropped + this.#pieces.length) return
    this.#readers.splice(this.#readers.indexOf(reader), 1)
    answer.end(this.#trailers)
    reader.lookup.done()
  }

  #awaitDrain(reader: Reader): void {
    if (reader.full) return
    reader.full = true
    reader.lookup.exchange.res.once('drain', () => {
      reader.full = false
      if (!this.#readers.includes(reader)) return
      this.#pump(reader)
      this.#settle()
    })
  }

  /** After each change: drops what nobody needs, and lets the upstream go on or wait. */
  #settle(): void {
    if (!this.#storing) {
      let slowest = this.#dropped + this.#pieces.length
      for (const { at } of this.#readers) slowest = Math.min(slowest, at)
      if (slowest > this.#dropped) {
        this.#pieces.splice(0, slowest - this.#dropped)
        this.#dropped = slowest
      }
    }
    if (this.#trailers !== null) {
      unwatch(this)
      return
    }
    const full = this.#readers.filter((reader) => reader.full)
    const wait = this.#storing
      ? this.#readers.length > 0 && full.length === this.#readers.length && this.#allFarBehind()
      : full.length > 0
    if (wait) this.#request.pause()
    else this.#request.resume()
    this.#watchLaggards(wait && !this.#storing && full.length < this.#readers.length)
  }

  #allFarBehind(): boolean {
    return this.#readers.every(({ sentBytes }) => this.#bytes - sentBytes > AHEAD_BYTES)
  }

  #watchLaggards(some: boolean): void {
    if (some === (this.deadlineMs !== Number.POSITIVE_INFINITY)) return
    if (some) {
      watch(this)
      this.deadlineMs = coarseNowMs() + LAGGARD_MS
    } else {
      unwatch(this)
      this.deadlineMs = Number.POSITIVE_INFINITY
    }
  }

  /** A piece is a window of a much larger read buffer, which must not live as long as this: it is copied. */
  #kept(piece: Buffer): Buffer {
    const from = this.#bytes - piece.length
    if (this.#body === null || this.#bytes > this.#body.length) return Buffer.from(piece)
    piece.copy(this.#body, from)
    return this.#body.subarray(from, this.#bytes)
  }

  /** In memory of its own, of exactly its size. */
  #whole(): Buffer {
    if (this.#body !== null && this.#body.length === this.#bytes) return this.#body
    const body = Buffer.allocUnsafeSlow(this.#bytes)
    let at = 0
    for (const piece of this.#pieces) at += piece.copy(body, at)
    return body
  }
}
