/**
 * Latency at half load: what a proxy adds to the 99th percentile at half of the rate that saturates it.
 */
import { fileURLToPath } from 'node:url'
import { type Bench, bringUp, DIRECT, plain, timingOf } from '../harness/contest.ts'
import { spread } from '../harness/figures.ts'
import type { Budget, Column, Row } from '../harness/report.ts'
import { disturbances, type Entrant, measureOnce, type Round } from '../harness/rounds.ts'
import { LOOKUP, startQuickUpstream } from '../harness/upstream.ts'
import { runWrk } from '../harness/wrk.ts'
import type { Timed } from '../load/timed.ts'
import type { Scenario } from './scenario.ts'

const PROGRAM = fileURLToPath(new URL('../load/open-loop.ts', import.meta.url))
const CONNECTIONS = 32
const LOAD = { path: LOOKUP, method: 'GET', bodyBytes: 0, connections: CONNECTIONS } as const

const COLUMNS: readonly Column[] = [
  { key: 'rate', title: 'at requests/s', digits: 0 },
  { key: 'p50', title: 'p50 ms', digits: 2 },
  { key: 'p99', title: 'p99 ms (low-high)', digits: 2, withRange: true },
  { key: 'directP99', title: 'direct p99 ms', digits: 2 },
  { key: 'added', title: 'added p99 ms (low-high)', digits: 2, withRange: true },
  { key: 'leftOut', title: 'left out %', digits: 1 },
]

/** One contestant beside the baseline at the same rate, in one round. */
interface Pair {
  readonly proxied: Round
  readonly direct: Round
  /** The part (0 to 1) of the requests of both that were left out. */
  readonly leftOut: number
}

export const latency: Scenario = {
  name: 'latency',
  about: 'open-loop GET of 240 bytes at half of the saturation rate, against the upstream itself at the same rate',
  standard: true,
  async run(bench) {
    const behind = await startQuickUpstream(bench.stage)
    const field = await bringUp(bench, bench.contestants.map(plain), behind.port)
    const direct: Entrant = { label: DIRECT, port: behind.port, pid: null }
    const rows: Row[] = []
    const budgets: Budget[] = []
    const failures: string[] = [...field.failures]
    const rounds: Round[] = []
    for (const entrant of field.entrants) {
      bench.progress(`saturating ${entrant.label}`)
      await runWrk(bench.stage, entrant.port, LOAD, 2)
      const saturation = await runWrk(bench.stage, entrant.port, LOAD, bench.options.seconds)
      const rate = Math.floor(saturation.perSecond / 2)
      if (rate === 0) {
        failures.push(`${entrant.label}: no answer under load`)
        continue
      }
      const pairs = await pairsAt(bench, rate, entrant, direct)
      failures.push(...problems(entrant.label, pairs))
      rounds.push(...pairs.flatMap((pair) => [pair.proxied, pair.direct]))
      const added = spread(pairs.map((pair) => (pair.proxied.p99Micros - pair.direct.p99Micros) / 1000))
      rows.push(rowOf(entrant.label, rate, pairs, added))
      if (entrant.label === 'banyan') {
        budgets.push({ what: 'p99 added by banyan', limit: 1, unit: ' ms', digits: 2, found: added })
      }
    }
    await field.leave()
    await behind.running.stop()
    const { name, about } = latency
    const notes = [NOTE, ...disturbances([{ rounds }])]
    return { scenario: name, about, columns: COLUMNS, rows, budgets, notes, failures }
  },
}

const NOTE =
  'Each request is timed from the moment it fell due. The generator looks at its sockets every 0.05 to 0.1 ms, in both runs of a pair; what fell due while it was held up itself is left out.'

async function pairsAt(bench: Bench, rate: number, entrant: Entrant, direct: Entrant): Promise<Pair[]> {
  const pairs: Pair[] = []
  for (let round = 0; round < bench.options.rounds; round++) {
    bench.progress(`round ${round + 1} of ${bench.options.rounds}: ${entrant.label} at ${rate}/s`)
    // Who goes first changes with the round.
    const order = round % 2 === 0 ? [entrant, direct] : [direct, entrant]
    const found = new Map<Entrant, Round>()
    let leftOut = 0
    for (const each of order) {
      const load = async ({ port }: Entrant): Promise<Timed> => {
        const timed = await openLoop(bench, port, rate, bench.options.seconds)
        leftOut += timed.leftOut / order.length
        return timed
      }
      found.set(each, await measureOnce(each, timingOf(bench), load))
    }
    pairs.push({ proxied: found.get(entrant) as Round, direct: found.get(direct) as Round, leftOut })
  }
  return pairs
}

/** So many requests a second, whatever becomes of them. */
export async function openLoop(bench: Bench, port: number, rate: number, seconds: number): Promise<Timed> {
  const args = [String(port), LOOKUP, ...[rate, CONNECTIONS, seconds].map(String)]
  return JSON.parse(await bench.stage.run('open loop', 'load', [process.execPath, PROGRAM, ...args])) as Timed
}

function rowOf(label: string, rate: number, pairs: readonly Pair[], added: ReturnType<typeof spread>): Row {
  const over = (figure: (pair: Pair) => number): ReturnType<typeof spread> => spread(pairs.map(figure))
  return {
    label,
    figures: {
      rate: spread([rate]),
      p50: over((pair) => pair.proxied.p50Micros / 1000),
      p99: over((pair) => pair.proxied.p99Micros / 1000),
      directP99: over((pair) => pair.direct.p99Micros / 1000),
      added,
      leftOut: over((pair) => pair.leftOut * 100),
    },
  }
}

function problems(label: string, pairs: readonly Pair[]): string[] {
  const found = new Set<string>()
  for (const { proxied, direct } of pairs) {
    for (const [kind, count] of Object.entries(proxied.errors)) found.add(`${label}: ${count} ${kind} errors in a run`)
    for (const [kind, count] of Object.entries(direct.errors)) found.add(`${DIRECT}: ${count} ${kind} errors in a run`)
  }
  return [...found]
}
