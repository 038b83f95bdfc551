/**
 * Ways in which two processes can share a port, with a bare node:http server in each: docs/background/decisions/0011-workers.md.
 */
import { fileURLToPath } from 'node:url'
import { type Bench, columnsFor, cpuBudget, loadInRounds, rowsOf } from '../harness/contest.ts'
import { openSockets, tree } from '../harness/procfs.ts'
import type { Entrant, Series } from '../harness/rounds.ts'
import type { Running } from '../harness/stage.ts'
import { runWrk } from '../harness/wrk.ts'
import type { Scenario } from './scenario.ts'

const PROGRAM = fileURLToPath(new URL('../load/accepting.ts', import.meta.url))

const WAYS = ['one', 'cluster-round-robin', 'cluster-shared', 'reuse-port', 'shared', 'banyan'] as const

const GET = { path: '/', method: 'GET', bodyBytes: 0, connections: 32 } as const

/** How long the connections stand that are counted. */
const COUNT_SECONDS = 2

export const accepting: Scenario = {
  name: 'accepting',
  about: 'ways in which two bare node:http servers share a port: CPU of all processes, and how even 32 connections are',
  standard: false,
  async run(bench) {
    const started = await Promise.all(WAYS.map((way) => start(bench, way)))
    const entrants = started.map(({ entrant }) => entrant)
    const series: Series[] = []
    const kept = await loadInRounds(bench, entrants, GET)
    const each = await loadInRounds(bench, entrants, { ...GET, closes: true })
    for (const [name, measured] of [['kept alive', kept] as const, ['a connection each', each] as const]) {
      series.push(...measured.map((one) => ({ ...one, label: `${one.label}, ${name}` })))
    }
    const notes: string[] = []
    for (const entrant of entrants) notes.push(await evenness(bench, entrant))
    await Promise.all(started.map(({ running }) => running.stop()))
    return {
      scenario: accepting.name,
      about: accepting.about,
      columns: columnsFor('request'),
      rows: rowsOf(series),
      budgets: cpuBudget(each, 'banyan', 'one', 1.2),
      notes,
      failures: series.flatMap(({ failures }) => failures),
    }
  },
}

async function start(bench: Bench, way: string): Promise<{ entrant: Entrant; running: Running }> {
  const { stage } = bench
  const port = await stage.freePort()
  const command = [process.execPath, PROGRAM, String(port), way] as [string, ...string[]]
  const running = await stage.start({ name: way, core: 'both', command, ready: { port } })
  return { entrant: { label: way, port, pid: running.pid }, running }
}

/** Counts the connections of each process while a load stands. */
async function evenness({ stage }: Bench, { label, port, pid }: Entrant): Promise<string> {
  const processes = tree(pid as number)
  const before = processes.map(openSockets)
  const load = runWrk(stage, port, GET, COUNT_SECONDS)
  await new Promise((resolve) => setTimeout(resolve, (COUNT_SECONDS * 1000) / 2))
  const counts = processes.map((each, at) => openSockets(each) - before[at]!)
  await load
  return `${label}: 32 connections are ${counts.length === 1 ? counts[0] : counts.slice(1).join(' + ')}`
}
