/**
 * What the counts of a route say of its paths.
 */
import { expect, test } from 'vitest'
import { pathsOf } from '../../../src/control/figures/evidence.ts'
import type { DifferenceKind } from '../../../src/rules/evidence/compare.ts'
import type { PathCount, RouteEvidence } from '../../../src/state/evidence/tally.ts'

const count = (kind: DifferenceKind, counts: Partial<PathCount>): PathCount => ({
  ...{ path: '/promotion', kind, count: 0, noise: 0, asked: 0, differed: 0 },
  ...{ firstMs: 1, lastMs: 1, from: null, to: null, sample: null },
  ...counts,
})
const evidence = (paths: PathCount[]): RouteEvidence => ({
  ...{
    route: 'r',
    sinceMs: 1,
    comparisons: 1_000,
    matches: 0,
    partial: 0,
    blind: 0,
    noiseComparisons: 0,
    repeats: 0,
    cookieSet: 0,
  },
  ...{ errors: {}, skipped: {}, paths, morePaths: 0 },
})

test('a member that one response in a hundred lacks is noise, though the old side seldom lacks it twice', () => {
  const missing = count('missing', { count: 10, asked: 10, differed: 0 })
  expect(pathsOf(evidence([missing]))).toMatchObject([{ verdict: 'mismatch', rate: 0.01 }])
  const extra = count('extra', { count: 10, asked: 10, differed: 10 })
  expect(pathsOf(evidence([missing, extra])).map(({ verdict }) => verdict)).toEqual(['noise', 'noise'])
  const elsewhere = { ...extra, path: '/notice' }
  expect(pathsOf(evidence([missing, elsewhere])).map(({ verdict }) => verdict)).toEqual(['mismatch', 'noise'])
})
