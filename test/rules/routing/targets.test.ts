/** A share that is split among several upstreams. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Decision, RequestView } from '../../../src/rules/http/exchange.ts'
import { checkTable } from '../../../src/rules/language/check.ts'
import { compileTable } from '../../../src/rules/language/compile.ts'
import { hashOf } from '../../../src/rules/patterns/draw.ts'
import { decide, sideOf } from '../../../src/rules/routing/decide.ts'
import { matchRoute } from '../../../src/rules/routing/match.ts'
import { targetOf } from '../../../src/rules/routing/targets.ts'
import type { RouteDocument } from '../../../src/rules/table/schema.ts'
import type { Table } from '../../../src/rules/table/table.ts'
import { documentOf, view } from '../make.ts'

const NEW = ['gtin', 'next', 'third']

function tableOf(route: Partial<RouteDocument>): Table {
  const plain = documentOf([{ id: 'a', match: { path: '/a' }, sticky: 'cookie:sid', ...route }])
  const more = Object.fromEntries(NEW.map((name, at) => [name, { servers: [`http://127.0.0.1:${5000 + at}`] }]))
  const document = { ...plain, upstreams: { ...plain.upstreams, ...more } }
  const error = checkTable(document).find(({ severity }) => severity === 'error')
  if (error) throw new Error(`${error.path.join('.')}: ${error.message}`)
  return compileTable(document)
}

function decided(table: Table, request: RequestView, isUp: (target: string) => boolean = () => true): Decision {
  return decide(table, matchRoute(table, request), request, (_route, _method, target) => isUp(target))
}

const keyed = (sid: string, chance = 0.5): RequestView =>
  view('/a', { chance, rawHeaders: ['Cookie', `sid=${encodeURIComponent(sid)}`] })

const weights = fc
  .record({ gtin: fc.nat(1000), next: fc.nat(1000), third: fc.nat(1000) }, { requiredKeys: ['gtin', 'next'] })
  .filter((to) => Object.values(to).some((weight) => (weight ?? 0) > 0)) as fc.Arbitrary<Record<string, number>>

test('raising the percent adds keys, and moves nobody between the targets', () => {
  fc.assert(
    fc.property(
      weights,
      fc.string(),
      fc.integer({ min: 1, max: 99 }),
      fc.integer({ min: 1, max: 100 }),
      (to, sid, a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)]
        const [before, after] = [low, high].map((percent) => decided(tableOf({ to, percent }), keyed(`x${sid}`)))
        if (before?.reason === 'percent') expect(after?.upstream).toBe(before.upstream)
        else expect(before?.upstream).toBe('legacy')
        if (after?.upstream !== 'legacy') expect(to[after?.upstream ?? ''] ?? 0).toBeGreaterThan(0)
      },
    ),
    { numRuns: 300 },
  )
})

test('who is in the share is the draw of one target, whatever the weights', () => {
  fc.assert(
    fc.property(weights, fc.string(), fc.integer({ min: 1, max: 99 }), (to, sid, percent) => {
      const one = decided(tableOf({ percent }), keyed(`x${sid}`))
      const several = decided(tableOf({ to, percent }), keyed(`x${sid}`))
      expect([several.reason, several.bucket, several.sticky]).toEqual([one.reason, one.bucket, one.sticky])
    }),
    { numRuns: 200 },
  )
})

test.each([
  ['by key', 100, (n: number) => keyed(`client-${n}`)],
  ['by key, of a share', 40, (n: number) => keyed(`client-${n}`)],
  ['request by request', 100, (n: number) => view('/a', { chance: (n * 0.618_033_988_749_895) % 1 })],
  ['request by request, of a share', 40, (n: number) => view('/a', { chance: (n * 0.618_033_988_749_895) % 1 })],
])('the weights hold: %s', (_, percent, request) => {
  const table = tableOf({ to: { gtin: 60, next: 30, third: 10 }, percent, noKey: 'random' })
  const counts: Record<string, number> = {}
  for (let n = 0; n < 20_000; n++) {
    const { upstream } = decided(table, request(n))
    counts[upstream] = (counts[upstream] ?? 0) + 1
  }
  const all = NEW.reduce((sum, name) => sum + (counts[name] ?? 0), 0)
  // Five standard deviations.
  for (const [name, share] of [
    ['gtin', 0.6],
    ['next', 0.3],
    ['third', 0.1],
  ] as const) {
    expect(Math.abs((counts[name] ?? 0) - all * share)).toBeLessThan(5 * Math.sqrt(all * share * (1 - share)))
  }
  expect(Math.abs(all - 200 * percent)).toBeLessThanOrEqual(percent === 100 ? 0 : 5 * Math.sqrt(20_000 * 0.24))
})

test('the second hash is that of the salt, a separator and `to`; what one weight gains the others lose', () => {
  const table = tableOf({ to: { gtin: 60, next: 40 }, percent: 100, group: 'people' })
  const hash = hashOf('people\x1fto', 'alice') / 2 ** 32
  expect(decided(table, keyed('alice')).upstream).toBe(hash < 0.6 ? 'gtin' : 'next')
  const shifted = tableOf({ to: { gtin: 61, next: 39 }, percent: 100, group: 'people' })
  for (let n = 0; n < 500; n++) {
    const [was, is] = [table, shifted].map((one) => decided(one, keyed(`c${n}`)).upstream)
    if (was !== is) expect([was, is]).toEqual(['next', 'gtin'])
  }
})

test('a target without weight gets nothing; one that is unavailable leaves its part to from, and the others theirs', () => {
  const table = tableOf({ to: { gtin: 0, next: 1, third: 1 }, percent: 100 })
  const isUp = (target: string): boolean => target !== 'third'
  const seen = new Set<string>()
  for (let n = 0; n < 200; n++) {
    const { upstream, reason } = decided(table, keyed(`c${n}`), isUp)
    seen.add(`${upstream} ${reason}`)
  }
  expect(seen).toEqual(new Set(['next percent', 'legacy unavailable']))
})

test('all targets are one side, and the target of a key is the same one wherever it is answered', () => {
  const table = tableOf({ to: { gtin: 1, next: 1 }, percent: 50 })
  const [route] = table.routes
  for (let n = 0; n < 100; n++) {
    const request = keyed(`c${n}`)
    const decision = decided(table, request)
    expect(sideOf(decision, route!)).toBe(decision.upstream === 'legacy' ? 'from' : 'to')
    const target = targetOf(route!, [], request)
    if (decision.upstream !== 'legacy') expect(target).toBe(decision.upstream)
    expect(targetOf(route!, [], { ...request, chance: 0.9 })).toBe(target)
  }
  expect(sideOf({ reason: 'forced', upstream: 'next' }, route!)).toBe('to')
  expect(sideOf({ reason: 'forced', upstream: 'third' }, route!)).toBeNull()
})
