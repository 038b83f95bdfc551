/**
 * The breaker: when it opens, whom it lets through as a probe, and when it closes again.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Breaker, type BreakerEntry, type BreakerWord } from '../../../src/rules/failures/breaker.ts'

const SETTINGS = { failureRatio: 0.5, minRequests: 4, windowMs: 1000, pauseMs: 200, probes: 2 }

/** Steps in short: `+` a good exchange, `-` a failed one, `o` one that says nothing; a number is the time. */
function after(steps: string, settings = SETTINGS): { word: BreakerWord; opened: number; refused: number } {
  const breaker = new Breaker(settings)
  let [nowMs, refused] = [0, 0]
  for (const step of steps.split(' ')) {
    if (/\d/.test(step)) {
      nowMs = Number(step)
      continue
    }
    const entry = breaker.enter(true, nowMs)
    if (entry === 'refuse') refused++
    else breaker.leave(entry, step === 'o' ? null : step === '+', nowMs)
  }
  return { word: breaker.word(nowMs), opened: breaker.opened, refused }
}

test.each<[string, string, BreakerWord]>([
  ['too few exchanges say nothing', '- - -', 'closed'],
  ['all of enough have failed', '- - - -', 'open'],
  ['half of them have', '+ + - -', 'open'],
  ['less than half have', '+ + + - -', 'closed'],
  ['it opens at a failure only', '- - o o o o', 'closed'],
  ['what lies behind the window does not count', '- - - 1100 -', 'closed'],
  ['what lies within it does', '- - - 900 -', 'open'],
  ['what lies far behind it does not', '- - - 987654321 -', 'closed'],
  ['open for as long as its pause', '- - - - 199', 'open'],
  ['then half-open', '- - - - 200', 'half-open'],
  ['one good probe is not enough', '- - - - 200 +', 'half-open'],
  ['two are', '- - - - 200 + +', 'closed'],
  ['a failed probe opens it anew', '- - - - 200 + - 399', 'open'],
  ['for as long again', '- - - - 200 + - 400', 'half-open'],
  ['a probe that says nothing leaves it as it was', '- - - - 200 o', 'half-open'],
  ['what was before is forgotten once it closes', '- - - - 200 + + - - -', 'closed'],
])('%s: %s', (_, steps, expected) => {
  expect(after(steps).word).toBe(expected)
})

test('one probe at a time', () => {
  const breaker = new Breaker(SETTINGS)
  for (let n = 0; n < 4; n++) breaker.leave(breaker.enter(true, 0), false, 0)
  expect([breaker.enter(true, 0), breaker.admits(true, 0)]).toEqual(['refuse', false])
  expect([breaker.admits(true, 200), breaker.enter(true, 200)]).toEqual([true, 'probe'])
  expect([breaker.enter(true, 200), breaker.admits(true, 200)]).toEqual(['refuse', false])
  breaker.leave('probe', true, 210)
  expect(breaker.enter(true, 210)).toBe('probe')
})

test('what may not be made again is a probe only where nothing else has come for another pause', () => {
  const breaker = new Breaker(SETTINGS)
  for (let n = 0; n < 4; n++) breaker.leave(breaker.enter(true, 0), false, 0)
  expect([breaker.admits(true, 200), breaker.admits(false, 200), breaker.enter(false, 399)]).toEqual([
    true,
    false,
    'refuse',
  ])
  expect([breaker.admits(false, 400), breaker.enter(false, 400)]).toEqual([true, 'probe'])
})

test('what was let through before it opened changes nothing while it is open', () => {
  const breaker = new Breaker(SETTINGS)
  const late = [breaker.enter(true, 0), breaker.enter(true, 0)]
  for (let n = 0; n < 4; n++) breaker.leave(breaker.enter(true, 0), false, 0)
  for (const entry of late) breaker.leave(entry, true, 100)
  expect(breaker.word(100)).toBe('open')
  expect(breaker.opened).toBe(1)
})

const step = fc.record({ waitMs: fc.oneof(fc.nat(20), fc.nat(2000)), good: fc.constantFrom(true, true, false, null) })

test('whatever happens: never two probes, never closed by less than its probes, always half-open after its pause', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.nat(3), (steps, lag) => {
      const breaker = new Breaker(SETTINGS)
      const pending: { entry: BreakerEntry; good: boolean | null }[] = []
      let [nowMs, goodProbes] = [0, 0]
      const leave = (): void => {
        const { entry, good } = pending.shift()!
        const before = breaker.word(nowMs)
        breaker.leave(entry, good, nowMs)
        if (entry === 'probe') goodProbes = good === true ? goodProbes + 1 : good === false ? 0 : goodProbes
        if (before !== 'closed' && breaker.word(nowMs) === 'closed') expect(goodProbes).toBe(SETTINGS.probes)
        if (breaker.word(nowMs) === 'closed') goodProbes = 0
      }
      for (const { waitMs, good } of steps) {
        nowMs += waitMs
        const admits = breaker.admits(true, nowMs)
        const entry = breaker.enter(true, nowMs)
        expect(entry !== 'refuse').toBe(admits)
        if (entry !== 'refuse') pending.push({ entry, good })
        expect(pending.filter((one) => one.entry === 'probe').length).toBeLessThanOrEqual(1)
        while (pending.length > lag) leave()
      }
      while (pending.length > 0) leave()
      expect(breaker.word(nowMs + SETTINGS.pauseMs)).not.toBe('open')
    }),
    { numRuns: 500 },
  )
})
