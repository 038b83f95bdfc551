/**
 * When to order certificates from an authority (RFC 8555): renewal before they expire, and backoff after failures.
 */

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** The share of its life after which a certificate is renewed, and how widely renewals are spread around that moment. */
const RENEW_AFTER = 2 / 3
const SPREAD = 1 / 30

/** Tolerance for clocks. A certificate in use that only becomes valid later than this from now shows that our clock is wrong. */
const SKEW_MS = HOUR_MS

/** The life of a certificate, epoch milliseconds. */
export interface Life {
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/**
 * When to renew a certificate: at two thirds of its life, so that a third is left for failed attempts.
 * @param spread in [0, 1), constant for a certificate: those that were ordered together are not renewed together
 * @returns epoch milliseconds
 */
export function renewAtMs({ notBeforeMs, notAfterMs }: Life, spread: number): number {
  return Math.round(notBeforeMs + (notAfterMs - notBeforeMs) * (RENEW_AFTER + (spread - 0.5) * SPREAD))
}

/** Whether a certificate in use shows that the clock is wrong: by that clock, it is not valid yet. */
export function isClockWrong({ notBeforeMs }: Life, nowMs: number): boolean {
  return notBeforeMs > nowMs + SKEW_MS
}

/**
 * Why an attempt has failed, which determines the backoff.
 * - unreachable: the authority can't be reached or has an internal error; the attempt doesn't count towards its rate limits
 * - refused: the authority has refused something, such as a name that it can't validate, an account, or a rate limit
 */
export type AcmeFailureKind = 'unreachable' | 'refused'

/**
 * First pause after a failure. Let's Encrypt allows 5 failed validations per name and account in an hour; these pauses lead to 4. An
 * unreachable authority is retried sooner.
 */
const FIRST_MS = { refused: 5 * MINUTE_MS, unreachable: MINUTE_MS } as const
const LONGEST_MS = { refused: 12 * HOUR_MS, unreachable: HOUR_MS } as const

/** Longer values of Retry-After are capped. */
const MAX_RETRY_AFTER_MS = 7 * 24 * HOUR_MS

/**
 * How long to wait after consecutive failures: exponential backoff with 20% jitter.
 * @param failures at least 1
 * @param retryAfterMs the minimum that the authority asks for, or null
 * @param chance in [0, 1)
 */
export function pauseMs(kind: AcmeFailureKind, failures: number, retryAfterMs: number | null, chance: number): number {
  const doubled = Math.min(FIRST_MS[kind] * 2 ** Math.min(failures - 1, 20), LONGEST_MS[kind])
  const spread = doubled * (0.8 + 0.4 * chance)
  return Math.max(spread, Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS))
}

/** Let's Encrypt accepts 300 orders per account in three hours. */
const MAX_ORDERS = 250
const ORDERS_WITHIN_MS = 3 * HOUR_MS

/**
 * When the next order may be made, for all names together.
 * @param orderedAtMs when orders were made before, in order
 * @returns epoch milliseconds; `nowMs` for at once
 */
export function mayOrderAtMs(orderedAtMs: readonly number[], nowMs: number): number {
  const recent = recentOrders(orderedAtMs, nowMs)
  return recent.length < MAX_ORDERS ? nowMs : (recent.at(-MAX_ORDERS) as number) + ORDERS_WITHIN_MS
}

/** The orders that still count towards the limit. Times in the future were recorded with a wrong clock. */
export function recentOrders(orderedAtMs: readonly number[], nowMs: number): readonly number[] {
  return orderedAtMs.filter((atMs) => atMs > nowMs - ORDERS_WITHIN_MS && atMs <= nowMs).slice(-MAX_ORDERS)
}

/**
 * When the next attempt for a name is due.
 * @param nextAtMs recorded at its last failure
 * @returns epoch milliseconds; a time later than any pause could lead to was recorded with a wrong clock, and is ignored
 */
export function dueAtMs(nextAtMs: number, nowMs: number): number {
  return nextAtMs > nowMs + MAX_RETRY_AFTER_MS ? nowMs : nextAtMs
}
