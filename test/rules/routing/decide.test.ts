/** Decisions and their reasons. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Decision, RequestView, Side } from '../../../src/rules/http/exchange.ts'
import { bucketOf, hashOf } from '../../../src/rules/patterns/draw.ts'
import { decide, type IsAvailable, sideOf } from '../../../src/rules/routing/decide.ts'
import { matchRoute } from '../../../src/rules/routing/match.ts'
import type { RouteDocument } from '../../../src/rules/table/schema.ts'
import { tableOf, view } from '../make.ts'

const UP = () => true
const DOWN = () => false

function decided(
  route: Partial<RouteDocument>,
  request: RequestView,
  isAvailable: IsAvailable = UP,
  forced: string | null = null,
): Decision {
  const table = tableOf([{ id: 'gtin-lookup', match: { path: '/gtins/:gtin' }, ...route }])
  return decide(table, matchRoute(table, request), request, isAvailable, forced)
}

const UNDRAWN = { bucket: null, sticky: null }

test('without a route the default answers', () => {
  const expected = { routeId: null, upstream: 'legacy', percent: null, ...UNDRAWN }
  expect(decided({}, view('/other'))).toEqual({ ...expected, reason: 'default' })
  expect(decided({}, view('/gtins//1'))).toEqual({ ...expected, reason: 'ambiguous' })
})

test('a request whose client is logged in on a connection to one side stays there, where there is something to draw', () => {
  const pinned = (percent: number, side: string, forced: string | null = null): Decision => {
    const table = tableOf([{ id: 'gtin-lookup', match: { path: '/gtins/:gtin' }, percent }])
    const request = view('/gtins/1', { chance: 0 })
    return decide(table, matchRoute(table, request), request, DOWN, forced, side)
  }
  expect(pinned(50, 'gtin')).toMatchObject({ upstream: 'gtin', reason: 'pinned', ...UNDRAWN })
  expect(pinned(50, 'legacy')).toMatchObject({ upstream: 'legacy', reason: 'pinned' })
  expect(pinned(0, 'gtin')).toMatchObject({ upstream: 'legacy', reason: 'rest' })
  expect(pinned(100, 'legacy')).toMatchObject({ upstream: 'legacy', reason: 'unavailable' })
  expect(pinned(50, 'gtin', 'legacy')).toMatchObject({ upstream: 'legacy', reason: 'forced' })
})

test('a read whose key has written stays on that side, unless nothing goes there or it may not be asked', () => {
  const written = (percent: number, side: Side, isAvailable = UP, pinned: string | null = null): Decision => {
    const table = tableOf([{ id: 'gtin-lookup', match: { path: '/gtins/:gtin' }, percent, sticky: 'param:gtin' }])
    const request = view('/gtins/1')
    return decide(table, matchRoute(table, request), request, isAvailable, null, pinned, side)
  }
  for (const percent of [0.0001, 99.9999, 100]) {
    expect(written(percent, 'from')).toMatchObject({ upstream: 'legacy', reason: 'pinned', ...UNDRAWN })
    expect(written(percent, 'to')).toMatchObject({ upstream: 'gtin', reason: 'pinned', ...UNDRAWN })
    expect(written(percent, 'to', DOWN)).toMatchObject({ upstream: 'legacy', reason: 'unavailable' })
  }
  expect(written(0, 'to')).toMatchObject({ upstream: 'legacy', reason: 'rest' })
  expect(written(50, 'to', UP, 'legacy')).toMatchObject({ upstream: 'legacy', reason: 'pinned' })
})

test('an absent percent is 0, and 0 moves nothing', () => {
  const expected = { routeId: 'gtin-lookup', upstream: 'legacy', reason: 'rest', percent: 0, ...UNDRAWN }
  expect(decided({}, view('/gtins/1', { chance: 0 }))).toEqual(expected)
  expect(decided({ percent: 0, sticky: 'param:gtin' }, view('/gtins/1', { chance: 0 }))).toEqual(expected)
})

test('100 moves all, without a draw and without a key', () => {
  const expected = { routeId: 'gtin-lookup', upstream: 'gtin', reason: 'percent', percent: 100, ...UNDRAWN }
  expect(decided({ percent: 100 }, view('/gtins/1', { chance: 0.999_999_999 }))).toEqual(expected)
  expect(decided({ percent: 100, sticky: 'cookie:sid' }, view('/gtins/1'))).toEqual(expected)
})

test('an ambiguous path that a route allows is decided by the route', () => {
  const request = view('/gtins//1')
  expect(decided({ percent: 100, ambiguousPaths: 'allow' }, request)).toMatchObject({
    upstream: 'gtin',
    reason: 'percent',
  })
})

test('the draw per request is on chance', () => {
  expect(decided({ percent: 5 }, view('/gtins/1', { chance: 0.049 }))).toEqual({
    routeId: 'gtin-lookup',
    upstream: 'gtin',
    reason: 'percent',
    bucket: 4.9,
    percent: 5,
    sticky: 'request',
  })
  expect(decided({ percent: 5 }, view('/gtins/1', { chance: 0.05 }))).toMatchObject({
    upstream: 'legacy',
    reason: 'rest',
  })
  expect(decided({ percent: 5, sticky: 'request' }, view('/gtins/1', { chance: 0 }))).toMatchObject({
    sticky: 'request',
  })
})

test('the draw per key is on its hash, whatever the chance', () => {
  const bucket = bucketOf(hashOf('gtin-lookup', 'alice'))
  for (const chance of [0, 0.5, 0.99]) {
    const request = view('/gtins/1', { chance, rawHeaders: ['Cookie', 'sid=alice'] })
    expect(decided({ percent: 40, sticky: 'cookie:sid' }, request)).toMatchObject({
      upstream: 'legacy',
      reason: 'rest',
      bucket,
    })
    expect(decided({ percent: 41, sticky: 'cookie:sid' }, request)).toMatchObject({
      upstream: 'gtin',
      reason: 'percent',
      bucket,
    })
  }
})

test('routes of one group move the same keys together', () => {
  const request = view('/gtins/alice')
  const bucket = bucketOf(hashOf('people', 'alice'))
  expect(decided({ percent: 50, sticky: 'param:gtin', group: 'people' }, request).bucket).toBe(bucket)
  expect(decided({ percent: 50, sticky: 'param:gtin', group: 'people', id: 'other' }, request).bucket).toBe(bucket)
})

test('the first key that is present is used', () => {
  const route = { percent: 50, sticky: ['cookie:sid', 'header:x-client-id', 'ip'] }
  const both = ['Cookie', 'sid=alice', 'X-Client-Id', 'bob']
  expect(decided(route, view('/gtins/1', { rawHeaders: both })).sticky).toBe('cookie:sid')
  expect(decided(route, view('/gtins/1', { rawHeaders: ['Cookie', 'sid=', ...both.slice(2)] })).sticky).toBe(
    'header:x-client-id',
  )
  expect(decided(route, view('/gtins/1')).sticky).toBe('ip')
})

test('where no key is present the request stays on from', () => {
  expect(decided({ percent: 99, sticky: ['cookie:sid', 'header:x-a'] }, view('/gtins/1', { chance: 0 }))).toEqual({
    routeId: 'gtin-lookup',
    upstream: 'legacy',
    reason: 'no-key',
    percent: 99,
    ...UNDRAWN,
  })
})

test('request at the end of a chain draws at random where no key is present', () => {
  const route = { percent: 50, sticky: ['cookie:sid', 'request'] }
  expect(decided(route, view('/gtins/1', { chance: 0.4 }))).toMatchObject({ upstream: 'gtin', sticky: 'request' })
  expect(decided(route, view('/gtins/1', { chance: 0.6 }))).toMatchObject({ upstream: 'legacy', sticky: 'request' })
})

describe('noKey', () => {
  const keyless = view('/gtins/1', { chance: 0.5 })
  const keyed = view('/gtins/1', { rawHeaders: ['Cookie', 'sid=alice'] })
  const on = (percent: number, noKey?: 'from' | 'random' | 'to') => ({
    percent,
    sticky: 'cookie:sid',
    ...(noKey === undefined ? {} : { noKey }),
  })

  test.each<[number, 'from' | 'random' | 'to' | undefined, string, string]>([
    [0, undefined, 'legacy', 'rest'],
    [0, 'to', 'legacy', 'rest'],
    [0, 'random', 'legacy', 'rest'],
    [40, undefined, 'legacy', 'no-key'],
    [40, 'from', 'legacy', 'no-key'],
    [40, 'random', 'legacy', 'rest'],
    [60, 'random', 'gtin', 'percent'],
    [0.0001, 'to', 'gtin', 'no-key'],
    [99.9999, 'from', 'legacy', 'no-key'],
    [100, undefined, 'gtin', 'percent'],
    [100, 'from', 'legacy', 'no-key'],
    [100, 'random', 'gtin', 'percent'],
    [100, 'to', 'gtin', 'percent'],
  ])('a request without a key at %d %% with noKey: %s goes to %s: %s', (percent, noKey, upstream, reason) => {
    expect(decided(on(percent, noKey), keyless)).toMatchObject({ upstream, reason })
  })

  test('who has a key is drawn on it whatever noKey says, and at 100 all are in the share', () => {
    for (const noKey of ['from', 'random', 'to'] as const) {
      expect(decided(on(40, noKey), keyed)).toMatchObject({ upstream: 'legacy', reason: 'rest', sticky: 'cookie:sid' })
      expect(decided(on(41, noKey), keyed)).toMatchObject({ upstream: 'gtin', reason: 'percent', sticky: 'cookie:sid' })
      expect(decided(on(100, noKey), keyed)).toMatchObject({ upstream: 'gtin', reason: 'percent' })
    }
  })

  test('to is asked only where it is available, and a request stays on its side', () => {
    expect(decided(on(1, 'to'), keyless, DOWN)).toMatchObject({ upstream: 'legacy', reason: 'unavailable' })
    const [route] = tableOf([{ id: 'a', match: { path: '/a' } }]).routes
    expect(sideOf({ reason: 'no-key', upstream: 'gtin' }, route!)).toBe('to')
    expect(sideOf({ reason: 'no-key', upstream: 'legacy' }, route!)).toBe('from')
  })
})

test('a share whose upstream is unavailable stays on from', () => {
  const request = view('/gtins/1', { chance: 0 })
  expect(decided({ percent: 100 }, request, DOWN)).toMatchObject({ upstream: 'legacy', reason: 'unavailable' })
  expect(decided({ percent: 5 }, request, DOWN)).toMatchObject({ upstream: 'legacy', reason: 'unavailable', bucket: 0 })
})

test('availability is asked of `to` alone, and only within the share', () => {
  const asked: string[] = []
  const record: IsAvailable = (_route, _method, target) => asked.push(target) > 0
  decided({ percent: 0 }, view('/gtins/1', { chance: 0 }), record)
  decided({ percent: 5 }, view('/gtins/1', { chance: 0.9 }), record)
  decided({}, view('/other'), record)
  expect(asked).toEqual([])
  decided({ percent: 5 }, view('/gtins/1', { chance: 0 }), record)
  expect(asked).toEqual(['gtin'])
})

test('force stands above everything, on a route or on none', () => {
  expect(decided({ percent: 0 }, view('/gtins/1'), DOWN, 'gtin')).toEqual({
    routeId: 'gtin-lookup',
    upstream: 'gtin',
    reason: 'forced',
    percent: 0,
    ...UNDRAWN,
  })
  expect(decided({}, view('/other'), DOWN, 'gtin')).toMatchObject({ routeId: null, upstream: 'gtin', reason: 'forced' })
})

test('the share of random requests is the percent', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.integer({ min: 1, max: 99 }),
      (chance, percent) => {
        const { bucket, reason } = decided({ percent }, view('/gtins/1', { chance }))
        if (Math.abs((bucket ?? 0) - percent) > 1e-6) expect(reason).toBe((bucket ?? 0) < percent ? 'percent' : 'rest')
      },
    ),
  )
})
