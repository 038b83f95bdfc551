/**
 * The last day of each route: what was counted in a step is told of that step, whatever else is counted, and memory has a bound.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HISTORY_STEP_MS, HISTORY_STEPS, RouteHistory } from '../../../src/control/figures/route-history.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { Route, Table } from '../../../src/rules/table/table.ts'
import { Measurements } from '../../../src/state/figures/measurements.ts'
import { WINDOW_TICK_MS } from '../../../src/state/figures/windows.ts'

function tableOf(count: number): Table {
  const routes = Array.from(
    { length: count },
    (_, n) => `  - { id: r${n}, match: { path: /p${n} }, to: new, percent: 50 }`,
  )
  const text = [
    'version: 1',
    'upstreams:',
    '  old: { servers: [http://127.0.0.1:1] }',
    '  new: { servers: [http://127.0.0.1:2] }',
    'default: old',
    'routes:',
    ...routes,
    '',
  ].join('\n')
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read))
  return read.table
}

const SMALL = tableOf(2)
const [FIRST, SECOND] = SMALL.routes as readonly [Route, Route]

interface Exchange {
  readonly side: 'from' | 'to'
  readonly status: number
  readonly durationMs: number
}

/** Where the tests begin. */
const BEGIN_MS = 1000 * HISTORY_STEPS * HISTORY_STEP_MS

function rig(table: Table, maxSides?: number) {
  const measurements = new Measurements(BEGIN_MS)
  const history = new RouteHistory(measurements, maxSides)
  let nowMs = BEGIN_MS
  return {
    history,
    count({ id, from }: Route, { side, status, durationMs }: Exchange): void {
      const upstream = side === 'to' ? 'new' : from
      const decision = {
        routeId: id,
        upstream,
        reason: side === 'to' ? 'percent' : 'rest',
        bucket: 1,
        percent: 50,
        sticky: null,
      } as const
      measurements.count({
        decision,
        side,
        status,
        cache: '-',
        failure: null,
        durationMs,
        retries: 0,
        fallbackOn: null,
      })
    },
    async pass(ms: number, of = table, meanwhile: () => void = () => {}): Promise<void> {
      for (const endMs = nowMs + ms; nowMs < endMs; ) {
        nowMs += WINDOW_TICK_MS
        measurements.tick(nowMs)
        if (nowMs === endMs) meanwhile()
        await history.tick(of, nowMs)
      }
    },
    of: (route: Route) => history.of(route, nowMs),
    now: () => nowMs,
  }
}

const exchange: fc.Arbitrary<Exchange> = fc.record({
  side: fc.constantFrom('from', 'to'),
  status: fc.constantFrom(200, 404, 500),
  durationMs: fc.integer({ min: 1, max: 60_000 }),
})

test('each step has what was counted in it, the current one so far', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.array(exchange, { maxLength: 5 })), { maxLength: 12 }),
      async (turns) => {
        const at = rig(SMALL)
        const expected = new Map<number, Exchange[]>()
        for (const [ticks, exchanges] of turns) {
          await at.pass(ticks * WINDOW_TICK_MS)
          for (const one of exchanges) at.count(FIRST, one)
          const step = Math.floor(at.now() / HISTORY_STEP_MS) * HISTORY_STEP_MS
          if (exchanges.length > 0) expected.set(step, [...(expected.get(step) ?? []), ...exchanges])
        }
        const found = at.of(FIRST)
        expect(found.map(({ atMs }) => atMs)).toEqual([...expected.keys()])
        for (const { atMs, sides } of found) {
          for (const [name, side] of [
            ['old', 'from'],
            ['new', 'to'],
          ] as const) {
            const own = (expected.get(atMs) ?? []).filter((one) => one.side === side)
            const errors = own.filter(({ status }) => status === 500).length
            expect(sides[name]?.exchanges ?? 0).toBe(own.length)
            if (own.length === 0) continue
            expect(sides[name]?.errorRatio).toBeCloseTo(errors / own.length, 4)
            const most = Math.max(...own.map(({ durationMs }) => durationMs))
            const least = Math.min(...own.map(({ durationMs }) => durationMs))
            expect(sides[name]?.p95Ms).toBeGreaterThanOrEqual(least * 0.95)
            expect(sides[name]?.p95Ms).toBeLessThanOrEqual(most * 1.05)
          }
        }
        expect(at.of(SECOND)).toEqual([])
      },
    ),
    { numRuns: 60 },
  )
})

test('a day is kept, and a quiet time leaves nothing of the day before in its place', async () => {
  const at = rig(SMALL)
  const one: Exchange = { side: 'to', status: 200, durationMs: 5 }
  at.count(FIRST, one)
  await at.pass(HISTORY_STEP_MS)
  at.count(FIRST, one)
  expect(at.of(FIRST).length).toBe(2)
  const begins = (): number[] => at.of(FIRST).map(({ atMs }) => (atMs - BEGIN_MS) / HISTORY_STEP_MS)
  await at.pass((HISTORY_STEPS - 2) * HISTORY_STEP_MS)
  expect(begins()).toEqual([0, 1])
  await at.pass(HISTORY_STEP_MS)
  expect(begins()).toEqual([1])
  await at.pass(HISTORY_STEP_MS)
  at.count(FIRST, one)
  await at.pass(HISTORY_STEP_MS)
  expect(begins()).toEqual([HISTORY_STEPS + 1])
  await at.pass((HISTORY_STEPS - 1) * HISTORY_STEP_MS)
  expect(begins()).toEqual([])
})

test('what is counted while a step is recorded belongs to the next one', async () => {
  const at = rig(SMALL)
  const one: Exchange = { side: 'to', status: 200, durationMs: 5 }
  at.count(FIRST, one)
  await at.pass(HISTORY_STEP_MS, SMALL, () => at.count(FIRST, one))
  expect(at.of(FIRST).map(({ sides }) => sides.new?.exchanges)).toEqual([1, 1])
})

test('sides beyond the limit have only their current step, until others are forgotten', async () => {
  const at = rig(SMALL, 2)
  for (const side of ['from', 'to'] as const) at.count(FIRST, { side, status: 200, durationMs: 5 })
  await at.pass(HISTORY_STEP_MS)
  at.count(SECOND, { side: 'to', status: 200, durationMs: 5 })
  expect(at.of(SECOND).length).toBe(1)
  await at.pass(HISTORY_STEP_MS)
  expect([at.of(FIRST).length, at.of(SECOND).length]).toEqual([1, 0])
  // The first route leaves the table.
  const without = { ...SMALL, routes: [SECOND], places: new Map([[SECOND.id, 0]]) } as unknown as Table
  await at.pass(HISTORY_STEP_MS, without)
  at.count(SECOND, { side: 'to', status: 200, durationMs: 5 })
  await at.pass(HISTORY_STEP_MS, without)
  expect([at.of(FIRST).length, at.of(SECOND).length]).toEqual([0, 1])
})
