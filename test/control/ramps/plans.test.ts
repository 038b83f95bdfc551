/**
 * Ramps of groups, with requirements, windows and plans of their own, and what a restored revision does to them.
 */
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Planes } from '../../../src/control/figures/planes.ts'
import { restoreRevision } from '../../../src/control/table/edits.ts'
import { byHand, type Ends, rampsOn, replaceTable, setRoute, tableRig } from './rig.ts'

const ends: Ends = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const PLAN = '{ steps: [5, 25, 100, all], hold: 1h }'
const routeOf = (id: string, more: string): string =>
  `  - { id: ${id}, match: { path: /${id}/* }, to: modern, sticky: "header:x-user", ${more} }\n`
const tableOf = (...routes: string[]): string => `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:4001"] }
  modern: { servers: ["http://127.0.0.1:4002"] }
default: legacy
routes:
${routes.join('')}`

const GROUP = tableOf(
  routeOf('cart', `percent: 0, group: checkout, ramp: ${PLAN}`),
  routeOf('pay', 'percent: 0, noKey: random, group: checkout'),
  routeOf('other', 'percent: 3'),
)

describe('a group', () => {
  test('ramps together: one revision for each step, and one way back', async () => {
    const base = await tableRig(GROUP, ends)
    const ramps = await rampsOn(base, ends)
    const percents = () => base.live.current.table.routes.map(({ percent }) => percent)
    await ramps.begin('cart', 'anna')
    const first = base.live.current.number
    expect(percents()).toEqual([5, 5, 3])
    expect(ramps.view('pay')).toMatchObject({ routes: ['cart', 'pay'], record: { step: 5, status: 'running' } })
    await expect(ramps.begin('other', 'anna')).rejects.toThrow('route other has no ramp')
    await expect(ramps.begin('pay', 'anna')).rejects.toThrow('the ramp of group checkout is running already')
    for (const _ of [25, 100, 'all']) await ramps.step('pay', 'anna', 'test')
    expect(base.live.current.number).toBe(first + 3)
    expect(percents()).toEqual([100, 100, 3])
    await ramps.abort('pay', 'anna', true)
    expect(percents()).toEqual([0, 0, 3])
    expect(base.live.current.table.routes[1]?.noKey).toBe('random')
  })

  test('is taken back whole when one of its routes fails, and the data planes are told to count all of them', async () => {
    const base = await tableRig(GROUP, ends)
    const planes = new Planes()
    const judged: (readonly string[])[] = []
    const told = { setJudged: async (routes: readonly string[]) => void judged.push(routes) }
    planes.add(0, { ...told, report: () => Promise.reject(new Error('none')) } as never)
    const ramps = await rampsOn(base, ends, undefined, { planes })
    await ramps.begin('cart', 'anna')
    await ramps.step('cart', 'anna', 'test')
    expect(judged).toEqual([['cart', 'pay']])
    const failing = Array.from({ length: 400 }, (_, key) => [key, key % 4 === 0 ? 2 : 1, 1]).flat()
    planes.onRamp({ route: 'pay', percent: 25, judged: failing, left: 0 })
    await vi.waitUntil(() => ramps.view('cart')?.record?.status === 'rolled-back', { timeout: 120_000 })
    expect(ramps.view('cart')?.record?.why).toMatch(/^pay: the new side fails 100 of 100 keys/)
    expect(base.live.current.table.routes.map(({ percent }) => percent)).toEqual([0, 0, 3])
    await vi.waitUntil(() => judged.length === 2, { timeout: 120_000 })
    expect(judged[1]).toEqual([])
  })

  test('starts only at one percent and with one plan, and pauses when one of its routes is set apart', async () => {
    const other = GROUP.replace('percent: 0, noKey: random', `percent: 0, ramp: { steps: [50] }`)
    const base = await tableRig(other, ends)
    const ramps = await rampsOn(base, ends)
    await expect(ramps.begin('cart', 'anna')).rejects.toThrow('ramp together: cart and pay have different plans')
    await replaceTable(base, GROUP.replace('percent: 0, noKey', 'percent: 1, noKey'))
    await expect(ramps.begin('cart', 'anna')).rejects.toThrow('ramp together: pay is at 1 %, cart at 0 %')
    await replaceTable(base, GROUP)
    await ramps.begin('cart', 'anna')
    await setRoute(base, 'pay', { percent: 0 })
    await vi.waitUntil(() => ramps.view('cart')?.record?.status === 'paused', { timeout: 120_000 })
    expect(ramps.view('cart')?.record?.why).toMatch(/^anna set pay to 0 % in revision \d+, the ramp had 5 %$/)
    await expect(ramps.step('cart', 'anna', 'x')).rejects.toThrow('is paused')
  })
})

describe('before its first step', () => {
  test('a ramp holds for what it requires, and goes on by itself', async () => {
    const plan = '{ steps: [5, 25], requires: [comparisons 1000, other at 50], hold: 1h }'
    const base = await tableRig(
      tableOf(routeOf('cart', `percent: 0, ramp: ${plan}`), routeOf('other', 'percent: 3')),
      ends,
    )
    const planes = new Planes()
    planes.follow(base.live.current.table, 0)
    const ramps = await rampsOn(base, ends, undefined, { planes })
    await ramps.begin('cart', 'anna')
    expect(ramps.view('cart')?.record).toMatchObject({
      status: 'holding',
      step: null,
      why: 'started by anna, 0 of the 1000 comparisons that it requires',
    })
    const found = (asked: number, differed: number) => {
      const times = { kind: 'value', count: 1000, noise: 0, asked, differed, firstMs: 1, lastMs: 1 }
      const path = { ...times, path: '/price', from: null, to: null, sample: null }
      planes.evidence.of = () => ({ comparisons: 1000, blind: 0, noiseComparisons: 0, paths: [path] }) as never
    }
    // Its response sets a cookie: `from` is never asked again, and nobody knows.
    found(0, 0)
    await vi.waitUntil(() => ramps.view('cart')?.record?.why.includes('differ at /price (not known yet'), {
      timeout: 120_000,
    })
    found(20, 20)
    await vi.waitUntil(() => ramps.view('cart')?.record?.why.includes('which is at 3 %'), { timeout: 120_000 })
    await setRoute(base, 'other', { percent: 50 })
    await vi.waitUntil(() => ramps.view('cart')?.record?.step === 5, { timeout: 120_000 })
  })

  test('a ramp waits for its hours and for approval; a person may pause, resume and step', async () => {
    let nowMs = Date.parse('2026-12-05T12:00:00Z')
    const plan = '{ steps: [5, 25], approve: [5], window: "Mon-Fri 09:00-17:00", hold: 1h }'
    const base = await tableRig(tableOf(routeOf('cart', `percent: 0, ramp: ${plan}`)), ends)
    const ramps = await rampsOn(base, ends, undefined, { now: () => nowMs })
    const record = () => ramps.view('cart')?.record
    await ramps.begin('cart', 'anna')
    expect(record()?.why).toBe('started by anna, for approval of the step to 5 %')
    await ramps.approve('cart', 'ben')
    await vi.waitUntil(() => record()?.why === 'for Mon-Fri 09:00-17:00, when steps are taken', { timeout: 120_000 })
    await ramps.pause('cart', 'anna')
    await ramps.resume('cart', 'anna')
    expect(record()).toMatchObject({ status: 'waiting', step: null })
    nowMs = Date.parse('2026-12-07T12:00:00Z')
    await vi.waitUntil(() => record()?.step === 5, { timeout: 120_000 })
    nowMs = Date.parse('2026-12-12T12:00:00Z')
    await ramps.step('cart', 'anna', 'it is Saturday')
    expect(record()?.step).toBe(25)
  })
})

test('a plan of its own needs none in the table, and survives a restart', async () => {
  const base = await tableRig(tableOf(routeOf('cart', 'percent: 0')), ends)
  const ramps = await rampsOn(base, ends)
  expect(ramps.view('cart')).toBeNull()
  await ramps.begin('cart', 'anna', { steps: [10, 20], hold: '1h' })
  expect(ramps.view('cart')).toMatchObject({ plan: { steps: [10, 20] }, record: { step: 10 } })
  await ramps.step('cart', 'anna', 'test')
  await expect(ramps.step('cart', 'anna', 'test')).rejects.toThrow('at its last step')
})

test('a restored revision ends the ramps whose routes it changes, and no others', async () => {
  const base = await tableRig(
    tableOf(routeOf('cart', `percent: 0, ramp: ${PLAN}`), routeOf('pay', `percent: 0, ramp: ${PLAN}`)),
    ends,
  )
  const ramps = await rampsOn(base, ends)
  await ramps.begin('cart', 'anna')
  const { number } = base.live.current
  await ramps.begin('pay', 'anna')
  const done = await base.operations.commit(restoreRevision(number, base.history), byHand)
  if (done.kind !== 'done') throw new Error(done.kind)
  await ramps.restored(done.before.table, done.revision.table, number, 'anna')
  expect(ramps.view('cart')?.record?.status).toBe('running')
  expect(ramps.view('pay')?.record).toMatchObject({
    status: 'aborted',
    why: `anna restored revision ${number}`,
  })
})
