/**
 * What an exchange says about the two sides of its route, for the guard of a ramp.
 */
import { FAILURES } from '../rules/failures/failure.ts'
import type { Metric } from '../rules/ramp/guard.ts'
import { stickyHashOf } from '../rules/routing/decide.ts'
import type { Route } from '../rules/table/table.ts'
import type { RampTally } from '../state/evidence/ramp-tally.ts'
import type { Exchange } from './exchange.ts'

/** Counts an exchange that is over, if the draw of its route decided it and an upstream was asked. */
export function countForRamp(tally: RampTally, exchange: Exchange, route: Route): void {
  const side = drawnSide(exchange)
  if (side === null || isFromCache(exchange) || isOfClient(exchange)) return
  const { matched, view, latencyMs } = exchange
  const key = stickyHashOf(route, matched, view)
  if (key === undefined) return
  tally.count(route.id, route.percent, { key, side, failure: failureOf(exchange), latencyMs })
}

/** The side that was drawn, whoever answered; null where something else decided. */
function drawnSide({ decision: { reason } }: Exchange): 'to' | 'rest' | null {
  if (reason === 'rest') return 'rest'
  return reason === 'percent' || reason === 'unavailable' || reason === 'fallback' ? 'to' : null
}

/** Nothing of a side is in it; of a stale response in the place of a failure there is. */
function isFromCache({ cache, staleOnError }: Exchange): boolean {
  if (staleOnError) return false
  return cache === 'hit' || cache === 'stale' || cache === 'revalidated'
}

/** The client broke it off, or its request was malformed: that says nothing about a side. */
function isOfClient({ failure, fallbackOn }: Exchange): boolean {
  return fallbackOn === null && failure !== null && FAILURES[failure].culprit === 'client'
}

function failureOf({ decision, failure, fallbackOn, staleOnError, answer, outcome }: Exchange): Metric | null {
  const status = outcome ?? answer.status
  if (staleOnError || fallbackOn !== null || failure !== null || decision.reason === 'unavailable' || status >= 500)
    return 'error'
  if (status >= 400) return 'client-error'
  return status >= 300 && status !== 304 ? 'redirect' : null
}
