/**
 * Delivery to clients: stored responses (whole, as a 304, as ranges, to HEAD, each with its Age), and responses that are being
 * fetched, as they come.
 */
import { ageOf, ttlOf } from '../../rules/caching/freshness.ts'
import type { AnswerHead, StoredMeta } from '../../rules/caching/meta.ts'
import { evaluate } from '../../rules/caching/policy.ts'
import { planRange, type RangePlan, rangeFields } from '../../rules/caching/ranges.ts'
import type { Handling } from '../../rules/caching/status.ts'
import { answerConditional, notModifiedFields, validatorsOf } from '../../rules/caching/validation.ts'
import { fieldValue } from '../../rules/http/exchange.ts'
import { isMadeFor, type MadeFor } from '../../state/caching/content.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { CacheWord } from '../../state/figures/cell.ts'
import { headText } from '../client/head-text.ts'
import type { Fill } from './fill.ts'
import type { Lookup, LookupHost } from './lookup.ts'
import { SLICE_BYTES } from './send-queue.ts'
import { type BodySource, type Part, Sender, type SenderOwner } from './sender.ts'
import type { Storing } from './store.ts'

/** How a stored answer is told of. */
export interface Telling {
  /** The word in log and measurements. */
  readonly word: CacheWord
  readonly handling: Handling
  /** A word on why, for Cache-Status. */
  readonly detail?: string
  /** Fields for this client alone: name, value, name, value. */
  readonly more?: readonly string[]
}

// One object each: a hit allocates none.
export const HIT: Telling = { word: 'hit', handling: { kind: 'hit' } }
export const STALE: Telling = { word: 'stale', handling: { kind: 'hit' } }

/** Bodies up to this size are written at once. */
const SMALL_BODY_BYTES = SLICE_BYTES

/**
 * Answers an exchange with a stored answer (RFC 9111 section 4); its end follows at once, or when all of a large body was sent.
 * @returns false where the answer was made for another request: nothing has happened then
 */
export function deliverStored(lookup: Lookup, stored: StoredAnswer, telling: Telling, nowMs: number): boolean {
  const { exchange, asked } = lookup
  const body = stored.content.open(lookup)
  if (body === null) return false
  const { answer } = exchange
  exchange.cache = telling.word
  const more = moreFields(lookup, stored, telling, nowMs)
  if (answerConditional(asked, stored.meta, nowMs) === 'not-modified') {
    answer.begin(304, 'Not Modified', [...notModifiedFields(stored), ...more])
  } else if (asked.range !== null && !lookup.isHead) return answerRange(lookup, { ...stored, body }, more, nowMs)
  else {
    answer.beginAgain(stored.meta.status, stored.reason, stored.rawHeaders, { head: headOf(stored), more })
    if (!lookup.isHead) return sendStored(lookup, body)
  }
  answer.end([])
  lookup.done()
  return true
}

/** @param parts of the body; default: all of it */
function sendStored(lookup: Lookup, body: Buffer, parts?: readonly Part[]): true {
  if (body.length > SMALL_BODY_BYTES) {
    StoredBody.send(lookup, body, parts)
    return true
  }
  const { answer } = lookup.exchange
  if (parts !== undefined) {
    for (const part of parts) answer.body(Buffer.isBuffer(part) ? part : body.subarray(part.first, part.last + 1))
  } else if (body.length > 0) answer.body(body)
  answer.end([])
  lookup.done()
  return true
}

/** A stored body on its way to a client. It may be evicted meanwhile. */
class StoredBody implements BodySource, SenderOwner, LookupHost {
  readonly #body: Buffer
  readonly #sender: Sender
  readonly length: number
  readonly trailers: readonly string[] = []

  private constructor(lookup: Lookup, body: Buffer, parts: readonly Part[] | undefined) {
    this.#body = body
    this.length = body.length
    this.#sender = new Sender(lookup, this, this, parts)
  }

  static send(lookup: Lookup, body: Buffer, parts: readonly Part[] | undefined): void {
    const stored = new StoredBody(lookup, body, parts)
    lookup.held.hold(body, stored.#sender)
    lookup.wait(stored)
    stored.#sender.send()
  }

  view(offset: number, max: number): Buffer {
    return this.#body.subarray(offset, offset + max)
  }

  onProgress(): void {}

  onSent(sender: Sender): void {
    sender.lookup.held.release(this.#body, sender)
    sender.lookup.done()
  }

  left(lookup: Lookup): void {
    this.#sender.stop()
    lookup.held.release(this.#body, this.#sender)
  }
}

function headOf(stored: StoredAnswer): string | null {
  const { meta, reason, rawHeaders, written } = stored
  if (written?.of === rawHeaders) return written.text
  const text = headText(meta.status, reason, rawHeaders)
  stored.written = { of: rawHeaders, text }
  return text
}

/** Age (RFC 9111 section 5.1), and what is for this client alone. */
function moreFields(lookup: Lookup, stored: Pick<StoredAnswer, 'meta'>, telling: Telling, nowMs: number): string[] {
  const fields = ['Age', String(ageOf(stored.meta, nowMs))]
  if (telling.more !== undefined) fields.push(...telling.more)
  const { handling, detail } = telling
  fields.push(...lookup.statusFields(handling, { ttl: ttlOf(stored.meta, nowMs), ...(detail && { detail }) }))
  return fields
}

function answerRange(
  lookup: Lookup,
  stored: StoredAnswer & { readonly body: Buffer },
  more: readonly string[],
  nowMs: number,
): true {
  const { answer } = lookup.exchange
  const { body, rawHeaders, meta } = stored
  const plan = planOf(lookup, stored, body.length, nowMs)
  if (plan.kind === 'whole') {
    answer.begin(meta.status, stored.reason, [...rawHeaders, ...more])
    return sendStored(lookup, body)
  }
  const fields = [...rangeFields(rawHeaders, plan), ...more]
  if (plan.kind === 'unsatisfiable') answer.begin(416, 'Range Not Satisfiable', fields)
  else answer.begin(206, 'Partial Content', fields)
  return sendStored(lookup, body, partsOf(plan))
}

function planOf(
  { asked }: Lookup,
  { meta, rawHeaders }: Pick<StoredAnswer, 'meta' | 'rawHeaders'>,
  length: number,
  nowMs: number,
): RangePlan {
  const contentType = fieldValue(rawHeaders, 'content-type') ?? null
  return planRange(asked, meta, { length, contentType, boundary: newBoundary() }, nowMs)
}

function partsOf(plan: Exclude<RangePlan, { kind: 'whole' }>): Part[] {
  if (plan.kind === 'unsatisfiable') return []
  if (plan.kind === 'single') return [{ first: plan.first, last: plan.last }]
  const parts = plan.parts.flatMap(({ head, first, last }) => [Buffer.from(head, 'latin1'), { first, last }])
  return [...parts, Buffer.from(plan.closing, 'latin1')]
}

/** Long enough that no content holds it by chance. */
function newBoundary(): string {
  return `banyan${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`
}

/** Whether a response may answer others right away, without revalidation. */
export function isReusable(meta: StoredMeta, nowMs: number): boolean {
  return !meta.noCache && nowMs < meta.freshUntilMs
}

/** Whether a response answers the request of `lookup` as well, without revalidation. */
export function suits(lookup: Lookup, made: MadeFor, meta: StoredMeta, nowMs: number): boolean {
  return isMadeFor(made, lookup) && evaluate(lookup.asked, meta, nowMs).kind === 'fresh'
}

/** A response as it came. */
export interface Fetched {
  readonly answer: AnswerHead
  readonly reason: string
  /** What is stored of it, or null. */
  readonly storing: Storing | null
  /** Conditions of banyan's own were sent in place of the client's. */
  readonly replaced: boolean
}

/** Delivers a response as it came to the client whose request was sent; by its own conditions and range where those were not sent. */
export function deliverFetched(lookup: Lookup, fill: Fill, { answer, reason, storing, replaced }: Fetched): void {
  const { status, rawHeaders, responseMs } = answer
  lookup.exchange.cache = 'miss'
  const details = storing === null ? {} : { ttl: ttlOf(storing.meta, responseMs) }
  const handling = { kind: 'forward', reason: lookup.forwardReason, stored: storing !== null } as const
  const more = lookup.statusFields(handling, details)
  if (storing !== null && replaced) {
    deliverGrowing(lookup, fill, { ...storing, rawHeaders }, more, responseMs)
    return
  }
  const meta = validatorsOf(answer)
  if (replaced && answerConditional(lookup.asked, meta, responseMs) === 'not-modified') {
    deliverEmpty(lookup, 304, 'Not Modified', [...notModifiedFields({ meta, rawHeaders }), ...more])
  } else fill.attach(lookup, { status, reason, fields: [...rawHeaders, ...more] })
}

/** Delivers a response that is being stored, from its beginning, to a collapsed request that it suits. */
export function deliverCollapsed(lookup: Lookup, fill: Fill, storing: Storing, nowMs: number): void {
  lookup.exchange.cache = 'hit'
  const more = moreFields(lookup, storing, collapsedTelling(lookup), nowMs)
  deliverGrowing(lookup, fill, storing, more, nowMs)
}

/** Delivers a response whose body is still coming, by the client's conditions and range. */
function deliverGrowing(
  lookup: Lookup,
  fill: Fill,
  storing: Storing,
  ...[more, nowMs]: [more: readonly string[], nowMs: number]
): void {
  const { asked } = lookup
  const { meta, reason, rawHeaders } = storing
  if (answerConditional(asked, meta, nowMs) === 'not-modified') {
    deliverEmpty(lookup, 304, 'Not Modified', [...notModifiedFields(storing), ...more])
    return
  }
  // Where the length is not known yet there are no ranges of it, as if the upstream knew none.
  const plan = fill.fullLength === -1 || asked.range === null ? null : planOf(lookup, storing, fill.fullLength, nowMs)
  if (plan === null || plan.kind === 'whole') {
    fill.attach(lookup, { status: meta.status, reason, fields: [...rawHeaders, ...more] })
    return
  }
  const fields = [...rangeFields(rawHeaders, plan), ...more]
  if (plan.kind === 'unsatisfiable') deliverEmpty(lookup, 416, 'Range Not Satisfiable', fields)
  else fill.attach(lookup, { status: 206, reason: 'Partial Content', fields, parts: partsOf(plan) })
}

/**
 * Delivers a revalidated response to a collapsed request.
 * @returns false where it was made for another request
 */
export function deliverRevalidated(lookup: Lookup, stored: StoredAnswer, nowMs: number): boolean {
  return deliverStored(lookup, stored, collapsedTelling(lookup), nowMs)
}

function deliverEmpty(lookup: Lookup, status: number, reason: string, fields: string[]): void {
  lookup.exchange.answer.begin(status, reason, fields)
  lookup.exchange.answer.end([])
  lookup.done()
}

function collapsedTelling(lookup: Lookup): Telling {
  return { word: 'hit', handling: { kind: 'forward', reason: lookup.forwardReason, collapsed: true } }
}
