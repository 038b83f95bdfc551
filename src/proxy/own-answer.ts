/**
 * Answers that banyan gives where no upstream is asked: the endpoint has ended, or there is no old application any more.
 */
import { STATUS_CODES } from 'node:http'
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
  const { answer, request, said, view, matched, revision } = exchange
  const kind = refused?.kind ?? 'no-route'
  // A route without an old side sends everything to the new one, unless an edit has just changed it.
  const status = refused?.status ?? (matched.route === null ? revision.table.defaultStatus : 503)
  const title = STATUS_CODES[status] ?? 'Error'
  const problem = { type: `urn:banyan:problem:${kind}`, title, status, detail: DETAILS[kind], requestId: exchange.id }
  const body = Buffer.from(`${JSON.stringify(problem)}\n`)
  const fields = ['Content-Type', 'application/problem+json', 'Content-Length', String(body.length)]
  fields.push('Cache-Control', 'no-store')
  if (refused !== null && refused.againMs !== null)
    fields.push('Retry-After', String(Math.max(1, Math.ceil((refused.againMs - nowMs) / 1000))))
  answer.begin(status, STATUS_CODES[status] ?? '', fields)
  if (view.method !== 'HEAD') answer.body(body)
  answer.end([])
  if (hasBody(said)) request.discard(LINGER_MS)
}
