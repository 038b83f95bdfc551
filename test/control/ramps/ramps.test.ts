/**
 * Ramps on a table that is edited, and on a store that a process has left at any moment.
 */
import { writeFile } from 'node:fs/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Planes } from '../../../src/control/figures/planes.ts'
import { rampMetrics } from '../../../src/control/metrics/ramps.ts'
import type { RampParts, Ramps } from '../../../src/control/ramps/ramps.ts'
import type { Rig } from '../rig.ts'
import { rampsOn, replaceTable, Store, setRoute, tableRig } from './rig.ts'

const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const PLAN = '{ steps: [1, 5, 25, 50, 100, all], hold: 1h }'

const tableOf = (ramp = PLAN, more = 'percent: 0'): string => `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:4001"] }
  modern: { servers: ["http://127.0.0.1:4002"] }
default: legacy
routes:
  - { id: moving, match: { path: /* }, to: modern, ${more}, sticky: "header:x-user", ramp: ${ramp} }
`

const table = (text = tableOf()): Promise<Rig> => tableRig(text, ends)
const startRamps = (base: Rig, store = new Store(), more: Partial<RampParts> = {}) => rampsOn(base, ends, store, more)

const percentOf = ({ live }: Rig) => live.current.table.routes[0]?.percent

const set = (base: Rig, patch: Record<string, number | string | null>) => setRoute(base, 'moving', patch)

/** Takes steps on a person's word. */
async function walk(ramps: Ramps, steps: number): Promise<void> {
  await ramps.begin('moving', 'anna')
  for (let step = 1; step < steps; step++) await ramps.step('moving', 'anna', 'test')
}

describe('the plan is edited while it runs', () => {
  test('the next step is the first one above the percent, however many were taken out before', async () => {
    const base = await table()
    const ramps = await startRamps(base)
    await walk(ramps, 3)
    expect(percentOf(base)).toBe(25)
    await replaceTable(base, tableOf('{ steps: [25, 50, 100], hold: 1h }', 'percent: 25'))
    await ramps.step('moving', 'anna', 'test')
    expect(percentOf(base)).toBe(50)
    await replaceTable(base, tableOf('{ steps: [1, 2, 5, 25, 50, 60, 100], hold: 1h }', 'percent: 50'))
    await ramps.step('moving', 'anna', 'test')
    expect(percentOf(base)).toBe(60)
  })

  test('away: it is over, also where that was done while nothing ran', async () => {
    const base = await table()
    const store = new Store()
    const first = await startRamps(base, store)
    await walk(first, 2)
    const stored = store.at(store.written.length)
    await first.close()
    const text = base.live.current.text
    await replaceTable(base, tableOf(PLAN, 'percent: 5').replace(/, ramp: .*}/, ' }'))
    const second = await startRamps(base, stored)
    await vi.waitUntil(() => stored.written.at(-1)?.includes('"aborted"'), { timeout: 120_000 })
    await second.close()
    await replaceTable(base, text)
    expect((await startRamps(base, stored)).view('moving')?.record?.status ?? 'aborted').toBe('aborted')
  })
})

describe('a process that ends', () => {
  test.each([100, 'all'] as const)('before or after its edit to %s is told by the table', async (step) => {
    const base = await table()
    const store = new Store()
    const ramps = await startRamps(base, store)
    await walk(ramps, step === 'all' ? 5 : 4)
    const before = base.live.current.text
    const known = store.written.length
    await ramps.step('moving', 'anna', 'test')
    const after = base.live.current.text
    await ramps.close()
    const intended = known + 1
    expect(JSON.parse(store.written[intended - 1] ?? '')).toMatchObject({ intent: step })
    expect((await startRamps(base, store.at(intended))).view('moving')?.record).toMatchObject({
      step,
      status: 'running',
    })
    expect(after).not.toBe(before)
    await replaceTable(base, before)
    const earlier = step === 'all' ? 100 : 50
    expect((await startRamps(base, store.at(intended))).view('moving')?.record?.step).toBe(earlier)
  })

  test('in a start leaves nothing that goes on later, nor does a start that failed', async () => {
    const base = await table()
    const store = new Store()
    const ramps = await startRamps(base, store)
    const { text } = base.live.current
    await writeFile(base.path, 'version: 1\nroutes: [}\n')
    await expect(ramps.begin('moving', 'anna')).rejects.toThrow("the table can't be changed")
    await writeFile(base.path, text)
    const killed = await startRamps(base, store.at(1))
    expect(killed.view('moving')?.record).toBeNull()
    await set(base, { percent: 1 })
    expect((await startRamps(base, store)).view('moving')?.record).toBeNull()
  })
})

test('a way back by a person that is killed midway reads as theirs, or as not done', async () => {
  const base = await table()
  const store = new Store()
  const ramps = await startRamps(base, store)
  await walk(ramps, 2)
  const before = base.live.current.text
  const known = store.written.length
  await ramps.abort('moving', 'anna', true)
  expect(JSON.parse(store.written[known] ?? '')).toMatchObject({ intent: 'abort' })
  expect((await startRamps(base, store.at(known + 1))).view('moving')?.record).toMatchObject({
    status: 'aborted',
    why: 'aborted before a restart, back to 0 %',
  })
  await replaceTable(base, before)
  expect((await startRamps(base, store.at(known + 1))).view('moving')?.record).toMatchObject({ step: 5, percent: 5 })
})

test('what a person sets while a step is being taken is not overwritten', async () => {
  const base = await table()
  let meanwhile: (() => Promise<unknown>) | null = null
  const ramps = await startRamps(base, new Store(), {
    operations: {
      async commit(change, terms) {
        const edit = meanwhile
        meanwhile = null
        await edit?.()
        return await base.operations.commit(change, terms)
      },
    },
  })
  await walk(ramps, 2)
  meanwhile = () => set(base, { percent: 0 })
  await expect(ramps.step('moving', 'anna', 'test')).rejects.toThrow('it was changed at the same time; try again')
  expect(percentOf(base)).toBe(0)
  await expect(ramps.step('moving', 'anna', 'test')).rejects.toThrow('moving is at 0 %, not where its ramp has left it')
})

test.each([
  ['from', true],
  ['to', true],
  ['random', true],
])('requests without a key: at `all` even those go that noKey: %s has kept', async (noKey, movesAll) => {
  const base = await table(tableOf('{ steps: [50, 100, all], hold: 1h }', `percent: 0, noKey: ${noKey}`))
  const ramps = await startRamps(base)
  await walk(ramps, 2)
  expect(base.live.current.table.routes[0]).toMatchObject({ percent: 100, noKey })
  await ramps.step('moving', 'anna', 'test')
  expect(base.live.current.table.routes[0]).toMatchObject({ percent: 100, movesAll })
  await ramps.abort('moving', 'anna', true)
  expect(base.live.current.table.routes[0]).toMatchObject({ percent: 0, noKey })
})

test('a route at 100 that keeps those without a key can ramp to `all`', async () => {
  const base = await table(tableOf(PLAN, 'percent: 100, noKey: from'))
  const ramps = await startRamps(base)
  await ramps.begin('moving', 'anna')
  expect(base.live.current.table.routes[0]).toMatchObject({ percent: 100, movesAll: true })
  await ramps.abort('moving', 'anna', true)
  expect(base.live.current.table.routes[0]).toMatchObject({ percent: 100, movesAll: false })
})

test('the metrics tell where a ramp stands and what it has done', async () => {
  const base = await table()
  const planes = new Planes()
  const ramps = await startRamps(base, new Store(), { planes })
  const lines = () => rampMetrics(ramps.figures()).flatMap((metric) => [...metric].join('').split('\n'))
  expect(lines()).toContain('banyan_ramp_status{route="moving",status="not-started"} 1')
  expect(lines()).toContain('banyan_ramp_step{route="moving"} 0')
  await walk(ramps, 3)
  expect(lines()).toEqual(
    expect.arrayContaining([
      'banyan_ramp_status{route="moving",status="running"} 1',
      'banyan_ramp_status{route="moving",status="not-started"} 0',
      'banyan_ramp_step{route="moving"} 3',
      'banyan_ramp_percent{route="moving"} 25',
      'banyan_ramp_steps_total{route="moving"} 3',
      'banyan_ramp_take_backs_total{route="moving"} 0',
    ]),
  )
  await writeFile(base.path, 'version: 1\nroutes: [}\n')
  // A quarter of the keys is on the new side, and fails.
  const judged = Array.from({ length: 400 }, (_, key) => [key, key % 4 === 0 ? 2 : 1, 1])
  planes.onRamp({ route: 'moving', percent: 25, judged: judged.flat(), left: 0 })
  await vi.waitUntil(() => lines().includes('banyan_ramp_problem{route="moving"} 1'), { timeout: 120_000 })
  await writeFile(base.path, base.live.current.text)
  await vi.waitUntil(() => lines().includes('banyan_ramp_status{route="moving",status="rolled-back"} 1'), {
    timeout: 120_000,
  })
  expect(percentOf(base)).toBe(0)
  expect(lines()).toContain('banyan_ramp_take_backs_total{route="moving"} 1')
  expect(lines()).toContain('banyan_ramp_problem{route="moving"} 0')
})

test('after a person has set 100, resume goes on at `all`: nobody is left to move', async () => {
  const base = await table()
  const ramps = await startRamps(base)
  await walk(ramps, 2)
  await set(base, { percent: 100 })
  await vi.waitUntil(() => ramps.view('moving')?.record?.status === 'paused', { timeout: 120_000 })
  await ramps.resume('moving', 'anna')
  expect(ramps.view('moving')?.record).toMatchObject({ step: 'all', percent: 100, status: 'running' })
})

test('what was counted of another version is no evidence for the next step, also where the table was changed while nothing ran', async () => {
  const text = (to: string) =>
    tableOf(
      '{ steps: [50, 60], hold: 10ms, approve: [60], guard: { minKeys: 1, tolerate: { harm: 100 } } }',
      'percent: 50',
    )
      .replace('to: modern', `to: ${to}`)
      .replace('default:', '  next: { servers: ["http://127.0.0.1:4003"] }\ndefault:')
  const base = await table(text('modern').replace('percent: 50', 'percent: 0'))
  const store = new Store()
  let ramps = await startRamps(base, store)
  const record = () => ramps.view('moving')?.record
  const isWaiting = () => vi.waitUntil(() => record()?.status === 'waiting', { timeout: 120_000 })
  const delta = { route: 'moving', percent: 50, judged: [7, 0, 20, 8, 1, 20], left: 0 }
  await ramps.begin('moving', 'anna')
  ramps.count(delta)
  await isWaiting()
  await replaceTable(base, text('next'))
  await vi.waitUntil(() => record()?.status === 'holding', { timeout: 120_000 })
  expect(record()?.events.at(-2)?.what).toBe(
    'anna changed the sides or the requests of moving in revision 3: counting begins anew',
  )
  expect(ramps.view('moving')?.evidence).toMatchObject([{ share: 0.5, keys: { to: 0, rest: 0 } }])
  ramps.count(delta)
  await isWaiting()
  await ramps.close()
  await replaceTable(base, text('modern'))
  ramps = await startRamps(base, store)
  await vi.waitUntil(() => record()?.status === 'holding', { timeout: 120_000 })
})

test('a clock that is set, or a process that slept, holds no step, and stops no samples', async () => {
  let [wallMs, monotonicMs] = [Date.now(), 0]
  const base = await table()
  const ramps = await startRamps(base, new Store(), { now: () => wallMs, monotonic: () => monotonicMs })
  await ramps.begin('moving', 'anna')
  const held = (): number | undefined => ramps.view('moving')?.record?.heldMs
  wallMs += 2 * 86_400_000
  monotonicMs += 1000
  await vi.waitUntil(() => held() === 1000, { timeout: 120_000 })
  // Five hours of which it has seen nothing.
  monotonicMs += 5 * 3_600_000
  await vi.waitUntil(() => (held() ?? 0) > 1000, { timeout: 120_000 })
  expect(held()).toBeLessThanOrEqual(6000)
  expect(percentOf(base)).toBe(1)
  const delta = { route: 'moving', percent: 1, judged: [7, 1, 20], left: 0 }
  ramps.count(delta)
  wallMs -= 86_400_000
  ramps.count(delta)
  monotonicMs += 61_000
  ramps.count(delta)
  const [, samples] = ramps.view('moving')?.evidence[0]?.latency.rest ?? []
  expect(samples).toBe(2)
})
