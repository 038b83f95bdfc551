/**
 * Trace context (W3C Recommendation "Trace Context", level 1): which trace a request belongs to, as its headers say it.
 */
import { fieldValues } from '../http/exchange.ts'

/** The span that has made a request. */
export interface ParentSpan {
  /** 32 hexadecimal digits, not all 0. */
  readonly traceId: string
  /** 16 of them. */
  readonly spanId: string
  readonly sampled: boolean
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)
const SAMPLED = 1

/**
 * The parent that a request names, or null: no `traceparent`, several, or one that is invalid (section 3.2). A version that is not
 * known yet is read as far as its beginning is that of 00 (section 4.3).
 */
export function readParent(rawHeaders: readonly string[]): ParentSpan | null {
  const values = fieldValues(rawHeaders, 'traceparent')
  const [value] = values
  if (value === undefined || values.length > 1) return null
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(value) ?? []
  if (traceId === undefined || spanId === undefined || flags === undefined) return null
  if (version === 'ff' || (version === '00' && more !== undefined)) return null
  if (traceId === NO_TRACE || spanId === NO_SPAN) return null
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 }
}

/** The value of `traceparent` for what a span sends. */
export function traceparent(traceId: string, spanId: string, sampled: boolean): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`
}

/** Longest `tracestate` that goes on (section 3.3.1.5: at least so many characters should). */
const MAX_STATE = 512

/**
 * The header lines of a request without its trace context, for a server that gets another `traceparent`. `tracestate` stays only beside
 * a valid parent (section 3.3), and within its length.
 */
export function withoutContext(rawHeaders: readonly string[], hasParent: boolean): readonly string[] {
  const states = fieldValues(rawHeaders, 'tracestate')
  const length = states.reduce((sum, state) => sum + state.length + 1, -1)
  const keepsState = hasParent && length <= MAX_STATE
  const kept: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    // Of their length only these two are looked at closer.
    const lower = name.length === 11 || name.length === 10 ? name.toLowerCase() : ''
    if (lower === 'traceparent' || (lower === 'tracestate' && !keepsState)) continue
    kept.push(name, rawHeaders[i + 1] as string)
  }
  return kept
}
