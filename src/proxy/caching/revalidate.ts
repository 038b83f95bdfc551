/**
 * Revalidation: a 304 freshens a stored response, a response to HEAD may freshen or invalidate it (RFC 9111 sections 4.3.3 to
 * 4.3.5).
 */
import { birthOf } from '../../rules/caching/freshness.ts'
import type { AnswerHead, SkipReason } from '../../rules/caching/meta.ts'
import { asStale, needsRefresh } from '../../rules/caching/policy.ts'
import { aftermathOf } from '../../rules/caching/resource.ts'
import { mergeNotModified, refreshFromHead } from '../../rules/caching/validation.ts'
import { madeFor } from '../../state/caching/content.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { CacheTiers } from '../../state/caching/tiers.ts'
import type { Lookup } from './lookup.ts'

/** A stored response that the upstream has confirmed. */
export interface Revalidated {
  /** As it may be served to the client whose request was sent. */
  readonly answer: StoredAnswer
  /** It may be kept, and serve others. */
  readonly keeps: boolean
  /** Fields for that client alone. */
  readonly forClient: readonly string[]
}

/**
 * Updates a stored answer with a 304 that names it. What may not be kept any more is dropped.
 * @param origin of the request that brought the 304
 */
export function freshen(
  tiers: CacheTiers,
  lookup: Lookup,
  stored: StoredAnswer,
  { origin, ...answer }: AnswerHead & { readonly origin: Pick<StoredAnswer, 'position' | 'checked'> },
): Revalidated {
  const { verdict, rawHeaders, forClient } = mergeNotModified(lookup.request(), stored, answer, lookup.settings)
  const keeps = verdict.kind === 'store'
  if (verdict.kind === 'skip' && drops(stored, verdict.why, answer.responseMs)) tiers.drop(lookup)
  const meta = keeps ? verdict.meta : { ...stored.meta, ...birthOf(answer) }
  const content = stored.content.again(madeFor(lookup, meta.vary))
  return {
    answer: { ...stored, content, meta, rawHeaders, ...origin, refreshAfterMs: 0, written: null },
    keeps,
    forClient,
  }
}

/**
 * Freshens the stored response to GET that a response to HEAD agrees with, or makes it stale. A HEAD that went before what is
 * stored came, or before a purge, says nothing about it.
 * @param checked the last purge that was known when the HEAD went
 */
export function freshenFromHead(tiers: CacheTiers, lookup: Lookup, answer: AnswerHead, checked: number): void {
  const nowMs = answer.responseMs
  const stored = tiers.find(lookup, nowMs)
  if (stored === null || stored.meta.storedMs > answer.requestMs || tiers.purges.touches(lookup, checked)) return
  const { meta, rawHeaders, content } = stored
  const known = { meta, rawHeaders, bodyLength: content.length }
  const effect = refreshFromHead(lookup.request(), known, answer, lookup.settings)
  if (effect.kind === 'stale') void tiers.keep(lookup, { ...stored, meta: asStale(meta, nowMs) }, nowMs)
  if (effect.kind !== 'update') return
  const { verdict, rawHeaders: updated } = effect.updated
  if (verdict.kind === 'store') {
    void tiers.keep(lookup, { ...stored, meta: verdict.meta, rawHeaders: updated }, nowMs)
  } else if (drops(stored, verdict.why, nowMs)) tiers.drop(lookup)
}

/** Whether what an answer without a body says of a stored one, and may not be kept, makes that untrue for all. */
function drops({ meta }: StoredAnswer, why: SkipReason, nowMs: number): boolean {
  const refreshes = needsRefresh(meta, nowMs)
  return aftermathOf({ status: meta.status, why, refreshes }).drops
}
