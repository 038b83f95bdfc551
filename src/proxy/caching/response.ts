/**
 * The response to a fetch on its way: to the client whose request was sent, to those whose misses were collapsed with it, as far as it
 * suits them, and into the store, where it may be stored.
 */
import type { AnswerHead, SkipReason } from '../../rules/caching/meta.ts'
import { needsRefresh } from '../../rules/caching/policy.ts'
import { aftermathOf } from '../../rules/caching/resource.ts'
import { storedFields } from '../../rules/caching/storing.ts'
import type { FailureCode } from '../../rules/failures/failure.ts'
import { trailerFields } from '../../rules/http/headers.ts'
import { type MadeFor, madeFor } from '../../state/caching/content.ts'
import type { CacheCounters } from '../../state/caching/figures.ts'
import type { Position } from '../../state/caching/log-order.ts'
import type { FillOutcome } from '../../state/caching/remote.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { CacheTiers } from '../../state/caching/tiers.ts'
import type { Upstreams } from '../../state/upstreams/upstreams.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import type { Recorder } from '../recorder.ts'
import { deliverCollapsed, deliverFetched, isReusable, suits } from './deliver.ts'
import { Fill, type FillOwner, type Outgrown } from './fill.ts'
import type { HeldBodies } from './held-bodies.ts'
import type { Unshareable } from './hit-for-miss.ts'
import type { Lookup } from './lookup.ts'
import { freshenFromHead } from './revalidate.ts'
import { completed, mayStoreFetched, type Storing } from './store.ts'
import type { ResponseReader, UpstreamRequest } from './upstream-request.ts'

/** After a background revalidation that has changed nothing a stale response is served for so long without another one. */
const REVALIDATION_PAUSE_MS = 1000

/** A body of this size that nobody needs is read to its end. */
const DRAINED_BYTES = 64 * 1024

/** What a fetch needs of the process. */
export interface FetchParts {
  readonly tiers: CacheTiers
  readonly upstreams: Upstreams
  readonly counters: CacheCounters
  readonly held: HeldBodies
  /** Epoch milliseconds. */
  now(): number
  /** Takes a lookup's exchange through the cache once more, with its decision changed to the fallback's side. */
  fallBack(lookup: Lookup): void
}

/** The miss that a fetch is for. */
export interface FetchHost {
  /** Those who have no answer yet; who is answered is taken out. */
  readonly waiting: Set<Lookup>
  /** Others may join. */
  readonly open: boolean
  /** Nobody waits: a stale response is revalidated. */
  readonly background: boolean
  /** Those who wait still go on by themselves, or with others that need the same variant. @param made what the response is made for, or null */
  sendOn(made: MadeFor | null): void
  /** No others may join; where the response is unshareable, requests are not collapsed for a while (hit-for-miss). */
  close(unshareable: Unshareable | null): void
  /** The response can be shared. */
  shareable(): void
  /** Its body is coming, and is stored. */
  filling(): void
  /** All of its body has come. */
  filled(): void
  over(outcome: FillOutcome): void
}

/** A request as it was sent, and what was known when it went. */
export interface Sent {
  /** Whose request it is; its client need not stay. */
  readonly lookup: Lookup
  /** What may be revalidated, or served if the upstream fails. */
  readonly stored: StoredAnswer | null
  readonly position: Position
  readonly checked: number
  /** Fields that were known to select responses. */
  readonly vary: readonly string[]
  /** Conditions of banyan's own were sent in place of the client's. */
  readonly replaced: boolean
}

/** What is requested now has seen these purges. */
export function originOf({
  position,
  checked,
}: Sent): Pick<StoredAnswer, 'position' | 'checked' | 'refreshAfterMs' | 'written'> {
  return { position, checked, refreshAfterMs: 0, written: null }
}

/** Whether no purge that may cover what it brings has come since a request was sent. */
export function isCurrent(tiers: CacheTiers, { lookup, checked }: Pick<Sent, 'lookup' | 'checked'>): boolean {
  return !tiers.purges.touches(lookup, checked)
}

/** A background revalidation has left what is stored as it was: not each request that is served begins another one. */
export function pauseRefreshes({ background }: FetchHost, stored: StoredAnswer | null, nowMs: number): void {
  if (background && stored !== null) stored.refreshAfterMs = nowMs + REVALIDATION_PAUSE_MS
}

/** One response. */
export class FetchedResponse implements ResponseReader, FillOwner {
  readonly #parts: FetchParts
  readonly #host: FetchHost
  readonly #sent: Sent
  readonly #request: UpstreamRequest
  #fill: Fill | null = null
  /** What is being stored, without its body. */
  #storing: Storing | null = null
  /** Hears the response, as the client whose request it is gets it. */
  #recorder: Recorder | null = null
  /** The client whose request it is was answered without the body, which is only stored. */
  #detached = false
  /** What is stored is no longer true, although this response can't be stored in its place. */
  #dropsStored = false
  #over = false

  constructor(parts: FetchParts, host: FetchHost, sent: Sent, request: UpstreamRequest) {
    this.#parts = parts
    this.#host = host
    this.#sent = sent
    this.#request = request
    request.reader = this
  }

  /** The response is delivered to all that it suits, and stored where it may be. */
  deliver(head: ResponseHead, answer: AnswerHead): void {
    const { lookup: first, stored } = this.#sent
    const verdict = mayStoreFetched(first, head, answer, this.#sent)
    const { background, waiting } = this.#host
    const failedRevalidation = stored !== null && answer.status >= 500
    const outgrown = this.#outgrows(head.contentLength)
    const keeps = verdict.kind === 'store' && outgrown === null && !failedRevalidation
    if (keeps) {
      const { meta, leaveOut } = verdict
      const rawHeaders = storedFields(answer, leaveOut)
      const made = madeFor(first, meta.vary)
      this.#storing = { kind: 'answer', madeFor: made, meta, reason: head.reason, rawHeaders, ...originOf(this.#sent) }
      if (isReusable(meta, this.#parts.now())) this.#host.shareable()
      else this.#host.close('revalidated')
    } else {
      this.#notStored(verdict.kind === 'skip' ? verdict.why : outgrown, answer.status)
      if (this.#lacksRange(answer.status)) {
        this.#dropStored()
        this.#abandon('uncacheable')
        return
      }
    }
    const length = head.framing === 'length' ? head.contentLength : -1
    const made = this.#storing?.madeFor ?? null
    const { held } = this.#parts
    const { maxBodyBytes: maxBytes } = first.settings
    const terms = { storing: keeps, maxBytes, length, first, madeFor: made, held }
    const fill = new Fill(this.#request, this, terms)
    this.#fill = fill
    const wasFirst = waiting.has(first)
    this.#deliverToFirst(head, answer)
    const notModified = wasFirst && !keeps && fill.readers === 0
    for (const lookup of [...waiting]) {
      waiting.delete(lookup)
      if (this.offer(lookup) !== true) waiting.add(lookup)
    }
    this.#host.sendOn(made)
    if (keeps && (this.wanted || background)) {
      this.#host.filling()
      return
    }
    // A small rest that nobody reads costs less than another connection.
    const drains = notModified && length !== -1 && length <= DRAINED_BYTES
    if (fill.readers > 0 || drains) {
      this.#host.over('uncacheable')
      return
    }
    // Nobody reads on to its end, which alone would show that it was whole.
    this.#dropStored()
    this.#abandon(keeps ? 'failed' : 'uncacheable')
  }

  /** A response to HEAD is delivered, and compared with what is stored for GET. */
  deliverHead(head: ResponseHead, answer: AnswerHead): void {
    const { lookup, checked } = this.#sent
    freshenFromHead(this.#parts.tiers, lookup, answer, checked)
    const { held } = this.#parts
    const terms = { storing: false, maxBytes: 0, length: -1, first: lookup, madeFor: null, held }
    this.#fill = new Fill(this.#request, this, terms)
    this.#deliverToFirst(head, answer)
  }

  /** The client whose request it is gets the response as it came, unless it has left. */
  #deliverToFirst(head: ResponseHead, answer: AnswerHead): void {
    const fill = this.#fill as Fill
    const { lookup, replaced } = this.#sent
    if (!this.#host.waiting.delete(lookup)) return
    const { recorder, view } = lookup.exchange
    // A copy has the client's own target.
    if (recorder !== null && lookup.target === view.target) {
      recorder.head(head, answer.rawHeaders)
      this.#recorder = recorder
    }
    const fetched = { answer, reason: head.reason, storing: this.#storing, replaced }
    deliverFetched(lookup, fill, fetched)
    this.#detached = this.#storing !== null && fill.readers === 0
  }

  /**
   * Answers another lookup from what is being fetched.
   * @returns false where that does not suit it; null where there is nothing yet, or it is not stored
   */
  offer(lookup: Lookup): boolean | null {
    const { counters, now } = this.#parts
    const storing = this.#storing
    if (this.#fill === null || storing === null) return null
    const nowMs = now()
    if (!suits(lookup, storing.madeFor, storing.meta, nowMs)) return false
    counters.collapsed++
    deliverCollapsed(lookup, this.#fill, storing, nowMs)
    return true
  }

  /** The client's own range would have made a part of this response, which is of use to it alone. */
  #lacksRange(status: number): boolean {
    const { lookup } = this.#sent
    return this.#host.open && status === 200 && lookup.asked.range !== null && this.#host.waiting.has(lookup)
  }

  /** The response can't be stored: what that means for what is stored, and for requests to come. */
  #notStored(why: SkipReason | Outgrown | null, status: number): void {
    const { stored } = this.#sent
    const nowMs = this.#parts.now()
    // What was invalidated meanwhile, and the response to a failed revalidation, say nothing.
    if (why === null || why === 'memory') {
      if (why !== null) this.#countSkipped(why)
      pauseRefreshes(this.#host, stored, nowMs)
      this.#host.close(null)
      return
    }
    this.#countSkipped(why)
    const refreshes = stored !== null && needsRefresh(stored.meta, nowMs)
    const { drops, marks } = aftermathOf({ status, why, refreshes })
    this.#dropsStored = drops && stored !== null
    if (!drops) pauseRefreshes(this.#host, stored, nowMs)
    this.#host.close(marks ? 'unstored' : null)
  }

  onBody(piece: Buffer): void {
    this.#recorder?.body(piece)
    this.#fill?.onBody(piece)
  }

  onPause(): void {
    this.#fill?.onPause()
  }

  onOutgrown(why: Outgrown): void {
    const { status } = (this.#storing as Storing).meta
    this.#storing = null
    this.#notStored(why, status)
    if (this.#fill?.readers !== 0) {
      this.#host.over('uncacheable')
      return
    }
    this.#dropStored()
    this.#abandon('uncacheable')
  }

  onEnd(rawTrailers: string[]): void {
    this.#dropStored()
    this.#recorder?.end()
    this.#fill?.onEnd(rawTrailers.length === 0 ? rawTrailers : trailerFields(rawTrailers))
    // What was stored has said so.
    if (!this.#over) this.#finish('uncacheable')
  }

  onFilled(body: Buffer): void {
    this.#host.filled()
    const { tiers, counters, now } = this.#parts
    counters.stored++
    this.#over = true
    const stored = completed(this.#storing as Storing, body)
    void tiers.keep(this.#sent.lookup, stored, now()).then(() => this.#host.over('stored'))
    this.#host.close(null)
  }

  /** It has broken off. */
  onBroken(failure: FailureCode, cause: Error | null): void {
    const code = failure === 'idle-timeout' && this.#fill?.paused ? 'client-stalled' : failure
    for (const reader of this.#fill?.breakOff() ?? []) reader.fail(code, cause)
    this.#finish('failed')
  }

  /** A reader's client has left. */
  left(lookup: Lookup): void {
    this.#fill?.detach(lookup)
  }

  /** What it is made for, where it is stored; else null. */
  get madeFor(): MadeFor | null {
    return this.#storing?.madeFor ?? null
  }

  /** Whether it still matters to somebody who does not wait. */
  get wanted(): boolean {
    return this.#fill !== null && (this.#fill.readers > 0 || this.#detached)
  }

  /** Nobody is left who wants it. */
  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#request.abort()
    this.#fill?.breakOff()
  }

  #dropStored(): void {
    // After a purge another answer may lie there, which this one says nothing about.
    const { tiers } = this.#parts
    if (this.#dropsStored && isCurrent(tiers, this.#sent)) tiers.drop(this.#sent.lookup)
    this.#dropsStored = false
  }

  /** Why a body of this length can't be stored, or null. */
  #outgrows(length: number): Outgrown | null {
    if (length > this.#sent.lookup.settings.maxBodyBytes) return 'too-large'
    return length > 0 && !this.#parts.held.hasRoomFor(length) ? 'memory' : null
  }

  #countSkipped(why: SkipReason | Outgrown): void {
    const { skipped } = this.#parts.counters
    skipped[why] = (skipped[why] ?? 0) + 1
  }

  /** Ends what the upstream is still sending. */
  #abandon(outcome: FillOutcome): void {
    this.#request.abort()
    this.#fill?.breakOff()
    this.#finish(outcome)
  }

  #finish(outcome: FillOutcome): void {
    if (this.#over) return
    this.#over = true
    this.#host.sendOn(null)
    this.#host.over(outcome)
  }
}
