/**
 * The GTIN service on its own data: how long a full load and a day's changes take, how much memory, how large the store is;
 * and what a lookup costs beside a node:http server that answers a constant, at rest and while a sync runs.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkDigit } from '../../gtin-service/gtin.ts'
import type { SyncReport } from '../../gtin-service/sync/report.ts'
import { CATALOG_SIZE, gtinOf, isDiscontinued, numberOfGtin, SEED_NUMBER } from '../../legacy-mock/catalog.ts'
import { parseDay } from '../../legacy-mock/units.ts'
import { type Bench, columnsFor, cpuBudget, rowsOf, timingOf } from '../harness/contest.ts'
import { type Spread, spread } from '../harness/figures.ts'
import { peakResidentBytes } from '../harness/procfs.ts'
import type { Budget, Report } from '../harness/report.ts'
import { disturbances, type Entrant, interleave, type Measured, type Series } from '../harness/rounds.ts'
import type { Running } from '../harness/stage.ts'
import { readSummary } from '../harness/wrk.ts'
import type { Scenario } from './scenario.ts'

const MIB = 1024 * 1024
const CONNECTIONS = 32
const TARGETS = 100_000
/** What the answer of a product of one to four stores takes on average, so that both servers send as much. */
const ANSWER_BYTES = 560
const FIRST_DAY = '2026-01-01'
const NEXT_DAY = '2026-01-02'
const THIRD_DAY = '2026-01-03'

const LEGACY = program('../../legacy-mock/main.ts')
const SERVICE = program('../../gtin-service/main.ts')
const CONSTANT = program('../load/constant.ts')
const SCRIPT = program('../load/targets.lua')

/** All 18 million products. */
export const gtin = gtinScenario('gtin', 1)
/** A million of them: the same figures in a minute. */
export const gtinMillion = gtinScenario('gtin-1m', 18)

/** What the parts of the scenario share. */
interface Rig {
  readonly bench: Bench
  /** Every how many-th product is in the feed. */
  readonly sample: number
  readonly data: string
  readonly hits: string
  readonly misses: string
}

function gtinScenario(name: string, sample: number): Scenario {
  const about = `the GTIN service on its own ${Math.floor(CATALOG_SIZE / sample / 1e6)} million products: load, changes, lookups`
  return {
    name,
    about,
    standard: false,
    async run(bench): Promise<Report> {
      const folder = bench.stage.newFolder('gtin')
      const rig: Rig = {
        bench,
        sample,
        data: join(folder, 'data'),
        hits: join(folder, 'hits'),
        misses: join(folder, 'misses'),
      }
      writeTargets(rig)
      const load = await syncOf(rig, FIRST_DAY)
      const changes = await syncOf(rig, NEXT_DAY)
      const { series, residentMiB } = await lookups(rig)
      return {
        scenario: name,
        about,
        columns: columnsFor('lookup'),
        rows: rowsOf(series),
        budgets: [...syncBudgets(load, changes), ...lookupBudgets(series)],
        notes: [...syncNotes(load, changes, residentMiB), ...disturbances(series)],
        failures: [
          ...failureOf('full load', load),
          ...failureOf('changes', changes),
          ...series.flatMap((s) => s.failures),
        ],
      }
    },
  }
}

/** Paths of products spread over all of the feed, and as many of sound GTINs that lie among those of products but are none. */
function writeTargets({ sample, hits, misses }: Rig): void {
  const first = SEED_NUMBER % sample
  const days = [NEXT_DAY, THIRD_DAY].map((day) => parseDay(day) as number)
  const numbers = Array.from(
    { length: TARGETS },
    (_, i) => first + ((i * 7_919) % Math.floor(CATALOG_SIZE / sample)) * sample,
  ).filter((number) => !days.some((day) => isDiscontinued(number, day)))
  const path = (gtinText: string): string => `/stores/3/gtins/${gtinText}\n`
  // The next item number of the same company: a product is there once in a thousand.
  const next = (text: string): string => {
    const item = String(Number(text.slice(0, -1)) + 1).padStart(11, '0')
    return `${item}${checkDigit(item)}`
  }
  writeFileSync(hits, numbers.map((number) => path(gtinOf(number))).join(''))
  const unknown = numbers.map((number) => next(gtinOf(number))).filter((text) => numberOfGtin(text) === null)
  writeFileSync(misses, unknown.map(path).join(''))
}

/** One run of the sync on the proxy's core, the feed on the other. */
async function syncOf(rig: Rig, day: string): Promise<SyncReport> {
  rig.bench.progress(`syncing the catalog of ${day}`)
  const legacy = await startLegacy(rig, day)
  try {
    const printed = await rig.bench.stage.run('sync', 'proxy', syncCommand(rig, legacy.port))
    return JSON.parse(printed) as SyncReport
  } finally {
    await legacy.running.stop()
  }
}

function syncCommand({ sample, data }: Rig, port: number, before: Nice = []): [string, ...string[]] {
  const from = `http://127.0.0.1:${port}/?sample=${sample}`
  return [...before, process.execPath, SERVICE, 'sync', '--from', from, '--data', data, '--no-gzip', '--json']
}

/** How far a command stands back behind others. */
type Nice = ['nice', '-n', string] | []

async function startLegacy(
  { bench: { stage } }: Rig,
  day: string,
  before: Nice = [],
): Promise<{ port: number; running: Running }> {
  const port = await stage.freePort()
  const flags = ['--listen', `127.0.0.1:${port}`, '--latency', 'none', '--as-of', day]
  const command: [string, ...string[]] = [...before, process.execPath, LEGACY, ...flags]
  return { port, running: await stage.start({ name: 'legacy', core: 'load', command, ready: { port } }) }
}

/** Rounds of lookups beside the constant server, and a last series while another day's changes are synced on the load's core. */
async function lookups(rig: Rig): Promise<{ series: Series[]; residentMiB: number }> {
  const { stage } = rig.bench
  const constant = await serverOf(rig, 'constant', [CONSTANT], [String(ANSWER_BYTES)])
  const command = [SERVICE, '--data', rig.data, '--name', 'bench', '--listen']
  const service = await serverOf(rig, 'gtin-service', command, [])
  const entrants: Entrant[] = [
    { label: 'constant', ...constant },
    { label: 'hit', ...service },
    { label: 'miss', ...service },
  ]
  const timing = timingOf(rig.bench)
  const series = await interleave(entrants, timing, ({ label, port }, seconds) => drive(rig, label, port, seconds))
  // The feed comes from another machine: here it gives way to the load, as the sync does wherever it is run.
  const legacy = await startLegacy(rig, THIRD_DAY, ['nice', '-n', '19'])
  let syncing = true
  const problems: string[] = []
  const sync = stage
    .run('sync', 'load', syncCommand(rig, legacy.port, ['nice', '-n', '10']))
    .catch((error: Error) => void problems.push(`the sync beside the lookups: ${error.message}`))
    .finally(() => {
      syncing = false
    })
  const during: Entrant[] = [{ label: 'hit, during a sync', ...service }]
  const oneRound = { ...timing, rounds: 1 }
  const rounds = []
  do {
    const [one] = await interleave(during, oneRound, ({ port }, seconds) => drive(rig, 'hit', port, seconds))
    rounds.push(one as Series)
  } while (syncing && rounds.length < timing.rounds)
  await sync
  await legacy.running.stop()
  const residentMiB = peakResidentBytes(service.pid) / MIB
  await Promise.all([constant.running.stop(), service.running.stop()])
  const label = 'hit, during a sync'
  const failures = [...problems, ...rounds.flatMap((one) => one.failures)]
  return { series: [...series, { label, rounds: rounds.flatMap((one) => one.rounds), failures }], residentMiB }
}

async function serverOf(
  { bench: { stage } }: Rig,
  name: string,
  before: readonly string[],
  after: readonly string[],
): Promise<{ port: number; pid: number; running: Running }> {
  const port = await stage.freePort()
  const place = name === 'constant' ? String(port) : `127.0.0.1:${port}`
  const command: [string, ...string[]] = [process.execPath, ...before, place, ...after]
  const running = await stage.start({ name, core: 'proxy', command, ready: { port } })
  return { port, pid: running.pid, running }
}

async function drive({ bench, hits, misses }: Rig, label: string, port: number, seconds: number): Promise<Measured> {
  const isMiss = label === 'miss'
  const printed = await bench.stage.run('wrk', 'load', [
    ...(['wrk', '-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--timeout', '5s', '-s', SCRIPT] as const),
    ...[`http://127.0.0.1:${port}/`, '--', isMiss ? misses : hits, isMiss ? '404' : '200'],
  ])
  return readSummary(printed)
}

function syncBudgets(load: SyncReport, changes: SyncReport): Budget[] {
  const one = (value: number): Spread => spread([value])
  return [
    { what: 'full load', limit: 600, unit: ' s', digits: 1, found: one(load.seconds) },
    { what: 'memory of the full load', limit: 1_024, unit: ' MiB', digits: 0, found: one(load.peakBytes / MIB) },
    { what: "a day's changes", limit: 60, unit: ' s', digits: 1, found: one(changes.seconds) },
  ]
}

function lookupBudgets(series: readonly Series[]): Budget[] {
  return [...cpuBudget(series, 'hit', 'constant', 3), ...cpuBudget(series, 'miss', 'constant', 3)]
}

function syncNotes(load: SyncReport, changes: SyncReport, residentMiB: number): string[] {
  const size = (load.bytes / MIB).toFixed(0)
  const { added = 0, changed = 0, removed = 0 } = changes.merged ?? {}
  return [
    `Store: ${load.products} products, ${size} MiB, ${(load.bytes / load.products).toFixed(1)} bytes each. The service held at most ${residentMiB.toFixed(0)} MiB.`,
    `A day's changes: ${changes.feed.records} records read, ${added} added, ${changed} changed, ${removed} removed; memory ${(changes.peakBytes / MIB).toFixed(0)} MiB.`,
    'Sync on one core, its feed on the other. Lookups: the server on one core, wrk on the other, each path another product. During a sync, sync and feed share the core of wrk, and give way to it.',
  ]
}

function failureOf(what: string, { outcome, why }: SyncReport): string[] {
  return outcome === 'done' ? [] : [`${what}: ${outcome}, ${why}`]
}

function program(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url))
}
