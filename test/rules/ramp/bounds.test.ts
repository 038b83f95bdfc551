/**
 * Evidence and bounds that hold at all times: looked at after each new key, over many runs of chance.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Chance } from '../../../bench/guard/chance.ts'
import { p95Lower, p95Of, p95Upper } from '../../../src/rules/ramp/latency-bounds.ts'
import { excessEvidence, lowerRate, rateEvidence, upperRate } from '../../../src/rules/ramp/rate-bounds.ts'
import { logMix, riskEvidence } from '../../../src/rules/ramp/relative-risk.ts'
import { fineBucketOf } from '../../../src/rules/values/duration-buckets.ts'

/** Runs of chance: of 200 at 1 %, more than 7 are seen once in a thousand times. */
const RUNS = 200
const MOST_FALSE = 7

const p95Bounds = (fine: readonly number[], alpha: number) => ({
  lowerMs: p95Lower(fine, alpha),
  upperMs: p95Upper(fine, alpha),
})

/** In how many of the runs it ever says yes. */
function everSaid(run: (chance: Chance) => boolean): number {
  let said = 0
  for (let seed = 1; seed <= RUNS; seed++) if (run(new Chance(seed))) said++
  return said
}

describe('evidence of a relative risk', () => {
  test('there is none without failures, and none where there is no control', () => {
    expect(riskEvidence([], 1.5)).toBeCloseTo(0)
    expect(riskEvidence([{ share: 0.05, to: 0, rest: 0 }], 1.5)).toBeCloseTo(0)
    expect(riskEvidence([{ share: 1, to: 500, rest: 0 }], 1.5)).toBeCloseTo(0)
    expect(riskEvidence([{ share: 0, to: 0, rest: 500 }], 1.5)).toBeCloseTo(0)
  })

  test('five failures of the new side at 5 % and none of the rest are worth 1,000 : 1', () => {
    expect(Math.exp(riskEvidence([{ share: 0.05, to: 5, rest: 0 }], 1))).toBeGreaterThan(1000)
  })

  test('does not depend on where and in what order failures were counted', () => {
    const counts = fc.record({
      share: fc.double({ min: 0.01, max: 0.99, noNaN: true }),
      to: fc.nat(50),
      rest: fc.nat(500),
    })
    fc.assert(
      fc.property(fc.array(counts), fc.double({ min: 1, max: 5, noNaN: true }), (steps, ratio) => {
        const halves = steps.flatMap((step) => [
          { ...step, to: Math.floor(step.to / 2), rest: 0 },
          { ...step, to: Math.ceil(step.to / 2), rest: step.rest },
        ])
        expect(riskEvidence(halves.reverse(), ratio)).toBeCloseTo(riskEvidence(steps, ratio), 6)
      }),
    )
  })

  test.each([1, 1.5])('is seldom large where the new side fails %s times as often, while percent moves', (ratio) => {
    const said = everSaid((chance) => {
      const steps = [0.01, 0.05, 0.25, 0.5].map((share) => ({ share, to: 0, rest: 0 }))
      for (let failure = 0; failure < 600; failure++) {
        const step = steps[Math.floor(failure / 75) % 4]!
        const part = (ratio * step.share) / (ratio * step.share + 1 - step.share)
        if (chance.next() < part) step.to++
        else step.rest++
        if (riskEvidence(steps, ratio) >= Math.log(100)) return true
      }
      return false
    })
    expect(said).toBeLessThanOrEqual(MOST_FALSE)
  })
})

describe('bounds of a rate', () => {
  test('without counts nothing is known', () => {
    expect(upperRate({ of: 0, hits: 0 }, 0.01)).toBe(1)
    expect(lowerRate({ of: 0, hits: 0 }, 0.01)).toBe(0)
    expect(excessEvidence({ of: 0, hits: 0 }, 0.5)).toBe(0)
  })

  test('a hundred without one leave a rate below a tenth, all of a hundred one above nine tenths', () => {
    expect(upperRate({ of: 100, hits: 0 }, 0.01)).toBeLessThan(0.1)
    expect(lowerRate({ of: 100, hits: 0 }, 0.01)).toBe(0)
    expect(lowerRate({ of: 100, hits: 100 }, 0.01)).toBeGreaterThan(0.9)
    expect(upperRate({ of: 100, hits: 100 }, 0.01)).toBe(1)
  })

  test('lie around what was seen, and narrow with ten times as much', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.double({ min: 0, max: 1, noNaN: true }), (of, part) => {
        const hits = Math.round(of * part)
        const [low, high] = [lowerRate({ of, hits }, 0.01), upperRate({ of, hits }, 0.01)]
        expect(low).toBeLessThanOrEqual(hits / of)
        expect(high).toBeGreaterThanOrEqual(hits / of)
        const [lower, higher] = [
          lowerRate({ of: of * 10, hits: hits * 10 }, 0.01),
          upperRate({ of: of * 10, hits: hits * 10 }, 0.01),
        ]
        expect(higher - lower).toBeLessThan(high - low)
      }),
    )
  })

  test.each([0.003, 0.05, 0.5])('hold at all times for a rate of %s', (rate) => {
    const said = everSaid((chance) => {
      for (let [of, hits] = [1, 0]; of <= 1500; of++) {
        if (chance.next() < rate) hits++
        if (of % 5 === 0 && rateEvidence({ of, hits }, rate) >= Math.log(100)) return true
      }
      return false
    })
    expect(said).toBeLessThanOrEqual(MOST_FALSE)
  })
})

describe('bounds of the 95th percentile', () => {
  const fineOf = (samples: readonly number[]): number[] => {
    const counts = new Map<number, number>()
    for (const ms of samples) counts.set(fineBucketOf(ms), (counts.get(fineBucketOf(ms)) ?? 0) + 1)
    return [...counts].sort(([one], [other]) => one - other).flat()
  }

  test('nothing is known without samples, and no upper bound with ten', () => {
    expect(p95Bounds([], 0.01)).toEqual({ lowerMs: null, upperMs: null })
    expect(p95Bounds(fineOf(Array(10).fill(20)), 0.01).upperMs).toBeNull()
  })

  test('many equal samples lie within one bucket', () => {
    const { lowerMs, upperMs } = p95Bounds(fineOf(Array(1000).fill(20)), 0.01)
    expect(lowerMs).toBeLessThanOrEqual(20)
    expect(lowerMs).toBeGreaterThan(19)
    expect(upperMs).toBeGreaterThanOrEqual(20)
    expect(upperMs).toBeLessThan(21)
  })

  test('that of the samples lies between them', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0.01, max: 1e5, noNaN: true }), { minLength: 1 }), (samples) => {
        const fine = fineOf(samples)
        const { lowerMs, upperMs } = p95Bounds(fine, 0.3)
        const own = p95Of(fine)!
        if (lowerMs !== null) expect(lowerMs).toBeLessThanOrEqual(own)
        if (upperMs !== null) expect(upperMs).toBeGreaterThanOrEqual(own)
      }),
    )
  })

  test('both hold at all times', () => {
    const p95 = 20 * Math.exp(0.6 * 1.6449)
    const said = everSaid((chance) => {
      const fine = new Map<number, number>()
      for (let sample = 1; sample <= 500; sample++) {
        const bucket = fineBucketOf(20 * Math.exp(0.6 * chance.normal()))
        fine.set(bucket, (fine.get(bucket) ?? 0) + 1)
        if (sample % 10 > 0) continue
        const { lowerMs, upperMs } = p95Bounds([...fine].sort(([one], [other]) => one - other).flat(), 0.01)
        if ((lowerMs ?? 0) > p95 || (upperMs ?? Number.POSITIVE_INFINITY) < p95) return true
      }
      return false
    })
    expect(said).toBeLessThanOrEqual(2 * MOST_FALSE)
  })

  test('a percentile of twice the other one is told apart with some hundred samples of each', () => {
    const samples = (factor: number, seed: number): number[] => {
      const chance = new Chance(seed)
      return Array.from({ length: 700 }, () => factor * 20 * Math.exp(0.6 * chance.normal()))
    }
    const slow = p95Bounds(fineOf(samples(2, 1)), 0.001)
    const usual = p95Bounds(fineOf(samples(1, 2)), 0.001)
    expect(slow.lowerMs).toBeGreaterThan(usual.upperMs!)
  })
})

test('logarithms are mixed without overflow', () => {
  expect(
    logMix([
      [1000, 0.5],
      [0, 0.5],
    ]),
  ).toBeCloseTo(1000 + Math.log(0.5))
  expect(
    logMix([
      [Number.NEGATIVE_INFINITY, 0.5],
      [Number.NEGATIVE_INFINITY, 0.5],
    ]),
  ).toBe(Number.NEGATIVE_INFINITY)
})
