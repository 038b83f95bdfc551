/**
 * Byte ranges of a complete stored answer (RFC 9110 section 14): what a Range asks for, and the exact bytes of the answer.
 */

import { isEntityTag, matchesStrongly } from '../http/entity-tag.ts'
import { parseHttpDate } from '../http/http-date.ts'
import type { CacheFields } from './fields.ts'
import type { StoredMeta } from './meta.ts'

/** One range of a representation: both positions are inside it, counted from 0. */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

/** One part of a multipart/byteranges body: its head, then these bytes of the representation. */
export interface RangePart extends ByteRange {
  /** Boundary, fields and empty line; Latin-1, one byte a character. */
  readonly head: string
}

/**
 * How a request with Range is answered.
 *
 * - `whole`: as if it had none: 200
 * - `single`: 206 with one range
 * - `several`: 206 with multipart/byteranges: the parts, then `closing`
 * - `unsatisfiable`: 416, without content
 *
 * Lengths are bytes.
 */
export type RangePlan =
  | { readonly kind: 'whole' }
  | ({ readonly kind: 'single'; readonly contentRange: string; readonly contentLength: number } & ByteRange)
  | {
      readonly kind: 'several'
      readonly parts: readonly RangePart[]
      readonly closing: string
      readonly contentType: string
      readonly contentLength: number
    }
  | { readonly kind: 'unsatisfiable'; readonly contentRange: string }

/** The stored body, and the boundary to use where several parts are sent. */
export interface RangeBody {
  /** Bytes. */
  readonly length: number
  /** Its Content-Type, or null. */
  readonly contentType: string | null
  /** 1 to 70 letters and digits that are unlikely to stand in the body (RFC 2046 section 5.1.1). */
  readonly boundary: string
}

const WHOLE: RangePlan = Object.freeze({ kind: 'whole' })

/** More ranges than this in one request are answered with the whole. */
const MAX_RANGES = 16
/** Ranges nearer to each other than the head of a part costs are sent as one (RFC 9110 section 15.3.7.2). */
const WORTH_A_PART = 80

/**
 * Plans the answer to a GET with Range from a complete stored 200. A Range that is malformed, of another unit, abusive (more
 * than 16 ranges, more than two overlapping ones), or whose If-Range does not hold is ignored (RFC 9110 section 14.2). For
 * other methods Range means nothing: don't ask.
 */
export function planRange(asked: CacheFields, meta: StoredMeta, body: RangeBody, nowMs: number): RangePlan {
  if (asked.range === null || meta.status !== 200 || !ifRangeHolds(asked.ifRange, meta, nowMs)) return WHOLE
  const wanted = parseRange(asked.range)
  if (wanted === null || body.length === 0) return WHOLE
  const ranges = satisfiable(wanted, body.length)
  if (ranges.length === 0) return { kind: 'unsatisfiable', contentRange: `bytes */${body.length}` }
  if (overlaps(ranges) > 2) return WHOLE
  const sent = coalesce(ranges)
  return sent.length === 1 ? single(sent[0] as ByteRange, body.length) : several(sent, body)
}

/** One range as asked for: `first-last`, `first-` (last null), or the last `suffix` bytes. */
export type RangeSpec = { readonly first: number; readonly last: number | null } | { readonly suffix: number }

/** Reads a Range value of the unit bytes; null where it is malformed, of another unit, or has too many ranges. */
export function parseRange(value: string): readonly RangeSpec[] | null {
  const found = /^bytes=(.*)$/is.exec(value)
  if (!found) return null
  const specs: RangeSpec[] = []
  for (const part of (found[1] as string).split(',')) {
    const text = part.trim()
    if (text === '') continue
    const spec = parseSpec(text)
    if (spec === null || specs.length === MAX_RANGES) return null
    specs.push(spec)
  }
  return specs.length === 0 ? null : specs
}

function parseSpec(text: string): RangeSpec | null {
  const found = /^([0-9]*)-([0-9]*)$/.exec(text)
  if (!found || text === '-') return null
  const [first, last] = [found[1] as string, found[2] as string]
  if (first === '') return { suffix: Number(last) }
  if (last === '') return { first: Number(first), last: null }
  return Number(last) < Number(first) ? null : { first: Number(first), last: Number(last) }
}

function satisfiable(specs: readonly RangeSpec[], length: number): ByteRange[] {
  return specs.flatMap((spec) => {
    if ('suffix' in spec)
      return spec.suffix === 0 ? [] : [{ first: Math.max(0, length - spec.suffix), last: length - 1 }]
    if (spec.first >= length) return []
    return [{ first: spec.first, last: Math.min(spec.last ?? length - 1, length - 1) }]
  })
}

/** How many ranges begin before one that begins earlier has ended. */
function overlaps(ranges: readonly ByteRange[]): number {
  let count = 0
  let reached = -1
  for (const { first, last } of ascending(ranges)) {
    if (first <= reached) count++
    reached = Math.max(reached, last)
  }
  return count
}

function ascending(ranges: readonly ByteRange[]): ByteRange[] {
  return [...ranges].sort((a, b) => a.first - b.first)
}

/** Joins ranges that overlap or nearly touch, in ascending order; where none do, they stay in the order asked for. */
function coalesce(ranges: readonly ByteRange[]): readonly ByteRange[] {
  const joined: { first: number; last: number }[] = []
  for (const { first, last } of ascending(ranges)) {
    const before = joined.at(-1)
    if (before && first <= before.last + WORTH_A_PART) before.last = Math.max(before.last, last)
    else joined.push({ first, last })
  }
  return joined.length === ranges.length ? ranges : joined
}

function single({ first, last }: ByteRange, length: number): RangePlan {
  const contentRange = `bytes ${first}-${last}/${length}`
  return { kind: 'single', first, last, contentRange, contentLength: last - first + 1 }
}

function several(ranges: readonly ByteRange[], body: RangeBody): RangePlan {
  const type = body.contentType === null ? '' : `Content-Type: ${body.contentType}\r\n`
  const parts = ranges.map(({ first, last }, index) => {
    const delimiter = `${index === 0 ? '' : '\r\n'}--${body.boundary}\r\n`
    return { first, last, head: `${delimiter}${type}Content-Range: bytes ${first}-${last}/${body.length}\r\n\r\n` }
  })
  const closing = `\r\n--${body.boundary}--\r\n`
  const contentLength = parts.reduce(
    (sum, { head, first, last }) => sum + head.length + last - first + 1,
    closing.length,
  )
  const contentType = `multipart/byteranges; boundary=${body.boundary}`
  return { kind: 'several', parts, closing, contentType, contentLength }
}

/**
 * Whether If-Range lets Range count (RFC 9110 section 13.1.5): there is none, its entity tag is the stored one by strong
 * comparison, or its date is exactly a Last-Modified that is strong: at least a second older than Date (section 8.8.2.2).
 */
function ifRangeHolds(ifRange: string | null, meta: StoredMeta, nowMs: number): boolean {
  if (ifRange === null) return true
  if (isEntityTag(ifRange)) return meta.etag !== null && matchesStrongly(ifRange, meta.etag)
  if (meta.lastModifiedMs === null || meta.dateMs - meta.lastModifiedMs < 1000) return false
  return parseHttpDate(ifRange, nowMs) === meta.lastModifiedMs
}

/**
 * The fields of the 206 or 416 for a plan: the stored ones with the lengths, types and ranges that the plan says.
 * @param rawHeaders the stored fields
 */
export function rangeFields(rawHeaders: readonly string[], plan: Exclude<RangePlan, { kind: 'whole' }>): string[] {
  const fields: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const lower = (rawHeaders[i] as string).toLowerCase()
    if (lower === 'content-length' || lower === 'content-range') continue
    if (lower === 'content-type' && plan.kind !== 'single') continue
    // A 416 has no content for these to describe.
    if (plan.kind === 'unsatisfiable' && CONTENT_ONLY.has(lower)) continue
    fields.push(rawHeaders[i] as string, rawHeaders[i + 1] as string)
  }
  if (plan.kind === 'several') fields.push('Content-Type', plan.contentType)
  else fields.push('Content-Range', plan.contentRange)
  fields.push('Content-Length', plan.kind === 'unsatisfiable' ? '0' : String(plan.contentLength))
  return fields
}

const CONTENT_ONLY: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-language',
  'content-location',
  'content-md5',
  'content-digest',
  'etag',
  'last-modified',
])
