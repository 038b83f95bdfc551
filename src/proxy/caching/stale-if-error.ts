/**
 * Stale-if-error, and before it the route's fallback: what clients get if the upstream has failed (RFC 5861 section 4).
 */
import { mayServeStaleOnError, type UpstreamFailure } from '../../rules/caching/policy.ts'
import type { FailureCode } from '../../rules/failures/failure.ts'
import { mayFallBack } from '../../rules/failures/resilience.ts'
import type { CacheCounters } from '../../state/caching/figures.ts'
import type { StoredAnswer } from '../../state/caching/store.ts'
import { deliverStored } from './deliver.ts'
import type { Lookup } from './lookup.ts'

/** What failed, as each of the rules names it. */
export interface Failed {
  readonly failed: { readonly status: number } | { readonly failure: FailureCode }
  readonly how: UpstreamFailure
  /** For the log: id of the server that was asked, where one was, and what lies behind the failure. */
  readonly server: string | null
  readonly cause: Error | null
}

/** Those who wait, and what they may get instead. */
export interface FailureTerms {
  readonly waiting: Set<Lookup>
  readonly stored: StoredAnswer | null
  readonly counters: CacheCounters
  fallBack(lookup: Lookup): void
}

/** Sends those who may to the fallback, and serves a stale response to others who may; they wait no longer. */
export function answerFailed({ waiting, stored, counters, fallBack }: FailureTerms, what: Failed, nowMs: number): void {
  for (const lookup of [...waiting]) {
    const { exchange, cachingRoute } = lookup
    if (mayFallBack(cachingRoute, exchange.decision, exchange.view.method, what.failed, true)) {
      waiting.delete(lookup)
      const on = 'status' in what.failed ? String(what.failed.status) : what.failed.failure
      exchange.fellBack(on, what.server, what.cause)
      fallBack(lookup)
    } else if (stored !== null) {
      const { kind, why } = mayServeStaleOnError(lookup.asked, stored.meta, what.how, nowMs)
      if (kind === 'refuse') continue
      exchange.cause = what.cause
      // Before it is delivered: an exchange may be over then.
      exchange.staleOnError = true
      if (!serveStale(lookup, stored, { how: what.how, why }, nowMs)) {
        exchange.staleOnError = false
        continue
      }
      waiting.delete(lookup)
      counters.staleOnError++
    }
  }
}

function serveStale(
  lookup: Lookup,
  stored: StoredAnswer,
  { how, why }: { how: UpstreamFailure; why: string },
  nowMs: number,
): boolean {
  const forwardStatus = how === 'unreachable' ? {} : { forwardStatus: how }
  const handling = { kind: 'forward', reason: lookup.forwardReason, ...forwardStatus } as const
  return deliverStored(lookup, stored, { word: 'stale', handling, detail: why }, nowMs)
}
