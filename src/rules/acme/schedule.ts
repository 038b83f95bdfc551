/**
 * When certificates are ordered from an authority (RFC 8555): renewal before they expire, and how long after a failure.
 */

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** The part of its life after which a certificate is renewed, and how far around that moment renewals are spread. */
const RENEW_AFTER = 2 / 3
const SPREAD = 1 / 30

/** Clocks are a little off, and authorities date certificates back. One that is not valid for longer than this shows a wrong clock. */
const SKEW_MS = HOUR_MS

/** The life of a certificate, epoch milliseconds. */
export interface Life {
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/**
 * When a certificate is to be renewed: at two thirds of its life, so that a third is left for attempts that fail.
 * @param spread in [0, 1), the same whenever it is asked: certificates that were ordered together are not renewed together
 * @returns epoch milliseconds
 */
export function renewAtMs({ notBeforeMs, notAfterMs }: Life, spread: number): number {
  return Math.round(notBeforeMs + (notAfterMs - notBeforeMs) * (RENEW_AFTER + (spread - 0.5) * SPREAD))
}

/** Whether the clock of this machine is wrong, by a certificate that is in use: it would be valid in the future only. */
export function isClockWrong({ notBeforeMs }: Life, nowMs: number): boolean {
  return notBeforeMs > nowMs + SKEW_MS
}

/**
 * Why an attempt has failed, by what helps.
 * - unreachable: the authority can't be reached, or is ill. Nothing was counted against anybody
 * - refused: it has refused something: a name that it can't validate, an account, a limit
 */
export type AcmeFailureKind = 'unreachable' | 'refused'

/**
 * Let's Encrypt allows 5 failed validations of a name and account in an hour: after these pauses there are 4. An authority that can't be
 * reached is asked sooner.
 */
const FIRST_MS = { refused: 5 * MINUTE_MS, unreachable: MINUTE_MS } as const
const LONGEST_MS = { refused: 12 * HOUR_MS, unreachable: HOUR_MS } as const

/** An authority that asks for a longer pause than this is asked again all the same. */
const MAX_RETRY_AFTER_MS = 7 * 24 * HOUR_MS

/**
 * How long to wait after so many failures in a row: doubled each time, with a fifth more or less.
 * @param failures at least 1
 * @param retryAfterMs what the authority asks for at least, or null
 * @param chance in [0, 1)
 */
export function pauseMs(kind: AcmeFailureKind, failures: number, retryAfterMs: number | null, chance: number): number {
  const doubled = Math.min(FIRST_MS[kind] * 2 ** Math.min(failures - 1, 20), LONGEST_MS[kind])
  const spread = doubled * (0.8 + 0.4 * chance)
  return Math.max(spread, Math.min(retryAfterMs ?? 0, MAX_RETRY_AFTER_MS))
}

/** Let's Encrypt takes 300 orders of an account in three hours. */
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

/** Those of a list of orders that still count. What lies in the future was noted by a clock that was wrong. */
export function recentOrders(orderedAtMs: readonly number[], nowMs: number): readonly number[] {
  return orderedAtMs.filter((atMs) => atMs > nowMs - ORDERS_WITHIN_MS && atMs <= nowMs).slice(-MAX_ORDERS)
}

/**
 * When the next attempt for a name is due.
 * @param nextAtMs what was noted at its last failure
 * @returns epoch milliseconds; a time that no pause can reach was noted by a clock that was wrong, and counts as none
 */
export function dueAtMs(nextAtMs: number, nowMs: number): number {
  return nextAtMs > nowMs + MAX_RETRY_AFTER_MS ? nowMs : nextAtMs
}
