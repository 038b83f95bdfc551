/**
 * Who answers where the upstream has failed: the other side of the route, else a stale answer, else nobody.
 */
import { mayServeStaleOnError, type UpstreamFailure } from '../../rules/caching/policy.ts'
import type { FailureCode } from '../../rules/failures/failure.ts'
import { mayFallBack } from '../../rules/failures/resilience.ts'
import type { CacheCounters } from '../../state/caching/figures.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import { answerStored } from './deliver.ts'
import type { Visit } from './lookup.ts'

/** What failed, as each of the rules names it. */
export interface Failed {
  readonly failed: { readonly status: number } | { readonly failure: FailureCode }
  readonly how: UpstreamFailure
  /** For the log: id of the server that was asked, where one was, and what lies behind the failure. */
  readonly server: string | null
  readonly cause: Error | null
}

/** Those who wait, and what they may have instead. */
export interface StandInTerms {
  readonly waiting: Set<Visit>
  readonly stored: StoredAnswer | null
  readonly counters: CacheCounters
  fallBack(visit: Visit): void
}

/** Lets the fallback or a stale answer stand in, for those who may have it; they wait no longer. */
export function standIn({ waiting, stored, counters, fallBack }: StandInTerms, what: Failed, nowMs: number): void {
  for (const visit of [...waiting]) {
    const { exchange, cachingRoute } = visit
    if (mayFallBack(cachingRoute, exchange.decision, exchange.view.method, what.failed, true)) {
      waiting.delete(visit)
      const on = 'status' in what.failed ? String(what.failed.status) : what.failed.failure
      exchange.fellBack(on, what.server, what.cause)
      fallBack(visit)
    } else if (stored !== null) {
      const { kind, why } = mayServeStaleOnError(visit.asked, stored.meta, what.how, nowMs)
      if (kind === 'refuse') continue
      exchange.cause = what.cause
      if (!serveStale(visit, stored, { how: what.how, why }, nowMs)) continue
      waiting.delete(visit)
      counters.staleOnError++
    }
  }
}

function serveStale(
  visit: Visit,
  stored: StoredAnswer,
  { how, why }: { how: UpstreamFailure; why: string },
  nowMs: number,
): boolean {
  const forwardStatus = how === 'unreachable' ? {} : { forwardStatus: how }
  const handling = { kind: 'forward', reason: visit.forwardReason, ...forwardStatus } as const
  const served = answerStored(visit, stored, { word: 'stale', handling, detail: why }, nowMs)
  if (served) visit.done()
  return served
}
