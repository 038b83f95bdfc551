/**
 * How one answer on its way is shared: the one who asked gets it as it came, the others as from the store
 * (RFC 9111 section 4).
 */
import { ttlOf } from '../../rules/caching/freshness.ts'
import type { AnswerHead, StoredMeta } from '../../rules/caching/meta.ts'
import { evaluate } from '../../rules/caching/policy.ts'
import { answerConditional, notModifiedFields } from '../../rules/caching/validation.ts'
import { varyKey } from '../../rules/caching/vary.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import { answerStored, moreFields, type Telling } from './answer.ts'
import type { Fill } from './fill.ts'
import type { Visit } from './visit.ts'

/** A stored answer whose body is still coming. */
export type Storing = Omit<StoredAnswer, 'body'>

/** Whether an answer may serve others right away, without asking the upstream again. */
export function isReusable(meta: StoredMeta, nowMs: number): boolean {
  return !meta.noCache && nowMs < meta.freshUntilMs
}

/** Whether an answer to the request of `asker` is one to that of `visit` as well. */
export function suits(visit: Visit, asker: Visit, meta: StoredMeta, nowMs: number): boolean {
  if (evaluate(visit.asked, meta, nowMs).kind !== 'fresh') return false
  const { vary } = meta
  return vary.length === 0 || varyKey(visit.rawHeaders, vary) === varyKey(asker.rawHeaders, vary)
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

/** Gives one who waited the answer that is being stored, from its beginning. */
export function streamAlong(visit: Visit, fill: Fill, storing: Storing, nowMs: number): void {
  visit.exchange.cache = 'hit'
  const more = moreFields(visit, storing, collapsedFor(visit), nowMs)
  if (isUnchanged(visit, storing.meta, nowMs)) endUnchanged(visit, [...notModifiedFields(storing), ...more])
  else fill.attach(visit, storing.meta.status, storing.reason, [...storing.rawHeaders, ...more])
}

/** Gives one who waited an answer that is stored by now. */
export function share(visit: Visit, stored: StoredAnswer, nowMs: number): void {
  answerStored(visit, stored, collapsedFor(visit), nowMs)
  visit.done()
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
