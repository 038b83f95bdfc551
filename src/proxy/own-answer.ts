/**
 * Answers that banyan gives where no upstream is asked: the endpoint has ended, or there is no old application any more.
 */
import { hasBody } from '../rules/http/headers.ts'
import type { Refused } from '../rules/retirement/retirement.ts'
import type { Exchange } from './exchange.ts'

/** A request body that nobody wants is read and dropped for this long. */
const LINGER_MS = 30_000

const DETAILS = {
  ended: 'This endpoint has ended.',
  brownout: 'This endpoint is about to end, and is switched off for a while.',
  'no-route': 'Nothing answers this request.',
} as const

/** Answers an exchange. @param refused why no upstream is asked; null where there is none @param nowMs epoch milliseconds */
export function answerOwn(exchange: Exchange, refused: Refused | null, nowMs: number): void {
  const { answer, request, said, matched, revision } = exchange
  const kind = refused?.kind ?? 'no-route'
  // A route without an old side sends everything to the new one, unless an edit has just changed it.
  const status = refused?.status ?? (matched.route === null ? revision.table.defaultStatus : 503)
  const againMs = refused?.againMs ?? null
  const again = againMs === null ? [] : ['Retry-After', String(Math.max(1, Math.ceil((againMs - nowMs) / 1000)))]
  answer.document(status, kind, DETAILS[kind], exchange.id, again)
  if (hasBody(said)) request.discard(LINGER_MS)
}
