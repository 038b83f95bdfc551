/**
 * What a scenario is, and the one that most of them share: an HTTP load over all contestants and the baseline.
 */
import { type Bench, bringUp, columnsFor, cpuBudget, DIRECT, loadInRounds, plain, rowsOf } from '../harness/contest.ts'
import type { Report } from '../harness/report.ts'
import { disturbances } from '../harness/rounds.ts'
import type { Upstream } from '../harness/upstream.ts'
import type { Load } from '../harness/wrk.ts'

/** One thing to measure. */
export interface Scenario {
  /** As on the command line. */
  readonly name: string
  readonly about: string
  /** Whether `npm run bench` without a name runs it. */
  readonly standard: boolean
  /** Measures. Ends what it started; what goes wrong with one contestant is in the report's failures. */
  run(bench: Bench): Promise<Report>
}

/** A load over all contestants, and the ratios of banyan's CPU time to hold, by contestant. */
export interface HttpContest {
  readonly name: string
  readonly about: string
  readonly load: Load
  readonly upstream: (stage: Bench['stage']) => Promise<Upstream>
  readonly limits: ReadonlyArray<readonly [against: string, limit: number]>
}

/** The scenario that runs such a contest. */
export function httpContest({ name, about, load, upstream, limits }: HttpContest): Scenario {
  return {
    name,
    about,
    standard: true,
    async run(bench) {
      const behind = await upstream(bench.stage)
      const field = await bringUp(bench, bench.contestants.map(plain), behind.port)
      const direct = { label: DIRECT, port: behind.port, pid: null }
      const series = await loadInRounds(bench, [direct, ...field.entrants], load)
      await field.leave()
      await behind.running.stop()
      return {
        scenario: name,
        about,
        columns: columnsFor('request'),
        rows: rowsOf(series),
        budgets: limits.flatMap(([against, limit]) => cpuBudget(series, 'banyan', against, limit)),
        notes: disturbances(series),
        failures: [...field.failures, ...series.flatMap((each) => each.failures)],
      }
    },
  }
}
