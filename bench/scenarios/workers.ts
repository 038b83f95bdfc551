/**
 * What a second worker is worth: the same loads on one process, one worker and two, all of them free to use both cores.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { tableText } from '../contestants/banyan.ts'
import { type Bench, columnsFor, cpuBudget, DIRECT, loadInRounds, rowsOf } from '../harness/contest.ts'
import { ratio } from '../harness/figures.ts'
import type { Budget } from '../harness/report.ts'
import type { Entrant, Series } from '../harness/rounds.ts'
import type { Running } from '../harness/stage.ts'
import { LOOKUP, startQuickUpstream } from '../harness/upstream.ts'
import type { Load } from '../harness/wrk.ts'
import type { Scenario } from './scenario.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/banyan.js', import.meta.url))

const GET = { path: LOOKUP, method: 'GET', bodyBytes: 0, connections: 64 } as const
const LOADS: ReadonlyArray<readonly [label: string, load: Load]> = [
  ['kept alive', GET],
  ['a connection each', { ...GET, closes: true }],
]

/** CPU time of all processes with two workers against that of one process. */
const CPU_LIMIT = 1.2

export const workers: Scenario = {
  name: 'workers',
  about: 'the same GET with 0, 1 and 2 workers, which share both cores with load and upstream',
  standard: true,
  async run(bench) {
    const behind = await startQuickUpstream(bench.stage)
    const started = await Promise.all([0, 1, 2].map((count) => start(bench, count, behind.port)))
    const entrants: Entrant[] = started.map(({ entrant }) => entrant)
    const direct = { label: DIRECT, port: behind.port, pid: null }
    const series: Series[] = []
    const budgets: Budget[] = []
    for (const [name, load] of LOADS) {
      const measured = await loadInRounds(bench, [direct, ...entrants], load)
      const cpu = cpuBudget(measured, '--workers 2', '--workers 0', CPU_LIMIT)
      budgets.push(...cpu.map((budget) => ({ ...budget, what: `${budget.what}, ${name}` })), ...gain(measured, name))
      series.push(...measured.map((each) => ({ ...each, label: `${each.label}, ${name}` })))
    }
    await Promise.all([...started.map(({ running }) => running.stop()), behind.running.stop()])
    return {
      scenario: workers.name,
      about: workers.about,
      columns: columnsFor('request'),
      rows: rowsOf(series),
      budgets,
      notes: [
        'Load and upstream take one of the two cores for themselves as well: what is left of it is all that a second worker can have.',
      ],
      failures: series.flatMap((each) => each.failures),
    }
  },
}

async function start(
  bench: Bench,
  count: number,
  upstreamPort: number,
): Promise<{ entrant: Entrant; running: Running }> {
  const { stage, banyanFlags } = bench
  const table = join(stage.newFolder('workers'), 'routes.yaml')
  writeFileSync(table, tableText(upstreamPort, 10))
  const port = await stage.freePort()
  const label = `--workers ${count}`
  bench.progress(`starting ${label}`)
  const running = await stage.start({
    name: label,
    core: 'both',
    command: [
      ...[process.execPath, ...banyanFlags, PROGRAM, 'serve', '--table', table, '--workers', String(count)],
      ...['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${await stage.freePort()}`, '--access-log', 'none'],
    ] as [string, ...string[]],
    ready: { line: 'banyan ready' },
  })
  return { entrant: { label, port, pid: running.pid }, running }
}

/** One worker's requests per second over those of two: below 1 the second is worth something. */
function gain(series: readonly Series[], name: string): Budget[] {
  const rates = (label: string): number[] =>
    series.find((each) => each.label === label)?.rounds.map(({ perSecond }) => perSecond) ?? []
  const [one, two] = [rates('--workers 1'), rates('--workers 2')]
  if (one.length === 0 || two.length === 0) return []
  const what = `requests/s, ${name}: 1 worker / 2 workers`
  return [{ what, limit: 1, unit: ' x', digits: 2, found: ratio(one, two) }]
}
