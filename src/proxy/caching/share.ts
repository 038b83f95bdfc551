/**
 * How one answer on its way is shared: the one who asked gets it as it came, the others as from the store
 * (RFC 9111 section 4).
 */
import { ttlOf } from '../../rules/caching/freshness.ts'
import type { AnswerHead, StoredMeta } from '../../rules/caching/meta.ts'
import { evaluate } from '../../rules/caching/policy.ts'
import { answerConditional, notModifiedFields } from '../../rules/caching/validation.ts'
import { isMadeFor, type MadeFor } from '../../state/caching/content.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import { answerStored, moreFields, type Telling } from './deliver.ts'
import type { Fill } from './fill.ts'
import type { Visit } from './lookup.ts'

/** A stored answer whose body is still coming. */
export type Storing = Omit<StoredAnswer, 'content'> & { readonly madeFor: MadeFor }

/** Whether an answer may serve others right away, without asking the upstream again. */
export function isReusable(meta: StoredMeta, nowMs: number): boolean {
  return !meta.noCache && nowMs < meta.freshUntilMs
}

/** Whether an answer is one to the request of `visit` as well, without asking the upstream again. */
export function suits(visit: Visit, made: MadeFor, meta: StoredMeta, nowMs: number): boolean {
  return isMadeFor(made, visit) && evaluate(visit.asked, meta, nowMs).kind === 'fresh'
}

/** An answer as it came. */
export interface Passing {
  readonly answer: AnswerHead
  readonly reason: string
  /** What is stored of it, or null. */
  readonly storing: Storing | null
  /** Our conditions were sent in the place of the client's own. */
  readonly replaced: boolean
}

/** Gives the one who asked the answer as it came; or a 304, where its own condition holds for it and was not sent. */
export function passOn(visit: Visit, fill: Fill, { answer, reason, storing, replaced }: Passing): void {
  const { status, rawHeaders, responseMs } = answer
  visit.exchange.cache = 'miss'
  if (storing !== null && replaced && isUnchanged(visit, storing.meta, responseMs)) {
    endUnchanged(visit, notModifiedFields(storing))
    return
  }
  const details = storing === null ? {} : { ttl: ttlOf(storing.meta, responseMs) }
  const handling = { kind: 'forward', reason: visit.forwardReason, stored: storing !== null } as const
  fill.attach(visit, status, reason, [...rawHeaders, ...visit.statusFields(handling, details)])
}

/** Gives one who waited, and whom it suits, the answer that is being stored, from its beginning. */
export function streamAlong(visit: Visit, fill: Fill, storing: Storing, nowMs: number): void {
  visit.exchange.cache = 'hit'
  const more = moreFields(visit, storing, collapsedFor(visit), nowMs)
  if (isUnchanged(visit, storing.meta, nowMs)) endUnchanged(visit, [...notModifiedFields(storing), ...more])
  else fill.attach(visit, storing.meta.status, storing.reason, [...storing.rawHeaders, ...more])
}

/**
 * Gives one who waited an answer that is stored by now.
 * @returns false where it was made for another request
 */
export function share(visit: Visit, stored: StoredAnswer, nowMs: number): boolean {
  if (!answerStored(visit, stored, collapsedFor(visit), nowMs)) return false
  visit.done()
  return true
}

function isUnchanged(visit: Visit, meta: StoredMeta, nowMs: number): boolean {
  return answerConditional(visit.asked, meta, nowMs) === 'not-modified'
}

function endUnchanged(visit: Visit, fields: string[]): void {
  visit.exchange.answer.begin(304, 'Not Modified', fields)
  visit.exchange.answer.end([])
  visit.done()
}

function collapsedFor(visit: Visit): Telling {
  return { word: 'hit', handling: { kind: 'forward', reason: visit.forwardReason, collapsed: true } }
}
