/**
 * Validation (RFC 9111 section 4.3): the conditions we send, the 304 or HEAD that comes back, and the client's own conditions.
 */

import { isEntityTag, isWeak, listMatches, matchesStrongly, matchesWeakly } from '../http/entity-tag.ts'
import { fieldValues } from '../http/exchange.ts'
import { parseHttpDate } from '../http/http-date.ts'
import { type CacheFields, NOTHING_ASKED } from './fields.ts'
import { singleDate } from './freshness.ts'
import type { AnswerHead, CachePolicySettings, CacheRequest, StoredHead, StoredMeta } from './meta.ts'
import { trimmed } from './sent.ts'
import { mayStore, onlyEntityTag, type StoreVerdict, storedFields } from './storing.ts'

/**
 * The condition fields that validate stored answers at the upstream (RFC 9111 section 4.3.1): If-None-Match with the
 * entity tags of all of them, and If-Modified-Since for a single one. They replace the request's own. Empty where nothing
 * stored has a validator.
 */
export function conditionalFields(stored: readonly StoredMeta[]): string[] {
  const fields: string[] = []
  const tags = new Set(stored.flatMap(({ etag }) => (etag === null ? [] : [etag])))
  if (tags.size > 0) fields.push('If-None-Match', [...tags].join(', '))
  const lastModified = stored.length === 1 ? (stored[0] as StoredMeta).lastModified : null
  if (lastModified !== null) fields.push('If-Modified-Since', lastModified)
  return fields
}

/**
 * Which of the stored answers that we asked about a 304 updates (RFC 9111 section 4.3.4), as indexes. None means a 304 for
 * something that we don't hold: ask again without conditions.
 */
export function identifyNotModified(stored: readonly StoredMeta[], rawHeaders: readonly string[]): number[] {
  const tag = onlyValue(rawHeaders, 'etag')
  if (tag !== null && isEntityTag(tag)) {
    if (isWeak(tag)) return mostRecent(stored, ({ etag }) => etag !== null && matchesWeakly(etag, tag))
    return stored.flatMap(({ etag }, index) => (etag !== null && matchesStrongly(etag, tag) ? [index] : []))
  }
  const lastModified = onlyValue(rawHeaders, 'last-modified')
  if (lastModified !== null) return mostRecent(stored, (meta) => meta.lastModified === lastModified)
  // Without a validator in the 304 it is the answer to our own condition, which named this one alone.
  return stored.length === 1 ? [0] : []
}

function mostRecent(stored: readonly StoredMeta[], matches: (meta: StoredMeta) => boolean): number[] {
  let best = -1
  stored.forEach((meta, index) => {
    if (matches(meta) && (best === -1 || meta.dateMs > (stored[best] as StoredMeta).dateMs)) best = index
  })
  return best === -1 ? [] : [best]
}

function onlyValue(rawHeaders: readonly string[], name: string): string | null {
  const lines = fieldValues(rawHeaders, name)
  return lines.length === 1 ? trimmed(lines[0] as string) : null
}

/** A stored answer updated by a 304 or a HEAD. */
export interface Updated {
  /** Whether, and as what, it stays. On `skip` it goes; but `request-no-store` leaves the old one as it was. */
  readonly verdict: StoreVerdict
  /** The fields to store. */
  readonly rawHeaders: readonly string[]
  /** Set-Cookie lines of the 304 that are this client's alone and not part of what is stored. */
  readonly forClient: readonly string[]
}

/** What describes the stored bytes stays as it was stored (RFC 9111 section 3.2). */
const NOT_UPDATED: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-range',
  'content-md5',
  'content-digest',
])

/**
 * Updates a stored answer with the fields of a 304 that identifies it: each field that the 304 has replaces all lines of
 * that field (RFC 9111 sections 3.2 and 4.3.4). Its freshness begins anew.
 */
export function mergeNotModified(
  request: CacheRequest,
  stored: StoredHead,
  answer: AnswerHead,
  settings: CachePolicySettings,
): Updated {
  const cookies: string[] = []
  const fresh = new Map<string, string[]>()
  // Without a Date of its own the 304 gets the time of receipt, so that it isn't as old as the first answer.
  const fields = storedFields(answer, [])
  for (let i = 0; i < fields.length; i += 2) {
    const lower = (fields[i] as string).toLowerCase()
    const line = fields.slice(i, i + 2)
    if (lower === 'set-cookie') cookies.push(...line)
    // The tag that named the stored bytes goes on doing so: a weak one in a 304 must not take the place of a strong one.
    const kept = NOT_UPDATED.has(lower) || (lower === 'etag' && stored.meta.etag !== null)
    const othersCookie = lower === 'set-cookie' && settings.setCookie !== 'store'
    if (!kept && !othersCookie) fresh.set(lower, [...(fresh.get(lower) ?? []), ...line])
  }
  const merged = { ...answer, status: stored.meta.status, rawHeaders: replaceFields(stored.rawHeaders, fresh) }
  const aged = [...merged.rawHeaders, ...fieldValues(answer.rawHeaders, 'age').flatMap((age) => ['Age', age])]
  const verdict = mayStore({ ...request, method: 'GET' }, { ...merged, rawHeaders: aged }, settings)
  const leaveOut = verdict.kind === 'store' ? verdict.leaveOut : []
  const cookiesStored = settings.setCookie === 'store' && !leaveOut.includes('set-cookie')
  return { verdict, rawHeaders: storedFields(merged, leaveOut), forClient: cookiesStored ? [] : cookies }
}

/** Fields that are there already change in their place; new ones come last. */
function replaceFields(rawHeaders: readonly string[], fresh: ReadonlyMap<string, readonly string[]>): string[] {
  const fields: string[] = []
  const placed = new Set<string>()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const lower = (rawHeaders[i] as string).toLowerCase()
    const lines = fresh.get(lower)
    if (lines === undefined) fields.push(rawHeaders[i] as string, rawHeaders[i + 1] as string)
    else if (!placed.has(lower)) fields.push(...lines)
    placed.add(lower)
  }
  for (const [lower, lines] of fresh) if (!placed.has(lower)) fields.push(...lines)
  return fields
}

/**
 * What an answer to HEAD does to the stored GET of its key (RFC 9111 section 4.3.5). `keep`: nothing, it is no 200.
 * `update`: validators and length are the same. `stale`: they differ, so the stored one is to be validated (`asStale`).
 */
export type HeadEffect =
  | { readonly kind: 'keep' }
  | { readonly kind: 'stale' }
  | { readonly kind: 'update'; readonly updated: Updated }

/**
 * Compares an answer to HEAD with the stored GET, and updates that as a 304 would where they agree.
 * @param stored with the length of its body in bytes
 */
export function refreshFromHead(
  request: CacheRequest,
  stored: StoredHead & { readonly bodyLength: number },
  answer: AnswerHead,
  settings: CachePolicySettings,
): HeadEffect {
  if (answer.status !== 200 || stored.meta.status !== 200) return { kind: 'keep' }
  const agrees = (name: string, value: string | null) => {
    const lines = fieldValues(answer.rawHeaders, name)
    return lines.length === 0 || (lines.length === 1 && trimmed(lines[0] as string) === value)
  }
  const same =
    agrees('etag', stored.meta.etag) &&
    agrees('last-modified', stored.meta.lastModified) &&
    agrees('content-length', String(stored.bodyLength))
  return same ? { kind: 'update', updated: mergeNotModified(request, stored, answer, settings) } : { kind: 'stale' }
}

/** What a client's conditions are compared with. */
export type Validators = Pick<StoredMeta, 'status' | 'etag' | 'lastModifiedMs' | 'dateMs'>

/** The validators of a response that is not stored. Without a Last-Modified no date is one. */
export function validatorsOf({ status, rawHeaders, responseMs }: AnswerHead): Validators {
  const etag = onlyEntityTag(rawHeaders)
  const lastModifiedMs = singleDate(rawHeaders, 'last-modified', responseMs)
  return { status, etag, lastModifiedMs, dateMs: Number.POSITIVE_INFINITY }
}

/**
 * Answers a client's If-None-Match or If-Modified-Since on GET or HEAD from a stored answer (RFC 9111 section 4.3.2):
 * `not-modified` is a 304 with `notModifiedFields`, `full` the stored answer itself. If-None-Match compares weakly and
 * overrules If-Modified-Since (RFC 9110 section 13.2.2); what can't be read asks nothing. Only a stored 200 is compared.
 */
export function answerConditional(asked: CacheFields, meta: Validators, nowMs: number): 'not-modified' | 'full' {
  if (asked === NOTHING_ASKED || meta.status !== 200) return 'full'
  if (asked.ifNoneMatch !== null) return listMatches(asked.ifNoneMatch, meta.etag) ? 'not-modified' : 'full'
  if (asked.ifModifiedSince === null) return 'full'
  const sinceMs = parseHttpDate(asked.ifModifiedSince, nowMs)
  if (sinceMs === null) return 'full'
  // A Date has whole seconds, and so has the condition; the time of receipt must not lose by its milliseconds.
  const modifiedMs = meta.lastModifiedMs ?? Math.floor(meta.dateMs / 1000) * 1000
  return modifiedMs <= sinceMs ? 'not-modified' : 'full'
}

/** What describes the content that a 304 does not carry (RFC 9110 section 15.4.5). */
const REPRESENTATION_FIELDS: ReadonlySet<string> = new Set([
  'content-type',
  'content-encoding',
  'content-language',
  'content-length',
  'content-range',
  'content-md5',
  'content-digest',
  'repr-digest',
  'digest',
  'transfer-encoding',
])

interface NotModifiedHead {
  readonly meta: Pick<StoredMeta, 'etag'>
  readonly rawHeaders: readonly string[]
}

/**
 * The stored fields that a 304 carries: all but those of the content, and Last-Modified only where there is no entity tag
 * (RFC 9110 section 15.4.5). Age is not among them; add it as for any hit.
 */
export function notModifiedFields({ meta, rawHeaders }: NotModifiedHead): string[] {
  const fields: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const lower = (rawHeaders[i] as string).toLowerCase()
    if (REPRESENTATION_FIELDS.has(lower) || (lower === 'last-modified' && meta.etag !== null)) continue
    fields.push(rawHeaders[i] as string, rawHeaders[i + 1] as string)
  }
  return fields
}
