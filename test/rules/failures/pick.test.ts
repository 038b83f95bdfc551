/**
 * Which server takes an exchange: shares by weight at any load, load that evens out, and what of failing and drained ones.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Candidate, ServerDraw, type Standing, Turn } from '../../../src/rules/failures/pick.ts'

interface Named extends Candidate {
  readonly name: string
}

/** `a:2*3` is server a with 2 under way and weight 3; `!` avoided, `-` drained, `?` due, `^` overdue. */
function servers(text: string): Named[] {
  const words: Record<string, Standing> = { '!': 'avoided', '-': 'drained', '?': 'due', '^': 'overdue' }
  return text.split(' ').map((one) => {
    const [, name = '', active = '0', weight = '1', mark = ''] =
      /^(\w)(?::(\d+))?(?:\*([\d.]+))?([!?^-]?)$/.exec(one) ?? []
    return { name, active: Number(active), weight: Number(weight), standing: words[mark] ?? 'up', turn: new Turn(0.5) }
  })
}

const picked = (list: Named[], failed = '', maySucceed = false, repeatable = true): string | undefined => {
  const candidate = list.find((one) => one.name === failed)
  const before = candidate === undefined ? null : { candidate, maySucceed }
  return new ServerDraw().next(list, before, repeatable)?.name
}

test.each([
  ['fewest under way', 'a:3 b:1 c:2', 'b'],
  ['for their weight', 'a:3*4 b:1 c:2', 'a'],
  ['one that is idle before one that is not, where they weigh alike', 'a:1 b:0', 'b'],
  ['nobody who has his part already: of four, b has one', 'a:2*3 b:1', 'a'],
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
  expect(picked(servers(list), '', false, false)).toBe(expected)
})

describe('where a server has just failed the exchange', () => {
  test.each([
    ['another one that is up', 'a b:9', 'b'],
    ['an avoided one before the same one again', 'a b!', 'b'],
    ['the same one where there is no other', 'a b-', 'a'],
    ['no drained one, the same included', 'a- b-', undefined],
    ['not the same one for its probe', 'a? b', 'b'],
  ])('%s', (_, list, expected) => {
    expect(picked(servers(list), 'a')).toBe(expected)
  })

  test('the same one before an avoided one, where only its connection had run out', () => {
    expect(picked(servers('a b!'), 'a', true)).toBe('a')
    expect(picked(servers('a b c!'), 'a', true)).toBe('b')
  })
})

/** A generator of random numbers that a seed repeats (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Simulated extends Candidate {
  standing: Standing
  active: number
  weight: number
  /** Mean time that it takes for an exchange. */
  readonly takes: number
  asked: number
  /** What it had under way, summed over time. */
  load: number
}

const server = (weight: number, takes: number, random: () => number): Simulated => {
  const turn = new Turn(random())
  return { standing: 'up', active: 0, weight, turn, takes, asked: 0, load: 0 }
}

/** How exchanges come: so many at a time, each followed by the next; or at random, so many under way on average. */
interface Arrivals {
  readonly atATime: number
  readonly atRandom: boolean
  /** All requests have drawn below this: they are the share of a route. */
  readonly below: number
}

/** Runs exchanges through a draw. @returns how long it took, in the time that exchanges take */
function simulate(list: readonly Simulated[], exchanges: number, arrivals: Arrivals, random: () => number): number {
  const { atATime, atRandom, below } = arrivals
  const draw = new ServerDraw()
  /** Ends of exchanges, the soonest last. */
  const ends: { at: number; of: Simulated }[] = []
  let now = 0
  const goOn = (to: number): void => {
    for (const one of list) one.load += one.active * (to - now)
    now = to
  }
  const begin = (): void => {
    const one = draw.pick(list, random() * below, null, true)!
    one.active++
    one.asked++
    const at = now - Math.log(1 - random()) * one.takes
    let place = ends.length
    ends.push({ at, of: one })
    for (; place > 0 && ends[place - 1]!.at < at; place--) ends[place] = ends[place - 1]!
    ends[place] = { at, of: one }
  }
  const end = (): void => {
    const { at, of } = ends.pop()!
    goOn(at)
    of.active--
  }
  if (!atRandom) for (let n = 0; n < atATime; n++) begin()
  let next = 0
  for (let n = 0; n < exchanges; n++) {
    if (atRandom) {
      while (ends.length > 0 && ends.at(-1)!.at < next) end()
      goOn(next)
      next -= Math.log(1 - random()) / atATime
    } else end()
    begin()
  }
  return now
}

const arrivals = fc.record({
  atATime: fc.oneof(fc.constantFrom(1, 2, 3, 4, 16, 64, 256), fc.integer({ min: 1, max: 256 })),
  atRandom: fc.boolean(),
  below: fc.constantFrom(1, 0.01),
})
// Slow start: a tenth of the weight.
const ratio = fc.oneof(fc.constantFrom(0.1, 1, 2, 10, 100, 1000), fc.integer({ min: 1, max: 1000 }))

test('servers that are alike get their shares, however much is under way', () => {
  fc.assert(
    fc.property(fc.array(ratio, { minLength: 2, maxLength: 4 }), arrivals, fc.nat(), (weights, coming, seed) => {
      const random = randomOf(seed)
      const list = weights.map((weight) => server(weight, 1, random))
      const exchanges = 20_000
      simulate(list, exchanges, coming, random)
      const sum = weights.reduce((one, other) => one + other)
      const asked = list.reduce((all, one) => all + one.asked, 0)
      for (const one of list) {
        const share = one.weight / sum
        const deviation = Math.sqrt(asked * share * (1 - share))
        // Beyond chance: what is remembered of the past is given back later.
        const most = 5.5 * deviation + 5
        expect(Math.abs(one.asked - asked * share), `${one.asked} of ${asked}, not ${asked * share}`).toBeLessThan(most)
      }
    }),
    { numRuns: 150 },
  )
})

test('a server that grows into its share has it all along', () => {
  const random = randomOf(7)
  const list = [server(1, 1, random), server(0.1, 1, random)]
  for (const weight of [0.1, 0.25, 0.5, 1]) {
    list[1]!.weight = weight
    for (const one of list) Object.assign(one, { asked: 0, active: 0 })
    simulate(list, 20_000, { atATime: 4, atRandom: false, below: 1 }, random)
    expect(list[1]!.asked / 20_000).toBeCloseTo(weight / (1 + weight), 1)
  }
})

test('where servers differ in speed, none has more than its part under way for long', () => {
  const takes = fc.constantFrom(0.1, 1, 5, 100)
  const pool = fc.array(fc.tuple(ratio, takes), { minLength: 2, maxLength: 4 })
  fc.assert(
    fc.property(pool, fc.integer({ min: 1, max: 256 }), fc.nat(), (servers, atATime, seed) => {
      const random = randomOf(seed)
      const list = servers.map(([weight, time]) => server(weight, time, random))
      const took = simulate(list, 3_000, { atATime, atRandom: false, below: 1 }, random)
      const sum = list.reduce((all, { weight }) => all + weight, 0)
      for (const one of list) expect(one.load / took).toBeLessThan((one.weight / sum) * atATime + 1.01)
    }),
    { numRuns: 100 },
  )
})

test('a server that hangs gets no more than its part, and the others all the rest', () => {
  const random = randomOf(3)
  const list = [server(1, 1, random), server(1, 1e9, random), server(1, 1, random)]
  simulate(list, 3_000, { atATime: 9, atRandom: false, below: 1 }, random)
  expect(list[1]!.asked).toBe(3)
})

test('one that was away has nothing to make up for, nor has one that comes', () => {
  const random = randomOf(5)
  const list = [server(1, 1, random), server(1, 1, random)]
  list[1]!.standing = 'drained'
  const draw = new ServerDraw()
  const share = (): number => {
    let asked = 0
    for (let n = 0; n < 2_000; n++) if (draw.pick(list, random(), null, true) === list[1]) asked++
    return asked / 2_000
  }
  expect(share()).toBe(0)
  list[1]!.standing = 'up'
  list[1]!.turn.begin()
  list.push(server(2, 1, random))
  expect(share()).toBeCloseTo(0.25, 1)
})

const candidate = fc.record({
  name: fc.string({ minLength: 1, maxLength: 3 }),
  active: fc.nat(20),
  weight: fc.integer({ min: 1, max: 1000 }),
  standing: fc.constantFrom<Standing>('up', 'up', 'due', 'overdue', 'avoided', 'drained'),
  turn: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }).map((chance) => new Turn(chance)),
})

test('whatever the pool: never a drained one, someone whenever not all are, and of those up one with less than its part', () => {
  fc.assert(
    fc.property(fc.array(candidate, { minLength: 1, maxLength: 8 }), fc.boolean(), fc.boolean(), (list, fails, may) => {
      const failed = fails ? { candidate: list[0]!, maySucceed: may } : null
      const one = new ServerDraw().next(list, failed, may)
      const willing = list.filter((each) => each.standing !== 'drained')
      if (willing.length === 0) return one === null
      if (one === null || one.standing === 'drained') return false
      const others = willing.filter((each) => each !== failed?.candidate)
      if (others.length > 0 && !may && one === failed?.candidate) return false
      const up = others.filter((each) => each.standing === 'up')
      if (one.standing !== 'up') return one.standing.endsWith('due') || up.length === 0
      if (one === failed?.candidate) return up.length === 0
      const active = up.reduce((all, each) => all + each.active, 1)
      const weight = up.reduce((all, each) => all + each.weight, 0)
      return one.active < (one.weight / weight) * active
    }),
    { numRuns: 2000 },
  )
})
