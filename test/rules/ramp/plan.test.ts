/**
 * What is next in a ramp.
 */
import { describe, expect, test } from 'vitest'
import {
  DEFAULT_GUARD,
  flawOfPlan,
  nextAction,
  percentOf,
  printStep,
  type RampPlan,
  type RampPosition,
  stepReached,
} from '../../../src/rules/ramp/plan.ts'
import { judgedOf, RampTally } from '../../../src/state/evidence/ramp-tally.ts'

const PLAN: RampPlan = {
  steps: [5, 50, 'all'],
  holdMs: 1000,
  approve: ['all'],
  window: null,
  requires: [],
  guard: DEFAULT_GUARD,
}
const at = (more: Partial<RampPosition> = {}): RampPosition => ({
  ...{ status: 'running', step: 5, percent: 5, heldMs: 1000, isApproved: false },
  ...more,
})
const OPEN = { isOpen: true, unmet: null }

describe('what is next', () => {
  test.each<[string, RampPosition, 'pass' | 'fail' | 'not-enough', object]>([
    ['a step, once it was held', at(), 'pass', { kind: 'step', to: 50 }],
    ['nothing before', at({ heldMs: 999 }), 'pass', { kind: 'stay', status: 'running' }],
    ['nothing without evidence', at(), 'not-enough', { kind: 'stay', status: 'holding' }],
    ['a step after holding', at({ status: 'holding' }), 'pass', { kind: 'step', to: 50 }],
    ['waiting for approval', at({ step: 50, percent: 50 }), 'pass', { kind: 'stay', status: 'waiting' }],
    ['a step that is approved', at({ step: 50, percent: 50, isApproved: true }), 'pass', { kind: 'step', to: 'all' }],
    ['the end', at({ step: 'all', percent: 100 }), 'pass', { kind: 'finish' }],
    ['the step above, where the plan was edited', at({ step: 25, percent: 25 }), 'pass', { kind: 'step', to: 50 }],
    ['the step above, where a person has set more', at({ percent: 60 }), 'pass', { kind: 'stay', status: 'waiting' }],
    ['all after 100 %', at({ step: 100, percent: 100, isApproved: true }), 'pass', { kind: 'step', to: 'all' }],
    ['the way back, held or not', at({ heldMs: 0 }), 'fail', { kind: 'take-back' }],
    ['the way back of a paused one', at({ status: 'paused' }), 'fail', { kind: 'take-back' }],
    ['nothing else of a paused one', at({ status: 'paused' }), 'pass', { kind: 'stay', status: 'paused' }],
    ['nothing of one that is over', at({ status: 'done' }), 'fail', { kind: 'stay', status: 'done' }],
  ])('%s', (_, position, verdict, action) => {
    expect(nextAction(PLAN, position, verdict, OPEN)).toMatchObject(action)
  })
})

test.each<[object, string | null]>([
  [{ steps: [1, 5, 100, 'all'] }, null],
  [{ steps: [5, 1] }, 'invalid steps: 1 after 5: each must be above the one before, and all comes last'],
  [{ steps: [5, 5] }, 'invalid steps: 5 after 5: each must be above the one before, and all comes last'],
  [{ steps: ['all', 5] }, 'invalid steps: 5 after all: each must be above the one before, and all comes last'],
  [{ approve: [25, 'all'] }, null],
  [{ steps: [5, 50], approve: [25] }, 'invalid approve: 25 is no step'],
])('%j', (plan, message) => {
  expect(flawOfPlan(plan)?.message ?? null).toBe(message)
})

test.each<[number, boolean, string, number | 'all' | null]>([
  [4, false, '[5, 50]', null],
  [60, false, '[5, 50]', 50],
  [100, false, '[5, 100, "all"]', 100],
  [100, true, '[5, 100, "all"]', 'all'],
  [100, true, '[5, 100]', 100],
])('%s %% (all: %s) has reached a step of %s: %s', (percent, movesAll, steps, reached) => {
  expect(stepReached({ steps: JSON.parse(steps) }, { percent, movesAll })).toBe(reached)
})

test('steps as percents and as text', () => {
  expect([percentOf(2.5), percentOf('all'), printStep(2.5), printStep('all')]).toEqual([2.5, 100, '2.5 %', 'all'])
})

const SEEN = { hasKey: true, latencyMs: 2.5, isBrokenOff: false }

test('what a data plane tells is what was counted, within a bound', () => {
  const tally = new RampTally()
  const judged = { ...SEEN, key: 4_000_000_000, side: 'rest', failure: 'redirect' } as const
  tally.count('a', 5, judged)
  tally.count('a', 5, { ...judged, key: null, side: 'to', failure: null })
  tally.count('a', 5, { ...judged, hasKey: false, isBrokenOff: true })
  tally.count('a', 25, judged)
  const [first, second] = tally.take()
  expect(first).toMatchObject({ route: 'a', percent: 5, left: 0 })
  expect([...judgedOf(first!, 7)]).toEqual([
    { ...judged, nowMs: 7 },
    { ...judged, key: null, side: 'to', failure: null, nowMs: 7 },
    { ...judged, hasKey: false, isBrokenOff: true, nowMs: 7 },
  ])
  expect(second).toMatchObject({ route: 'a', percent: 25 })
  expect(tally.take()).toEqual([])
  for (let n = 0; n < 10_001; n++) tally.count('a', 5, judged)
  expect(tally.take()[0]).toMatchObject({ left: 1 })
})
