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

const NO_FAILURES = { error: NONE, 'client-error': NONE, redirect: NONE }

interface Given {
  readonly share?: number
  readonly keys?: OfSides
  readonly failed?: Partial<Record<Metric, OfSides>>
  readonly latency?: StepEvidence['latency']
  readonly withoutKey?: StepEvidence['withoutKey']
}

const step = ({
  share = 0.05,
  keys = { to: 400, rest: 7600 },
  failed = {},
  latency,
  withoutKey,
}: Given = {}): StepEvidence => ({
  share,
  keys,
  failed: { ...NO_FAILURES, ...failed },
  withoutKey: withoutKey ?? { seen: NONE, failed: NO_FAILURES },
  latency: latency ?? { to: [], rest: [] },
})

const evidence = (steps: readonly StepEvidence[], more: Partial<RampEvidence> = {}): RampEvidence => ({
  steps,
  recent: { to: { of: 50, hits: 0 }, rest: { of: 50, hits: 0 }, meanwhile: 0 },
  mismatches: [],
  ...more,
})

/** Of the last 50 keys of each side so many failed, and of the rest's so many per cent on average while those of the new side came. */
const newest = (to: number, rest: number, meanwhile = 0): Partial<RampEvidence> => ({
  recent: { to: { of: 50, hits: to }, rest: { of: 50, hits: rest }, meanwhile: meanwhile / 100 },
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
    expect(verdict.words).toMatch(
      /^the new side has a 95th percentile of at least (49|50)\.\d ms, the rest of at most 20\.\d ms$/,
    )
    expect(judge(evidence([step({ latency: { to: latency.rest, rest: latency.to } })])).ground).not.toBe('latency')
  })

  test('at once where a fifth of the newest keys fails', () => {
    const verdict = judge(evidence([step()], newest(30, 1)))
    expect(verdict).toMatchObject({ verdict: 'fail', ground: 'hard-stop' })
    expect(verdict.words).toBe('30 of the last 50 keys of the new side fail, 1 of the last 50 of the rest')
  })

  test('not where so many fail by chance: every twentieth does on both sides', () => {
    const usual = step({ keys: { to: 20_000, rest: 20_000 }, share: 0.5, failed: { error: { to: 1000, rest: 1000 } } })
    const verdict = judge(evidence([usual], newest(11, 3)))
    expect(verdict.verdict).not.toBe('fail')
  })

  test('not where the control fails as well: it waits', () => {
    const verdict = judge(evidence([step()], newest(30, 25)))
    expect(verdict).toMatchObject({ verdict: 'not-enough', ground: 'outage' })
  })
})

describe('an outage of both sides', () => {
  test('that the rest has recovered from is no reason to stop: the newest keys of the new side came while it lasted', () => {
    expect(judge(evidence([step()], newest(25, 0, 45)))).toMatchObject({ verdict: 'not-enough', ground: 'outage' })
    expect(judge(evidence([step()], newest(25, 0, 2))).ground).toBe('hard-stop')
  })

  test('may begin at either of them: some keys more of the one are no reason to stop', () => {
    expect(judge(evidence([step({ share: 0.5 })], newest(12, 4))).ground).toBe('outage')
    expect(judge(evidence([step({ share: 0.5 })], newest(40, 4))).ground).toBe('hard-stop')
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

describe('requests without a key, which move all at once', () => {
  const before = step({
    share: 0.5,
    withoutKey: { seen: { to: 0, rest: 3000 }, failed: { ...NO_FAILURES, error: { to: 0, rest: 15 } } },
  })
  const moved = (seen: number, errors: number): RampEvidence =>
    evidence([
      before,
      step({
        ...{ share: 1, keys: { to: 400, rest: 0 } },
        withoutKey: { seen: { to: seen, rest: 0 }, failed: { ...NO_FAILURES, error: { to: errors, rest: 0 } } },
      }),
    ])

  test('are judged by what the other side did with them before, apart from those with a key', () => {
    expect(judge(moved(500, 2), null).verdict).toBe('pass')
    const { verdict, ground, words } = judge(moved(500, 60), null)
    expect([verdict, ground]).toEqual(['fail', 'no-key'])
    expect(words).toMatch(/^the new side fails 60 of 500 requests without a key, the rest 15 of 3,000, evidence /)
  })

  test('are waited for, where there were any', () => {
    expect(judge(moved(3, 0), null)).toMatchObject({
      ground: 'no-key',
      words: '3 requests without a key at the new side, 50 are needed',
    })
    // At 100 they have not moved, and none is waited for.
    expect(judge(moved(0, 0), null).verdict).toBe('pass')
    expect(judgeRamp(moved(0, 0), TERMS, 6, null, true)).toMatchObject({ ground: 'no-key' })
  })

  test('that were on the new side from the start are compared with nothing', () => {
    const alone = { seen: { to: 500, rest: 0 }, failed: { ...NO_FAILURES, error: { to: 400, rest: 0 } } }
    expect(judge(evidence([step({ withoutKey: alone })])).verdict).not.toBe('fail')
  })
})

test('a ramp without a step is an error', () => {
  expect(() => judge(evidence([]))).toThrow('without a step')
})
