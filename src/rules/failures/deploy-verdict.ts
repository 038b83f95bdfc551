/**
 * Whether what answers on the new version fails more than the rest: the verdict that a deploy goes on or back by.
 */

/** What was asked of some servers in a while, and how much of it failed. */
export interface Tally {
  readonly exchanges: number
  readonly failures: number
}

/** What is taken for a failure of the new version. */
export interface VerdictTerms {
  /** By so much its share of failures may be above the others', 0 to 1. */
  readonly maxErrors: number
  /** With fewer exchanges there is nothing to judge by. */
  readonly minExchanges: number
}

export type Verdict = 'pass' | 'fail' | 'not-enough-data'

/**
 * Judges servers against others over the same time. Failures that could not be made good by the exchanges that are still
 * missing are a `fail` at once; no traffic is neither good nor bad.
 */
export function verdictOf(here: Tally, others: Tally, { maxErrors, minExchanges }: VerdictTerms): Verdict {
  const counted = Math.max(here.exchanges, minExchanges)
  const usual = others.exchanges >= minExchanges ? others.failures / others.exchanges : 0
  if (counted > 0 && here.failures / counted - usual > maxErrors) return 'fail'
  return here.exchanges >= minExchanges ? 'pass' : 'not-enough-data'
}

/** Nothing was asked for. */
export const NO_TALLY: Tally = { exchanges: 0, failures: 0 }

/** Both together. */
export function addTallies(a: Tally, b: Tally): Tally {
  return { exchanges: a.exchanges + b.exchanges, failures: a.failures + b.failures }
}

/**
 * What has been added since an earlier count. A counter that is less than it was has begun at 0 anew: all of it is new, as
 * Prometheus reads it. Of one that was not there before it is not known how much is new: it counts from the next look on.
 */
export function tallySince(before: ReadonlyMap<string, Tally>, now: ReadonlyMap<string, Tally>): Tally {
  let sum = NO_TALLY
  for (const [id, tally] of now) {
    const old = before.get(id) ?? tally
    const isReset = tally.exchanges < old.exchanges || tally.failures < old.failures
    const { exchanges, failures } = isReset ? NO_TALLY : old
    sum = addTallies(sum, { exchanges: tally.exchanges - exchanges, failures: tally.failures - failures })
  }
  return sum
}
