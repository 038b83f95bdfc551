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
const sample = (id: string, route = 'r', ...paths: string[]): Sample => ({
  ...{ id, route, atMs: 1, method: 'GET', target: '/', revision: 1, note: null },
  differences: found(...paths).differences,
})
/** A comparison, and the sample of it. */
const feed = (tally: Tally, route: string, id: string, ...paths: string[]): void => {
  tally.compared(route, found(...paths), 1)
  tally.keep(sample(id, route, ...paths))
}
const samplesIn = (tally: Tally, route: string): unknown =>
  Object.fromEntries(tally.get(route)?.paths.map((one) => [one.path, one.sample]) ?? [])

test('what planes counted one by one is what one plane would have counted', () => {
  const [one, two, sum, all] = [new Tally(), new Tally(), new Tally(), new Tally()]
  const feedBoth = (tally: Tally, round: number): void => {
    tally.compared('r', found('/a', '/b'), round)
    tally.compared('r', found(), round)
    tally.askedAgain('r', found('/b'), round % 3 === 0, found('/a', '/b'), round)
    tally.failed('r', 'connect', round)
    tally.skipped('r', 'busy', round)
    tally.keep(sample(`s${round}`, 'r', '/a', '/b'))
  }
  for (let round = 1; round <= 6; round++) {
    feedBoth(round % 2 === 0 ? one : two, round)
    feedBoth(all, round)
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
  tally.compared('r', partial, 1)
  tally.compared('r', { ...found('status'), bodyCompared: false }, 1)
  tally.askedAgain('r', partial, true, found('status'), 1)
  expect(tally.get('r')).toMatchObject({
    ...{ comparisons: 1, blind: 1, matches: 0, partial: 1, repeats: 1, noiseComparisons: 0 },
  })
  expect(tally.get('r')?.paths).toMatchObject([{ path: 'status', count: 1, asked: 1, differed: 0 }])
})

test('a comparison with more differences than are told may hide one that matters', () => {
  const tally = new Tally()
  tally.compared('r', { ...found('/a'), isCut: true }, 1)
  expect(tally.get('r')).toMatchObject({ comparisons: 1, morePaths: 1 })
})

test('a member that is missing and then extra was asked about once, as a member that comes and goes', () => {
  const tally = new Tally()
  const differs = (kind: DifferenceKind): Comparison => ({
    ...found(),
    differences: [{ path: '/a', kind, from: null, to: null }],
  })
  for (const kind of ['missing', 'extra', 'value'] as const) {
    tally.compared('r', differs(kind), 1)
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
  tally.compared('r', found('/a'), 1)
  tally.askedAgain('r', found('/a'), true, null, 1)
  expect(tally.get('r')).toMatchObject({ noiseComparisons: 1, paths: [{ noise: 1, asked: 0, differed: 0 }] })
})

test('paths and samples are bounded, whatever the responses hold', () => {
  const tally = new Tally()
  for (let i = 0; i < 5000; i++) feed(tally, 'r', `s${i}`, `/${i}`)
  expect(tally.get('r')?.paths).toHaveLength(500)
  expect(tally.get('r')?.morePaths).toBe(4500)
  expect(tally.get('r')?.comparisons).toBe(5000)
  // The newest of each path, and the twenty newest of those that show none that is counted.
  expect(tally.samplesOf('r')).toHaveLength(520)
  expect(tally.samplesOf('r')[0]?.id).toBe('s4999')
  for (let route = 0; route < 3; route++)
    for (let i = 0; i < 500; i++) feed(tally, `r${route}`, `s${route}-${i}`, `/${i}`)
  expect(tally.samples()).toHaveLength(1000)
  for (const route of ['r', 'r0', 'r1', 'r2']) expect(tally.samplesOf(route)).toHaveLength(250)
})

test('what is told every second is bounded over all routes', () => {
  const tally = new Tally(PASSING)
  for (let i = 0; i < 5000; i++) feed(tally, `route-${i % 10}`, `s${i}`, `/${i}`)
  const { routes, samples } = tally.take()
  expect(routes.flatMap(({ paths }) => paths)).toHaveLength(1000)
  expect(routes.reduce((sum, { morePaths }) => sum + morePaths, 0)).toBe(4000)
  expect(samples).toHaveLength(50)
  for (const { route } of routes) expect(samples.filter((one) => one.route === route)).toHaveLength(5)
  feed(tally, 'r', 's', '/a')
  expect(tally.get('r')?.paths).toHaveLength(1)
})

test('each path keeps the newest sample that shows it, however many others come, and names none that is gone', () => {
  const [plane, sum] = [new Tally(PASSING), new Tally()]
  for (let i = 0; i < 1200; i++) {
    feed(plane, 'r', `s${i}`, '/time', '/id', ...(i % 100 === 3 ? ['/price'] : []))
    if (i % 70 === 69) sum.add(plane.take())
  }
  sum.add(plane.take())
  expect(samplesIn(sum, 'r')).toEqual({ '/time': 's1199', '/id': 's1199', '/price': 's1103' })
  expect(sum.sample('s1103')).not.toBeNull()
  expect(sum.samplesOf('r')).toHaveLength(22)
  sum.forgetSamples('r')
  expect(samplesIn(sum, 'r')).toEqual({ '/time': null, '/id': null, '/price': null })
})

test('where there is no room, a mismatch keeps its sample rather than noise, and what was dropped is told', () => {
  const tally = new Tally({ samples: 3, paths: 500 })
  feed(tally, 'r', 'wrong', '/price')
  for (const path of ['/time', '/id', '/more']) {
    tally.compared('r', found(path), 1)
    tally.askedAgain('r', found(path), false, found(path), 1)
  }
  const dropped = ['/time', '/id', '/more'].flatMap((path) => tally.keep(sample(path, 'r', path)))
  expect(dropped.map(({ id }) => id)).toEqual(['/time'])
  expect(samplesIn(tally, 'r')).toEqual({ '/price': 'wrong', '/time': null, '/id': '/id', '/more': '/more' })
})

test('a sample of another process that is older takes no place', () => {
  const tally = new Tally()
  feed(tally, 'r', 'new', '/a')
  tally.keep({ ...sample('old', 'r', '/a'), atMs: 0 })
  expect(samplesIn(tally, 'r')).toEqual({ '/a': 'new' })
})

test('what is forgotten takes its samples with it', () => {
  const tally = new Tally()
  for (const route of ['a', 'b']) {
    tally.compared(route, found('/x'), 1)
    tally.keep(sample(route, route))
  }
  tally.keepOnly(['b'])
  expect([tally.get('a'), tally.samplesOf('a'), tally.sample('a')]).toEqual([null, [], null])
  expect(tally.sample('b')?.route).toBe('b')
})
