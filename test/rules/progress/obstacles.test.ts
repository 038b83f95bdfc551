/**
 * Each reason that stands in the way of retiring, and none where nothing does.
 */
import { expect, test } from 'vitest'
import { readTable } from '../../../src/rules/language/text.ts'
import {
  type ObstacleKind,
  type RouteSeen,
  routeObstacles,
  tableObstacles,
} from '../../../src/rules/progress/obstacles.ts'
import type { Table } from '../../../src/rules/table/table.ts'

const DAY_MS = 86_400_000
const NOW = Date.UTC(2026, 10, 30)

const QUIET: RouteSeen = {
  ...{ nowMs: NOW, days: 30, movedSinceMs: NOW - 40 * DAY_MS, old: 0, fallbacks: 0, forced: 0 },
  ...{ ramp: null, mismatches: 0, siblings: [], isInMemory: false },
}

function table(route: string, more = '', old = 'legacy', legacy = ''): Table {
  const text = `version: 1
upstreams: { legacy: { servers: ["http://127.0.0.1:1"]${legacy} }, modern: { servers: ["http://127.0.0.1:2"] } }
default: ${old}
routes:
  - { id: a, match: { path: "/a/:x" }, to: modern, ${route} }
${more}`
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.table
}

function kinds(route: string, seen: Partial<RouteSeen> = {}, more = '', legacy = ''): ObstacleKind[] {
  const read = table(route, more, 'legacy', legacy)
  const [first] = read.routes
  return first === undefined ? [] : routeObstacles(first, read, { ...QUIET, ...seen }).map(({ kind }) => kind)
}

test('a route that has moved long ago and uses nothing of its old side is ready', () => {
  expect(kinds('percent: 100')).toEqual([])
})

test.each<[ObstacleKind, string, Partial<RouteSeen>]>([
  ['percent', 'percent: 99.9', {}],
  ['no-key', 'percent: 100, sticky: cookie:sid, noKey: from', {}],
  ['since', 'percent: 100', { movedSinceMs: NOW - 29.9 * DAY_MS }],
  ['ramp', 'percent: 100, ramp: {}', { ramp: 'running' }],
  ['breaker', 'percent: 100, breaker: {}', {}],
  ['pin', 'percent: 100, sticky: cookie:sid, pinAfterWrite: 5s', {}],
  ['traffic', 'percent: 100', { old: 1 }],
  ['forced', 'percent: 100', { forced: 1 }],
  ['shadow', 'percent: 100, shadow: { percent: 1, sides: to }', {}],
  ['mismatch', 'percent: 100', { mismatches: 2 }],
  ['method', 'percent: 100', { siblings: [{ id: '012345', method: 'POST', path: '/a/:id', requests: 3 }] }],
  ['storage', 'percent: 100', { isInMemory: true }],
  ['rewrite', 'percent: 100, rewrite: { path: "/v2/:x" }', {}],
])('%s', (kind, route, seen) => {
  expect(kinds(route, seen)).toEqual([kind])
})

test('a fallback stands in the way used or not, and brings its breaker', () => {
  const read = table('percent: 100, fallback: {}')
  const found = routeObstacles(read.routes[0]!, read, { ...QUIET, fallbacks: 12 })
  expect(found.map(({ kind }) => kind)).toEqual(['fallback', 'breaker'])
  expect(found[0]?.why).toBe('legacy answers where modern fails: 12 times in the last 30 days. Remove fallback')
})

test('other routes of the path, and how the old side reads paths', () => {
  const testers = '  - { id: b, match: { path: "/a/:other", headers: { x-old: "1" } }, to: modern, percent: 5 }\n'
  expect(kinds('percent: 100', {}, testers)).toEqual(['route'])
  expect(kinds('percent: 100', {}, testers.replace('percent: 5', 'percent: 100'))).toEqual([])
  const reading = ', caseInsensitivePaths: true'
  expect(kinds('percent: 100', {}, '', reading)).toEqual(['reading'])
  expect(kinds('percent: 100, caseInsensitivePaths: true', {}, '', reading)).toEqual([])
})

test('nothing stands in the way of an endpoint that has ended, or has no old side', () => {
  expect(kinds('retire: { status: 410 }')).toEqual([])
  expect(kinds('percent: 0, retire: { sunset: 2026-11-01 }')).toEqual([])
  expect(kinds('percent: 0, retire: { sunset: 2027-11-01 }')).toEqual(['percent'])
  const read = table('percent: 100', '', '{ status: 404 }')
  expect(routeObstacles(read.routes[0]!, read, { ...QUIET, old: 5 })).toEqual([])
})

test('of a whole table: routes with reasons, shares that go there, endpoints without a route', () => {
  const read = table('percent: 100', '  - { id: b, match: { path: /b }, from: modern, to: legacy, percent: 10 }\n')
  const open = Array.from({ length: 12 }, (_, i) => ({
    id: `00000${i}`,
    method: 'GET',
    path: `/x${i}`,
    requests: 12 - i,
  }))
  const found = tableObstacles(read, { days: 30, routes: new Map([['a', 2]]), open, others: 7 })
  expect(found.map(({ kind }) => kind)).toEqual(['route', 'to', ...Array<string>(11).fill('unclaimed'), 'traffic'])
  expect(found[0]).toMatchObject({ why: 'route a: 2 reasons', command: 'banyan retire a --check' })
  expect(found[12]?.why).toBe('and 2 endpoints without a route')
  expect(found.at(-1)?.blocks).toBe(false)
  const nothing = { days: 30, routes: new Map([['a', 0]]), open: [], others: 0 }
  expect(tableObstacles(table('percent: 100'), nothing)).toEqual([])
  expect(tableObstacles(table('percent: 100', '', '{ status: 404 }'), { ...nothing, open })).toEqual([])
})
