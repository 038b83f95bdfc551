/**
 * Counting: totals, windows, shares per request and per unit, the ring of recent exchanges, and all of it as metrics.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { liveRoute, liveUpstreams } from '../../../src/control/figures/live.ts'
import { Planes } from '../../../src/control/figures/planes.ts'
import { simulationSteps } from '../../../src/control/table/simulation.ts'
import type { Decision } from '../../../src/rules/http/exchange.ts'
import { editTable } from '../../../src/rules/language/edit.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import { bucketOf, hashOf } from '../../../src/rules/patterns/draw.ts'
import { sideOf } from '../../../src/rules/routing/decide.ts'
import type { Route } from '../../../src/rules/table/table.ts'
import { fineBucketOf } from '../../../src/rules/values/duration-buckets.ts'
import { allOf } from '../../../src/rules/values/steps.ts'
import { UsageTally } from '../../../src/state/discovery/usage-tally.ts'
import { RampTally } from '../../../src/state/evidence/ramp-tally.ts'
import { Tally } from '../../../src/state/evidence/tally.ts'
import type { ExchangeRecord } from '../../../src/state/figures/cell.ts'
import { quantilesMs } from '../../../src/state/figures/durations.ts'
import { Measurements } from '../../../src/state/figures/measurements.ts'
import { type RecentExchange, RecentExchanges } from '../../../src/state/figures/recent-exchanges.ts'
import { UnitCounter } from '../../../src/state/figures/unit-counter.ts'
import { LiveTable } from '../../../src/state/live-table.ts'
import { LocalPlane, linkTo } from '../../../src/state/local-plane.ts'
import { Upstreams } from '../../../src/state/upstreams/upstreams.ts'
import { memoryCache, TABLE } from '../../control/rig.ts'
import { metricsText } from '../../support/metrics.ts'

function tableOf(text: string) {
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.table
}

const table = tableOf(TABLE)
const route = table.routes[0] as Route

const TO: Decision = {
  routeId: 'gtin-lookup',
  upstream: 'gtin',
  reason: 'percent',
  bucket: 1,
  percent: 5,
  sticky: 'cookie:sid',
}
const FROM: Decision = { ...TO, upstream: 'legacy', reason: 'rest', bucket: 50 }

function record(decision: Decision, more: Partial<ExchangeRecord> = {}): ExchangeRecord {
  const side = sideOf(decision, decision.routeId === null ? null : route)
  const how = { status: 200, cache: '-', failure: null, durationMs: 3, retries: 0, fallbackOn: null } as const
  return { decision, side, ...how, ...more }
}

function count(measurements: Measurements, times: number, one: ExchangeRecord): void {
  for (let at = 0; at < times; at++) measurements.count(one)
}

const simulate = (...given: Parameters<typeof simulationSteps>) => allOf(simulationSteps(...given))

test('totals are by reason, upstream, class of status, cache word and failure', () => {
  const measurements = new Measurements()
  count(measurements, 3, record(TO))
  count(measurements, 2, record(FROM, { status: 503, cache: 'miss', failure: 'no-server', retries: 1 }))
  count(measurements, 1, record({ ...FROM, reason: 'fallback' }, { status: 0, fallbackOn: '404' }))
  expect(measurements.figures('gtin-lookup')).toMatchObject({
    exchanges: 6,
    reasons: { percent: 3, rest: 2, fallback: 1, forced: 0 },
    upstreams: { gtin: 3, legacy: 3 },
    statusClasses: [1, 0, 3, 0, 0, 2],
    cache: { '-': 4, miss: 2 },
    failures: { 'no-server': 2 },
    fallbacks: { '404': 1 },
    durationMsSum: 18,
  })
  expect(measurements.figures(null).exchanges).toBe(0)
})

test('an id that is away for a moment goes on from where it was; what is gone for an hour is forgotten', () => {
  const HOUR = 3_600_000
  const measurements = new Measurements(0)
  const without = { ...table, routes: table.routes.slice(1) }
  count(measurements, 3, record(TO))
  measurements.attempted('gtin-lookup', 'gtin', 'percent', '2xx', 1)
  measurements.follow(without, 1000)
  // An exchange that was under way.
  count(measurements, 1, record(FROM))
  measurements.follow(table, 2000)
  expect(measurements.figures('gtin-lookup').exchanges).toBe(4)
  measurements.tick(3 * HOUR)
  expect(measurements.figures('gtin-lookup').exchanges).toBe(4)
  measurements.follow(without, 3 * HOUR)
  measurements.tick(3 * HOUR + 10_000)
  count(measurements, 1, record({ ...FROM, reason: 'no-key' }))
  expect(measurements.figures('gtin-lookup').exchanges).toBe(5)
  measurements.tick(4 * HOUR + 20_000)
  expect(measurements.routeIds()).toEqual([])
  // So are those of an upstream that the route no longer goes to.
  measurements.follow(table, 5 * HOUR)
  count(measurements, 1, record(TO))
  count(measurements, 1, record(FROM))
  const upstreams = new Map([...table.upstreams].filter(([name]) => name !== 'gtin'))
  measurements.follow({ ...table, upstreams }, 5 * HOUR)
  measurements.tick(7 * HOUR)
  expect(measurements.figures('gtin-lookup').upstreams).toEqual({ legacy: 1 })
})

test('however many routes come and go, what is kept of those that are gone is bounded', () => {
  const measurements = new Measurements(0)
  const none = { ...table, routes: [] }
  for (let at = 0; at < 2500; at++) {
    count(measurements, 1, record({ ...TO, routeId: `preview-${at}` }))
    if (at % 100 === 99) measurements.follow(none, at)
  }
  // Those of one edit are kept or forgotten together.
  expect(measurements.routeIds().length).toBeLessThanOrEqual(2100)
  expect(measurements.routeIds()).toContain('preview-2499')
})

test('windows tell of the last minutes only, and of less where the process is young', () => {
  const measurements = new Measurements(0)
  expect(liveRoute(measurements, route, 0).lastMinute).toMatchObject({ seconds: 1, exchanges: 0, perSecond: 0 })
  count(measurements, 10, record(FROM, { status: 500 }))
  expect(liveRoute(measurements, route, 5000).lastMinute).toMatchObject({
    seconds: 5,
    exchanges: 10,
    perSecond: 2,
    errorRatio: 1,
  })
  for (let tick = 1; tick <= 10; tick++) measurements.tick(tick * 10_000)
  count(measurements, 6, record(TO))
  const firstMinute = liveRoute(measurements, route, 100_000)
  expect(firstMinute.lastFiveMinutes).toMatchObject({ seconds: 100, exchanges: 16, errorRatio: 0.625 })
  const { lastMinute, lastFiveMinutes, exchanges } = firstMinute
  expect(exchanges).toBe(16)
  expect(lastMinute).toMatchObject({ seconds: 50, exchanges: 6, errorRatio: 0, sides: { gtin: { exchanges: 6 } } })
  expect(lastFiveMinutes).toMatchObject({ seconds: 100, exchanges: 16, errorRatio: 0.625 })
  for (let tick = 11; tick <= 80; tick++) measurements.tick(tick * 10_000)
  expect(liveRoute(measurements, route, 800_000).lastFiveMinutes).toMatchObject({
    exchanges: 0,
    errorRatio: null,
    p99Ms: null,
  })
})

test('the requested share stands beside the actual one, per request and per unit; forced exchanges count for neither', () => {
  const measurements = new Measurements()
  // One client of the share asks nine times, three others once each: 75 % of the requests, 25 % of the clients.
  count(measurements, 9, record(TO))
  for (const bucket of [20, 40, 60]) count(measurements, 1, record({ ...FROM, bucket }))
  count(measurements, 50, record({ ...TO, reason: 'forced', bucket: null, sticky: null }))
  const { share } = liveRoute(measurements, route, 1000).lastMinute ?? {}
  expect(share).toEqual({ requestedPercent: 5, actualPercent: 75, actualUnitPercent: 25, noKeyPercent: 0 })
  count(measurements, 4, record({ ...FROM, reason: 'no-key', bucket: null, sticky: null }))
  expect(liveRoute(measurements, route, 1000).lastMinute?.share).toMatchObject({ noKeyPercent: 25 })
  expect(liveUpstreams(measurements, 1000)('gtin')).toMatchObject({ exchanges: 59 })
})

test('a cache hit ratio leaves out what the cache was not asked for', () => {
  const measurements = new Measurements()
  count(measurements, 3, record(TO, { cache: 'hit' }))
  count(measurements, 1, record(TO, { cache: 'miss' }))
  count(measurements, 9, record(TO))
  expect(liveRoute(measurements, route, 1000).lastMinute?.cacheHitRatio).toBe(0.75)
})

test('quantiles are those of the durations, within five per cent from 0.01 ms to ten minutes', () => {
  expect(quantilesMs([], [0.5, 0.99])).toEqual([null, null])
  const duration = fc.double({ min: Math.log(0.01), max: Math.log(600_000), noNaN: true }).map(Math.exp)
  fc.assert(
    fc.property(
      fc.array(fc.array(duration, { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 4 }),
      (lists) => {
        const fine = lists.map((list) => list.flatMap((ms) => [fineBucketOf(ms), 1]))
        const all = lists.flat().sort((a, b) => a - b)
        for (const part of [0.01, 0.5, 0.9, 0.99, 1]) {
          const exact = all[Math.ceil(all.length * part) - 1] as number
          const [told] = quantilesMs(fine, [part]) as [number]
          expect(Math.abs(told - exact) / exact).toBeLessThan(0.05)
        }
      },
    ),
  )
  for (const ms of [0, 1e-9, 1e9, Number.MAX_VALUE])
    expect(quantilesMs([[fineBucketOf(ms), 1]], [0.5])[0]).toBeLessThan(672_000)
})

test('sides that lie close together are told apart as they are', () => {
  const measurements = new Measurements(0)
  count(measurements, 100, record(FROM, { durationMs: 22 }))
  count(measurements, 100, record(TO, { durationMs: 25 }))
  count(measurements, 100, record({ ...FROM, routeId: 'search' }, { durationMs: 0.03, cache: 'hit' }))
  measurements.tick(10_000)
  const { legacy, gtin } = liveRoute(measurements, route, 11_000).lastMinute.sides
  expect(Math.abs(legacy!.p50Ms! - 22) / 22).toBeLessThan(0.05)
  expect(Math.abs(gtin!.p50Ms! - 25) / 25).toBeLessThan(0.05)
  const { p50Ms } = liveUpstreams(measurements, 11_000)('legacy')
  expect(Math.abs(p50Ms! - 0.03) / 0.03).toBeLessThan(0.05)
})

test('a fallback is billed to the side that was decided; without a key, and forced, to neither', () => {
  const measurements = new Measurements(0)
  count(measurements, 8, record(TO, { durationMs: 10 }))
  count(
    measurements,
    2,
    record({ ...TO, upstream: 'legacy', reason: 'fallback' }, { durationMs: 80, fallbackOn: '503' }),
  )
  count(measurements, 4, record(FROM, { durationMs: 20 }))
  count(measurements, 5, record({ ...FROM, reason: 'no-key' }, { durationMs: 400 }))
  count(measurements, 6, record({ ...TO, reason: 'forced' }, { durationMs: 400 }))
  for (let at = 0; at < 8; at++) measurements.attempted('gtin-lookup', 'gtin', 'percent', '2xx', 9)
  for (let at = 0; at < 2; at++)
    measurements.attempted('gtin-lookup', 'gtin', 'percent', at === 0 ? '5xx' : 'connect', 60)
  for (let at = 0; at < 2; at++) measurements.attempted('gtin-lookup', 'legacy', 'fallback', '2xx', 19)
  for (let at = 0; at < 4; at++) measurements.attempted('gtin-lookup', 'legacy', 'rest', at === 0 ? 'stale' : '2xx', 19)
  measurements.attempted('gtin-lookup', 'legacy', 'no-key', '5xx', 19)
  const { sides, upstreams, lastMinute } = liveRoute(measurements, route, 5000)
  expect(sides).toEqual({ gtin: { attempts: 10, failed: 2 }, legacy: { attempts: 4, failed: 0 } })
  expect(upstreams).toEqual({ gtin: 14, legacy: 11 })
  expect(lastMinute.sides).toMatchObject({
    gtin: { exchanges: 10, attempts: 10, failedRatio: 0.2 },
    legacy: { exchanges: 4, attempts: 4, failedRatio: 0 },
  })
  const { p99Ms, attemptP50Ms } = lastMinute.sides.gtin!
  expect(Math.abs(p99Ms! - 80) / 80).toBeLessThan(0.05)
  expect(Math.abs(attemptP50Ms! - 9) / 9).toBeLessThan(0.05)
  expect(lastMinute.share).toMatchObject({ actualPercent: 42.1053, noKeyPercent: 26.3158 })
})

/** The bucket of a key that lies in a narrow share. */
function inShare(unit: number): number {
  return bucketOf(hashOf('salt', `unit ${unit}`) >>> 4)
}

test('distinct units are counted within some per cent, and forgotten after two spans', () => {
  for (const units of [1, 10, 1000, 10_000]) {
    const counter = new UnitCounter()
    // Both ask twice, and all of them lie in a narrow share.
    for (let pass = 0; pass < 2; pass++) for (let unit = 0; unit < units; unit++) counter.add(inShare(unit))
    expect(Math.abs(counter.count() - units) / units, String(units)).toBeLessThan(0.1)
    counter.turn()
    expect(counter.count()).toBeGreaterThan(0)
    counter.turn()
    expect(counter.count()).toBe(0)
  }
})

function recent(id: string, more: Partial<RecentExchange['view']> = {}, decision = FROM): RecentExchange {
  const view = {
    method: 'GET',
    target: '/stores/1/gtins/2',
    host: 'a.test',
    rawHeaders: [],
    clientAddress: '::1',
    chance: 0.5,
    ...more,
  }
  return {
    id,
    atMs: 1000,
    view,
    decision,
    revision: 1,
    status: 200,
    cache: '-',
    server: null,
    failure: null,
    retries: 0,
    durationMs: 1,
  }
}

test('recent exchanges are the last ones, bounded in number and bytes, without what only its owner may know', () => {
  const ring = new RecentExchanges()
  for (let at = 0; at < 3000; at++) ring.add(recent(`x-${at}`))
  expect([...ring.all()]).toHaveLength(2048)
  expect([...ring.all()][0]?.id).toBe('x-2999')
  expect(ring.find('x-951')).toBeUndefined()
  for (let at = 0; at < 2048; at++) ring.add(recent(`y-${at}`, { rawHeaders: ['X', 'y'.repeat(20_000)] }))
  expect([...ring.all()].length).toBeLessThan(250)
  ring.add(recent('z', { rawHeaders: ['Authorization', 'Bearer s3cret', 'banyan-force', 's3cret', 'Cookie', 'sid=1'] }))
  expect(ring.find('z')?.view.rawHeaders).toEqual(['Authorization', '', 'banyan-force', '', 'Cookie', 'sid=1'])
})

test('of a busy proxy a sample is kept, and failures besides', () => {
  const ring = new RecentExchanges()
  const wanted = Array.from({ length: 1000 }, (_, at) => ring.wants(at / 10, false)).filter(Boolean)
  expect(wanted).toHaveLength(10)
  expect(ring.skipped).toBe(990)
  expect([ring.wants(100.5, true), ring.wants(100.6, true), ring.wants(200, false)]).toEqual([true, true, true])
})

test('a proposed table is tried on the recent exchanges', () => {
  const exchanges = ['alice', 'bob', 'erin', 'frank', 'alice'].map((sid, at) =>
    recent(String(at), { rawHeaders: ['Cookie', `sid=${sid}`] }),
  )
  exchanges.push(recent('f', {}, { ...FROM, reason: 'forced' }), recent('s', { target: '/search' }))
  const percent = (to: number) => tableOf(TABLE.replace('percent: 5 ', `percent: ${to} `))
  expect(simulate(table, percent(100), exchanges)).toMatchObject({
    exchanges: 6,
    since: '1970-01-01T00:00:01.000Z',
    moved: 5,
    movedPercent: 83.3333,
    units: { seen: 4, moved: 4 },
    routes: [
      { route: 'gtin-lookup', exchanges: 5, moved: 5, reclaimed: 0 },
      { route: 'search', exchanges: 1, moved: 0, reclaimed: 0 },
    ],
    silenced: [],
    caches: [],
  })
  // alice's bucket is 40.3: raising to 41 moves her, and whoever lies below.
  const some = simulate(table, percent(41), exchanges)
  expect(some.moved).toBeGreaterThanOrEqual(2)
  expect(some.moved).toBeLessThan(5)
  expect(simulate(table, table, [])).toMatchObject({ exchanges: 0, movedPercent: null, since: null })
})

test('a dry run says which routes fall silent and which caches are lost', () => {
  const cached = editTable(TABLE, (document) => ({
    ...document,
    routes: (document.routes ?? []).map((one) => ({ ...one, cache: { ttl: '60s' } })),
  }))
  const without = editTable(cached, (document) => ({
    ...document,
    routes: (document.routes ?? [])
      .filter(({ id }) => id !== 'search')
      .map((one) => (one.id === 'reviews' ? { ...one, cache: { ttl: '5s' } } : one)),
  }))
  expect((parse(without) as { routes: unknown[] }).routes).toHaveLength(2)
  const { silenced, caches, routes } = simulate(tableOf(cached), tableOf(without), [recent('s', { target: '/search' })])
  expect(silenced).toEqual(['search'])
  expect(routes).toEqual([{ route: 'search', exchanges: 1, moved: 1, reclaimed: 1 }])
  expect(caches).toEqual([
    { route: 'search', upstream: 'legacy', why: 'route-removed' },
    { route: 'search', upstream: 'gtin', why: 'route-removed' },
    { route: 'reviews', upstream: 'legacy', why: 'cache-changed' },
    { route: 'reviews', upstream: 'gtin', why: 'cache-changed' },
  ])
})

test('metrics are well-formed, name each figure once, and hold nothing that a client sent', async () => {
  const measurements = new Measurements()
  count(measurements, 2, record(TO, { cache: 'hit' }))
  count(measurements, 1, record({ ...FROM, routeId: null, reason: 'default' }, { status: 502, failure: 'connect' }))
  measurements.attempted('gtin-lookup', 'gtin', 'percent', '2xx', 2)
  measurements.attempted(null, 'legacy', 'default', 'connect', 4)
  measurements.refuse('bad-request')
  measurements.recent.add(recent('q', { target: '/secret?token=s3cret', rawHeaders: ['Cookie', 's3cret'] }))
  const live = new LiveTable(table, TABLE, 1000)
  const upstreams = new Upstreams({ measurements })
  live.onPrepare((next) => upstreams.prepare(next))
  live.refuse([], 3000)
  const planes = new Planes()
  planes.add(
    0,
    linkTo(
      new LocalPlane({
        live,
        measurements,
        tally: new Tally(),
        ramps: new RampTally(),
        usage: new UsageTally(),
        upstreams,
        cache: memoryCache(),
      }),
    ),
  )
  const text = await metricsText(live, planes)
  expect(text).not.toContain('s3cret')
  expect(text.endsWith('\n')).toBe(true)
  const types = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name)
  expect(new Set(types).size).toBe(types.length)
  for (const line of text.trimEnd().split('\n')) {
    expect(line).toMatch(/^(?:# (?:HELP|TYPE) \S+ .+|[a-z0-9_]+(?:\{(?:[a-z]+="[^"\n]*",?)+\})? -?[0-9.e+-]+)$/)
  }
  for (const sample of [
    'banyan_requests_total{route="gtin-lookup",upstream="gtin",reason="percent",side="to",status="2xx",cache="hit"} 2',
    'banyan_requests_total{route="",upstream="legacy",reason="default",side="",status="5xx",cache="-"} 1',
    'banyan_request_duration_seconds_bucket{route="gtin-lookup",upstream="gtin",reason="percent",side="to",le="0.0025"} 0',
    'banyan_request_duration_seconds_bucket{route="gtin-lookup",upstream="gtin",reason="percent",side="to",le="0.005"} 2',
    'banyan_request_duration_seconds_bucket{route="gtin-lookup",upstream="gtin",reason="percent",side="to",le="+Inf"} 2',
    'banyan_request_duration_seconds_count{route="gtin-lookup",upstream="gtin",reason="percent",side="to"} 2',
    'banyan_attempts_total{route="gtin-lookup",upstream="gtin",reason="percent",outcome="2xx"} 1',
    'banyan_attempts_total{route="",upstream="legacy",reason="default",outcome="connect"} 1',
    'banyan_attempt_duration_seconds_bucket{route="gtin-lookup",upstream="gtin",reason="percent",le="0.001"} 0',
    'banyan_attempt_duration_seconds_bucket{route="gtin-lookup",upstream="gtin",reason="percent",le="0.0025"} 1',
    'banyan_failures_total{route="",upstream="legacy",reason="default",side="",failure="connect"} 1',
    'banyan_refused_requests_total{failure="bad-request"} 1',
    'banyan_route_percent{route="reviews",to="gtin"} 0',
    'banyan_table_refused 1',
    'banyan_table_age_seconds 3',
    'banyan_cache_memory_max_bytes 1000000',
    'banyan_cache_hit_for_miss_total 0',
  ]) {
    expect(text).toContain(`\n${sample}\n`)
  }
})

test('an upgraded connection counts, but its life is no duration', () => {
  const measurements = new Measurements()
  count(measurements, 1, record(TO, { status: 101, durationMs: 3_600_000 }))
  expect(measurements.figures('gtin-lookup')).toMatchObject({ exchanges: 1, durationMsSum: 0 })
})
