/**
 * The size of the table: the same lookups through a table of 10,000 routes and through one of 10.
 */
import { bringUp, columnsFor, cpuOf, loadInRounds, plain, rowsOf } from '../harness/contest.ts'
import { spread } from '../harness/figures.ts'
import type { Budget } from '../harness/report.ts'
import { disturbances, type Series } from '../harness/rounds.ts'
import { LOOKUP, startQuickUpstream } from '../harness/upstream.ts'
import type { Scenario } from './scenario.ts'

const FEW = 'banyan, 10 routes'
const MANY = 'banyan, 10,000 routes'

export const routes: Scenario = {
  name: 'routes',
  about: 'the same GET through a table of 10,000 routes against one of 10',
  standard: true,
  async run(bench) {
    const variants = bench.contestants
      .filter((contestant) => contestant.name === 'banyan')
      .flatMap((contestant) => [
        { ...plain(contestant), label: FEW, routes: 10 },
        { ...plain(contestant), label: MANY, routes: 10_000 },
      ])
    const behind = await startQuickUpstream(bench.stage)
    const field = await bringUp(bench, variants, behind.port)
    const load = { path: LOOKUP, method: 'GET', bodyBytes: 0, connections: 32 } as const
    const series = await loadInRounds(bench, field.entrants, load)
    await field.leave()
    await behind.running.stop()
    return {
      scenario: routes.name,
      about: routes.about,
      columns: columnsFor('request'),
      rows: rowsOf(series),
      budgets: added(series),
      notes: disturbances(series),
      failures: [...field.failures, ...series.flatMap((each) => each.failures)],
    }
  },
}

function added(series: readonly Series[]): Budget[] {
  const few = cpuOf(series, FEW)
  const many = cpuOf(series, MANY)
  const differences = many.slice(0, few.length).map((micros, i) => micros - (few[i] as number))
  if (differences.length === 0) return []
  const what = 'CPU added by 9,990 more routes'
  return [{ what, limit: 1, unit: ' us', digits: 2, found: spread(differences) }]
}
