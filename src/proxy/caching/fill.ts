/**
 * A response on its way from the upstream to its clients, and into the store: each client reads at its own pace.
 *
 * While it is being stored all of it is held, so that others may still begin to read it; the upstream waits only if no client
 * keeps up. What is not stored, or no longer, is held as far as its slowest client needs it, within a bound.
 */
import { isMadeFor, type MadeFor } from '../../state/caching/content.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../../wire/deadlines.ts'
import { GrowingBody, LARGE_BYTES } from './body.ts'
import type { HeldBodies } from './held-bodies.ts'
import type { Lookup } from './lookup.ts'
import { type BodySource, type Part, Sender, type SenderOwner } from './sender.ts'
import type { UpstreamRequest } from './upstream-request.ts'

/** How far the fastest client may lie behind before the upstream waits for it. */
const AHEAD_BYTES = 256 * 1024

/** How far the slowest client may lie behind the fastest in what is not stored, before the upstream waits for it. */
const BEHIND_BYTES = 16 * 1024 * 1024

/** A client that keeps others waiting for so long is cut off. */
const LAGGARD_MS = 5000

/** Why a response that was to be stored is not: its body has outgrown `maxBody`, or there is no memory for it now. */
export type Outgrown = 'too-large' | 'memory'

/** What becomes of a fill. */
export interface FillOwner {
  /** All of the body is there; it is stored. */
  onFilled(body: Buffer): void
  /** The body is not stored. */
  onOutgrown(why: Outgrown): void
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
  readonly held: HeldBodies
}

/** The head of a response, as one client gets it. */
export interface ClientHead {
  readonly status: number
  readonly reason: string
  readonly fields: string[]
  /** Ranges of the body, for a client that gets no more of it. */
  readonly parts?: readonly Part[]
}

/** The body of one response. */
export class Fill implements Watched, BodySource, SenderOwner {
  readonly #request: UpstreamRequest
  readonly #owner: FillOwner
  readonly #maxBytes: number
  readonly #first: Lookup
  readonly #madeFor: MadeFor | null
  readonly #held: HeldBodies
  readonly #body: GrowingBody
  /** Bytes that the whole body will have, or -1. */
  readonly fullLength: number
  readonly #senders: Sender[] = []
  /** Clients so far. Who is done with a piece may still have it on its way, so that no more than one may ever have had it. */
  #attached = 0
  #storing: boolean
  /** The whole body, once it is stored. */
  #stored: Buffer | null = null
  #brokenOff = false
  /** Of the memory that all bodies may hold. */
  #heldBytes = 0
  trailers: string[] | null = null
  deadlineMs = Number.POSITIVE_INFINITY

  constructor(request: UpstreamRequest, owner: FillOwner, terms: FillTerms) {
    const { storing, maxBytes, length, first, madeFor, held } = terms
    this.#request = request
    this.#owner = owner
    this.#storing = storing
    this.#maxBytes = maxBytes
    this.#first = first
    this.#madeFor = madeFor
    this.#held = held
    this.fullLength = length
    this.#body = new GrowingBody(storing && length <= maxBytes ? length : 0)
    this.#account()
  }

  /** It is still kept whole: one more may read it from its beginning. */
  get storing(): boolean {
    return this.#storing
  }

  get readers(): number {
    return this.#senders.length
  }

  /** The upstream waits for those who read. */
  get paused(): boolean {
    return this.#request.paused
  }

  get length(): number {
    return this.#body.length
  }

  view(offset: number, max: number): Buffer {
    return this.#body.view(offset, max)
  }

  /**
   * Begins an answer, and goes on with the body as it comes.
   * @throws {Error} for a request that the response was not made for: its caller has not checked `suits`
   */
  attach(lookup: Lookup, { status, reason, fields, parts }: ClientHead): void {
    if (lookup !== this.#first && (this.#madeFor === null || !isMadeFor(this.#madeFor, lookup))) {
      throw new Error('an answer of the cache was about to reach a request that it was not made for')
    }
    const { answer } = lookup.exchange
    answer.begin(status, reason, fields)
    const sender = new Sender(lookup, this, this, parts)
    this.#senders.push(sender)
    this.#attached++
    if (this.#body.length === 0) return
    sender.send()
    sender.flush()
  }

  /** The client of a reader has left. */
  detach(lookup: Lookup): void {
    const sender = this.#senders.find((one) => one.lookup === lookup)
    if (sender !== undefined) this.#remove(sender)
    this.#settle()
  }

  onBody(piece: Buffer): void {
    if (this.#storing && this.#body.length + piece.length > this.#maxBytes) this.#stopStoring('too-large')
    if (this.#brokenOff) return
    const [only] = this.#senders
    if (!this.#storing && this.#senders.length === 1 && piece.length >= LARGE_BYTES && only!.isLevel && !only!.full) {
      only!.spends = this.#maySpend(only!)
      this.#body.skip(piece.length)
      only!.passOn(piece)
    } else this.#body.append(piece, !this.#storing)
    if (!this.#account() && this.#storing) this.#stopStoring('memory')
  }

  /** All bytes that had arrived have been given: what was held back for a larger write goes on. */
  onPause(): void {
    for (const sender of [...this.#senders]) {
      sender.spends = this.#maySpend(sender)
      sender.send()
      sender.flush()
    }
    this.#settle()
  }

  onEnd(trailers: string[]): void {
    this.trailers = trailers
    if (this.#storing) this.#stored = this.#body.whole()
    const stored = this.#stored
    if (stored !== null) {
      // From now on those who still read it hold it.
      this.#account()
      for (const sender of this.#senders) this.#held.hold(stored, sender)
      this.#owner.onFilled(stored)
    }
    for (const sender of [...this.#senders]) {
      sender.spends = this.#maySpend(sender)
      sender.send()
    }
    this.#settle()
  }

  /**
   * The response broke off.
   * @returns those who were reading: what becomes of them is the caller's to say
   */
  breakOff(): Lookup[] {
    unwatch(this)
    this.#brokenOff = true
    this.#storing = false
    const lookups = this.#senders.map(({ lookup }) => lookup)
    for (const sender of [...this.#senders]) this.#remove(sender)
    this.#body.clear()
    this.#account()
    return lookups
  }

  /** Some wait for one that does not read, and for which no more can be held: it is given up for them. */
  expire(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY
    const from = this.#slowest()
    for (const sender of this.#senders.filter(({ full, needsFrom }) => full && needsFrom === from)) {
      this.#remove(sender)
      sender.cutOff()
    }
    this.#settle()
  }

  onProgress(): void {
    this.#settle()
  }

  onSent(sender: Sender): void {
    this.#remove(sender)
    sender.lookup.done()
    this.#settle()
  }

  #remove(sender: Sender): void {
    sender.stop()
    const at = this.#senders.indexOf(sender)
    if (at !== -1) this.#senders.splice(at, 1)
    if (this.#stored !== null) this.#held.release(this.#stored, sender)
  }

  #stopStoring(why: Outgrown): void {
    this.#storing = false
    this.#owner.onOutgrown(why)
  }

  /** Whether a piece may be given up once it has been written to this client. */
  #maySpend({ lookup }: Sender): boolean {
    return !this.#storing && this.#stored === null && this.#attached === 1 && lookup.exchange.request.exclusive
  }

  /** After each change: drops what nobody needs, and lets the upstream go on or wait. */
  #settle(): void {
    if (!this.#storing && this.#stored === null) this.#body.dropBefore(this.#slowest())
    const inBounds = this.#account()
    if (this.trailers !== null) {
      unwatch(this)
      if (this.#senders.length > 0) return
      this.#body.clear()
      this.#account()
      return
    }
    const all = this.#senders.length
    const full = this.#senders.filter((sender) => sender.full).length
    const behind = this.#body.length - this.#slowest()
    const allFull = all > 0 && full === all
    const tooFar = all > 1 && full > 0 && (behind > BEHIND_BYTES || (behind > AHEAD_BYTES && !inBounds))
    const waits = this.#storing ? allFull && this.#allFarBehind() : allFull || tooFar
    if (waits) this.#request.pause()
    else this.#request.resume()
    this.#watchLaggards(!this.#storing && tooFar && full < all)
  }

  #slowest(): number {
    let slowest = this.#body.length
    for (const { needsFrom } of this.#senders) slowest = Math.min(slowest, needsFrom)
    return slowest
  }

  #allFarBehind(): boolean {
    return this.#senders.every(({ needsFrom }) => this.#body.length - needsFrom > AHEAD_BYTES)
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

  /** @returns whether what is held is within the bound of all bodies */
  #account(): boolean {
    const heldBytes = this.#stored === null ? this.#body.heldBytes : 0
    const more = heldBytes - this.#heldBytes
    if (more === 0) return true
    const fits = more < 0 || this.#held.hasRoomFor(more)
    this.#held.bytes += more
    this.#heldBytes = heldBytes
    return fits
  }
}
