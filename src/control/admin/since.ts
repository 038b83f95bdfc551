/**
 * The query `since` of what is kept by time.
 */
import { parseDurationMs } from '../../rules/values/units.ts'
import type { AdminContext } from '../context.ts'
import { AdminProblem } from '../http/problem.ts'

/** `since=7d`. @returns epoch milliseconds, or null @throws {AdminProblem} malformed-query */
export function sinceOf(ctx: AdminContext, nowMs: number): number | null {
  const said = new URLSearchParams(ctx.querystring)
  const unknown = [...said.keys()].find((name) => name !== 'since')
  if (unknown !== undefined) throw new AdminProblem('malformed-query', `Unknown parameter ${JSON.stringify(unknown)}.`)
  const text = said.get('since')
  const ms = text === null ? null : parseDurationMs(text)
  if (text !== null && ms === null)
    throw new AdminProblem('malformed-query', 'since must be a duration such as 6h or 7d.')
  return ms === null ? null : nowMs - ms
}
