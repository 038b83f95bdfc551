/**
 * What of a response is stored: the verdict with what the sent request adds to it, and the entry as it grows and is complete.
 */
import type { AnswerHead } from '../../rules/caching/meta.ts'
import { hasAliasOf, passedFields } from '../../rules/caching/sent.ts'
import { mayStore, type StoreVerdict } from '../../rules/caching/storing.ts'
import { fieldValue } from '../../rules/http/exchange.ts'
import { Content, type MadeFor } from '../../state/caching/content.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { ResponseHead } from '../../wire/response-head.ts'
import type { Lookup } from './lookup.ts'
import { CONDITIONS, RANGES } from './upstream-request.ts'

/** A stored response whose body is still coming. */
export type Storing = Omit<StoredAnswer, 'content'> & { readonly madeFor: MadeFor }

/** The request that a response answers, as it was sent. */
export interface SentTerms {
  /** Fields that were known to select responses when it was sent. */
  readonly vary: readonly string[]
  /** Conditions of banyan's own were sent in place of the client's. */
  readonly replaced: boolean
}

/** Whether the response to a fetch may be stored. It is a GET, even where the request of a HEAD has begun a background revalidation. */
export function mayStoreFetched(
  lookup: Lookup,
  head: ResponseHead,
  answer: AnswerHead,
  { vary: known, replaced }: SentTerms,
): StoreVerdict {
  if (head.bindsConnection) return { kind: 'skip', why: 'authorization' }
  const verdict = mayStore({ ...lookup.request(), method: 'GET' }, answer, lookup.settings)
  if (verdict.kind === 'skip') return verdict
  const { vary } = verdict.meta
  // What selected it is not what the request would be compared by.
  const unlike = replaced && vary.some((name) => CONDITIONS.has(name) || RANGES.has(name))
  const sent = passedFields(lookup.fields, lookup.settings, known)
  return unlike || hasAliasOf(sent, vary) ? { kind: 'skip', why: 'vary' } : verdict
}

/** The entry, complete. A body that came chunked has a known length now, which a HEAD may be told too. */
export function completed({ madeFor, ...storing }: Storing, body: Buffer): StoredAnswer {
  const { meta, rawHeaders } = storing
  const framed = meta.status === 204 || fieldValue(rawHeaders, 'content-length') !== undefined
  const fields = framed ? rawHeaders : [...rawHeaders, 'Content-Length', String(body.length)]
  return { ...storing, rawHeaders: fields, content: new Content(madeFor, body) }
}
