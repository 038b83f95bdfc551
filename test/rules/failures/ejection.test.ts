/**
 * Ejection of a server: when it is left out, for how long, and how a single probe brings it back.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Ejection, type EjectionState, isServerFault } from '../../../src/rules/failures/ejection.ts'
import { slowStartFactor } from '../../../src/rules/failures/slow-start.ts'

const SETTINGS = { failures: 3, errors: 4, pauseMs: 100, maxPauseMs: 350 }

test('faults of the server are of class 5, but those that a client can bring about', () => {
  expect([200, 301, 404, 499, 500, 501, 502, 503, 504, 505, 599].filter(isServerFault)).toEqual([
    500, 502, 503, 504, 599,
  ])
})

/** Steps in short: `f` broke, `e` erred, `g` good head, `c` complete, `p` probe, `l` probe lost; a number is the time. */
function after(steps: string, isLast = false): { state: EjectionState; count: number; nowMs: number } {
  const ejection = new Ejection()
  let nowMs = 0
  for (const step of steps.split(' ')) {
    if (step === 'f') ejection.failed(SETTINGS, nowMs)
    else if (step === 'e') ejection.erred(SETTINGS, nowMs, isLast)
    else if (step === 'g') {
      if (ejection.isOut) ejection.returned(nowMs)
      else ejection.answered()
    } else if (step === 'c') ejection.completed()
    else if (step === 'p') ejection.probe()
    else if (step === 'l') ejection.probeLost()
    else nowMs = Number(step)
  }
  return { state: ejection.state(nowMs), count: ejection.count, nowMs }
}

test.each<[string, string, EjectionState]>([
  ['fewer failures in a row than the limit', 'f f', 'in'],
  ['as many', 'f f f', 'out'],
  ['as many, with a whole answer between them', 'f f g c f f', 'in'],
  ['answers that break off: their heads were good', 'g f g f g f', 'out'],
  ['answers of class 5', 'e e e e', 'out'],
  ['answers of class 5, with a good one between them', 'e e e g e e e', 'in'],
  ['shortly before its pause is over', 'f f f 99', 'out'],
  ['when its pause is over', 'f f f 100', 'due'],
  ['when none has come for as long again', 'f f f 200', 'overdue'],
  ['while its probe is under way', 'f f f 100 p', 'probing'],
  ['its probe was answered', 'f f f 100 p g', 'in'],
  ['its probe broke', 'f f f 100 p f', 'out'],
  ['its probe was answered with class 5', 'f f f 100 p e', 'out'],
  ["its probe's client went away", 'f f f 100 p l', 'due'],
  ['what was begun before it was left out breaks later', 'f f f 50 f f f f 100', 'due'],
  ['an answer from it although it is out: others were worse', 'f f f 10 g', 'in'],
  ['the second pause is twice as long', 'f f f 100 p f 299', 'out'],
  ['and then over', 'f f f 100 p f 300', 'due'],
  ['the third would be four times as long, and is cut to the longest', 'f f f 100 p f 300 p f 649', 'out'],
  ['and then over, too', 'f f f 100 p f 300 p f 650', 'due'],
  ['back, and soon out again: the pause is twice as long', 'f f f 100 p g 150 f f f 349', 'out'],
  ['back, and long after out again: the pause is the first one', 'f f f 100 p g 201 f f f 301', 'due'],
])('%s', (_, steps, expected) => {
  expect(after(steps).state).toBe(expected)
})

test('the last server is not left out for answers of class 5, and comes back by one', () => {
  expect(after('e e e e e e', true)).toMatchObject({ state: 'in', count: 0 })
  expect(after('f f f 10 e', true)).toMatchObject({ state: 'in', count: 1 })
  expect(after('f f f', true)).toMatchObject({ state: 'out', count: 1 })
})

describe('whatever happens', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('f', 'e', 'g', 'c') },
    { weight: 1, arbitrary: fc.nat(400) },
  )

  test('one probe at a time, no pause longer than the longest, and it always ends', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.boolean(), (steps, isLast) => {
        const ejection = new Ejection()
        let [nowMs, outSince] = [0, 0]
        for (const one of steps) {
          const before = ejection.state(nowMs)
          if (before.endsWith('due')) ejection.probe()
          if (typeof one === 'number') nowMs += one
          else if (one === 'f' && ejection.failed(SETTINGS, nowMs)) outSince = nowMs
          else if (one === 'e' && ejection.erred(SETTINGS, nowMs, isLast)) outSince = nowMs
          else if (one === 'g' && ejection.isOut) ejection.returned(nowMs)
          else if (one === 'g') ejection.answered()
          else if (one === 'c') ejection.completed()
          if (ejection.state(nowMs) === 'out' && nowMs - outSince >= SETTINGS.maxPauseMs) return false
        }
        return ejection.state(nowMs + SETTINGS.maxPauseMs) !== 'out'
      }),
      { numRuns: 1000 },
    )
  })
})

test('slow start: a tenth at first, evenly more, the whole at the end; none is none', () => {
  const factors = [0, 500, 1000, 2500, 5000, 9999, 10_000, Number.POSITIVE_INFINITY].map((age) =>
    slowStartFactor(age, 10_000),
  )
  expect(factors).toEqual([0.1, 0.1, 0.1, 0.25, 0.5, 0.9999, 1, 1])
  expect(slowStartFactor(0, 0)).toBe(1)
})
