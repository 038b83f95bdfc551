/** The verdict of a deploy: what fails more than the rest, and what is too little to tell. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { addTallies, NO_TALLY, tallySince, verdictOf } from '../../../src/rules/failures/deploy-verdict.ts'

const terms = { maxErrors: 0.01, minExchanges: 100 }
const tally = (exchanges: number, failures: number) => ({ exchanges, failures })

describe('verdict', () => {
  test.each([
    [tally(0, 0), tally(0, 0), 'not-enough-data'],
    [tally(99, 0), tally(500, 0), 'not-enough-data'],
    [tally(100, 0), tally(500, 0), 'pass'],
    [tally(100, 1), tally(500, 0), 'pass'],
    [tally(100, 2), tally(500, 0), 'fail'],
    // Even if the ninety-eight that are missing were all good.
    [tally(2, 2), tally(500, 0), 'fail'],
    [tally(1, 1), tally(500, 0), 'not-enough-data'],
    // The others fail as often: it is not the new version.
    [tally(1000, 50), tally(1000, 45), 'pass'],
    [tally(1000, 50), tally(1000, 20), 'fail'],
    // Too few others to know what is usual.
    [tally(1000, 50), tally(10, 10), 'fail'],
  ])('%o against %o: %s', (here, others, verdict) => {
    expect(verdictOf(here, others, terms)).toBe(verdict)
  })

  test('more failures never make it better', () => {
    const nat = fc.nat(5000)
    fc.assert(
      fc.property(nat, nat, nat, nat, (exchanges, failed, others, othersFailed) => {
        const rest = tally(others, Math.min(othersFailed, others))
        const [few, many] = [Math.min(failed, exchanges), exchanges]
        if (verdictOf(tally(exchanges, few), rest, terms) === 'fail') {
          expect(verdictOf(tally(exchanges, many), rest, terms)).toBe('fail')
        }
      }),
    )
  })
})

test('what was added since: a reset is one, and who was not there before counts from then on', () => {
  const before = new Map([
    ['a', tally(100, 10)],
    ['b', tally(1000, 500)],
  ])
  const now = new Map([
    ['a', tally(150, 11)],
    ['b', tally(3, 1)],
    ['c', tally(700, 200)],
  ])
  expect(tallySince(before, now)).toEqual(tally(53, 2))
})

test('whatever begins anew meanwhile, from look to look all that was counted is seen', () => {
  const counted = fc.record({ good: fc.nat(50), failed: fc.nat(50), resets: fc.boolean() })
  fc.assert(
    fc.property(fc.array(counted, { maxLength: 20 }), (steps) => {
      let [last, sum, all] = [NO_TALLY, NO_TALLY, NO_TALLY]
      for (const { good, failed, resets } of steps) {
        const added = tally(good + failed, failed)
        const next = addTallies(resets ? NO_TALLY : last, added)
        // A counter that is past where it was by the next look does not show that it began anew.
        if (resets && next.exchanges >= last.exchanges && next.failures >= last.failures) continue
        sum = addTallies(sum, tallySince(new Map([['a', last]]), new Map([['a', next]])))
        all = addTallies(all, added)
        last = next
      }
      expect(sum).toEqual(all)
    }),
  )
})
