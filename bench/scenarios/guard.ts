/**
 * Guard: whole simulated ramps of good and bad versions, judged by banyan's guard, by its peers' rules and by a fixed difference.
 */
import { Simulators } from '../guard/many.ts'
import type { RampEnd } from '../guard/ramp.ts'
import type { World } from '../guard/traffic.ts'
import { BAD, GOOD, type JudgeName } from '../guard/worlds.ts'
import type { Bench } from '../harness/contest.ts'
import { type Spread, spread, upperPercent } from '../harness/figures.ts'
import type { Budget, Report, Row } from '../harness/report.ts'
import type { Scenario } from './scenario.ts'

/** Ramps of banyan's guard in each world for each round: 300 by default, of which none wrong says less than 1 %. */
const RAMPS_A_ROUND = 60
/** What its peers do shows in fewer. */
const OF_PEERS = 1 / 3

const PEERS: readonly JudgeName[] = ['Flagger', 'Kayenta', 'fixed difference']

/** Percent of cases in which a bound is right. */
const CONFIDENCE = 95

export const guard: Scenario = {
  name: 'guard',
  about:
    'whole simulated ramps: good versions taken back, bad versions that reach 100 %, and what it takes to find them',
  standard: false,
  run: (bench) =>
    bench.stage.alone(async () => {
      const simulators = new Simulators()
      try {
        return await simulate(bench, simulators)
      } finally {
        await simulators.close()
      }
    }),
}

/** Ramps of one world that ended as they should not have. */
interface Wrong {
  readonly row: Row
  readonly wrong: number
}

async function simulate({ options, progress }: Bench, simulators: Simulators): Promise<Report> {
  const count = options.rounds * RAMPS_A_ROUND
  const isChosen = ({ name }: World): boolean => options.worlds?.some((part) => name.includes(part)) ?? true
  const [goodWorlds, badWorlds] = [GOOD.filter(isChosen), BAD.filter(isChosen)]
  if (goodWorlds.length + badWorlds.length === 0) {
    const names = [...GOOD, ...BAD].map(({ name }) => name).join('; ')
    throw new Error(`no world is named ${options.worlds?.join(' or ')}; there are ${names}`)
  }
  const good = await wrongOf(goodWorlds, 'good', 'taken back', ({ seconds }) => ({ minutes: seconds / 60 }))
  const bad = await wrongOf(badWorlds, 'bad', 'done', ({ toRequests }) => ({ requests: toRequests }))
  const held = async (world: World, judge: JudgeName): Promise<Spread> => {
    progress(`held at 5 %: ${world.name}`)
    return spread((await simulators.ramps(world, judge, count, 5)).map(({ toRequests }) => toRequests))
  }
  const found: Row[] = []
  const foundBudgets: Budget[] = []
  for (const world of badWorlds) {
    const requests = await held(world, 'banyan')
    found.push({ label: `held at 5 %: ${world.name}`, figures: { requests } })
    if (world !== BAD[0]) continue
    const strict = await held(world, 'banyan, ratio 1')
    found.push({ label: 'the same with tolerate.ratio 1', figures: { requests: strict } })
    const what = `requests of the new side until ${world.name} is found, at 5 %`
    foundBudgets.push(requestBudget(what, 250, requests), requestBudget(`${what}, tolerate.ratio 1`, 150, strict))
  }
  const all = good.reduce((sum, { wrong }) => sum + wrong, 0)
  const atMost = upperPercent(all, count * goodWorlds.length, CONFIDENCE)
  return {
    scenario: guard.name,
    about: guard.about,
    columns: [
      { key: 'banyan', title: 'banyan, wrong %', digits: 1 },
      { key: 'atMost', title: 'at most %', digits: 1 },
      ...PEERS.map((name) => ({ key: name, title: `${name}, wrong %`, digits: 1 })),
      { key: 'minutes', title: 'banyan: minutes', digits: 0, withRange: true },
      { key: 'byPerson', title: 'steps by a person', digits: 0 },
      { key: 'requests', title: 'banyan: requests', digits: 0, withRange: true },
    ],
    rows: [...good.map(({ row }) => row), ...bad.map(({ row }) => row), ...found],
    budgets: [
      ...good.map(({ row }) => wrongBudget(row, 'taken back')),
      ...(good.length === 0 ? [] : [allBudget(atMost)]),
      ...bad.map(({ row }) => wrongBudget(row, 'reach 100 %')),
      ...foundBudgets,
    ],
    notes: [
      `${count} ramps of banyan's guard in each world, ${Math.ceil(count * OF_PEERS)} of each other one, looked at every second. Wrong: a good version taken back, a bad one at 100 %. At most: the rate that so many ramps leave possible with ${CONFIDENCE} % confidence (Clopper and Pearson). Minutes: until a good ramp is done, with hold: 10m and 500 requests a minute if not said otherwise; where clients are few a person takes a step that takes longer than two hours. Requests: answered by the new side until a bad version is found.`,
    ],
    failures: [],
  }

  async function wrongOf(
    worlds: readonly World[],
    kind: string,
    wrongEnd: RampEnd['end'],
    figure: (end: RampEnd) => Record<string, number>,
  ): Promise<Wrong[]> {
    const rows: Wrong[] = []
    for (const world of worlds) {
      progress(`${kind}: ${world.name}`)
      const ours = await simulators.ramps(world, 'banyan', count)
      const wrong = ours.filter(({ end }) => end === wrongEnd).length
      const figures: Record<string, Spread> = {
        banyan: spread([(wrong / count) * 100]),
        atMost: spread([upperPercent(wrong, count, CONFIDENCE)]),
        ...(world.patienceS !== undefined && { byPerson: spread(ours.map(({ byPerson }) => byPerson)) }),
      }
      const own = ours.map(figure)
      for (const key of Object.keys(own[0] ?? {})) figures[key] = spread(own.map((one) => one[key] as number))
      for (const peer of PEERS) {
        const ends = await simulators.ramps(world, peer, Math.ceil(count * OF_PEERS))
        figures[peer] = spread([(ends.filter(({ end }) => end === wrongEnd).length / ends.length) * 100])
      }
      rows.push({ row: { label: `${kind}: ${world.name}`, figures }, wrong })
    }
    return rows
  }
}

function wrongBudget({ label, figures }: Row, what: string): Budget {
  return { what: `${label}: ${what}`, limit: 1, unit: ' %', digits: 1, found: figures.banyan ?? spread([100]) }
}

function allBudget(atMost: number): Budget {
  const what = `all good ones: taken back, at most (${CONFIDENCE} % confidence)`
  return { what, limit: 1, unit: ' %', digits: 2, found: spread([atMost]) }
}

function requestBudget(what: string, limit: number, found: Spread): Budget {
  return { what, limit, unit: '', digits: 0, found }
}
