/**
 * May a failed attempt be made again, or answered by the other side? Verdicts only; who acts on them is in proxy/.
 *
 * The rule above all others: a request that is not idempotent, and that may have reached a server, is never sent again.
 */
import type { Decision } from '../http/exchange.ts'
import { isTarget } from '../routing/targets.ts'
import type { Fallback, Route } from '../table/table.ts'
import type { FailureCode } from './failure.ts'

/** RFC 9110 section 9.2.1, and PROPFIND (RFC 4918 section 9.1): methods that change nothing. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND'])

/** RFC 9110 section 9.2.2: doing it twice does no more than doing it once. */
const IDEMPOTENT: ReadonlySet<string> = new Set([...SAFE, 'PUT', 'DELETE'])

/** Whether doing it twice does no more than doing it once. */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method)
}

/** A connection that was used so recently is not being closed by its server for being idle. */
const RECENT_MS = 1000

/**
 * For how long, in milliseconds, a connection may have been idle for a request to go over it; 0: a new one is made. What can't be
 * sent again, should the server close the connection on it (RFC 9112 section 9.3.1), uses one only right behind another exchange.
 * @param unsafeIsFresh unsafe requests never use one (`keepAlive.fresh`)
 */
export function mostIdleMs(method: string, hasBody: boolean, unsafeIsFresh: boolean): number {
  if (unsafeIsFresh && !SAFE.has(method)) return 0
  return IDEMPOTENT.has(method) && !hasBody ? Number.POSITIVE_INFINITY : RECENT_MS
}

/** What falls back by default. TRACE and PROPFIND ask about the very server. */
const FALLS_BACK: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Failures before the first byte of a request left: no connection stood, or none was tried. */
const NOTHING_SENT: ReadonlySet<FailureCode> = new Set([
  'connect',
  'connect-timeout',
  'refused-stream',
  'no-server',
  'overloaded',
  'queue-timeout',
])

/** How an attempt stood when it broke. */
export interface BrokenAttempt {
  readonly failure: FailureCode
  readonly method: string
  /** Attempts made so far at this upstream, this one included. */
  readonly attempts: number
  /** It went over a kept-alive connection. */
  readonly reused: boolean
  /** A byte of an answer had come, be it an interim one. */
  readonly answered: boolean
  /** All that was read of the request's body can be sent again: nothing was, or it is kept. */
  readonly bodyKept: boolean
  /** Another server of the upstream takes requests. */
  readonly elsewhere: boolean
  /** It went over a connection of the client's own, on which somebody may be logged in. */
  readonly bound: boolean
}

/**
 * Whether the same request may go out once more. Never after a byte of an answer or with a body that is gone, at most once:
 * - for every method where no connection came about, since nothing can have been received, and where an HTTP/2 server says that it has
 *   not taken the request (REFUSED_STREAM, or GOAWAY with a lower stream, RFC 9113 section 8.7);
 * - for idempotent methods where a kept-alive connection was closed as the request was on its way (RFC 9112 section 9.3.1);
 * - for idempotent methods on another server, where one closed without an answer or gave none in time.
 *
 * A request that belongs to its connection is made again only where that never came about.
 *
 * The same server is not waited for twice: no connection in time is tried again elsewhere only.
 */
export function mayRetry(attempt: BrokenAttempt): boolean {
  const { failure, elsewhere } = attempt
  if (attempt.attempts > 1 || attempt.answered || !attempt.bodyKept) return false
  if (failure === 'connect' || failure === 'refused-stream') return true
  if (failure === 'connect-timeout') return elsewhere
  if (attempt.bound || !IDEMPOTENT.has(attempt.method)) return false
  if (failure === 'response-head') return elsewhere || isStale(attempt)
  return elsewhere && (failure === 'headers-timeout' || failure === 'idle-timeout')
}

/** The server had just given the connection up, which says nothing about how it is. */
export function isStale({
  failure,
  reused,
  answered,
}: Pick<BrokenAttempt, 'failure' | 'reused' | 'answered'>): boolean {
  return failure === 'response-head' && reused && !answered
}

/** Whether nothing of a request can have left before it failed: no connection stood, or none was tried. */
export function isUnsent(failed: Failed): boolean {
  return 'failure' in failed && NOTHING_SENT.has(failed.failure)
}

/** Whether a server may have worked on the request: only then does a retry add to the load of the upstream. */
export function mayHaveArrived(attempt: Pick<BrokenAttempt, 'failure' | 'reused' | 'answered'>): boolean {
  return !NOTHING_SENT.has(attempt.failure) && !isStale(attempt)
}

/** So many retries at once are always allowed. */
const MIN_RETRIES = 3
/** And as many as this part of the exchanges under way: retries must not double the load of an upstream that fails. */
const RETRY_SHARE = 0.2

/** Whether one more retry lies within the budget of the upstream. */
export function isWithinRetryBudget(retrying: number, active: number): boolean {
  return retrying < Math.max(MIN_RETRIES, active * RETRY_SHARE)
}

/** Why `from` is to answer. */
export type Failed = { readonly failure: FailureCode } | { readonly status: number }

/**
 * Whether `from` may answer where `to` failed. Methods that are not idempotent, with `methods: all`, only where nothing of the
 * request was sent.
 * @param bodyKept all that was read of the request's body can be sent again
 */
export function mayFallBack(
  route: Route | null,
  decision: Decision,
  method: string,
  failed: Failed,
  bodyKept: boolean,
): boolean {
  if (route === null || route.fallback === null || !bodyKept) return false
  const { upstream, reason } = decision
  if (!isTarget(route, upstream) || upstream === route.from || reason === 'forced') return false
  if (!fallsBackFor(route.fallback, method, failed)) return false
  return 'status' in failed ? route.fallback.on.has(failed.status) : fallsBackOn(route.fallback, failed.failure)
}

function fallsBackFor({ methods }: Fallback, method: string, failed: Failed): boolean {
  if (methods === 'safe') return FALLS_BACK.has(method)
  if (IDEMPOTENT.has(method)) return true
  return methods === 'all' && isUnsent(failed)
}

function fallsBackOn(fallback: Fallback, failure: FailureCode): boolean {
  switch (failure) {
    case 'connect':
    case 'refused-stream':
    case 'no-server':
    case 'response-head':
      return fallback.on.has('connect')
    case 'connect-timeout':
      return fallback.on.has('connect') || fallback.on.has('timeout')
    case 'headers-timeout':
    case 'idle-timeout':
      return fallback.on.has('timeout')
    case 'response-malformed':
      return fallback.on.has(502)
    case 'overloaded':
    case 'queue-timeout':
      return fallback.on.has(503)
    default:
      return false
  }
}

/**
 * Up to how many bytes a request's body is to be kept so that it can be sent again: 0 where no rule would allow that.
 * @param length of the body where it is known, else null
 */
export function replayableBytes(
  route: Route | null,
  decision: Decision,
  method: string,
  length: number | null,
): number {
  const fallback = route?.fallback ?? null
  if (fallback === null || fallback.methods === 'safe' || !IDEMPOTENT.has(method)) return 0
  if (route === null || !isTarget(route, decision.upstream) || decision.reason === 'forced') return 0
  return length !== null && length > fallback.maxReplayBytes ? 0 : fallback.maxReplayBytes
}
