/**
 * Shadowing: the same lookups with one in a hundred copied to the other side and compared, against none.
 */
import { columnsFor, cpuBudget, getInRounds, plain, rowsOf } from '../harness/contest.ts'
import { disturbances } from '../harness/rounds.ts'
import type { Scenario } from './scenario.ts'

const SHADOWED = 'banyan, shadow 1 %'

export const shadow: Scenario = {
  name: 'shadow',
  about: 'the same GET with 1 % of the requests copied and compared against none',
  standard: true,
  async run(bench) {
    const variants = bench.contestants
      .filter((contestant) => contestant.name === 'banyan')
      .flatMap((contestant) => [plain(contestant), { ...plain(contestant), label: SHADOWED, shadow: 1 }])
    const { series, failures } = await getInRounds(bench, variants)
    return {
      scenario: shadow.name,
      about: shadow.about,
      columns: columnsFor('request'),
      rows: rowsOf(series),
      budgets: cpuBudget(series, SHADOWED, 'banyan', 1.05),
      notes: disturbances(series),
      failures,
    }
  },
}
