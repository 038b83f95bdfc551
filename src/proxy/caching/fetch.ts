/**
 * The upstream fetch of a miss, and its response: a 304 revalidates what is stored, a failure is answered by the fallback or
 * stale, everything else is delivered and, where it may be, stored.
 */
import type { AnswerHead, SkipReason, StoredMeta } from '../../rules/caching/meta.ts'
import { needsRefresh } from '../../rules/caching/policy.ts'
import { aftermathOf } from '../../rules/caching/resource.ts'
import { storedFields } from '../../rules/caching/storing.ts'
import { conditionalFields, identifyNotModified } from '../../rules/caching/validation.ts'
import { FAILURES, type FailureCode } from '../../rules/failures/failure.ts'
import { interimFields, trailerFields } from '../../rules/http/headers.ts'
import { isMadeFor, type MadeFor, madeFor } from '../../state/caching/content.ts'
import type { CacheCounters } from '../../state/caching/figures.ts'
import type { Position } from '../../state/caching/log-order.ts'
import type { FillOutcome } from '../../state/caching/remote.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { CacheTiers } from '../../state/caching/tiers.ts'
import type { UpstreamState } from '../../state/upstreams/upstream.ts'
import type { Upstreams } from '../../state/upstreams/upstreams.ts'
import type { ResponseHead } from '../../wire/http1.ts'
import type { Recorder } from '../recorder.ts'
import { clientFields } from '../upstream/heads.ts'
import { deliverCollapsed, deliverFetched, deliverRevalidated, deliverStored, isReusable, suits } from './deliver.ts'
import { Fill, type FillOwner, type Outgrown } from './fill.ts'
import type { HeldBodies } from './held-bodies.ts'
import type { Unshareable } from './hit-for-miss.ts'
import type { Lookup } from './lookup.ts'
import { freshen, freshenFromHead } from './revalidate.ts'
import { answerFailed, type Failed } from './stale-if-error.ts'
import { completed, mayStoreFetched, type Storing } from './store.ts'
import { UpstreamRequest, type UpstreamRequestOwner } from './upstream-request.ts'

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
}

/** The miss that a fetch is for. */
export interface FetchHost {
  /** Those who have no answer yet; who is answered, sent on or told to wait elsewhere is taken out. */
  readonly waiting: Set<Lookup>
  /** Others may join. */
  readonly open: boolean
  /** Nobody waits: a stale response is revalidated. */
  readonly background: boolean
  /** The lookup gets an upstream request of its own. */
  fetchAlone(lookup: Lookup): void
  /** The lookup needs another variant; the response varies by these fields. */
  joinVariant(lookup: Lookup, vary: readonly string[]): void
  /** The lookup's exchange goes to the fallback. */
  fallBack(lookup: Lookup): void
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

/** The fetch of one miss. */
export class Fetch implements UpstreamRequestOwner, FillOwner {
  readonly #parts: FetchParts
  readonly #host: FetchHost
  /** Whose request it is; its client need not stay. */
  readonly #lookup: Lookup
  readonly #stored: StoredAnswer | null
  readonly #position: Position
  readonly #checked: number
  readonly #retriesBefore: number
  #requestMs = 0
  #request!: UpstreamRequest
  #validating = false
  /** Conditions of banyan's own are sent in place of the client's. */
  #replaced = false
  /** Fields that were known to select responses when the request was sent. */
  #vary: readonly string[] = []
  #fill: Fill | null = null
  /** What is being stored, without its body. */
  #storing: Storing | null = null
  /** Hears the response of this fetch, as the client whose request it is gets it. */
  #recorder: Recorder | null = null
  /** The client whose request it is was answered without the body, which is only stored. */
  #detached = false
  /** What is stored is no longer true, although this response can't be stored in its place. */
  #dropsStored = false
  #over = false

  /** @param stored what may be revalidated, or served if the upstream fails */
  constructor(parts: FetchParts, host: FetchHost, lookup: Lookup, stored: StoredAnswer | null) {
    this.#parts = parts
    this.#host = host
    this.#lookup = lookup
    this.#stored = stored
    this.#position = parts.tiers.purges.position
    this.#checked = parts.tiers.purges.count
    this.#retriesBefore = lookup.exchange.retries
  }

  /** @param validate what is stored is to be revalidated, where it has a validator */
  start(validate: boolean): void {
    const { isHead } = this.#lookup
    const { background } = this.#host
    const conditions = validate && this.#stored !== null && !isHead ? conditionalFields([this.#stored.meta]) : []
    this.#validating = conditions.length > 0
    this.#send(this.#validating || this.#fills ? conditions : null, isHead && !background ? 'HEAD' : 'GET')
  }

  /** The whole is fetched, without the client's own conditions: then it can be stored, and answer others. */
  get #fills(): boolean {
    return this.#host.open || this.#host.background
  }

  #send(conditions: readonly string[] | null, method: 'GET' | 'HEAD'): void {
    const { exchange } = this.#lookup
    const { tiers } = this.#parts
    const { target } = this.#lookup
    const terms = { target, vary: tiers.varyOf(this.#lookup.key), conditions, whole: this.#fills }
    const order = { exchange, upstream: exchange.decision.upstream, side: this.#lookup.side, method, ...terms }
    this.#replaced = conditions !== null
    this.#vary = order.vary
    this.#requestMs = this.#parts.now()
    this.#parts.counters.fetches++
    this.#request = new UpstreamRequest(this.#parts.upstreams, order, this)
    this.#request.start(this.#parts.upstreams.get(order.upstream)?.settings.totalTimeoutMs ?? null)
  }

  onInformation(head: ResponseHead): void {
    if (!this.#host.waiting.has(this.#lookup)) return
    this.#lookup.exchange.answer.information(head.status, interimFields(head.rawHeaders))
  }

  onHead(head: ResponseHead, upstream: UpstreamState): void {
    const { exchange } = this.#lookup
    this.#noteServer()
    const fields = clientFields(exchange, head, upstream, this.#lookup.side)
    const answer = {
      status: head.status,
      rawHeaders: fields,
      requestMs: this.#requestMs,
      responseMs: this.#parts.now(),
    }
    if (head.status === 304 && this.#validating) this.#revalidated(answer)
    else if (this.#failed({ failed: { status: head.status }, how: head.status, ...this.#askedServer(null) }))
      this.#abandon('failed')
    else if (this.#lookup.isHead && !this.#host.background) this.#deliverHead(head, answer)
    else this.#deliver(head, answer)
  }

  /** RFC 9111 section 4.3.3: the upstream confirms what is stored. */
  #revalidated(answer: AnswerHead): void {
    const stored = this.#stored as StoredAnswer
    if (identifyNotModified([stored.meta], answer.rawHeaders).length === 0) {
      // A 304 for something that is not stored here: the request goes out again, without conditions.
      this.#request.abort()
      this.#validating = false
      this.#send([], 'GET')
      return
    }
    const { tiers, counters } = this.#parts
    const { waiting } = this.#host
    const nowMs = answer.responseMs
    const revalidated = freshen(tiers, this.#lookup, stored, { ...answer, origin: this.#origin() })
    const next = revalidated.answer
    const { keeps } = revalidated
    counters.revalidated++
    this.#over = true
    const kept = keeps ? tiers.keep(this.#lookup, next, nowMs) : null
    if (!keeps) this.#pauseRefreshes()
    if (waiting.delete(this.#lookup)) {
      const reason = this.#lookup.forwardReason
      const handling = { kind: 'forward', reason, forwardStatus: 304, stored: keeps } as const
      deliverStored(this.#lookup, next, { word: 'revalidated', handling, more: revalidated.forClient }, nowMs)
    }
    for (const lookup of [...waiting]) {
      if (!keeps || !this.#suits(lookup, next.content.madeFor, next.meta)) continue
      if (!deliverRevalidated(lookup, next, nowMs)) continue
      waiting.delete(lookup)
      counters.collapsed++
    }
    this.#tellShareable(keeps && isReusable(next.meta, nowMs), keeps ? 'revalidated' : 'unstored')
    this.#sendOnRest(keeps ? next.content.madeFor : null)
    if (kept === null) this.#host.over('uncacheable')
    else {
      this.#host.close(null)
      void kept.then(() => this.#host.over('stored'))
    }
  }

  /**
   * The upstream has failed, or its status may count as a failure: others may answer in its place.
   * @returns whether nobody needs this response any more
   */
  #failed(what: Failed): boolean {
    const { waiting, background, fallBack } = this.#host
    const { counters, now } = this.#parts
    const stored = this.#stored
    answerFailed({ waiting, stored, counters, fallBack: fallBack.bind(this.#host) }, what, now())
    if (!background) return waiting.size === 0
    if (what.how !== 'unreachable' && what.how < 500) return false
    // The response to a failed background revalidation never takes the place of what is stored.
    counters.refreshFailures++
    this.#pauseRefreshes()
    return waiting.size === 0
  }

  /** A background revalidation has left what is stored as it was: not each request that is served begins another one. */
  #pauseRefreshes(): void {
    if (this.#host.background && this.#stored !== null) {
      this.#stored.refreshAfterMs = this.#parts.now() + REVALIDATION_PAUSE_MS
    }
  }

  /** A response to HEAD is delivered, and compared with what is stored for GET. */
  #deliverHead(head: ResponseHead, answer: AnswerHead): void {
    freshenFromHead(this.#parts.tiers, this.#lookup, answer, this.#checked)
    const terms = {
      storing: false,
      maxBytes: 0,
      length: -1,
      first: this.#lookup,
      madeFor: null,
      held: this.#parts.held,
    }
    this.#fill = new Fill(this.#request, this, terms)
    this.#deliverToFirst(head, answer)
  }

  /** The response is delivered to all that it suits, and stored where it may be. */
  #deliver(head: ResponseHead, answer: AnswerHead): void {
    const { settings } = this.#lookup
    const verdict = mayStoreFetched(this.#lookup, head, answer, { vary: this.#vary, replaced: this.#replaced })
    const { background, waiting } = this.#host
    const failedRevalidation = this.#stored !== null && answer.status >= 500
    const outgrown = this.#outgrows(head.contentLength)
    const keeps = verdict.kind === 'store' && outgrown === null && !failedRevalidation
    if (keeps) {
      const { meta, leaveOut } = verdict
      const rawHeaders = storedFields(answer, leaveOut)
      const made = madeFor(this.#lookup, meta.vary)
      this.#storing = { kind: 'answer', madeFor: made, meta, reason: head.reason, rawHeaders, ...this.#origin() }
      this.#tellShareable(isReusable(meta, this.#parts.now()), 'revalidated')
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
    const terms = { storing: keeps, maxBytes: settings.maxBodyBytes, length, first: this.#lookup, madeFor: made, held }
    const fill = new Fill(this.#request, this, terms)
    this.#fill = fill
    const wasFirst = waiting.has(this.#lookup)
    this.#deliverToFirst(head, answer)
    const notModified = wasFirst && !keeps && fill.readers === 0
    for (const lookup of [...waiting]) {
      if (this.#storing === null || !this.#suits(lookup, this.#storing.madeFor, this.#storing.meta)) continue
      waiting.delete(lookup)
      this.#collapse(lookup, fill, this.#storing)
    }
    this.#sendOnRest(made)
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

  /** The client whose request it is gets the response as it came, unless it has left. */
  #deliverToFirst(head: ResponseHead, answer: AnswerHead): void {
    const fill = this.#fill as Fill
    if (!this.#host.waiting.delete(this.#lookup)) return
    const { recorder, view } = this.#lookup.exchange
    // A copy has the client's own target.
    if (recorder !== null && this.#lookup.target === view.target) {
      recorder.head(head, answer.rawHeaders)
      this.#recorder = recorder
    }
    const fetched = { answer, reason: head.reason, storing: this.#storing, replaced: this.#replaced }
    deliverFetched(this.#lookup, fill, fetched)
    this.#detached = this.#storing !== null && fill.readers === 0
  }

  /**
   * Answers a lookup that joined late from what is being fetched.
   * @returns false where nothing has come yet; it then waits
   */
  join(lookup: Lookup): boolean {
    if (this.#fill === null || this.#storing === null) return false
    if (this.#suits(lookup, this.#storing.madeFor, this.#storing.meta))
      this.#collapse(lookup, this.#fill, this.#storing)
    else this.#host.fetchAlone(lookup)
    return true
  }

  #collapse(lookup: Lookup, fill: Fill, storing: Storing): void {
    this.#parts.counters.collapsed++
    deliverCollapsed(lookup, fill, storing, this.#parts.now())
  }

  #suits(lookup: Lookup, made: MadeFor, meta: StoredMeta): boolean {
    return suits(lookup, made, meta, this.#parts.now())
  }

  /** The client's own range would have made a part of this response, which is of use to it alone. */
  #lacksRange(status: number): boolean {
    return (
      this.#host.open && status === 200 && this.#lookup.asked.range !== null && this.#host.waiting.has(this.#lookup)
    )
  }

  /** The response can't be stored: what that means for what is stored, and for requests to come. */
  #notStored(why: SkipReason | Outgrown | null, status: number): void {
    // What was invalidated meanwhile, and the response to a failed revalidation, say nothing.
    if (why === null || why === 'memory') {
      if (why !== null) this.#countSkipped(why)
      this.#pauseRefreshes()
      this.#host.close(null)
      return
    }
    this.#countSkipped(why)
    const refreshes = this.#stored !== null && needsRefresh(this.#stored.meta, this.#parts.now())
    const { drops, marks } = aftermathOf({ status, why, refreshes })
    this.#dropsStored = drops && this.#stored !== null
    if (!drops) this.#pauseRefreshes()
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
    this.#storing = null
    this.#pauseRefreshes()
    this.#countSkipped(why)
    this.#host.close(why === 'too-large' ? 'unstored' : null)
    if (this.#fill?.readers === 0) this.#abandon('uncacheable')
    else this.#host.over('uncacheable')
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
    void tiers.keep(this.#lookup, stored, now()).then(() => this.#host.over('stored'))
    this.#host.close(null)
  }

  onFailed(failure: FailureCode, cause: Error | null): void {
    this.#noteServer()
    const { waiting } = this.#host
    if (this.#fill !== null) {
      const code = failure === 'idle-timeout' && this.#fill.paused ? 'client-stalled' : failure
      for (const reader of this.#fill.breakOff()) reader.fail(code, cause)
    } else if (
      !this.#failed({ failed: { failure }, how: 'unreachable', ...this.#askedServer(cause) }) &&
      waiting.delete(this.#lookup)
    ) {
      // RFC 9111 section 5.2.2.2: what must be revalidated and can't be is a 504, whatever stands in the way.
      const mustRevalidate = this.#stored?.meta.mustRevalidate === true && FAILURES[failure].culprit === 'upstream'
      this.#lookup.fail(failure, cause, mustRevalidate ? 504 : undefined)
    }
    this.#finish('failed')
  }

  /** A reader's client has left. */
  left(lookup: Lookup): void {
    this.#fill?.detach(lookup)
  }

  /** What the response that is being stored is made for; null before its head has come, and where it is not stored. */
  get madeFor(): MadeFor | null {
    return this.#storing?.madeFor ?? null
  }

  /** Whether it still matters to somebody who does not wait. */
  get wanted(): boolean {
    return this.#fill !== null && (this.#fill.readers > 0 || this.#detached)
  }

  /** Whether others may join: no purge that may cover what it brings has come since it was sent. */
  get current(): boolean {
    return !this.#parts.tiers.purges.touches(this.#lookup, this.#checked)
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
    if (this.#dropsStored && this.current) this.#parts.tiers.drop(this.#lookup)
    this.#dropsStored = false
  }

  /** Why a body of this length can't be stored, or null. */
  #outgrows(length: number): Outgrown | null {
    if (length > this.#lookup.settings.maxBodyBytes) return 'too-large'
    return length > 0 && !this.#parts.held.hasRoomFor(length) ? 'memory' : null
  }

  #countSkipped(why: SkipReason | Outgrown): void {
    const { skipped } = this.#parts.counters
    skipped[why] = (skipped[why] ?? 0) + 1
  }

  #tellShareable(is: boolean, otherwise: Unshareable): void {
    if (is) this.#host.shareable()
    else this.#host.close(otherwise)
  }

  /** What is requested now has seen these purges. */
  #origin(): Pick<StoredAnswer, 'position' | 'checked' | 'refreshAfterMs' | 'written'> {
    return { position: this.#position, checked: this.#checked, refreshAfterMs: 0, written: null }
  }

  #askedServer(cause: Error | null): Pick<Failed, 'server' | 'cause'> {
    return { server: this.#request.server?.server.id ?? null, cause }
  }

  /** The log tells which server answered. */
  #noteServer(): void {
    const { exchange } = this.#lookup
    exchange.server = this.#askedServer(null).server
    exchange.retries = this.#retriesBefore + this.#request.retries
  }

  /** Those whom the response does not suit fetch by themselves, or together with others that need the same variant. */
  #sendOnRest(made: MadeFor | null): void {
    for (const lookup of [...this.#host.waiting]) {
      this.#host.waiting.delete(lookup)
      if (made === null || isMadeFor(made, lookup)) this.#host.fetchAlone(lookup)
      else this.#host.joinVariant(lookup, made.vary)
    }
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
    this.#sendOnRest(null)
    this.#host.over(outcome)
  }
}
