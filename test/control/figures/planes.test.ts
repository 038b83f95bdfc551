/**
 * Many data planes as one: whatever is counted where, and whichever of them is gone, the sums are those of a single one.
 */
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { liveRoute } from '../../../src/control/figures/live.ts'
import { Planes } from '../../../src/control/figures/planes.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { Route, Table } from '../../../src/rules/table/table.ts'
import { UsageTally } from '../../../src/state/discovery/usage-tally.ts'
import { RampTally } from '../../../src/state/evidence/ramp-tally.ts'
import { Tally } from '../../../src/state/evidence/tally.ts'
import { CACHE_WORDS, type ExchangeRecord, REASONS } from '../../../src/state/figures/cell.ts'
import { Measurements } from '../../../src/state/figures/measurements.ts'
import { LiveTable } from '../../../src/state/live-table.ts'
import { LocalPlane, linkTo } from '../../../src/state/local-plane.ts'
import type { PlaneLink } from '../../../src/state/plane-port.ts'
import { EMPTY_FLEET, type Fleet } from '../../../src/state/upstreams/fleet.ts'
import { Upstreams } from '../../../src/state/upstreams/upstreams.ts'
import { tableOf } from '../../rules/make.ts'
import { metricsText } from '../../support/metrics.ts'
import { memoryCache, TABLE } from '../rig.ts'

const read = readTable(TABLE, 'routes.yaml')
if (!read.ok) throw new Error('the table is invalid')
const { table } = read
const live = new LiveTable(table, TABLE, 1000)

interface Rig {
  readonly measurements: Measurements
  readonly upstreams: Upstreams
  prepare(next: Table): void
  readonly link: PlaneLink
}

/** A data plane behind a wire: what crosses is JSON. */
function plane(): Rig {
  const measurements = new Measurements()
  const upstreams = new Upstreams({ measurements })
  const prepare = (next: Table): void => upstreams.prepare(next)()
  prepare(table)
  const near = linkTo(
    new LocalPlane({
      live,
      measurements,
      tally: new Tally(),
      ramps: new RampTally(),
      usage: new UsageTally(),
      upstreams,
      cache: memoryCache(),
    }),
  )
  const far = async <T>(answer: Promise<T>): Promise<T> => JSON.parse(JSON.stringify(await answer)) as T
  return { measurements, upstreams, prepare, link: { ...near, report: () => far(near.report()) } }
}

const record: fc.Arbitrary<ExchangeRecord> = fc.record({
  decision: fc.record({
    routeId: fc.constantFrom('gtin-lookup', 'search', null),
    upstream: fc.constantFrom('legacy', 'gtin'),
    reason: fc.constantFrom(...REASONS),
    bucket: fc.option(fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((hash) => (hash / 2 ** 32) * 100)),
    percent: fc.constant(5),
    sticky: fc.constantFrom('cookie:sid', 'request', null),
  }),
  side: fc.constantFrom('from' as const, 'to' as const, null),
  status: fc.constantFrom(0, 101, 200, 304, 404, 502),
  cache: fc.constantFrom(...CACHE_WORDS),
  failure: fc.constantFrom(null, 'connect' as const),
  // Sums of eighths are the same in any order.
  durationMs: fc.integer({ min: 0, max: 800_000 }).map((eighths) => eighths / 8),
  retries: fc.constantFrom(0, 1),
  fallbackOn: fc.constantFrom(null, 'connect', '404'),
})

/** An attempt that is over; durations as above. */
const attempt = fc.tuple(
  fc.constantFrom('gtin-lookup', 'search', null),
  fc.constantFrom('legacy', 'gtin'),
  fc.constantFrom(...REASONS),
  fc.constantFrom('2xx' as const, '5xx' as const, 'connect' as const, 'aborted' as const, 'stale' as const),
  fc.option(fc.integer({ min: 0, max: 800_000 }).map((eighths) => eighths / 8)),
)

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ at: fc.nat(2), attempt }) },
  { weight: 8, arbitrary: fc.record({ at: fc.nat(2), record }) },
  { weight: 1, arbitrary: fc.constant('look' as const) },
  { weight: 1, arbitrary: fc.constant('replace' as const) },
  { weight: 1, arbitrary: fc.constant('tick' as const) },
)

test('totals, windows and units are those of one plane that has seen it all, though planes are replaced', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const one = new Measurements(0)
      const planes = new Planes(new Measurements(0))
      const rigs = [plane(), plane(), plane()]
      for (const [at, rig] of rigs.entries()) planes.add(at, rig.link)
      let [nowMs, next] = [0, 3]
      for (const step of steps) {
        if (step === 'look') await planes.figures()
        else if (step === 'tick') {
          nowMs += 10_000
          one.tick(nowMs)
          await planes.tick(nowMs)
        } else if (step === 'replace') {
          const gone = rigs.shift() as Rig
          planes.take(next - 3, await gone.link.report())
          planes.remove(next - 3)
          const rig = plane()
          rigs.push(rig)
          planes.add(next++, rig.link)
        } else if ('attempt' in step) {
          one.attempted(...step.attempt)
          rigs[step.at]!.measurements.attempted(...step.attempt)
        } else {
          one.count(step.record)
          rigs[step.at]!.measurements.count(step.record)
        }
      }
      const { measurements } = await planes.figures()
      for (const id of ['gtin-lookup', 'search', null]) expect(measurements.figures(id)).toEqual(one.figures(id))
      const route = table.routes[0] as Route
      expect(liveRoute(measurements, route, nowMs + 5000)).toEqual(liveRoute(one, route, nowMs + 5000))
    }),
    { numRuns: 60 },
  )
})

test('a plane that says nothing holds nobody up, and what it says late is taken in', async () => {
  const planes = new Planes()
  const [quick, slow] = [plane(), plane()]
  let answer = (): void => {}
  const waits = new Promise<void>((resolve) => {
    answer = resolve
  })
  planes.add(0, quick.link)
  planes.add(1, { ...slow.link, report: () => waits.then(() => slow.link.report()) })
  quick.measurements.refuse('bad-request')
  slow.measurements.refuse('bad-request')
  expect((await planes.figures()).measurements.refused).toEqual({ 'bad-request': 1 })
  answer()
  await waits
  expect((await planes.figures()).measurements.refused).toEqual({ 'bad-request': 2 })
})

test('of a plane that is gone the counters stay in the metrics, and what stood there does not', async () => {
  const planes = new Planes()
  const [one, two] = [plane(), plane()]
  planes.add(1, one.link)
  planes.add(2, two.link)
  one.measurements.active = 3
  two.measurements.active = 4
  one.measurements.forceRefused = 5
  await planes.purge({ what: 'everything' }, false)
  const text = () => metricsText(live, planes)
  const before = await text()
  expect(before).toContain('\nbanyan_active_exchanges 7\n')
  expect(before).toContain('\nbanyan_cache_memory_max_bytes 2000000\n')
  planes.remove(1)
  const after = await text()
  expect(after).toContain('\nbanyan_active_exchanges 4\n')
  expect(after).toContain('\nbanyan_force_refused_total 5\n')
  expect(after).toContain('\nbanyan_cache_purges_total 2\n')
  expect(after).toContain('\nbanyan_cache_memory_max_bytes 1000000\n')
})

test('a plane that comes later is told the fleet; one that can not be told does not matter', async () => {
  const told: Fleet[] = []
  const listening: PlaneLink = { ...plane().link, setFleet: async (fleet) => void told.push(fleet) }
  const planes = new Planes()
  planes.add(1, { ...plane().link, setFleet: () => Promise.reject(new Error('gone')) })
  planes.add(2, listening)
  expect(told).toEqual([])
  const fleet: Fleet = { ...EMPTY_FLEET, gtin: { leased: [], drained: ['a'] } }
  await planes.setFleet(fleet)
  planes.add(3, listening)
  expect(told).toEqual([fleet, fleet])
})

test('with no plane there is nobody to explain, and nothing is purged', async () => {
  const planes = new Planes()
  expect(
    await planes.explain({ method: 'GET', target: '/', host: '', rawHeaders: [], clientAddress: '::1', chance: 0 }),
  ).toBeNull()
  expect(await planes.purge({ what: 'everything' }, false)).toEqual({
    shared: false,
    why: 'no worker is there',
    entries: 0,
  })
  expect(await planes.recent()).toEqual([])
})

const many = (percent: number, count = 5000): Table =>
  tableOf(Array.from({ length: count }, (_, n) => ({ id: `r${n}`, match: { path: `/p${n}` }, percent })))

test('a change of a few routes is known at once, and one of thousands without a stop for those who are served', async () => {
  const planes = new Planes()
  planes.follow(many(5, 2), 0)
  const { progress } = await planes.figures()
  expect(progress.standing('r1')).toMatchObject({ at: '5' })
  let turns = 0
  const count = (): void => {
    turns++
    next = setImmediate(count)
  }
  let next = setImmediate(count)
  onTestFinished(() => clearImmediate(next))
  planes.follow(many(10), 0)
  planes.follow(many(20), 0)
  expect(progress.standing('r4999')).toBeNull()
  await expect.poll(() => progress.standing('r4999')).toMatchObject({ at: '20' })
  expect(turns).toBeGreaterThan(1)
  planes.follow(many(30, 4000), 0)
  await expect.poll(() => progress.standing('r4999')).toBeNull()
  expect(progress.standing('r3999')).toMatchObject({ at: '30' })
})
