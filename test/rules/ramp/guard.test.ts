/**
 * What a guard says of counts, and in which words.
 */
import { describe, expect, test } from 'vitest'
import {
  type GuardTerms,
  judgeRamp,
  type Metric,
  type OfSides,
  type RampEvidence,
  type StepEvidence,
} from '../../../src/rules/ramp/guard.ts'
import { fineBucketOf } from '../../../src/rules/values/duration-buckets.ts'

const TERMS: GuardTerms = {
  alpha: 0.01,
  minKeys: 50,
  tolerate: { ratio: 1.5, harm: 0.5, latency: 1.25, mismatch: 0.1 },
  hardStop: { percent: 20, of: 50 },
}
const NONE: OfSides = { to: 0, rest: 0 }

interface Given {
  readonly share?: number
  readonly keys?: OfSides
  readonly failed?: Partial<Record<Metric, OfSides>>
  readonly latency?: StepEvidence['latency']
}

const step = ({ share = 0.05, keys = { to: 400, rest: 7600 }, failed = {}, latency }: Given = {}): StepEvidence => ({
  share,
  keys,
  failed: { error: NONE, 'client-error': NONE, redirect: NONE, ...failed },
  latency: latency ?? { to: [], rest: [] },
})

const evidence = (steps: readonly StepEvidence[], more: Partial<RampEvidence> = {}): RampEvidence => ({
  steps,
  recent: { to: { of: 50, hits: 0 }, rest: { of: 50, hits: 0 } },
  mismatches: [],
  ...more,
})

const judge = (given: RampEvidence, next: number | null = 25) => judgeRamp(given, TERMS, 6, next)

describe('a step is passed', () => {
  test('with enough keys and no failures', () => {
    const words = 'the new side fails 0 of 4,000 keys, the rest 0 of 76,000'
    expect(judge(evidence([step({ keys: { to: 4000, rest: 76_000 } })]))).toEqual({
      verdict: 'pass',
      ground: null,
      words,
    })
  })

  test('where both sides fail alike', () => {
    const given = step({ keys: { to: 20_000, rest: 380_000 }, failed: { error: { to: 600, rest: 11_400 } } })
    expect(judge(evidence([given])).verdict).toBe('pass')
  })

  test('not with fewer keys than asked for', () => {
    const { verdict, ground, words } = judge(evidence([step({ keys: { to: 49, rest: 931 } })]), 5)
    expect([verdict, ground]).toEqual(['not-enough', 'keys'])
    expect(words).toBe('49 different keys of the new side, 50 are needed')
  })

  test('not before the next step is shown to be harmless: a small one asks for less', () => {
    const given = evidence([step({ keys: { to: 200, rest: 3800 } })])
    expect(judge(given, 5).verdict).toBe('pass')
    const { verdict, ground, words } = judge(given, 100)
    expect([verdict, ground]).toEqual(['not-enough', 'harm'])
    expect(words).toMatch(/: up to \d\.\d percentage points more failures at 100 %, 0\.5 are tolerated$/)
  })
})

describe('a ramp is failed', () => {
  test('by errors, with the numbers', () => {
    const { verdict, ground, words } = judge(
      evidence([step({ keys: { to: 412, rest: 7904 }, failed: { error: { to: 31, rest: 18 } } })]),
    )
    expect([verdict, ground]).toEqual(['fail', 'error'])
    expect(words).toMatch(
      /^the new side fails 31 of 412 keys, the rest 18 of 7,904: 33 x, evidence above 1,000,000,000 : 1$/,
    )
  })

  test.each<[Metric, string]>([
    ['client-error', 'the new side answers 4xx to'],
    ['redirect', 'the new side redirects'],
  ])('by %s', (metric, words) => {
    const verdict = judge(evidence([step({ failed: { [metric]: { to: 40, rest: 0 } } })]))
    expect(verdict).toMatchObject({ verdict: 'fail', ground: metric, words: expect.stringContaining(words) })
  })

  test('by what was counted at all steps together', () => {
    const few = { error: { to: 3, rest: 8 } }
    const steps = [0.01, 0.05, 0.05].map((share) => step({ share, failed: few }))
    expect(judge(evidence(steps.slice(0, 1))).verdict).not.toBe('fail')
    expect(judge(evidence(steps)).ground).toBe('error')
  })

  test('by mismatches', () => {
    const verdict = judge(evidence([step()], { mismatches: [{ field: '/price', rank: 2, of: 500, hits: 12 }] }))
    expect(verdict).toMatchObject({ verdict: 'fail', ground: 'mismatch' })
    expect(verdict.words).toMatch(/^the new side answers otherwise in 12 of 500 comparisons, at \/price, evidence /)
  })

  test('by latency', () => {
    const latency = { to: [fineBucketOf(50), 1000], rest: [fineBucketOf(20), 1000] }
    const verdict = judge(evidence([step({ latency })]))
    expect(verdict).toMatchObject({ verdict: 'fail', ground: 'latency' })
    expect(verdict.words).toMatch(/^95 % of the new side take at least (49|50)\.\d ms, of the rest at most 20\.\d ms$/)
    expect(judge(evidence([step({ latency: { to: latency.rest, rest: latency.to } })])).ground).not.toBe('latency')
  })

  test('at once where a fifth of the newest keys fails', () => {
    const verdict = judge(evidence([step()], { recent: { to: { of: 50, hits: 30 }, rest: { of: 50, hits: 1 } } }))
    expect(verdict).toMatchObject({ verdict: 'fail', ground: 'hard-stop' })
    expect(verdict.words).toBe('30 of the last 50 keys of the new side fail, 1 of the last 50 of the rest')
  })

  test('not where so many fail by chance: every twentieth does on both sides', () => {
    const usual = step({ keys: { to: 20_000, rest: 20_000 }, share: 0.5, failed: { error: { to: 1000, rest: 1000 } } })
    const verdict = judge(evidence([usual], { recent: { to: { of: 50, hits: 11 }, rest: { of: 50, hits: 3 } } }))
    expect(verdict.verdict).not.toBe('fail')
  })

  test('not where the control fails as well: it waits', () => {
    const verdict = judge(evidence([step()], { recent: { to: { of: 50, hits: 30 }, rest: { of: 50, hits: 25 } } }))
    expect(verdict).toMatchObject({ verdict: 'not-enough', ground: 'outage' })
  })
})

describe('without a control, at 100 %', () => {
  const before = step({ share: 0.5, keys: { to: 5000, rest: 5000 }, failed: { error: { to: 25, rest: 25 } } })

  test('it is judged against the control of the step before', () => {
    const at = (errors: number): RampEvidence =>
      evidence([before, step({ share: 1, keys: { to: 5000, rest: 0 }, failed: { error: { to: errors, rest: 0 } } })])
    expect(judge(at(25), null).verdict).toBe('pass')
    expect(judge(at(250), null)).toMatchObject({ verdict: 'fail', ground: 'error' })
  })

  test('latency too', () => {
    const usual = { to: [fineBucketOf(20), 1000], rest: [fineBucketOf(20), 1000] }
    const steps = (ms: number): StepEvidence[] => [
      { ...before, latency: usual },
      step({ share: 1, keys: { to: 5000, rest: 0 }, latency: { to: [fineBucketOf(ms), 1000], rest: [] } }),
    ]
    expect(judge(evidence(steps(20)), null).verdict).toBe('pass')
    expect(judge(evidence(steps(60)), null).ground).toBe('latency')
  })
})

test('a ramp without a step is an error', () => {
  expect(() => judge(evidence([]))).toThrow('without a step')
})
