/**
 * What an answer without a body tells of a stored one: a 304 confirms it, an answer to HEAD agrees with it or not
 * (RFC 9111 sections 4.3.3 to 4.3.5).
 */
import { birthOf } from '../../rules/caching/freshness.ts'
import type { AnswerHead, SkipReason } from '../../rules/caching/meta.ts'
import { asStale } from '../../rules/caching/policy.ts'
import { aftermathOf } from '../../rules/caching/resource.ts'
import { mergeNotModified, refreshFromHead } from '../../rules/caching/validation.ts'
import { madeFor } from '../../state/caching/content.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import type { CacheTiers } from '../../state/caching/tiers.ts'
import type { Visit } from './lookup.ts'

/** A stored answer that the upstream has confirmed. */
export interface Confirmed {
  /** As it may be served to the one who asked. */
  readonly answer: StoredAnswer
  /** It may be kept, and serve others. */
  readonly keeps: boolean
  /** Fields for the one who asked alone. */
  readonly forClient: readonly string[]
}

/**
 * Updates a stored answer with a 304 that names it. What may not be kept any more is dropped.
 * @param origin of the request that brought the 304
 */
export function confirm(
  tiers: CacheTiers,
  visit: Visit,
  stored: StoredAnswer,
  { origin, ...answer }: AnswerHead & { readonly origin: Pick<StoredAnswer, 'generation' | 'checked'> },
): Confirmed {
  const { verdict, rawHeaders, forClient } = mergeNotModified(visit.request(), stored, answer, visit.settings)
  const keeps = verdict.kind === 'store'
  if (verdict.kind === 'skip' && drops(visit, stored, verdict.why, answer.responseMs)) tiers.drop(visit)
  const meta = keeps ? verdict.meta : { ...stored.meta, ...birthOf(answer) }
  const content = stored.content.again(madeFor(visit, meta.vary))
  return {
    answer: { ...stored, content, meta, rawHeaders, ...origin, refreshAfterMs: 0, written: null },
    keeps,
    forClient,
  }
}

/** Lets an answer to HEAD refresh the stored GET that it agrees with, or make stale the one that it does not. */
export function compareHead(tiers: CacheTiers, visit: Visit, answer: AnswerHead): void {
  const nowMs = answer.responseMs
  const stored = tiers.find(visit, nowMs)
  if (stored === null) return
  const { meta, rawHeaders, content } = stored
  const known = { meta, rawHeaders, bodyLength: content.length }
  const effect = refreshFromHead(visit.request(), known, answer, visit.settings)
  if (effect.kind === 'stale') void tiers.keep(visit, { ...stored, meta: asStale(meta, nowMs) }, nowMs)
  if (effect.kind !== 'update') return
  const { verdict, rawHeaders: updated } = effect.updated
  if (verdict.kind === 'store') {
    void tiers.keep(visit, { ...stored, meta: verdict.meta, rawHeaders: updated }, nowMs)
  } else if (drops(visit, stored, verdict.why, nowMs)) tiers.drop(visit)
}

/** Whether what an answer without a body says of a stored one, and may not be kept, makes that untrue for all. */
function drops(visit: Visit, { meta }: StoredAnswer, why: SkipReason, nowMs: number): boolean {
  const refreshes = nowMs >= meta.freshUntilMs
  return aftermathOf({ request: visit.request(), status: meta.status, why, refreshes }).drops
}
