/**
 * What an exchange says about the two sides of its route, for the guard of a ramp.
 */
import { FAILURES } from '../rules/failures/failure.ts'
import { hashOf } from '../rules/patterns/draw.ts'
import type { Metric } from '../rules/ramp/guard.ts'
import { sideOf, stickyHashOf } from '../rules/routing/decide.ts'
import type { Route } from '../rules/table/table.ts'
import type { RampTally } from '../state/evidence/ramp-tally.ts'
import type { Exchange } from './exchange.ts'

/**
 * Counts an exchange that is over, if the draw of its route decided it, or `noKey` since it has no key, and an upstream was asked.
 * Those without a key are counted apart, by client. Of one that the client broke off only the latency counts: otherwise a side
 * that hangs would look well wherever clients are less patient than the timeouts of the upstream.
 */
export function countForRamp(tally: RampTally, exchange: Exchange, route: Route): void {
  const side = drawnSide(exchange, route)
  if (side === null || isFromCache(exchange)) return
  const { matched, view, latencyMs } = exchange
  const isBrokenOff = isOfClient(exchange)
  if (isBrokenOff && latencyMs === null) return
  const key = stickyHashOf(route, matched, view)
  const hasKey = key !== undefined
  const failure = isBrokenOff ? null : failureOf(exchange)
  tally.count(route.id, route.percent, {
    ...{ side, failure, latencyMs, hasKey, isBrokenOff },
    key: hasKey ? key : hashOf(route.salt, view.clientAddress),
  })
}

/** The side that was decided, whoever answered; null where neither the draw nor `noKey` decided. */
function drawnSide({ decision }: Exchange, route: Route): 'to' | 'rest' | null {
  switch (decision.reason) {
    case 'percent':
    case 'rest':
    case 'no-key':
    case 'unavailable':
    case 'fallback':
      return sideOf(decision, route) === 'to' ? 'to' : 'rest'
    default:
      return null
  }
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
