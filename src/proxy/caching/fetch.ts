/**
 * One request of a flight to the upstream, and what its answer means for those who wait: it passes on to them, it confirms
 * what is stored, or something stored stands in for it.
 */
import type { AnswerHead, SkipReason, StoredMeta } from '../../rules/caching/meta.ts'
import { aftermathOf } from '../../rules/caching/resource.ts'
import { hasAliasOf, passedFields } from '../../rules/caching/sent.ts'
import { mayStore, type StoreVerdict, storedFields } from '../../rules/caching/storing.ts'
import { conditionalFields, identifyNotModified } from '../../rules/caching/validation.ts'
import type { FailureCode } from '../../rules/failures/failure.ts'
import { fieldValue } from '../../rules/http/exchange.ts'
import { interimFields, trailerFields } from '../../rules/http/headers.ts'
import { Content, type MadeFor, madeFor } from '../../state/caching/content.ts'
import type { CacheCounters } from '../../state/caching/figures.ts'
import type { FillOutcome } from '../../state/caching/remote.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { CacheTiers } from '../../state/caching/tiers.ts'
import type { UpstreamState } from '../../state/upstreams/upstream.ts'
import type { Upstreams } from '../../state/upstreams/upstreams.ts'
import type { ResponseHead } from '../../wire/http1.ts'
import { clientFields } from '../upstream/heads.ts'
import { answerStored } from './deliver.ts'
import { Fill, type FillOwner } from './fill.ts'
import type { Visit } from './lookup.ts'
import { compareHead, confirm } from './revalidate.ts'
import { isReusable, passOn, type Storing, share, streamAlong, suits } from './share.ts'
import { type Failed, standIn } from './stale-if-error.ts'
import { CONDITIONS, Fetch, type FetchOwner, RANGES } from './upstream-request.ts'

/** After a failed refresh a stale answer is served for so long without another one. */
const REFRESH_PAUSE_MS = 1000

/** What an ask needs of the process. */
export interface AskParts {
  readonly tiers: CacheTiers
  readonly upstreams: Upstreams
  readonly counters: CacheCounters
  /** Epoch milliseconds. */
  now(): number
}

/** The flight that asks. */
export interface AskHost {
  /** Those who have no answer yet; who is answered, sent on or told to wait elsewhere is taken out. */
  readonly waiting: Set<Visit>
  /** Nobody waits: what is stored is to be refreshed. */
  readonly background: boolean
  /** What comes is untrue by now, and must not be stored. */
  readonly discarded: boolean
  /** The visit goes on by itself. */
  alone(visit: Visit): void
  /** The visit's exchange goes to the other side of its route. */
  fallBack(visit: Visit): void
  /** Nobody should join, now or (with `lasting`) for a while. */
  shut(lasting: boolean): void
  /** What is fetched can be shared. */
  shareable(): void
  over(outcome: FillOutcome): void
}

/** A request to the upstream on behalf of a flight. */
export class Ask implements FetchOwner, FillOwner {
  readonly #parts: AskParts
  readonly #host: AskHost
  /** Whose request it is; its client need not stay. */
  readonly #visit: Visit
  readonly #stored: StoredAnswer | null
  readonly #generation: number
  readonly #checked: number
  readonly #retriesBefore: number
  #requestMs = 0
  #fetch!: Fetch
  #validating = false
  /** Our conditions are sent in the place of the client's own. */
  #replaced = false
  /** Fields that were known to select answers when the request was sent. */
  #vary: readonly string[] = []
  #fill: Fill | null = null
  /** What is being stored, without its body. */
  #storing: Storing | null = null
  /** What is stored is untrue, although this answer can't be stored in its place. */
  #ousts = false
  #over = false

  /** @param stored what may be validated, or stand in for a failure */
  constructor(parts: AskParts, host: AskHost, visit: Visit, stored: StoredAnswer | null) {
    this.#parts = parts
    this.#host = host
    this.#visit = visit
    this.#stored = stored
    this.#generation = parts.tiers.purges.generation
    this.#checked = parts.tiers.purges.count
    this.#retriesBefore = visit.exchange.retries
  }

  /** @param validate whether the upstream is asked to confirm what is stored, where that has a validator */
  start(validate: boolean): void {
    const { isHead } = this.#visit
    const { background } = this.#host
    const conditions = validate && this.#stored !== null && !isHead ? conditionalFields([this.#stored.meta]) : []
    this.#validating = conditions.length > 0
    this.#send(this.#validating || background ? conditions : null, isHead && !background ? 'HEAD' : 'GET')
  }

  #send(conditions: readonly string[] | null, method: 'GET' | 'HEAD'): void {
    const { exchange } = this.#visit
    const { tiers } = this.#parts
    const { target } = this.#visit
    const terms = { target, vary: tiers.varyOf(this.#visit.key), conditions, whole: this.#host.background }
    const order = { exchange, upstream: exchange.decision.upstream, method, ...terms }
    this.#replaced = conditions !== null
    this.#vary = order.vary
    this.#requestMs = this.#parts.now()
    this.#parts.counters.fetches++
    this.#fetch = new Fetch(this.#parts.upstreams, order, this)
    this.#fetch.start(this.#parts.upstreams.get(order.upstream)?.settings.totalTimeoutMs ?? null)
  }

  /** Nothing more comes of it: nobody is left who wants it. */
  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#fetch.abort()
    this.#fill?.breakOff()
  }

  /** Whether it still matters to somebody who does not wait. */
  get wanted(): boolean {
    return this.#fill !== null && (this.#fill.readers > 0 || this.#detached)
  }

  /** The one who asked was answered at once, and what comes is only stored. */
  #detached = false

  /** Whether what it knows so far may be joined: purges have come since it was sent otherwise. */
  get current(): boolean {
    return this.#checked === this.#parts.tiers.purges.count
  }

  /**
   * Answers one who came late from what is under way.
   * @returns false where there is nothing yet; it then waits
   */
  offer(visit: Visit): boolean {
    if (this.#fill === null || this.#storing === null) return false
    if (this.#suits(visit, this.#storing.madeFor, this.#storing.meta)) this.#stream(visit, this.#fill, this.#storing)
    else this.#host.alone(visit)
    return true
  }

  /** A reader's client has gone. */
  left(visit: Visit): void {
    this.#fill?.detach(visit)
  }

  onFetchInformation(head: ResponseHead): void {
    if (!this.#host.waiting.has(this.#visit)) return
    this.#visit.exchange.answer.information(head.status, interimFields(head.rawHeaders))
  }

  onFetchHead(head: ResponseHead, upstream: UpstreamState): void {
    const { exchange } = this.#visit
    this.#note()
    const fields = clientFields(exchange, head, upstream.origins)
    const answer = {
      status: head.status,
      rawHeaders: fields,
      requestMs: this.#requestMs,
      responseMs: this.#parts.now(),
    }
    if (head.status === 304 && this.#validating) this.#confirmed(answer)
    else if (this.#standIn({ failed: { status: head.status }, how: head.status, ...this.#asked(null) }))
      this.#end('failed')
    else if (this.#visit.isHead && !this.#host.background) this.#passHead(head, answer)
    else this.#pass(head, answer)
  }

  onFetchBody(piece: Buffer): void {
    this.#fill?.onBody(piece)
  }

  onFetchPause(): void {
    this.#fill?.onPause()
  }

  onFetchEnd(rawTrailers: string[]): void {
    this.#drop()
    this.#fill?.onEnd(rawTrailers.length === 0 ? rawTrailers : trailerFields(rawTrailers))
    // What was stored has said so.
    if (!this.#over) this.#finish('uncacheable')
  }

  onFetchFailed(failure: FailureCode, cause: Error | null): void {
    this.#note()
    const { waiting } = this.#host
    if (this.#fill !== null) {
      const code = failure === 'idle-timeout' && this.#fill.paused ? 'client-stalled' : failure
      for (const reader of this.#fill.breakOff()) reader.fail(code, cause)
    } else if (
      !this.#standIn({ failed: { failure }, how: 'unreachable', ...this.#asked(cause) }) &&
      waiting.delete(this.#visit)
    ) {
      this.#visit.fail(failure, cause)
    }
    this.#finish('failed')
  }

  onFilled(body: Buffer): void {
    const { tiers, counters, now } = this.#parts
    const { madeFor: made, ...storing } = this.#storing as Storing
    const stored = { ...storing, content: new Content(made, body) }
    if (this.#host.discarded) this.#finish('failed')
    else {
      counters.stored++
      this.#over = true
      const kept = { ...stored, rawHeaders: withLength(stored, body.length) }
      void tiers.keep(this.#visit, kept, now()).then(() => this.#host.over('stored'))
      this.#host.shut(false)
    }
  }

  onTooLarge(): void {
    this.#storing = null
    this.#skip('too-large')
    this.#host.shut(true)
    this.#host.over('uncacheable')
  }

  #asked(cause: Error | null): Pick<Failed, 'server' | 'cause'> {
    return { server: this.#fetch.server?.server.id ?? null, cause }
  }

  /** The exchange tells which server answered it. */
  #note(): void {
    const { exchange } = this.#visit
    exchange.server = this.#asked(null).server
    exchange.retries = this.#retriesBefore + this.#fetch.retries
  }

  /** RFC 9111 section 4.3.3: the upstream says that what is stored is still true. */
  #confirmed(answer: AnswerHead): void {
    const stored = this.#stored as StoredAnswer
    if (identifyNotModified([stored.meta], answer.rawHeaders).length === 0) {
      // A 304 for something that is not stored here: ask for the thing itself.
      this.#fetch.abort()
      this.#validating = false
      this.#send([], 'GET')
      return
    }
    const { tiers, counters } = this.#parts
    const { waiting, discarded } = this.#host
    const nowMs = answer.responseMs
    const confirmed = confirm(tiers, this.#visit, stored, { ...answer, origin: this.#origin() })
    const next = confirmed.answer
    const keeps = confirmed.keeps && !discarded
    counters.revalidated++
    this.#over = true
    const kept = keeps ? tiers.keep(this.#visit, next, nowMs) : null
    if (waiting.delete(this.#visit)) {
      const reason = this.#visit.forwardReason
      const handling = { kind: 'forward', reason, forwardStatus: 304, stored: keeps } as const
      answerStored(this.#visit, next, { word: 'revalidated', handling, more: confirmed.forClient }, nowMs)
      this.#visit.done()
    }
    for (const visit of [...waiting]) {
      if (!keeps || !this.#suits(visit, next.content.madeFor, next.meta) || !share(visit, next, nowMs)) continue
      waiting.delete(visit)
      counters.collapsed++
    }
    this.#tellShareable(keeps && isReusable(next.meta, nowMs))
    this.#sendOn()
    if (kept === null) this.#host.over('uncacheable')
    else {
      this.#host.shut(false)
      void kept.then(() => this.#host.over('stored'))
    }
  }

  /**
   * Lets others stand in for a failure.
   * @returns whether nobody needs this answer any more
   */
  #standIn(what: Failed): boolean {
    const { waiting, background, fallBack } = this.#host
    const { counters, now } = this.#parts
    const stored = this.#stored
    standIn({ waiting, stored, counters, fallBack: fallBack.bind(this.#host) }, what, now())
    if (!background) return waiting.size === 0
    if (what.how !== 'unreachable' && what.how < 500) return false
    // A refresh that failed never takes the place of what is stored.
    counters.refreshFailures++
    if (stored !== null) stored.refreshAfterMs = now() + REFRESH_PAUSE_MS
    return waiting.size === 0
  }

  /** An answer to HEAD passes, and is compared with what is stored for GET. */
  #passHead(head: ResponseHead, answer: AnswerHead): void {
    compareHead(this.#parts.tiers, this.#visit, answer)
    this.#fill = new Fill(this.#fetch, this, {
      storing: false,
      maxBytes: 0,
      length: -1,
      asker: this.#visit,
      madeFor: null,
    })
    this.#passOn(head, answer)
  }

  /** The answer passes on to those who may have it, and into the store where it may be kept. */
  #pass(head: ResponseHead, answer: AnswerHead): void {
    const { settings } = this.#visit
    const verdict = this.#verdict(head, answer)
    const { background, discarded, waiting } = this.#host
    const failedRefresh = this.#stored !== null && answer.status >= 500
    const fits = head.contentLength <= settings.maxBodyBytes
    const keeps = verdict.kind === 'store' && fits && !discarded && !failedRefresh
    if (keeps) {
      const { meta, leaveOut } = verdict
      const rawHeaders = storedFields(answer, leaveOut)
      const made = madeFor(this.#visit, meta.vary)
      this.#storing = { kind: 'answer', madeFor: made, meta, reason: head.reason, rawHeaders, ...this.#origin() }
      this.#tellShareable(isReusable(meta, this.#parts.now()))
    } else this.#refuse(verdict, answer.status)
    const length = head.framing === 'length' ? head.contentLength : -1
    const made = this.#storing?.madeFor ?? null
    const terms = { storing: keeps, maxBytes: settings.maxBodyBytes, length, asker: this.#visit, madeFor: made }
    const fill = new Fill(this.#fetch, this, terms)
    this.#fill = fill
    this.#passOn(head, answer)
    for (const visit of [...waiting]) {
      if (this.#storing === null || !this.#suits(visit, this.#storing.madeFor, this.#storing.meta)) continue
      waiting.delete(visit)
      this.#stream(visit, fill, this.#storing)
    }
    this.#sendOn()
    if (keeps && (this.wanted || background)) return
    // Nobody reads on to its end, which alone would show that it was whole.
    if (fill.readers === 0) this.#drop()
    if (fill.readers === 0) this.#end(keeps ? 'failed' : 'uncacheable')
    else this.#host.over('uncacheable')
  }

  #verdict(head: ResponseHead, answer: AnswerHead): StoreVerdict {
    if (head.bindsConnection) return { kind: 'skip', why: 'authorization' }
    const verdict = mayStore(this.#visit.request(), answer, this.#visit.settings)
    if (verdict.kind === 'skip') return verdict
    const { vary } = verdict.meta
    // What selected it is not what the request would be compared by.
    const replaced = this.#replaced && vary.some((name) => CONDITIONS.has(name) || RANGES.has(name))
    const sent = passedFields(this.#visit.fields, this.#visit.settings, this.#vary)
    return replaced || hasAliasOf(sent, vary) ? { kind: 'skip', why: 'vary' } : verdict
  }

  /** The one who asked gets the answer as it came, unless it has gone. */
  #passOn(head: ResponseHead, answer: AnswerHead): void {
    const fill = this.#fill as Fill
    if (!this.#host.waiting.delete(this.#visit)) return
    const passing = { answer, reason: head.reason, storing: this.#storing, replaced: this.#validating }
    passOn(this.#visit, fill, passing)
    this.#detached = this.#storing !== null && fill.readers === 0
  }

  #stream(visit: Visit, fill: Fill, storing: Storing): void {
    this.#parts.counters.collapsed++
    streamAlong(visit, fill, storing, this.#parts.now())
  }

  #suits(visit: Visit, made: MadeFor, meta: StoredMeta): boolean {
    return suits(visit, made, meta, this.#parts.now())
  }

  #refuse(verdict: StoreVerdict, status: number): void {
    const why = verdict.kind === 'skip' ? verdict.why : 'too-large'
    this.#skip(why)
    const refreshes = this.#stored !== null && this.#parts.now() >= this.#stored.meta.freshUntilMs
    const { drops, marks } = aftermathOf({ request: this.#visit.request(), status, why, refreshes })
    this.#ousts = drops && this.#stored !== null
    this.#host.shut(marks)
  }

  #drop(): void {
    if (this.#ousts) this.#parts.tiers.drop(this.#visit)
    this.#ousts = false
  }

  #skip(why: SkipReason | 'too-large'): void {
    const { skipped } = this.#parts.counters
    skipped[why] = (skipped[why] ?? 0) + 1
  }

  #tellShareable(is: boolean): void {
    if (is) this.#host.shareable()
    else this.#host.shut(true)
  }

  /** What is asked for now has seen these purges. */
  #origin(): Pick<StoredAnswer, 'generation' | 'checked' | 'refreshAfterMs' | 'written'> {
    return { generation: this.#generation, checked: this.#checked, refreshAfterMs: 0, written: null }
  }

  /** Those who still wait go on by themselves. */
  #sendOn(): void {
    for (const visit of [...this.#host.waiting]) {
      this.#host.waiting.delete(visit)
      this.#host.alone(visit)
    }
  }

  /** Ends what the upstream is still sending. */
  #end(outcome: FillOutcome): void {
    this.#fetch.abort()
    this.#finish(outcome)
  }

  #finish(outcome: FillOutcome): void {
    if (this.#over) return
    this.#over = true
    this.#sendOn()
    this.#host.over(outcome)
  }
}

/** A body that came chunked is whole now: its length is known, and a HEAD may be told it. */
function withLength(
  { meta, rawHeaders }: Pick<StoredAnswer, 'meta' | 'rawHeaders'>,
  length: number,
): readonly string[] {
  if (meta.status === 204 || fieldValue(rawHeaders, 'content-length') !== undefined) return rawHeaders
  return [...rawHeaders, 'Content-Length', String(length)]
}
