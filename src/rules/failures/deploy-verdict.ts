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

/** What has been added since an earlier count; servers that were not there then began with nothing. */
export function tallySince(before: ReadonlyMap<string, Tally>, now: ReadonlyMap<string, Tally>): Tally {
  let [exchanges, failures] = [0, 0]
  for (const [id, tally] of now) {
    const old = before.get(id) ?? { exchanges: 0, failures: 0 }
    // Counters begin anew where the data plane does.
    exchanges += Math.max(0, tally.exchanges - old.exchanges)
    failures += Math.max(0, tally.failures - old.failures)
  }
  return { exchanges, failures }
}
