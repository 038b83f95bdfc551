/**
 * The access log: on, into a file, against off.
 */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { columnsFor, cpuBudget, getInRounds, plain, rowsOf, type Variant } from '../harness/contest.ts'
import { disturbances, type Series } from '../harness/rounds.ts'
import type { Scenario } from './scenario.ts'

const LOGGERS = ['banyan', 'nginx']

export const log: Scenario = {
  name: 'log',
  about: 'the same GET with the access log on (into a file) against off',
  standard: true,
  async run(bench) {
    const variants: Variant[] = bench.contestants
      .filter((contestant) => LOGGERS.includes(contestant.name))
      .flatMap((contestant) => [
        plain(contestant),
        {
          ...plain(contestant),
          label: `${contestant.name}, log on`,
          accessLog: join(bench.stage.newFolder('log'), 'access.log'),
        },
      ])
    const { series, failures } = await getInRounds(bench, variants)
    return {
      scenario: log.name,
      about: log.about,
      columns: columnsFor('request'),
      rows: rowsOf(series),
      budgets: cpuBudget(series, 'banyan, log on', 'banyan', 1.25),
      notes: disturbances(series),
      failures: [...failures, ...(await missingLines(variants, series))],
    }
  },
}

/** A log that costs nothing because it is not written would hold its budget: so its lines are counted. */
async function missingLines(variants: readonly Variant[], series: readonly Series[]): Promise<string[]> {
  const failures: string[] = []
  for (const { label, accessLog } of variants) {
    const rounds = series.find((each) => each.label === label)?.rounds ?? []
    if (accessLog === null || rounds.length === 0) continue
    const answers = rounds.reduce((sum, round) => sum + round.units, 0)
    const lines = await countLines(accessLog)
    if (lines < answers) failures.push(`${label}: ${lines} lines in the log after ${answers} answers`)
  }
  return failures
}

async function countLines(file: string): Promise<number> {
  let lines = 0
  for await (const chunk of createReadStream(file)) {
    for (const byte of chunk as Buffer) if (byte === 10) lines++
  }
  return lines
}
