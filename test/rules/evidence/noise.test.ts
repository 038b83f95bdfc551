/**
 * What is a mismatch and what is noise: by the figures of one path, by many looks at paths that are noise, and by streams of
 * answers that are compared.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { comparisonTables } from '../../../scripts/comparison-table.ts'
import { isApart, judgePath, type PathCounts, type PathVerdict, repeatKind } from '../../../src/rules/evidence/noise.ts'

/** Counts with noise looked for in a tenth of the comparisons. */
const counts = (
  raw: number,
  comparisons: number,
  noise: number,
  again?: [asked: number, differed: number],
): PathCounts => ({
  ...{ raw, comparisons, noise, noiseComparisons: comparisons / 10 },
  ...(again && { again: { asked: again[0], differed: again[1] } }),
})

describe('one path', () => {
  test.each<[string, PathCounts, PathVerdict]>([
    ['nothing counted', { raw: 0, comparisons: 0, noise: 0, noiseComparisons: 0 }, 'not-enough'],
    ['one difference', counts(1, 1, 0), 'not-enough'],
    ['always different, never noise', counts(100, 100, 0), 'mismatch'],
    ['as often as noise', counts(1_000, 1_000, 100), 'noise'],
    ['half of the time, and noise as well', counts(500, 1_000, 52), 'noise'],
    ['noise only', counts(0, 1_000, 3), 'noise'],
    ['one in a hundred, noise not seen, few comparisons', counts(10, 1_000, 0), 'not-enough'],
    ['one in a hundred, noise not seen, many comparisons', counts(100, 10_000, 0), 'mismatch'],
    ['three times as often as noise', counts(300, 1_000, 10), 'mismatch'],
    ['rarer than the absolute threshold', counts(20, 100_000, 0), 'not-enough'],
    ['always different, noise of three quarters', counts(10_000, 10_000, 750), 'noise'],
    ['noise not looked for', { raw: 1_000, comparisons: 1_000, noise: 0, noiseComparisons: 0 }, 'not-enough'],
    ['asked again, never noise', counts(10, 10, 0, [10, 0]), 'mismatch'],
    ['asked again, too seldom', counts(5, 10, 0, [5, 0]), 'not-enough'],
    ['asked again, noise half of the time', counts(100, 10_000, 5, [100, 50]), 'noise'],
    ['asked again, some noise', counts(1_000, 1_000, 20, [100, 20]), 'mismatch'],
    ['asked again, and both too often to say', counts(10, 10, 0, [10, 4]), 'not-enough'],
    ['more than a number can hold', counts(1e6, 1e6, 0, [1e6, 0]), 'mismatch'],
  ])('%s', (_, given, verdict) => {
    expect(judgePath(given)).toBe(verdict)
  })

  test('thresholds can be others', () => {
    const given = counts(10_000, 10_000, 600)
    expect(judgePath(given)).toBe('mismatch')
    expect(judgePath({ ...given, thresholds: { relative: 0.3, absolute: 0 } })).toBe('noise')
    expect(isApart({ ...given, thresholds: { relative: 0.2, absolute: 0.5 } })).toBe(false)
  })

  test('missing and extra are asked again for as one', () => {
    expect(repeatKind('missing')).toBe(repeatKind('extra'))
    expect(repeatKind('value')).toBe('value')
  })
})

/** Numbers in [0, 1), the same ones each time. */
function chanceOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

test.each([
  ['rare', 0.005],
  ['frequent', 0.3],
  ['nearly always', 0.95],
])('paths that are noise, %s, are hardly ever called a mismatch at any of 5,000 looks', (_, rate) => {
  const chance = chanceOf(7)
  const odd = (): boolean => chance() < rate
  const alarms = { byRates: 0, byRepeats: 0 }
  const paths = 400
  for (let path = 0; path < paths; path++) {
    const [seen, again] = [
      { raw: 0, comparisons: 0, noise: 0, noiseComparisons: 0 },
      { asked: 0, differed: 0 },
    ]
    const called = { byRates: false, byRepeats: false }
    for (let look = 0; look < 5_000; look++) {
      // Each answer has a value of its own where it is odd.
      const [from, to, second] = [odd(), odd(), odd()]
      const isPicked = chance() < 0.1
      const hasNoise = from || second
      seen.comparisons++
      if (isPicked) seen.noiseComparisons++
      if (isPicked && hasNoise) seen.noise++
      if (from || to) {
        seen.raw++
        again.asked++
        if (hasNoise) again.differed++
      }
      called.byRates ||= judgePath(seen) === 'mismatch'
      called.byRepeats ||= judgePath({ ...seen, again }) === 'mismatch'
    }
    if (called.byRates) alarms.byRates++
    if (called.byRepeats) alarms.byRepeats++
  }
  expect(alarms.byRates / paths).toBeLessThanOrEqual(0.01)
  expect(alarms.byRepeats / paths).toBeLessThanOrEqual(0.01)
})

test('docs/background/comparison.md has the tables that scripts/comparison-table.ts prints', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/background/comparison.md'), 'utf8')
  const tables = comparisonTables()
  expect(page).toContain(tables)
  // Whatever the figures are: every fault is found, and noise is never called one.
  const cells = (line: string): string[] => line.split(' | ').slice(-2)
  const [faults, noises] = tables.split('\n\n').map((table) => table.split('\n').slice(2)) as [string[], string[]]
  expect(faults.filter((line) => cells(line).some((cell) => cell.startsWith('>')))).toEqual([])
  for (const line of noises) expect(cells(line), line).toEqual(['never', 'never |'])
}, 600_000)
