/**
 * Reads durations, counts and calendar days as people write them in flags and query strings.
 */

const MS_PER_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds in one day. */
export const DAY_MS = 86_400_000

/** The longest wait that a Node timer can hold, in milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** Milliseconds for `250ms`, `1.5s`, `5m`, `1h`, `1d`; null for anything else, and for what no timer can hold. */
export function parseDurationMs(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  if (match === null) return null
  const ms = Number(match[1]) * (MS_PER_UNIT[match[2] ?? ''] ?? Number.NaN)
  return ms <= MAX_TIMER_MS ? ms : null
}

/** A whole number of at least 0, written in digits only; null for anything else. */
export function parseCount(text: string): number | null {
  return /^\d{1,15}$/.test(text) ? Number(text) : null
}

/** Days since 1970-01-01 for `YYYY-MM-DD`; null where that is no day of the calendar. */
export function parseDay(text: string): number | null {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return null
  const ms = Date.parse(`${text}T00:00:00Z`)
  if (Number.isNaN(ms)) return null
  const day = ms / DAY_MS
  return formatDay(day) === text ? day : null
}

/** `YYYY-MM-DD` of a day counted from 1970-01-01. */
export function formatDay(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10)
}
