/**
 * Guard: whole simulated ramps of good and bad versions, judged by banyan's guard, by its peers' rules and by `deploy canary`.
 */
import { DEFAULT_GUARD } from '../../src/rules/ramp/plan.ts'
import { Flagger, Guard, type Judge, Kayenta, Today } from '../guard/judges.ts'
import { type RampEnd, runRamp } from '../guard/ramp.ts'
import type { Version, World } from '../guard/traffic.ts'
import type { Bench } from '../harness/contest.ts'
import { spread } from '../harness/figures.ts'
import type { Budget, Report, Row } from '../harness/report.ts'
import type { Scenario } from './scenario.ts'

/** Ramps of each world and judge for each round: `--rounds 50` makes a thousand. */
const RAMPS_A_ROUND = 20

/** A ramp that has not ended after three days is unfinished. */
const LIMIT_S = 3 * 86_400

const USUAL: Version = { errors: 0.005, notFound: 0, slower: 1, mismatches: 0 }
const JUDGES: readonly { readonly name: string; readonly make: () => Judge }[] = [
  { name: 'banyan', make: () => new Guard() },
  { name: 'Flagger', make: () => new Flagger() },
  { name: 'Kayenta', make: () => new Kayenta() },
  { name: 'canary', make: () => new Today() },
]

const both = (name: string, more: Partial<World> & { readonly errors?: number }): World => {
  const version = { ...USUAL, ...(more.errors === undefined ? {} : { errors: more.errors }) }
  return { name, requestsPerMinute: 500, latency: 'log-normal', from: version, to: version, ...more }
}

const GOOD: readonly World[] = [
  ...[0.001, 0.005, 0.01, 0.03, 0.05].map((errors) => both(`${errors * 100} % errors`, { errors })),
  both('10 requests a minute', { requestsPerMinute: 10 }),
  both('100 requests a minute', { requestsPerMinute: 100 }),
  both('2,000 requests a minute', { requestsPerMinute: 2000 }),
  both('bimodal latency', { latency: 'bimodal' }),
  both('day and night', { daily: true }),
  both('outage of both sides', { outage: true }),
  both('5,000 Zipf keys, 1 % of them flaky', { zipfKeys: 5000 }),
  both('the same, clients that retry', { zipfKeys: 5000, retries: true }),
  both('the same, one key with 30 %', { zipfKeys: 5000, heavy: 0.3 }),
  both('percent moves each minute', { moving: true, daily: true }),
]

const worse = (name: string, to: Partial<Version>, from: Partial<Version> = {}, more: Partial<World> = {}): World => ({
  ...{ name, requestsPerMinute: 500, latency: 'log-normal', ...more },
  from: { ...USUAL, ...from },
  to: { ...USUAL, ...to },
})

const BAD: readonly World[] = [
  worse('errors 0.5 -> 5 %', { errors: 0.05 }),
  worse('errors 0.1 -> 0.9 %', { errors: 0.009 }, { errors: 0.001 }),
  worse('404 for all', { notFound: 1 }),
  worse('twice as slow', { slower: 2 }),
  worse('twice as slow, bimodal', { slower: 2 }, {}, { latency: 'bimodal' }),
  worse('mismatches 1 %', { mismatches: 0.01 }, {}, { shadow: true }),
]

export const guard: Scenario = {
  name: 'guard',
  about:
    'whole simulated ramps: good versions taken back, bad versions that reach 100 %, and what it takes to find them',
  standard: false,
  run: (bench) => Promise.resolve(simulate(bench)),
}

function simulate({ options, progress }: Bench): Report {
  const ramps = options.rounds * RAMPS_A_ROUND
  const ends = (world: World, make: () => Judge, hold: number | null = null): RampEnd[] => {
    progress(world.name)
    return Array.from({ length: ramps }, (_, run) => runRamp(world, make(), run + 1, LIMIT_S, hold))
  }
  const good = GOOD.map((world) => {
    const byJudge = JUDGES.map(({ name, make }) => ({ name, ends: ends(world, make) }))
    const wrong = (of: readonly RampEnd[]): number => percentOf(of, ({ end }) => end === 'taken back')
    return rowOf(`good: ${world.name}`, byJudge, wrong, ({ seconds }) => seconds / 60, 'minutes')
  })
  const bad = BAD.map((world) => {
    const byJudge = JUDGES.map(({ name, make }) => ({ name, ends: ends(world, make) }))
    const wrong = (of: readonly RampEnd[]): number => percentOf(of, ({ end }) => end === 'done')
    return rowOf(`bad: ${world.name}`, byJudge, wrong, ({ toRequests }) => toRequests, 'requests')
  })
  const found = BAD.map((world) => ({ world, requests: requestsAt5(ends(world, () => new Guard(), 5)) }))
  const strict = { ...DEFAULT_GUARD, tolerate: { ...DEFAULT_GUARD.tolerate, ratio: 1 } }
  const foundStrictly = requestsAt5(ends(BAD[0] as World, () => new Guard(strict), 5))
  const budgets: Budget[] = [
    ...good.map(({ row }) => falseAlarms(row)),
    ...bad.map(({ row }) => ({ ...falseAlarms(row), what: `${row.label}: reach 100 %` })),
    {
      what: 'requests of the new side until 0.5 -> 5 % is found, at 5 %',
      ...requestBudget(250),
      found: spread(found[0]?.requests ?? []),
    },
    { what: 'the same with tolerate.ratio 1', ...requestBudget(150), found: spread(foundStrictly) },
  ]
  return {
    scenario: guard.name,
    about: guard.about,
    columns: [
      ...JUDGES.map(({ name }) => ({ key: name, title: `${name}, wrong %`, digits: 1 })),
      { key: 'minutes', title: 'banyan: minutes', digits: 0, withRange: true },
      { key: 'requests', title: 'banyan: requests', digits: 0, withRange: true },
    ],
    rows: [
      ...good.map(({ row }) => row),
      ...bad.map(({ row }) => row),
      ...found.map(({ world, requests }) => ({
        label: `held at 5 %: ${world.name}`,
        figures: { requests: spread(requests) },
      })),
    ],
    budgets,
    notes: [
      `${ramps} ramps of each judge and world, looked at every second. Wrong: a good version taken back, a bad one at 100 %. Minutes: until a good ramp is done, with hold: 10m and 500 requests a minute if not said otherwise. Requests: answered by the new side until a bad version is found.`,
    ],
    failures: [],
  }
}

function rowOf(
  label: string,
  byJudge: readonly { readonly name: string; readonly ends: readonly RampEnd[] }[],
  wrong: (ends: readonly RampEnd[]) => number,
  figure: (end: RampEnd) => number,
  key: string,
): { readonly row: Row } {
  const ours = byJudge[0]?.ends ?? []
  const figures = Object.fromEntries(byJudge.map(({ name, ends }) => [name, spread([wrong(ends)])]))
  return { row: { label, figures: { ...figures, [key]: spread(ours.map(figure)) } } }
}

function requestsAt5(ends: readonly RampEnd[]): number[] {
  return ends.map(({ toRequests }) => toRequests)
}

function requestBudget(limit: number): Pick<Budget, 'limit' | 'unit' | 'digits'> {
  return { limit, unit: '', digits: 0 }
}

function falseAlarms({ label, figures }: Row): Budget {
  return { what: `${label}: taken back`, limit: 1, unit: ' %', digits: 1, found: figures.banyan ?? spread([100]) }
}

function percentOf(ends: readonly RampEnd[], is: (end: RampEnd) => boolean): number {
  return (ends.filter(is).length / ends.length) * 100
}
