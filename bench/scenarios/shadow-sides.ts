/**
 * Clients beside a side that is ill: all their requests are copied to it, and must be answered as if none were.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Bench, timingOf } from '../harness/contest.ts'
import { spread } from '../harness/figures.ts'
import { peakResidentBytes, resetPeakResident, residentBytes } from '../harness/procfs.ts'
import type { Budget, Column, Row } from '../harness/report.ts'
import { disturbances, type Entrant, interleave, type Series } from '../harness/rounds.ts'
import type { Running } from '../harness/stage.ts'
import { startQuickUpstream } from '../harness/upstream.ts'
import { openLoop } from './latency.ts'
import type { Scenario } from './scenario.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/banyan.js', import.meta.url))
const HOSTILE = fileURLToPath(new URL('../load/hostile.ts', import.meta.url))
const RATE = 500
const MIB = 1024 * 1024
/** Of both in one round; their medians are what counts. */
const MOST_ADDED_MS = 1
const MOST_MIB = 64

/** What the other side does with a copy; nobody listens at the first. */
const SIDES = {
  dead: 'is dead',
  hangs: 'hangs',
  slow: 'sends a byte now and then',
  garbage: 'sends garbage',
  gigabytes: 'sends gigabytes',
  endless: 'sends chunks without end',
  headers: 'sends 10,000 headers',
} as const

const COLUMNS: readonly Column[] = [
  { key: 'p50', title: 'p50 ms', digits: 2 },
  { key: 'p99', title: 'p99 ms', digits: 2 },
  { key: 'addedP50', title: 'added p50 ms (low-high)', digits: 2, withRange: true },
  { key: 'addedP99', title: 'added p99 ms (low-high)', digits: 2, withRange: true },
  { key: 'errors', title: 'errors of clients', digits: 0 },
  { key: 'grown', title: '+MiB at the peak', digits: 1 },
]

export const shadowSides: Scenario = {
  name: 'shadow-sides',
  about: `${RATE} GET a second, open-loop, all of them copied to a side that is ill, against none copied`,
  standard: true,
  async run(bench) {
    const behind = await startQuickUpstream(bench.stage)
    const rows: Row[] = []
    const budgets: Budget[] = []
    const failures: string[] = []
    const all: Series[] = []
    for (const [kind, words] of Object.entries(SIDES)) {
      const found = await besideOf(bench, kind, behind.port)
      const [plain, copied] = found.series as [Series, Series]
      const added = (name: 'p50Micros' | 'p99Micros') =>
        spread(copied.rounds.map((round, n) => (round[name] - (plain.rounds[n]?.[name] ?? 0)) / 1000))
      const over = (name: 'p50Micros' | 'p99Micros') => spread(copied.rounds.map((round) => round[name] / 1000))
      const errors = copied.rounds.reduce((sum, round) => sum + countOf(round.errors), 0)
      const grown = spread([found.grownBytes / MIB])
      const addedP99 = added('p99Micros')
      rows.push({
        label: `a side that ${words}`,
        figures: {
          p50: over('p50Micros'),
          p99: over('p99Micros'),
          addedP50: added('p50Micros'),
          addedP99,
          errors: spread([errors]),
          grown,
        },
      })
      budgets.push(
        { what: `p99 added, ${words}`, limit: MOST_ADDED_MS, unit: ' ms', digits: 2, found: addedP99 },
        { what: `memory, ${words}`, limit: MOST_MIB, unit: ' MiB', digits: 1, found: grown },
      )
      failures.push(...plain.failures, ...copied.failures)
      all.push(plain, copied)
    }
    await behind.running.stop()
    const { name, about } = shadowSides
    return { scenario: name, about, columns: COLUMNS, rows, budgets, notes: disturbances(all), failures }
  },
}

interface Beside {
  readonly series: readonly Series[]
  readonly grownBytes: number
}

/** Both proxies stand side by side and are loaded in turn. */
async function besideOf(bench: Bench, kind: string, upstreamPort: number): Promise<Beside> {
  const { stage } = bench
  const port = await stage.freePort()
  const running: Running[] = []
  if (kind !== 'dead') {
    const command = [process.execPath, HOSTILE, String(port), kind] as const
    running.push(await stage.start({ name: `side that is ill (${kind})`, core: 'load', command, ready: { port } }))
  }
  const plain = await startBanyan(bench, upstreamPort, port, 0)
  const copied = await startBanyan(bench, upstreamPort, port, 100)
  running.push(plain.running, copied.running)
  const entrants: Entrant[] = [
    { label: 'none copied', port: plain.port, pid: plain.running.pid },
    { label: kind, port: copied.port, pid: copied.running.pid },
  ]
  // Its first copies have it load what it compares with.
  await openLoop(bench, copied.port, RATE, 1)
  const before = residentBytes(copied.running.pid)
  resetPeakResident(copied.running.pid)
  const load = ({ port: at }: Entrant, seconds: number) => openLoop(bench, at, RATE, seconds)
  const series = await interleave(entrants, timingOf(bench), load)
  const grownBytes = peakResidentBytes(copied.running.pid) - before
  await Promise.all(running.map((one) => one.stop()))
  return { series, grownBytes }
}

async function startBanyan({ stage }: Bench, upstreamPort: number, sidePort: number, percent: number) {
  const table = join(stage.newFolder('shadow-sides'), 'routes.yaml')
  writeFileSync(
    table,
    `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${upstreamPort}"] }
  ill: { servers: ["http://127.0.0.1:${sidePort}"] }
default: legacy
routes:
  - { id: lookup, match: { path: /stores/* }, to: ill, percent: 0, shadow: { percent: ${percent}, noise: 0 } }
`,
  )
  const port = await stage.freePort()
  const addresses = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${await stage.freePort()}`]
  const running = await stage.start({
    name: `banyan, shadow ${percent} %`,
    core: 'proxy',
    command: [
      ...([process.execPath, PROGRAM, 'serve', '--table', table, '--workers', '0', '--access-log', 'none'] as const),
      ...addresses,
    ],
    ready: { line: 'banyan ready' },
  })
  return { port, running }
}

function countOf(errors: Readonly<Record<string, number>>): number {
  return Object.values(errors).reduce((sum, count) => sum + count, 0)
}
