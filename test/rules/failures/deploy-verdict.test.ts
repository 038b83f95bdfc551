/** The verdict of a deploy: what fails more than the rest, and what is too little to tell. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Chance } from '../../../bench/guard/chance.ts'
import { addTallies, Compared, NO_TALLY, type Tally, tallySince } from '../../../src/rules/failures/deploy-verdict.ts'
import { fineBucketOf } from '../../../src/rules/values/duration-buckets.ts'

const terms = { maxErrors: 0.005, maxSlowerMs: 100, minExchanges: 100 }
const tally = (exchanges: number, failures: number, more: Partial<Tally> = {}): Tally => ({
  ...NO_TALLY,
  exchanges,
  failures,
  ...more,
})

function verdictOf(here: Tally, others: Tally, before?: Tally): string {
  const compared = new Compared(before)
  compared.add(here, others)
  return compared.verdict(terms).verdict
}

describe('verdict', () => {
  test.each([
    [tally(0, 0), tally(0, 0), 'not-enough-data'],
    [tally(99, 0), tally(500, 0), 'not-enough-data'],
    [tally(100, 0), tally(500, 0), 'pass'],
    // That may be chance.
    [tally(100, 2), tally(500, 0), 'pass'],
    [tally(100, 8), tally(500, 0), 'fail'],
    // Even if the ninety that are missing were all good.
    [tally(10, 8), tally(500, 0), 'fail'],
    // The others fail as often: it is not the new version.
    [tally(1000, 50), tally(1000, 45), 'pass'],
    [tally(1000, 100), tally(1000, 20), 'fail'],
    [tally(100, 0, { clientErrors: 100 }), tally(500, 0), 'fail'],
    [tally(100, 0, { redirects: 100 }), tally(500, 0, { redirects: 500 }), 'pass'],
    // More often than the others, and less than is tolerated.
    [tally(100_000, 400), tally(100_000, 10), 'pass'],
  ])('%o against %o: %s', (here, others, verdict) => {
    expect(verdictOf(here, others)).toBe(verdict)
  })

  test('without others it is compared with what was before, and without that with what is tolerated', () => {
    expect(verdictOf(tally(500, 15), NO_TALLY, tally(10_000, 300))).toBe('pass')
    expect(verdictOf(tally(500, 75), NO_TALLY, tally(10_000, 300))).toBe('fail')
    expect(verdictOf(tally(500, 75), NO_TALLY)).toBe('fail')
  })

  test('names what it is for', () => {
    const compared = new Compared()
    compared.add(tally(60, 1, { clientErrors: 50 }), tally(500, 0))
    expect(compared.verdict(terms)).toEqual({ verdict: 'fail', words: '50 of 60 requests got 4xx' })
  })

  describe('by latency', () => {
    /** So many responses, evenly from so many milliseconds to twice as many. */
    const taking = (responses: number, ms: number): Tally => {
      const latency = new Map<number, number>()
      for (let n = 0; n < responses; n++) {
        const bucket = fineBucketOf(ms * (1 + n / responses))
        latency.set(bucket, (latency.get(bucket) ?? 0) + 1)
      }
      return tally(responses, 0, { latency })
    }

    test.each([
      ['twice as slow', taking(200, 400), taking(800, 200), 'fail'],
      ['as slow', taking(200, 200), taking(800, 200), 'pass'],
      ['too few to tell', taking(3, 4000), taking(800, 200), 'not-enough-data'],
      ['ten times as slow, and by less than is tolerated', taking(200, 50), taking(800, 5), 'pass'],
    ])('%s: beside others', (_, here, others, verdict) => {
      expect(verdictOf(here, others)).toBe(verdict)
    })

    test.each([
      ['twice as slow', 400, 'pass'],
      ['four times as slow', 800, 'fail'],
    ])('%s: beside what was before', (_, ms, verdict) => {
      expect(verdictOf(taking(1000, ms), NO_TALLY, taking(10_000, 200))).toBe(verdict)
    })

    test('says how slow', () => {
      const compared = new Compared()
      compared.add(taking(200, 400), taking(800, 200))
      const { words } = compared.verdict(terms)
      expect(words).toMatch(/^95th percentile of at least 7\d\d ms, of the others at most 39\d ms,$/)
    })

    test('is seldom against a version that is not slower, however often one looks', () => {
      let failed = 0
      for (let seed = 1; seed <= 100; seed++) {
        const chance = new Chance(seed)
        const compared = new Compared()
        const some = (): Tally => {
          const latency = new Map<number, number>()
          for (let n = 0; n < 25; n++) {
            const bucket = fineBucketOf(200 * Math.exp(0.8 * chance.normal()))
            latency.set(bucket, (latency.get(bucket) ?? 0) + 1)
          }
          return tally(25, 0, { latency })
        }
        for (let look = 0; look < 40; look++) {
          compared.add(some(), some())
          if (compared.verdict({ ...terms, maxSlowerMs: 0 }).verdict !== 'fail') continue
          failed++
          break
        }
      }
      expect(failed).toBeLessThanOrEqual(2)
    })
  })

  test.each([0.005, 0.03])(
    'is seldom against a version that fails %s as the rest does, however often one looks',
    (rate) => {
      let failed = 0
      for (let seed = 1; seed <= 200; seed++) {
        const chance = new Chance(seed)
        const compared = new Compared()
        const some = (exchanges: number): Tally => tally(exchanges, chance.poisson(exchanges * rate))
        for (let look = 0; look < 60; look++) {
          compared.add(some(25), some(25))
          if (compared.verdict(terms).verdict !== 'fail') continue
          failed++
          break
        }
      }
      expect(failed).toBeLessThanOrEqual(7)
    },
  )
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
  const counted = fc.record({ good: fc.nat(50), failed: fc.nat(50), bucket: fc.nat(3), resets: fc.boolean() })
  fc.assert(
    fc.property(fc.array(counted, { maxLength: 20 }), (steps) => {
      let [last, sum, all] = [NO_TALLY, NO_TALLY, NO_TALLY]
      for (const { good, failed, bucket, resets } of steps) {
        const added = tally(good + failed, failed, { latency: new Map([[bucket, good]]) })
        const next = addTallies(resets ? NO_TALLY : last, added)
        // A counter that is past where it was by the next look does not show that it began anew.
        if (resets && next.exchanges >= last.exchanges && next.failures >= last.failures) continue
        sum = addTallies(sum, tallySince(new Map([['a', last]]), new Map([['a', next]])))
        all = addTallies(all, added)
        last = next
      }
      const counts = ({ latency, ...rest }: Tally) => ({
        ...rest,
        latency: [...latency].filter(([, n]) => n > 0).sort(),
      })
      expect(counts(sum)).toEqual(counts(all))
    }),
  )
})
