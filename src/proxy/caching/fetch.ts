/**
 * The upstream fetch of a miss: a 304 revalidates what is stored, a failure is answered by the fallback or stale, every other
 * response is delivered and stored (response.ts).
 */
import type { AnswerHead } from '../../rules/caching/meta.ts'
import { conditionalFields, identifyNotModified } from '../../rules/caching/validation.ts'
import { FAILURES, type FailureCode } from '../../rules/failures/failure.ts'
import type { MadeFor } from '../../state/caching/content.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { UpstreamState } from '../../state/upstreams/upstream.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import { clientFields, clientInterimFields } from '../upstream/heads.ts'
import { deliverRevalidated, deliverStored, isReusable, suits } from './deliver.ts'
import type { Lookup } from './lookup.ts'
import {
  FetchedResponse,
  type FetchHost,
  type FetchParts,
  isCurrent,
  originOf,
  pauseRefreshes,
  type Sent,
} from './response.ts'
import { freshen } from './revalidate.ts'
import { answerFailed, type Failed } from './stale-if-error.ts'
import { UpstreamRequest, type UpstreamRequestOwner } from './upstream-request.ts'

/** The fetch of one miss. */
export class Fetch implements UpstreamRequestOwner {
  readonly #parts: FetchParts
  readonly #host: FetchHost
  readonly #lookup: Lookup
  readonly #stored: StoredAnswer | null
  readonly #retriesBefore: number
  readonly #known: Pick<Sent, 'position' | 'checked'>
  #sent!: Sent
  #requestMs = 0
  #request!: UpstreamRequest
  #validating = false
  #response: FetchedResponse | null = null
  #over = false

  /**
   * @param lookup whose request is sent
   * @param stored what may be revalidated, or served if the upstream fails
   */
  constructor(parts: FetchParts, host: FetchHost, lookup: Lookup, stored: StoredAnswer | null) {
    this.#parts = parts
    this.#host = host
    this.#lookup = lookup
    this.#stored = stored
    this.#known = { position: parts.tiers.purges.position, checked: parts.tiers.purges.count }
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
    const { exchange, side, target, key } = this.#lookup
    const { tiers, upstreams, counters, now } = this.#parts
    const vary = tiers.varyOf(key)
    const { upstream } = exchange.decision
    this.#sent = { lookup: this.#lookup, stored: this.#stored, ...this.#known, vary, replaced: conditions !== null }
    this.#requestMs = now()
    counters.fetches++
    const order = { exchange, upstream, side, method, target, vary, conditions, whole: this.#fills }
    this.#request = new UpstreamRequest(upstreams, order, this)
    this.#request.start(upstreams.get(upstream)?.settings.totalTimeoutMs ?? null)
  }

  onInformation(head: ResponseHead, upstream: UpstreamState): void {
    const { exchange, side } = this.#lookup
    if (!this.#host.waiting.has(this.#lookup)) return
    exchange.answer.information(head.status, head.reason, clientInterimFields(exchange, head, upstream, side))
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
    if (head.status === 304 && this.#validating) {
      this.#revalidated(answer)
      return
    }
    if (this.#answerFailed({ failed: { status: head.status }, how: head.status, ...this.#askedServer(null) })) {
      this.#request.abort()
      this.#finish()
      return
    }
    this.#response = new FetchedResponse(this.#parts, this.#host, this.#sent, this.#request)
    if (this.#lookup.isHead && !this.#host.background) this.#response.deliverHead(head, answer)
    else this.#response.deliver(head, answer)
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
    const revalidated = freshen(tiers, this.#lookup, stored, { ...answer, origin: originOf(this.#sent) })
    const next = revalidated.answer
    const { keeps } = revalidated
    counters.revalidated++
    this.#over = true
    const kept = keeps ? tiers.keep(this.#lookup, next, nowMs) : null
    if (!keeps) pauseRefreshes(this.#host, stored, nowMs)
    if (waiting.delete(this.#lookup)) {
      const reason = this.#lookup.forwardReason
      const handling = { kind: 'forward', reason, forwardStatus: 304, stored: keeps } as const
      deliverStored(this.#lookup, next, { word: 'revalidated', handling, more: revalidated.forClient }, nowMs)
    }
    for (const lookup of [...waiting]) {
      if (!keeps || !suits(lookup, next.content.madeFor, next.meta, nowMs)) continue
      if (!deliverRevalidated(lookup, next, nowMs)) continue
      waiting.delete(lookup)
      counters.collapsed++
    }
    if (keeps && isReusable(next.meta, nowMs)) this.#host.shareable()
    else this.#host.close(keeps ? 'revalidated' : 'unstored')
    this.#host.sendOn(keeps ? next.content.madeFor : null)
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
  #answerFailed(what: Failed): boolean {
    const { waiting, background } = this.#host
    const { counters, now, fallBack } = this.#parts
    const stored = this.#stored
    answerFailed({ waiting, stored, counters, fallBack }, what, now())
    if (!background) return waiting.size === 0
    if (what.how !== 'unreachable' && what.how < 500) return false
    // The response to a failed background revalidation never takes the place of what is stored.
    counters.refreshFailures++
    pauseRefreshes(this.#host, stored, now())
    return waiting.size === 0
  }

  /** No response has come. */
  onFailed(failure: FailureCode, cause: Error | null): void {
    this.#noteServer()
    const answered = this.#answerFailed({ failed: { failure }, how: 'unreachable', ...this.#askedServer(cause) })
    if (!answered && this.#host.waiting.delete(this.#lookup)) {
      // RFC 9111 section 5.2.2.2: what must be revalidated and can't be is a 504, whatever stands in the way.
      const mustRevalidate = this.#stored?.meta.mustRevalidate === true && FAILURES[failure].culprit === 'upstream'
      this.#lookup.fail(failure, cause, mustRevalidate ? 504 : undefined)
    }
    this.#finish()
  }

  /** @see FetchedResponse.offer */
  offer(lookup: Lookup): boolean | null {
    return this.#response?.offer(lookup) ?? null
  }

  /** A reader's client has left. */
  left(lookup: Lookup): void {
    this.#response?.left(lookup)
  }

  /** What the response that is being stored is made for; null before its head has come, and where it is not stored. */
  get madeFor(): MadeFor | null {
    return this.#response?.madeFor ?? null
  }

  /** Whether it still matters to somebody who does not wait. */
  get wanted(): boolean {
    return this.#response?.wanted ?? false
  }

  /** Whether others may join: no purge that may cover what it brings has come since it was sent. */
  get current(): boolean {
    return isCurrent(this.#parts.tiers, this.#sent)
  }

  /** Nobody is left who wants it. */
  abort(): void {
    if (this.#response !== null) this.#response.abort()
    else if (!this.#over) {
      this.#over = true
      this.#request.abort()
    }
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

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#host.sendOn(null)
    this.#host.over('failed')
  }
}
