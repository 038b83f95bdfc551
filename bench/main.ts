/**
 * `npm run bench`: measures banyan beside its peers on this machine, one scenario after the other.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { needTools } from '../scripts/need-tools.ts'
import { CONTESTANTS } from './contestants/all.ts'
import type { Contestant } from './contestants/contestant.ts'
import type { Bench } from './harness/contest.ts'
import { type Options, readOptions, USAGE } from './harness/options.ts'
import { needPeers } from './harness/peers.ts'
import { printProfile } from './harness/profile.ts'
import { isMet, printReport, type Report, reportsAsJson } from './harness/report.ts'
import { Stage } from './harness/stage.ts'
import { SCENARIOS } from './scenarios/all.ts'
import type { Scenario } from './scenarios/scenario.ts'

/** Signals that end a run early, and the exit status that a shell expects of each. */
const ENDING_SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

process.exitCode = await main()

/** Returns the exit status: 0 when all figures were measured, 1 when something failed, 2 for a wrong command line. */
async function main(): Promise<number> {
  let options: Options
  let chosen: { scenarios: readonly Scenario[]; contestants: readonly Contestant[] }
  try {
    options = readOptions(process.argv.slice(2))
    chosen = choose(options)
  } catch (error) {
    console.error(`banyan: ${messageOf(error)}; npm run bench -- --help lists what there is`)
    return 2
  }
  if (options.help) {
    console.log(usage())
    return 0
  }
  try {
    const problem = needTools('bench')
    if (problem !== null) throw new Error(problem.replace(/^banyan: /, ''))
    if (chosen.contestants.some((contestant) => contestant.fromPeers)) needPeers()
    return await measure(options, chosen.scenarios, chosen.contestants)
  } catch (error) {
    console.error(`banyan: ${messageOf(error)}`)
    return 1
  }
}

async function measure(
  options: Options,
  scenarios: readonly Scenario[],
  contestants: readonly Contestant[],
): Promise<number> {
  const stage = new Stage()
  for (const [signal, status] of Object.entries(ENDING_SIGNALS)) {
    process.once(signal, () => {
      clearProgress()
      console.error(`banyan: ${signal}, ending everything`)
      void stage.close().finally(() => process.exit(status))
    })
  }
  const profiles = options.cpuProf ? mkdtempSync(join(tmpdir(), 'banyan-cpu-prof-')) : null
  const banyanFlags = profiles === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`]
  try {
    stage.stepAside()
    if (stage.cores.proxy === stage.cores.load) {
      console.error('banyan: one core only: proxy and load share it, the rates mean little')
    }
    const bench: Bench = { stage, options, contestants, banyanFlags, progress }
    const reports: Report[] = []
    for (const scenario of scenarios) {
      const report = await runOne(scenario, bench)
      // A signal has ended the processes below the scenario: what it reports now is of no interest.
      if (stage.closed) return 1
      reports.push(report)
      clearProgress()
      if (!options.json) console.log(printReport(report))
    }
    if (options.json) console.log(reportsAsJson(reports, machine(options)))
    else console.log(summary(reports, options))
    if (profiles !== null) print(options, printProfile(profiles))
    return reports.some((report) => report.failures.length > 0) ? 1 : 0
  } finally {
    clearProgress()
    await stage.close()
  }
}

/** A scenario that breaks off is a failure of the run, and the next one goes on. */
async function runOne(scenario: Scenario, bench: Bench): Promise<Report> {
  try {
    return await scenario.run({ ...bench, progress: (what) => bench.progress(`${scenario.name}: ${what}`) })
  } catch (error) {
    const { name, about } = scenario
    const failures = [messageOf(error)]
    return { scenario: name, about, columns: [], rows: [], budgets: [], notes: [], failures }
  }
}

function choose(options: Options): { scenarios: readonly Scenario[]; contestants: readonly Contestant[] } {
  const scenarioNames = SCENARIOS.map((scenario) => scenario.name)
  const contestantNames = CONTESTANTS.map((contestant) => contestant.name)
  for (const name of options.scenarios) {
    if (!scenarioNames.includes(name)) throw new Error(`no scenario ${name}; there are ${scenarioNames.join(', ')}`)
  }
  for (const name of options.only ?? []) {
    if (!contestantNames.includes(name))
      throw new Error(`no contestant ${name}; there are ${contestantNames.join(', ')}`)
  }
  return {
    scenarios: SCENARIOS.filter((scenario) =>
      options.scenarios.length === 0 ? scenario.standard : options.scenarios.includes(scenario.name),
    ),
    contestants: CONTESTANTS.filter((contestant) => options.only?.has(contestant.name) ?? true).filter(isThere),
  }
}

function isThere({ name, whyNot }: Contestant): boolean {
  const why = whyNot?.() ?? null
  if (why !== null) console.error(`banyan: ${name} is skipped: ${why}`)
  return why === null
}

function usage(): string {
  const list = (entries: readonly { readonly name: string; readonly about: string }[]): string =>
    entries.map(({ name, about }) => `  ${name.padEnd(20)}${about}`).join('\n')
  return `${USAGE}\nscenarios:\n${list(SCENARIOS)}\n\ncontestants:\n${list(CONTESTANTS)}\n`
}

function summary(reports: readonly Report[], options: Options): string {
  const budgets = reports.flatMap((report) => report.budgets)
  const missed = budgets.filter((budget) => !isMet(budget)).length
  const failed = reports.reduce((sum, report) => sum + report.failures.length, 0)
  const { cpu, kernel, node, date } = machine(options)
  return [
    `${budgets.length - missed} budgets met, ${missed} missed, ${failed} failures.`,
    `${cpu}, Linux ${kernel}, Node ${node}, ${date}; ${options.rounds} rounds of ${options.seconds} s.`,
    '',
  ].join('\n')
}

function machine(options: Options): Record<string, string | number> {
  return {
    cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}`,
    kernel: execFileSync('uname', ['-r'], { encoding: 'utf8' }).trim(),
    node: process.versions.node,
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    rounds: options.rounds,
    seconds: options.seconds,
  }
}

function print(options: Options, text: string): void {
  // With --json stdout holds one document and nothing else.
  if (options.json) console.error(text)
  else console.log(text)
}

function progress(what: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${what}`)
  else console.error(what)
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
