/**
 * The size of the table: the same lookups through a table of 10,000 routes and through one of 10.
 */
import { columnsFor, cpuOf, getInRounds, plain, rowsOf } from '../harness/contest.ts'
import { spread } from '../harness/figures.ts'
import type { Budget } from '../harness/report.ts'
import { disturbances, type Series } from '../harness/rounds.ts'
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
    const { series, failures } = await getInRounds(bench, variants)
    return {
      scenario: routes.name,
      about: routes.about,
      columns: columnsFor('request'),
      rows: rowsOf(series),
      budgets: added(series),
      notes: disturbances(series),
      failures,
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
