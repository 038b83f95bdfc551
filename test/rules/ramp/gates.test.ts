/**
 * What stands in the way of a step besides the guard: hours, requirements, a holdback.
 */
import { describe, expect, test } from 'vitest'
import { DEFAULT_GUARD, nextAction, type RampPlan, withHoldback } from '../../../src/rules/ramp/plan.ts'
import {
  flawOfRequirement,
  missingFor,
  parseRequirement,
  printRequirement,
} from '../../../src/rules/ramp/requirement.ts'
import { flawOfWindow, isWithin, parseWindow } from '../../../src/rules/ramp/window.ts'

describe('hours', () => {
  test.each([
    ['Mon-Fri 09:00-17:00 Europe/Berlin', '2026-07-01T06:59:59Z', false],
    ['Mon-Fri 09:00-17:00 Europe/Berlin', '2026-07-01T07:00:00Z', true],
    ['Mon-Fri 09:00-17:00 Europe/Berlin', '2026-12-01T07:30:00Z', false],
    ['Mon-Fri 09:00-17:00 Europe/Berlin', '2026-12-01T15:59:59Z', true],
    ['Mon-Fri 09:00-17:00 Europe/Berlin', '2026-12-01T16:00:00Z', false],
    ['Mon-Fri 09:00-17:00', '2026-12-05T12:00:00Z', false],
    ['Sat,Sun 00:00-24:00', '2026-12-05T23:59:00Z', true],
    ['Fri-Mon 09:00-10:00', '2026-12-06T09:30:00Z', true],
    ['Fri-Mon 09:00-10:00', '2026-12-08T09:30:00Z', false],
    ['Fri 22:00-04:00', '2026-12-04T21:59:00Z', false],
    ['Fri 22:00-04:00', '2026-12-04T23:00:00Z', true],
    ['Fri 22:00-04:00', '2026-12-05T03:59:00Z', true],
    ['Fri 22:00-04:00', '2026-12-04T03:59:00Z', false],
    ['02:00-03:00 America/New_York', '2026-12-01T07:30:00Z', true],
  ])('%s at %s: %s', (text, at, open) => {
    expect(isWithin(parseWindow(text), Date.parse(at))).toBe(open)
  })

  test.each([
    ['Mon-Fri', "invalid window 'Mon-Fri'"],
    ['Mo-Fr 09:00-17:00', "invalid days 'Mo-Fr'"],
    ['Mon-Wed-Fri 09:00-17:00', "invalid days 'Mon-Wed-Fri'"],
    ['25:00-26:00', "invalid hours '25:00-26:00'"],
    ['09:00-09:00', "invalid hours '09:00-09:00'"],
    ['09:00-17:00 Berlin', "unknown time zone 'Berlin'"],
  ])('%s: %s', (text, message) => {
    expect(flawOfWindow(text)?.message).toBe(message)
    expect(() => parseWindow(text)).toThrow(message)
  })
})

describe('requirements', () => {
  const facts = (of: number, hits: number, isMismatch = true) => ({
    comparisons: { of, hits, blind: 0, worst: hits === 0 ? null : { path: '/price', isMismatch } },
    tolerated: 0.1,
    percentOf: (id: string) => (id === 'search' ? 50 : null),
  })

  test.each<[string, number, number, string | null]>([
    ['comparisons 1000', 999, 0, '999 of the 1000 comparisons that it requires'],
    ['comparisons 1000', 1000, 1, null],
    ['comparisons 1000', 1000, 2, '2 of 1000 comparisons differ at /price, and 0.1 % are tolerated'],
    ['search at 50', 0, 0, null],
    ['search at 100 %', 0, 0, 'it requires search at 100 %, which is at 50 %'],
    ['other at 100', 0, 0, 'it requires other at 100 %, and there is no such route'],
  ])('%s', (text, of, hits, missing) => {
    expect(missingFor(parseRequirement(text), facts(of, hits))).toBe(missing)
    expect(printRequirement(parseRequirement(text))).toBe(text.replace(' %', ''))
  })

  test('comparisons that tell of no field count for nothing', () => {
    const { comparisons, ...rest } = facts(1500, 0)
    expect(
      missingFor(parseRequirement('comparisons 1000'), { ...rest, comparisons: { ...comparisons, blind: 501 } }),
    ).toBe('999 of the 1000 comparisons that it requires; 501 more differ as a whole, and tell of no field')
  })

  test('a field that may be noise is no evidence', () => {
    const missing =
      '9 of 1000 comparisons differ at /price (not known yet whether that is noise), and 0.1 % are tolerated'
    expect(missingFor(parseRequirement('comparisons 1000'), facts(1000, 9, false))).toBe(missing)
  })

  test.each(['', 'comparisons', 'comparisons -1', 'search', 'search at 101', 'search at 1.23456'])('not %s', (text) => {
    expect(flawOfRequirement(text)?.message).toBe(`invalid requirement '${text}'`)
  })
})

test.each<[number, (number | 'all')[], (number | 'all')[], (number | 'all')[]]>([
  [0, [5, 100, 'all'], [5, 100, 'all'], []],
  [5, [5, 50, 100, 'all'], [5, 50, 95, 100, 'all'], [100]],
  [5, [5, 95, 100], [5, 95, 100], [100]],
  [2.5, [50, 'all'], [50, 97.5, 'all'], ['all']],
  [5, [5, 50], [5, 50], []],
])('a holdback of %s of the steps %j', (holdback, steps, kept, approve) => {
  expect(withHoldback({ steps, approve: [] }, holdback)).toEqual({ steps: kept, approve })
})

describe('a step', () => {
  const plan: RampPlan = {
    ...{ steps: [5, 50], holdMs: 0, approve: [50], requires: [], guard: DEFAULT_GUARD },
    window: parseWindow('Mon 09:00-17:00'),
  }
  const first = { status: 'waiting', step: null, percent: 0, heldMs: 0, isApproved: false } as const
  const second = { status: 'running', step: 5, percent: 5, heldMs: 0, isApproved: false } as const

  test('waits for what is missing first, then for people, then for the hours', () => {
    const why = (verdict: 'pass' | null, at: Parameters<typeof nextAction>[1], isOpen: boolean, unmet: string | null) =>
      nextAction(plan, at, verdict, { isOpen, unmet })
    expect(why(null, first, false, 'x')).toEqual({ kind: 'stay', status: 'holding', why: 'x' })
    expect(why(null, first, false, null)).toMatchObject({
      status: 'waiting',
      why: expect.stringContaining('Mon 09:00'),
    })
    expect(why(null, first, true, null)).toEqual({ kind: 'step', to: 5 })
    expect(why('pass', second, false, null)).toMatchObject({
      status: 'waiting',
      why: 'for approval of the step to 50 %',
    })
    expect(why('pass', { ...second, isApproved: true }, false, null)).toMatchObject({ status: 'waiting' })
    expect(why('pass', { ...second, isApproved: true }, true, null)).toEqual({ kind: 'step', to: 50 })
  })

  test('back is taken at any time', () => {
    expect(nextAction(plan, second, 'fail', { isOpen: false, unmet: 'x' })).toEqual({ kind: 'take-back' })
  })
})
