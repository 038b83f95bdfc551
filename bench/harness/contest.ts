/**
 * A contest: contestants brought up in front of one upstream, checked, loaded in interleaved rounds, and compared.
 */
import { request } from 'node:http'
import type { Contestant } from '../contestants/contestant.ts'
import { ratio, type Spread, spread } from './figures.ts'
import type { Options } from './options.ts'
import type { Budget, Column, Row } from './report.ts'
import { type Entrant, interleave, type Round, type Series, type Timing } from './rounds.ts'
import type { Stage } from './stage.ts'
import { LOOKUP, startQuickUpstream } from './upstream.ts'
import { type Load, runWrk } from './wrk.ts'

/** What every scenario is given. */
export interface Bench {
  readonly stage: Stage
  readonly options: Options
  /** The contestants that this run may use, after `--only`. */
  readonly contestants: readonly Contestant[]
  /** Node flags for banyan: those of `--cpu-prof`, else none. */
  readonly banyanFlags: readonly string[]
  /** Shows what goes on now. */
  readonly progress: (what: string) => void
}

/** The name of the baseline without a proxy. */
export const DIRECT = 'direct'

/** How one entrant differs from the plain contestant. */
export interface Variant {
  readonly contestant: Contestant
  readonly label: string
  /** The file it writes its access log to, or null for none. */
  readonly accessLog: string | null
  readonly routes: number
  /** Percent of the measured requests that are copied and compared. */
  readonly shadow: number
}

/** A contestant as it usually runs: 10 routes, no access log. */
export function plain(contestant: Contestant): Variant {
  return { contestant, label: contestant.name, accessLog: null, routes: 10, shadow: 0 }
}

/** Those who run, with how to end them, and one line for each that could not start. */
export interface Field {
  readonly entrants: readonly Entrant[]
  readonly failures: readonly string[]
  /** Ends all entrants; the upstream goes on. */
  leave(): Promise<void>
}

/** The usual GET, over 32 connections, through each variant in rounds. What could not start or answered wrongly is among the failures. */
export async function getInRounds(
  bench: Bench,
  variants: readonly Variant[],
): Promise<{ readonly series: readonly Series[]; readonly failures: readonly string[] }> {
  const behind = await startQuickUpstream(bench.stage)
  const field = await bringUp(bench, variants, behind.port)
  const load = { path: LOOKUP, method: 'GET', bodyBytes: 0, connections: 32 } as const
  const series = await loadInRounds(bench, field.entrants, load)
  await field.leave()
  await behind.running.stop()
  return { series, failures: [...field.failures, ...series.flatMap((each) => each.failures)] }
}

/** Starts variants in front of an upstream. One that cannot start is a failure of the run, and the others go on. */
export async function bringUp(bench: Bench, variants: readonly Variant[], upstreamPort: number): Promise<Field> {
  const entrants: Entrant[] = []
  const failures: string[] = []
  const stops: Array<() => Promise<void>> = []
  for (const { contestant, label, accessLog, routes, shadow } of variants) {
    bench.progress(`starting ${label}`)
    const port = await bench.stage.freePort()
    const nodeFlags = contestant.name === 'banyan' ? bench.banyanFlags : []
    try {
      const { stage } = bench
      const running = await contestant.start({ stage, port, upstreamPort, accessLog, routes, shadow, nodeFlags })
      entrants.push({ label, port, pid: running.pid })
      stops.push(() => running.stop())
    } catch (error) {
      failures.push(`${label}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return { entrants, failures, leave: async () => void (await Promise.all(stops.map((stop) => stop()))) }
}

/** Loads entrants with wrk in interleaved rounds, after each has given the upstream's own answer. */
export async function loadInRounds(bench: Bench, entrants: readonly Entrant[], load: Load): Promise<Series[]> {
  const first = entrants[0]
  if (first === undefined) return []
  const expected = await answerTo(first.port, load)
  const sound: Entrant[] = []
  const unsound: Series[] = []
  for (const entrant of entrants) {
    const got = await answerTo(entrant.port, load)
    if (got === expected && got.startsWith('200 ')) sound.push(entrant)
    else unsound.push({ label: entrant.label, rounds: [], failures: [`${entrant.label} answers ${got.slice(0, 80)}`] })
  }
  const timing = timingOf(bench)
  const series = await interleave(sound, timing, (entrant, seconds) => runWrk(bench.stage, entrant.port, load, seconds))
  return [...series, ...unsound]
}

/** How the rounds of a scenario run. */
export function timingOf({ options, stage, progress }: Bench): Timing {
  return { rounds: options.rounds, seconds: options.seconds, proxyCore: stage.cores.proxy, progress }
}

/** Status and body of one answer, as one string that can be compared. */
function answerTo(port: number, load: Load): Promise<string> {
  return new Promise((resolve) => {
    const failed = (error: Error): void => resolve(`no answer: ${error.message}`)
    const headers = { connection: 'close', ...(load.bodyBytes > 0 ? { 'content-length': load.bodyBytes } : {}) }
    request({ port, host: '127.0.0.1', path: load.path, method: load.method, headers, timeout: 10_000 }, (res) => {
      let body = ''
      res.setEncoding('latin1')
      res.on('data', (text: string) => {
        body += text
      })
      res.once('end', () => resolve(`${res.statusCode} ${body}`)).once('error', failed)
    })
      .once('error', failed)
      .once('timeout', function (this: { destroy(error: Error): unknown }) {
        this.destroy(new Error('10 s of silence'))
      })
      .end('x'.repeat(load.bodyBytes))
  })
}

/** The columns that every closed-loop contest has. `unit` is what one unit of work is called: `request`, `message`. */
export function columnsFor(unit: string): Column[] {
  return [
    { key: 'cpu', title: `CPU us/${unit} (low-high)`, digits: 1, withRange: true },
    { key: 'perSecond', title: `${unit}s/s`, digits: 0 },
    { key: 'p50', title: 'p50 ms', digits: 2 },
    { key: 'p99', title: 'p99 ms', digits: 2 },
    { key: 'errors', title: 'errors', digits: 0 },
  ]
}

/** The rows for those columns. */
export function rowsOf(series: readonly Series[]): Row[] {
  return series.map(({ label, rounds, failures }) => ({
    label,
    figures: {
      cpu: rounds.some((round) => round.cpuMicros === null) ? undefined : over(rounds, (round) => round.cpuMicros ?? 0),
      perSecond: over(rounds, (round) => round.perSecond),
      p50: over(rounds, (round) => round.p50Micros / 1000),
      p99: over(rounds, (round) => round.p99Micros / 1000),
      errors: over(rounds, errorsOf) ?? (failures.length > 0 ? spread([failures.length]) : undefined),
    },
  }))
}

/**
 * The budget "CPU per unit of `label` against that of `against`, at most `limit`", or nothing where one of them did not
 * run.
 */
export function cpuBudget(series: readonly Series[], label: string, against: string, limit: number): Budget[] {
  const over = cpuOf(series, label)
  const under = cpuOf(series, against)
  if (over.length === 0 || under.length === 0) return []
  return [{ what: `CPU: ${label} / ${against}`, limit, unit: ' x', digits: 2, found: ratio(over, under) }]
}

/** CPU microseconds per unit of an entrant, round by round; empty where it did not run. */
export function cpuOf(series: readonly Series[], label: string): number[] {
  const found = series.find((each) => each.label === label)
  return (found?.rounds ?? []).flatMap((round) => (round.cpuMicros === null ? [] : [round.cpuMicros]))
}

function over(rounds: readonly Round[], figure: (round: Round) => number): Spread | undefined {
  return rounds.length === 0 ? undefined : spread(rounds.map(figure))
}

function errorsOf(round: Round): number {
  return Object.values(round.errors).reduce((sum, count) => sum + count, 0)
}
