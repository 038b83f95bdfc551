/**
 * How old an answer is and how long it lasts (RFC 9111 section 4.2), in milliseconds inside and whole seconds outside.
 */

import { fieldValues } from '../http/exchange.ts'
import { parseHttpDate } from '../http/http-date.ts'
import { parseDeltaSeconds, type ResponseDirectives } from './directives.ts'
import type { AnswerHead, LifetimeSource, StoredMeta } from './meta.ts'

/** The age of a stored answer in milliseconds, never negative (RFC 9111 section 4.2.3). */
export function ageMsOf(meta: StoredMeta, nowMs: number): number {
  return nowMs > meta.bornMs ? nowMs - meta.bornMs : 0
}

/** The age of a stored answer in whole seconds, rounded down: the value of its Age field (RFC 9111 section 5.1). */
export function ageOf(meta: StoredMeta, nowMs: number): number {
  return Math.floor(ageMsOf(meta, nowMs) / 1000)
}

/** Whole seconds that a stored answer stays fresh, rounded down; negative once it is stale. */
export function ttlOf(meta: StoredMeta, nowMs: number): number {
  return Math.floor((meta.freshUntilMs - nowMs) / 1000)
}

/** When an answer came into being, as its fields tell. Epoch milliseconds. */
export interface Birth {
  /** Its Date, or the time of receipt. */
  readonly dateMs: number
  /** When its age was 0. */
  readonly bornMs: number
}

/**
 * Reads Date and Age (RFC 9111 section 4.2.3): the older of "since its Date" and "Age plus the time the answer took".
 * A missing, repeated or unreadable Date is the time of receipt; an unreadable Age is none.
 */
export function birthOf(answer: AnswerHead): Birth {
  const { responseMs } = answer
  const dateMs = singleDate(answer.rawHeaders, 'date', responseMs) ?? responseMs
  const apparentMs = Math.max(0, responseMs - dateMs)
  const correctedMs = receivedAgeMs(answer.rawHeaders) + Math.max(0, responseMs - answer.requestMs)
  return { dateMs, bornMs: responseMs - Math.max(apparentMs, correctedMs) }
}

/** The first member of Age, digits only; anything else is ignored (RFC 9111 section 5.1). Milliseconds. */
function receivedAgeMs(rawHeaders: readonly string[]): number {
  for (const member of fieldValues(rawHeaders, 'age').join(',').split(',')) {
    const text = member.trim()
    if (text !== '') return (parseDeltaSeconds(text) ?? 0) * 1000
  }
  return 0
}

/** The date of a field that stands there exactly once and can be read, or null. Epoch milliseconds. */
export function singleDate(rawHeaders: readonly string[], name: string, nowMs: number): number | null {
  const lines = fieldValues(rawHeaders, name)
  return lines.length === 1 ? parseHttpDate((lines[0] as string).trim(), nowMs) : null
}

/** A lifetime and where it comes from. */
export interface Lifetime {
  /** Milliseconds, 0 or more. */
  readonly ms: number
  readonly source: LifetimeSource
}

/**
 * The lifetime that an answer states (RFC 9111 section 4.2.1), or null where it states none: s-maxage, else max-age, else
 * Expires less Date. An unreadable or repeated Expires is one in the past (RFC 9111 section 5.3).
 * @param expiresCounts false where a targeted field decides (RFC 9213 section 2.2)
 */
export function explicitLifetime(
  said: ResponseDirectives,
  answer: AnswerHead,
  dateMs: number,
  expiresCounts: boolean,
): Lifetime | null {
  if (said.sMaxAge !== null) return { ms: said.sMaxAge * 1000, source: 's-maxage' }
  if (said.maxAge !== null) return { ms: said.maxAge * 1000, source: 'max-age' }
  if (!expiresCounts || fieldValues(answer.rawHeaders, 'expires').length === 0) return null
  const expiresMs = singleDate(answer.rawHeaders, 'expires', answer.responseMs)
  return { ms: expiresMs === null ? 0 : Math.max(0, expiresMs - dateMs), source: 'expires' }
}

/** Without asking, nothing is taken for longer than this on a guess. */
const LONGEST_GUESS_MS = 86_400_000

/**
 * The lifetime of an answer that states none: the route's ttl, else a tenth of the time since Last-Modified, a day at most
 * (RFC 9111 section 4.2.2).
 */
export function assumedLifetime(ttlMs: number | null, lastModifiedMs: number | null, dateMs: number): Lifetime {
  if (ttlMs !== null) return { ms: ttlMs, source: 'ttl' }
  const sinceMs = lastModifiedMs === null ? 0 : Math.floor((dateMs - lastModifiedMs) / 10)
  return sinceMs > 0 ? { ms: Math.min(sinceMs, LONGEST_GUESS_MS), source: 'heuristic' } : { ms: 0, source: 'none' }
}
