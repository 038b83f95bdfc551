/**
 * WebSocket echo: what a message costs that passes through a tunnel, there and back.
 */
import { fileURLToPath } from 'node:url'
import { type Bench, bringUp, columnsFor, cpuBudget, DIRECT, plain, rowsOf, timingOf } from '../harness/contest.ts'
import { disturbances, interleave, type Measured } from '../harness/rounds.ts'
import { startNodeUpstream } from '../harness/upstream.ts'
import type { Scenario } from './scenario.ts'

const PROGRAM = fileURLToPath(new URL('../load/echo-load.ts', import.meta.url))
const CONNECTIONS = 32
const MESSAGE_BYTES = 64

export const websocket: Scenario = {
  name: 'websocket',
  about: `WebSocket echo of ${MESSAGE_BYTES}-byte messages, one under way on each of ${CONNECTIONS} connections`,
  standard: true,
  async run(bench) {
    const behind = await startNodeUpstream(bench.stage)
    const variants = bench.contestants.filter((contestant) => contestant.upgrades).map(plain)
    const field = await bringUp(bench, variants, behind.port)
    const entrants = [{ label: DIRECT, port: behind.port, pid: null }, ...field.entrants]
    const timing = timingOf(bench)
    const series = await interleave(entrants, timing, ({ port }, seconds) => echo(bench, port, seconds))
    await field.leave()
    await behind.running.stop()
    return {
      scenario: websocket.name,
      about: websocket.about,
      columns: columnsFor('message'),
      rows: rowsOf(series),
      budgets: cpuBudget(series, 'banyan', 'nginx', 1.2),
      notes: ['A message is one there and back: the proxy passes it twice.', ...disturbances(series)],
      failures: [...field.failures, ...series.flatMap((each) => each.failures)],
    }
  },
}

async function echo(bench: Bench, port: number, seconds: number): Promise<Measured> {
  const args = [port, CONNECTIONS, MESSAGE_BYTES, seconds].map(String)
  return JSON.parse(await bench.stage.run('echo load', 'load', [process.execPath, PROGRAM, ...args])) as Measured
}
