/**
 * Writes stored answers: whole, as a 304, as ranges, to HEAD; each with its Age.
 */
import { ageOf, ttlOf } from '../../rules/caching/freshness.ts'
import { planRange, type RangePlan, rangeFields } from '../../rules/caching/ranges.ts'
import type { Handling } from '../../rules/caching/status.ts'
import { answerConditional, notModifiedFields } from '../../rules/caching/validation.ts'
import { fieldValue } from '../../rules/http/exchange.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { CacheWord } from '../../state/figures/cell.ts'
import { headText } from '../client/whole-answer.ts'
import type { Visit } from './lookup.ts'

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

/**
 * Answers an exchange with a stored answer (RFC 9111 section 4). The exchange's end is the caller's to tell.
 * @returns false where the answer was made for another request: nothing has happened then
 */
export function answerStored(visit: Visit, stored: StoredAnswer, telling: Telling, nowMs: number): boolean {
  const { exchange, asked } = visit
  const body = stored.content.open(visit)
  if (body === null) return false
  const { answer } = exchange
  exchange.cache = telling.word
  const more = moreFields(visit, stored, telling, nowMs)
  if (answerConditional(asked, stored.meta, nowMs) === 'not-modified') {
    answer.begin(304, 'Not Modified', [...notModifiedFields(stored), ...more])
  } else if (asked.range !== null && !visit.isHead) answerRange(visit, { ...stored, body }, more, nowMs)
  else {
    answer.beginAgain(stored.meta.status, stored.reason, stored.rawHeaders, { head: headOf(stored), more })
    if (!visit.isHead && body.length > 0) answer.body(body)
  }
  answer.end([])
  return true
}

function headOf(stored: StoredAnswer): string | null {
  const { meta, reason, rawHeaders, written } = stored
  if (written?.of === rawHeaders) return written.text
  const text = headText(meta.status, reason, rawHeaders)
  stored.written = { of: rawHeaders, text }
  return text
}

/** Age (RFC 9111 section 5.1), and what is for this client alone. */
export function moreFields(
  visit: Visit,
  stored: Pick<StoredAnswer, 'meta'>,
  telling: Telling,
  nowMs: number,
): string[] {
  const fields = ['Age', String(ageOf(stored.meta, nowMs))]
  if (telling.more !== undefined) fields.push(...telling.more)
  const { handling, detail } = telling
  fields.push(...visit.statusFields(handling, { ttl: ttlOf(stored.meta, nowMs), ...(detail && { detail }) }))
  return fields
}

function answerRange(
  visit: Visit,
  stored: StoredAnswer & { readonly body: Buffer },
  more: readonly string[],
  nowMs: number,
): void {
  const { answer } = visit.exchange
  const { body, rawHeaders, meta } = stored
  const contentType = fieldValue(rawHeaders, 'content-type') ?? null
  const plan = planRange(visit.asked, meta, { length: body.length, contentType, boundary: newBoundary() }, nowMs)
  if (plan.kind === 'whole') {
    answer.begin(meta.status, stored.reason, [...rawHeaders, ...more])
    if (body.length > 0) answer.body(body)
    return
  }
  const fields = [...rangeFields(rawHeaders, plan), ...more]
  if (plan.kind === 'unsatisfiable') answer.begin(416, 'Range Not Satisfiable', fields)
  else {
    answer.begin(206, 'Partial Content', fields)
    for (const piece of piecesOf(plan, body)) answer.body(piece)
  }
}

function piecesOf(plan: Extract<RangePlan, { kind: 'single' | 'several' }>, body: Buffer): Buffer[] {
  if (plan.kind === 'single') return [body.subarray(plan.first, plan.last + 1)]
  const parts = plan.parts.flatMap(({ head, first, last }) => [
    Buffer.from(head, 'latin1'),
    body.subarray(first, last + 1),
  ])
  return [...parts, Buffer.from(plan.closing, 'latin1')]
}

/** Long enough that no content holds it by chance. */
function newBoundary(): string {
  return `banyan${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`
}
