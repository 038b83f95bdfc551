/**
 * Checks of routes without an old side: what asks for one has nowhere to go.
 */
import { compileRetirement, type RetirementDocument } from '../retirement/retirement.ts'
import type { RouteDocument } from '../table/schema.ts'
import type { Finding } from '../values/problem.ts'

type Path = readonly (string | number)[]

/** Keys that need a `from`, with what they would do with it. */
const NEED_FROM = {
  fallback: 'fall back on',
  breaker: 'send requests to',
  shadow: 'compare with',
  pinAfterWrite: 'stay on',
  ramp: 'raise the percent from',
} as const

/** Whether a table has an upstream for requests without a route. @param said its `default`, which may be unsound */
export function hasDefault(said: unknown): boolean {
  return typeof said !== 'object' || said === null
}

/**
 * What is wrong with a route of a table without such an upstream.
 * @param isSound tells whether a key of the route is
 */
export function sidelessFindings(
  said: Partial<RouteDocument>,
  path: Path,
  isSound: (key: string) => boolean,
): Finding[] {
  if (said.from !== undefined || (isSound('retire') && endsNow(said.retire))) return []
  const findings: Finding[] = []
  const error = (key: string, message: string, hint: string): void => {
    findings.push({
      path: said[key as keyof RouteDocument] === undefined ? path : [...path, key],
      message,
      hint,
      severity: 'error',
    })
  }
  const why = 'the table has no default upstream, and the route no from'
  if (isSound('percent') && said.percent !== 100)
    error(
      'percent',
      `${100 - (said.percent ?? 0)} % of the requests have nowhere to go: ${why}`,
      'write percent: 100, or from',
    )
  if (said.noKey === 'from') error('noKey', `requests without a key have nowhere to go: ${why}`, 'leave noKey out')
  for (const [key, what] of Object.entries(NEED_FROM)) {
    const value = said[key as keyof typeof NEED_FROM]
    if (value === undefined || value === false) continue
    error(key, `there is nothing to ${what}: ${why}`, `leave ${key} out, or write from`)
  }
  return findings
}

function endsNow(retire: RetirementDocument | undefined): boolean {
  return retire !== undefined && compileRetirement(retire).endsMs === Number.NEGATIVE_INFINITY
}
