/**
 * Which server takes an exchange: by weight and what is under way, and what of failing and drained ones.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Candidate, pickServer, type Standing } from '../../../src/rules/failures/pick.ts'

interface Named extends Candidate {
  readonly name: string
}

/** `a:2*3` is server a with 2 under way and weight 3; `!` avoided, `-` drained, `?` due, `^` overdue. */
function servers(text: string): Named[] {
  const words: Record<string, Standing> = { '!': 'avoided', '-': 'drained', '?': 'due', '^': 'overdue' }
  return text.split(' ').map((one) => {
    const [, name = '', active = '0', weight = '1', mark = ''] =
      /^(\w)(?::(\d+))?(?:\*([\d.]+))?([!?^-]?)$/.exec(one) ?? []
    return { name, active: Number(active), weight: Number(weight), standing: words[mark] ?? 'up' }
  })
}

const picked = (
  list: Named[],
  chance = 0.5,
  failed = '',
  maySucceed = false,
  repeatable = true,
): string | undefined => {
  const candidate = list.find((one) => one.name === failed)
  return pickServer(list, chance, candidate === undefined ? null : { candidate, maySucceed }, repeatable)?.name
}

test.each([
  ['fewest under way', 'a:3 b:1 c:2', 'b'],
  ['for their weight', 'a:3*4 b:1 c:2', 'a'],
  ['one that is idle before one that is not, whatever it weighs', 'a:1*1000 b:0', 'b'],
  ['none that is avoided while one is up', 'a! b:900 c!', 'b'],
  ['all that are avoided where none is up', 'a:2! b:1! c-', 'b'],
  ['none that is drained', 'a- b:5', 'b'],
  ['nobody where all are drained', 'a- b-', undefined],
  ['the one that is due, once', 'a b? c', 'b'],
])('%s: %s', (_, list, expected) => {
  expect(picked(servers(list))).toBe(expected)
})

test.each([
  ['a due one is not probed by it while one is up', 'a b?', 'a'],
  ['an overdue one is', 'a b^', 'b'],
  ['a due one is asked where none is up', 'a? b-', 'a'],
])('what may not be made again: %s', (_, list, expected) => {
  expect(picked(servers(list), 0.5, '', false, false)).toBe(expected)
})

describe('where a server has just failed the exchange', () => {
  test.each([
    ['another one that is up', 'a b:9', 'b'],
    ['an avoided one before the same one again', 'a b!', 'b'],
    ['the same one where there is no other', 'a b-', 'a'],
    ['no drained one, the same included', 'a- b-', undefined],
    ['not the same one for its probe', 'a? b', 'b'],
  ])('%s', (_, list, expected) => {
    expect(picked(servers(list), 0.5, 'a')).toBe(expected)
  })

  test('the same one before an avoided one, where only its connection had run out', () => {
    expect(picked(servers('a b!'), 0.5, 'a', true)).toBe('a')
    expect(picked(servers('a b c!'), 0.5, 'a', true)).toBe('b')
  })
})

test.each([
  [1, 'the whole of the requests'],
  [0.01, 'the share of a route: its requests have drawn below 0.01 already'],
])('servers that are idle get their weight of %d: %s', (below) => {
  const list = servers('a*1 b*2 c*5')
  const counts: Record<string, number> = { a: 0, b: 0, c: 0 }
  const draws = 8000
  // Evenly spread, so that nothing here depends on luck.
  for (let n = 0; n < draws; n++) counts[picked(list, ((n + 0.5) / draws) * below) as string]!++
  expect(counts.a! / draws).toBeCloseTo(1 / 8, 1)
  expect(counts.b! / draws).toBeCloseTo(2 / 8, 1)
  expect(counts.c! / draws).toBeCloseTo(5 / 8, 1)
})

const candidate = fc.record({
  name: fc.string({ minLength: 1, maxLength: 3 }),
  active: fc.nat(20),
  weight: fc.integer({ min: 1, max: 1000 }),
  standing: fc.constantFrom<Standing>('up', 'up', 'due', 'overdue', 'avoided', 'drained'),
})
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

test('whatever the pool: never a drained one, someone whenever not all are, and nobody better than who is up', () => {
  fc.assert(
    fc.property(
      fc.array(candidate, { minLength: 1, maxLength: 8 }),
      chance,
      fc.boolean(),
      fc.boolean(),
      (list, draw, fails, may) => {
        const failed = fails ? { candidate: list[0]!, maySucceed: may } : null
        const one = pickServer(list, draw, failed, may)
        const willing = list.filter((each) => each.standing !== 'drained')
        if (willing.length === 0) return one === null
        if (one === null || one.standing === 'drained') return false
        const others = willing.filter((each) => each !== failed?.candidate)
        if (others.length > 0 && !may && one === failed?.candidate) return false
        const up = others.filter((each) => each.standing === 'up')
        if (one.standing !== 'up') return one.standing.endsWith('due') || up.length === 0
        return up.every((each) => one === failed?.candidate || one.active / one.weight <= each.active / each.weight)
      },
    ),
    { numRuns: 2000 },
  )
})
