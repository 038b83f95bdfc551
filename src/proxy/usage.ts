/**
 * What an exchange says about what is left of the old application: an endpoint that no route claims, or the old side of a route
 * that has moved.
 */
import { callerOf } from '../rules/discovery/caller.ts'
import { answeringSide } from '../rules/routing/decide.ts'
import type { UsageTally } from '../state/discovery/usage-tally.ts'
import type { Exchange } from './exchange.ts'

/** Counts an exchange that is over. @param durationMs in milliseconds */
export function countUsage(tally: UsageTally, exchange: Exchange, durationMs: number): void {
  const { matched, view, decision } = exchange
  const { route } = matched
  if (route !== null) {
    const isLate = route.percent === 100 && answeringSide(decision, route) === 'from'
    if (isLate || decision.reason === 'retired') tally.late(route.id, callerOf(view), Date.now())
    return
  }
  // Somebody with a force token tries something out.
  if (decision.reason === 'forced') return
  const { answer, failure, server, revision } = exchange
  tally.unclaimed(
    {
      method: view.method,
      target: view.target,
      status: answer.status,
      isAnswered: failure === null && server !== null,
      isAmbiguous: matched.ambiguous,
      durationMs,
      ignoresCase: revision.table.matcher.reading.ignoresCase,
      caller: () => callerOf(view),
    },
    Date.now(),
  )
}
