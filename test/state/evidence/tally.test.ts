/**
 * Counting what comparisons found: sums over planes, and bounds.
 */
import { expect, test } from 'vitest'
import type { Comparison, Difference, DifferenceKind } from '../../../src/rules/evidence/compare.ts'
import { PASSING, type Sample, Tally } from '../../../src/state/evidence/tally.ts'

const found = (...paths: string[]): Comparison => ({
  differences: paths.map((path): Difference => ({ path, kind: 'value', from: 'a', to: 'b' })),
  ...{ bodyCompared: true, isCut: false },
  note: null,
})
const sample = (id: string, route = 'r'): Sample => ({
  ...{ id, route, atMs: 1, method: 'GET', target: '/', revision: 1, differences: [], note: null },
})

test('what planes counted one by one is what one plane would have counted', () => {
  const [one, two, sum, all] = [new Tally(), new Tally(), new Tally(), new Tally()]
  const feed = (tally: Tally, round: number): void => {
    tally.compared('r', found('/a', '/b'), `s${round}`, round)
    tally.compared('r', found(), `t${round}`, round)
    tally.askedAgain('r', found('/b'), round % 3 === 0, found('/a', '/b'), round)
    tally.failed('r', 'connect', round)
    tally.skipped('r', 'busy', round)
    tally.keep(sample(`s${round}`))
  }
  for (let round = 1; round <= 6; round++) {
    feed(round % 2 === 0 ? one : two, round)
    feed(all, round)
    sum.add(one.take())
    sum.add(two.take())
  }
  expect(sum.get('r')).toEqual(all.get('r'))
  expect(sum.get('r')).toMatchObject({
    comparisons: 12,
    matches: 6,
    noiseComparisons: 2,
    repeats: 6,
    errors: { connect: 6 },
  })
  expect(sum.get('r')?.paths).toMatchObject([
    { path: '/a', count: 6, noise: 0, asked: 6, differed: 0, firstMs: 1, lastMs: 6, sample: 's6' },
    { path: '/b', count: 6, noise: 2, asked: 6, differed: 6 },
  ])
  expect(sum.samplesOf('r').map(({ id }) => id)).toEqual(['s6', 's5', 's4', 's3', 's2', 's1'])
  expect(one.take()).toEqual({ routes: [], samples: [] })
})

test('an answer whose body was not compared is no evidence that it is equal, and one that differs all the same counts', () => {
  const tally = new Tally()
  const partial = { ...found(), bodyCompared: false, note: 'body larger than maxBody' }
  tally.compared('r', partial, 's', 1)
  tally.compared('r', { ...found('status'), bodyCompared: false }, 's', 1)
  tally.askedAgain('r', partial, true, found('status'), 1)
  expect(tally.get('r')).toMatchObject({
    ...{ comparisons: 1, blind: 1, matches: 0, partial: 1, repeats: 1, noiseComparisons: 0 },
  })
  expect(tally.get('r')?.paths).toMatchObject([{ path: 'status', count: 1, asked: 1, differed: 0 }])
})

test('a comparison with more differences than are told may hide one that matters', () => {
  const tally = new Tally()
  tally.compared('r', { ...found('/a'), isCut: true }, 's', 1)
  expect(tally.get('r')).toMatchObject({ comparisons: 1, morePaths: 1 })
})

test('a member that is missing and then extra was asked about once, as a member that comes and goes', () => {
  const tally = new Tally()
  const differs = (kind: DifferenceKind): Comparison => ({
    ...found(),
    differences: [{ path: '/a', kind, from: null, to: null }],
  })
  for (const kind of ['missing', 'extra', 'value'] as const) {
    tally.compared('r', differs(kind), 's', 1)
    tally.askedAgain('r', differs('extra'), false, differs(kind), 1)
  }
  expect(tally.get('r')?.paths).toMatchObject([
    { kind: 'missing', asked: 1, differed: 1, noise: 0 },
    { kind: 'extra', asked: 1, differed: 1, noise: 0 },
    { kind: 'value', asked: 1, differed: 0, noise: 0 },
  ])
})

test('without a comparison before, repeats tell of noise only', () => {
  const tally = new Tally()
  tally.compared('r', found('/a'), 's', 1)
  tally.askedAgain('r', found('/a'), true, null, 1)
  expect(tally.get('r')).toMatchObject({ noiseComparisons: 1, paths: [{ noise: 1, asked: 0, differed: 0 }] })
})

test('paths and samples are bounded, whatever the responses hold', () => {
  const tally = new Tally()
  for (let i = 0; i < 5000; i++) {
    tally.compared('r', found(`/${i}`), `s${i}`, i)
    tally.keep(sample(`s${i}`))
  }
  expect(tally.get('r')?.paths).toHaveLength(500)
  expect(tally.get('r')?.morePaths).toBe(4500)
  expect(tally.get('r')?.comparisons).toBe(5000)
  expect(tally.samplesOf('r')).toHaveLength(1000)
  expect(tally.samplesOf('r')[0]?.id).toBe('s4999')
})

test('what is told every second is bounded over all routes', () => {
  const tally = new Tally(PASSING)
  for (let i = 0; i < 5000; i++) {
    tally.compared(`route-${i % 10}`, found(`/${i}`), `s${i}`, i)
    tally.keep(sample(`s${i}`, `route-${i % 10}`))
  }
  const { routes, samples } = tally.take()
  expect(routes.flatMap(({ paths }) => paths)).toHaveLength(1000)
  expect(routes.reduce((sum, { morePaths }) => sum + morePaths, 0)).toBe(4000)
  expect(samples.map(({ id }) => id).slice(-1)).toEqual(['s4999'])
  expect(samples).toHaveLength(50)
  tally.compared('r', found('/a'), 's', 1)
  expect(tally.get('r')?.paths).toHaveLength(1)
})

test('what is forgotten takes its samples with it', () => {
  const tally = new Tally()
  for (const route of ['a', 'b']) {
    tally.compared(route, found('/x'), route, 1)
    tally.keep(sample(route, route))
  }
  tally.keepOnly(['b'])
  expect([tally.get('a'), tally.samplesOf('a'), tally.sample('a')]).toEqual([null, [], null])
  expect(tally.sample('b')?.route).toBe('b')
})
