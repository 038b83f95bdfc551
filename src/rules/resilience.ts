/**
 * May a failed attempt be made again, or answered by the other side? Verdicts only; who acts on them is proxy/forward.
 */
import type { Decision } from './exchange.ts'
import type { FailureCode } from './failure.ts'
import type { Fallback, Route } from './table.ts'

/** RFC 9110 section 9.2.1, and PROPFIND (RFC 4918 section 9.1): methods that change nothing. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND'])

/** RFC 9110 section 9.2.2: doing it twice does no more than doing it once. */
const IDEMPOTENT: ReadonlySet<string> = new Set([...SAFE, 'PUT', 'DELETE'])

/** How an attempt stood when it broke. */
export interface BrokenAttempt {
  readonly failure: FailureCode
  readonly method: string
  /** Attempts made so far, this one included. */
  readonly attempts: number
  /** It went over a kept-alive connection. */
  readonly reused: boolean
  /** A byte of an answer had come, be it an interim one. */
  readonly answered: boolean
  /** Something of the request body had been read from the client. */
  readonly bodyConsumed: boolean
}

/**
 * Whether the same request may go out once more. Never after a byte of an answer or a consumed body, and at most once:
 * - nothing can have been received, since no connection came about: for every method;
 * - the kept-alive connection was closed by the server as the request was on its way: for idempotent methods
 *   (RFC 9112 section 9.3.1), on a fresh connection.
 */
export function mayRetry(attempt: BrokenAttempt): boolean {
  if (attempt.attempts > 1 || attempt.answered || attempt.bodyConsumed) return false
  if (attempt.failure === 'connect') return true
  return attempt.failure === 'response-head' && attempt.reused && IDEMPOTENT.has(attempt.method)
}

/** Whether `from` may answer where `to` failed. */
export function mayFallBack(
  route: Route | null,
  decision: Decision,
  method: string,
  failed: { readonly failure: FailureCode } | { readonly status: number },
): boolean {
  if (route === null || route.fallback === null) return false
  if (decision.upstream !== route.to || route.to === route.from || decision.reason === 'forced') return false
  if (method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS') return false
  return 'status' in failed ? route.fallback.on.has(failed.status) : fallsBackOn(route.fallback, failed.failure)
}

function fallsBackOn(fallback: Fallback, failure: FailureCode): boolean {
  switch (failure) {
    case 'connect':
    case 'no-server':
    case 'response-head':
    case 'request-send':
      return fallback.on.has('connect')
    case 'connect-timeout':
      return fallback.on.has('connect') || fallback.on.has('timeout')
    case 'headers-timeout':
    case 'idle-timeout':
      return fallback.on.has('timeout')
    case 'response-malformed':
      return fallback.on.has(502)
    default:
      return false
  }
}
