/**
 * What is counted of a ramp: keys once, within a bound.
 */
import { describe, expect, test } from 'vitest'
import { type Judged, RampCounts } from '../../../src/state/evidence/ramp-counts.ts'

const seen = (more: Partial<Judged> = {}): Judged => ({
  key: 1,
  hasKey: true,
  side: 'to',
  failure: null,
  latencyMs: null,
  isBrokenOff: false,
  nowMs: 0,
  ...more,
})

function counted(judged: readonly Judged[], maxKeys = 100): RampCounts {
  const counts = new RampCounts(maxKeys, 3)
  counts.step(0.25)
  for (const one of judged) counts.count(one)
  return counts
}

const samples = (fine: readonly number[]): number => fine.filter((_, at) => at % 2 === 1).reduce((a, b) => a + b, 0)

describe('a key', () => {
  test('counts once per metric and ramp, at its first failure', () => {
    const counts = counted([
      seen({ failure: 'error' }),
      seen({ failure: 'error' }),
      seen({ failure: 'client-error' }),
      seen({ key: 2, side: 'rest', failure: 'error' }),
    ])
    counts.step(0.5)
    counts.count(seen({ failure: 'error' }))
    const [first, second] = counts.evidence().steps
    expect(first!.failed).toEqual({
      error: { to: 1, rest: 1 },
      'client-error': { to: 1, rest: 0 },
      redirect: { to: 0, rest: 0 },
    })
    expect(second!.failed.error).toEqual({ to: 0, rest: 0 })
  })

  test('is counted at each step that sees it', () => {
    const counts = counted([seen(), seen(), seen({ key: 2, side: 'rest' })])
    counts.step(0.5)
    counts.count(seen())
    expect(counts.evidence().steps.map(({ keys }) => keys)).toEqual([
      { to: 1, rest: 1 },
      { to: 1, rest: 0 },
    ])
  })

  test('is worth one latency in a minute, and one more where it moves to the other side', () => {
    const at = (nowMs: number, side: 'to' | 'rest' = 'to'): Judged => seen({ latencyMs: 20, nowMs, side })
    const counts = counted([at(0), at(59_999), at(60_000), at(60_001, 'rest')])
    const { latency } = counts.evidence().steps[0]!
    expect([samples(latency.to), samples(latency.rest)]).toEqual([2, 1])
  })

  test('that is no key counts each time', () => {
    const counts = counted([
      seen({ key: null, failure: 'error', latencyMs: 5 }),
      seen({ key: null, failure: 'error', latencyMs: 5 }),
    ])
    const [step] = counts.evidence().steps
    expect(step).toMatchObject({ keys: { to: 2 }, failed: { error: { to: 2 } } })
    expect(samples(step!.latency.to)).toBe(2)
  })
})

test('of what the client broke off nothing but the latency counts', () => {
  const counts = counted([
    seen({ latencyMs: 900, isBrokenOff: true }),
    seen({ key: null, latencyMs: 900, isBrokenOff: true }),
  ])
  const [step] = counts.evidence().steps
  expect(step!.keys).toEqual({ to: 0, rest: 0 })
  expect(counts.recent.to.of).toBe(0)
  expect(samples(step!.latency.to)).toBe(2)
})

test('requests without a key are counted apart, once for each client and minute', () => {
  const keyless = (more: Partial<Judged>): Judged => seen({ hasKey: false, side: 'rest', ...more })
  const counts = counted([
    keyless({ failure: 'error' }),
    keyless({ failure: 'error', nowMs: 59_999 }),
    keyless({ key: 2 }),
    keyless({ nowMs: 60_000 }),
    keyless({ side: 'to', nowMs: 60_000 }),
    seen({ key: 3 }),
  ])
  const { keys, failed, withoutKey } = counts.evidence().steps[0]!
  expect(keys).toEqual({ to: 1, rest: 0 })
  expect(failed.error).toEqual({ to: 0, rest: 0 })
  expect(withoutKey).toMatchObject({ seen: { to: 1, rest: 3 }, failed: { error: { to: 0, rest: 1 } } })
})

test('the newest keys are told with their newest outcome', () => {
  const counts = counted([
    seen({ key: 1, failure: 'error' }),
    seen({ key: 2, failure: 'error' }),
    seen({ key: 3 }),
    seen({ key: 2 }),
    seen({ key: 4, failure: 'client-error' }),
  ])
  // 3, 2 and 4: a 4xx is no failure here.
  expect(counts.evidence().recent.to).toEqual({ of: 3, hits: 0 })
})

test('how many of the rest failed when the newest keys came is remembered', () => {
  const counts = counted([
    seen({ key: 11, side: 'rest', failure: 'error' }),
    seen({ key: 1 }),
    seen({ key: 12, side: 'rest' }),
    seen({ key: 2 }),
    seen({ key: 13, side: 'rest' }),
    seen({ key: 14, side: 'rest' }),
  ])
  expect(counts.evidence().recent).toEqual({ to: { of: 2, hits: 0 }, rest: { of: 3, hits: 0 }, meanwhile: 0.75 })
})

test('as much time is looked at where the rest has fewer keys', () => {
  const counts = counted([])
  counts.step(0.75)
  for (let key = 0; key < 20; key++) counts.count(seen({ key }))
  expect(counts.evidence().recent.to.of).toBe(9)
  counts.step(1)
  expect(counts.evidence().recent.to.of).toBe(3)
})

test('what was counted goes on after a restart, and keys that have failed count no more', () => {
  const before = counted([seen({ key: 1, failure: 'error', latencyMs: 20 }), seen({ key: 2, side: 'rest' })])
  const after = new RampCounts(100, 3)
  after.restore(before.evidence().steps, before.failedKeys(10))
  expect(after.evidence().steps).toEqual(before.evidence().steps)
  after.count(seen({ key: 1, failure: 'error' }))
  after.count(seen({ key: 3, failure: 'error' }))
  expect(after.evidence().steps[0]!.failed.error).toEqual({ to: 2, rest: 0 })
  expect(before.failedKeys(0)).toHaveLength(0)
})

test('memory is bounded: what can not be remembered ends the counting', () => {
  const counts = counted([seen({ key: 1 }), seen({ key: 2 }), seen({ key: 3 })], 2)
  expect(counts.isFull).toBe(true)
  counts.count(seen({ key: 1, failure: 'error' }))
  expect(counts.evidence().steps[0]).toMatchObject({ keys: { to: 2 }, failed: { error: { to: 0 } } })
})
