/**
 * The servers of upstreams: what table and fleet make of them, and what survives an edit of either.
 */
import { describe, expect, test } from 'vitest'
import { compileServer } from '../../../src/rules/language/compile.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { Route, Table } from '../../../src/rules/table/table.ts'
import type { Fleet, UpstreamFleet } from '../../../src/state/upstreams/fleet.ts'
import { Upstreams } from '../../../src/state/upstreams/upstreams.ts'
import type { Waiter } from '../../../src/state/upstreams/waiting-line.ts'

const NOTHING: UpstreamFleet = { leased: [], drained: [] }
const A = '127.0.0.1:1'
const B = '127.0.0.1:2'
const LEASED = compileServer({ url: 'http://127.0.0.1:9', id: 'nine', weight: 3 })

/** What is known of servers that the health checks have found unhealthy. */
const ill = (...ids: string[]): Pick<UpstreamFleet, 'health'> => ({
  health: Object.fromEntries(ids.map((id) => [`http://${id}`, false])),
})

function table(servers: string, more = '', health = ', health: { path: / }'): Table {
  const text = `version: 1\nupstreams:\n  shop: { servers: ${servers}${more}${health} }\ndefault: shop\n`
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.table
}

function upstreams(fleet?: Fleet, said = `[http://${A}, http://${B}]`): Upstreams {
  const made = new Upstreams(fleet === undefined ? {} : { fleet })
  made.prepare(table(said))()
  return made
}

const words = (of: Upstreams): Record<string, string> =>
  Object.fromEntries(of.standing()[0]!.servers.map(({ id, state }) => [id, state]))

/** Who takes the next exchanges. Where nobody is told that one is over, that is soon everybody. */
const asked = (of: Upstreams): Set<string | null> =>
  new Set(Array.from({ length: 50 }, (_, n) => of.get('shop')!.pick(n / 50, null, true)?.server.id ?? null))

test('a leased server joins those of the table, and leaves when its lease lapses', () => {
  const shop = upstreams()
  shop.setFleet({ shop: { ...NOTHING, leased: [LEASED] }, nobody: NOTHING })
  expect(shop.standing()[0]!.servers.map(({ id, leased, weight }) => [id, leased, weight])).toEqual([
    [A, false, 1],
    [B, false, 1],
    ['nine', true, 3],
  ])
  shop.setFleet({})
  expect(Object.keys(words(shop))).toEqual([A, B])
})

test("the table's server stands above a lease with its id", () => {
  const shop = upstreams({ shop: { ...NOTHING, leased: [compileServer({ url: `http://${A}`, weight: 7 })] } })
  expect(shop.standing()[0]!.servers.map(({ id, leased, weight }) => [id, leased, weight])).toEqual([
    [A, false, 1],
    [B, false, 1],
  ])
})

test('a drained server takes nothing, the last one neither; an unhealthy one is asked where no other is left', () => {
  const shop = upstreams()
  shop.setFleet({ shop: { ...NOTHING, drained: [A] } })
  expect(words(shop)).toEqual({ [A]: 'drained', [B]: 'up' })
  expect(asked(shop)).toEqual(new Set([B]))
  shop.setFleet({ shop: { ...NOTHING, ...ill(B) } })
  expect(asked(shop)).toEqual(new Set([A]))
  shop.setFleet({ shop: { ...NOTHING, drained: [A], ...ill(B) } })
  expect(words(shop)).toEqual({ [A]: 'drained', [B]: 'unhealthy' })
  expect(asked(shop)).toEqual(new Set([B]))
  shop.setFleet({ shop: { ...NOTHING, ...ill(A, B) } })
  expect(asked(shop)).toEqual(new Set([A, B]))
  shop.setFleet({ shop: { ...NOTHING, drained: [A, B] } })
  expect(asked(shop)).toEqual(new Set([null]))
  const single = upstreams({ shop: { ...NOTHING, drained: [A] } }, `[http://${A}]`)
  expect(asked(single)).toEqual(new Set([null]))
})

describe('health', () => {
  const told = (of: Upstreams, healthy: boolean) =>
    of.setFleet({ shop: { ...NOTHING, health: { [`http://${A}`]: healthy } } })
  const START = ', health: { path: /, start: unhealthy }'

  test('who has yet to be asked is what the table says', () => {
    const shop = upstreams()
    shop.prepare(table(`[http://${A}, http://${B}, http://127.0.0.1:3]`, '', START))()
    expect(new Set(Object.values(words(shop)))).toEqual(new Set(['unhealthy']))
    told(shop, true)
    expect(words(shop)).toEqual({ [A]: 'up', [B]: 'unhealthy', '127.0.0.1:3': 'unhealthy' })
    shop.setFleet({ shop: { ...NOTHING, health: { [`http://${A}`]: true }, leased: [LEASED] } })
    expect(words(shop).nine).toBe('unhealthy')
    expect(asked(shop)).toEqual(new Set([A]))
  })

  test('what is known holds for the place, not for the id: another address of it, another URL, is another server', () => {
    const shop = new Upstreams()
    shop.prepare(table(`[{ url: "http://${A}", id: one }, "http://shop.test"]`, '', START))()
    const known = { [`http://${A}`]: true, 'http://shop.test 10.0.0.1': true }
    shop.setFleet({ shop: { ...NOTHING, health: known, addresses: { 'shop.test:80': ['10.0.0.1', '10.0.0.2'] } } })
    expect(words(shop)).toEqual({ one: 'up', 'shop.test:80@10.0.0.1': 'up', 'shop.test:80@10.0.0.2': 'unhealthy' })
    shop.prepare(table(`[{ url: "http://${B}", id: one }]`, '', START))()
    expect(words(shop)).toEqual({ one: 'unhealthy' })
  })

  test('without health checks nobody is unhealthy, whatever was known', () => {
    const shop = upstreams()
    told(shop, false)
    expect(words(shop)[A]).toBe('unhealthy')
    shop.prepare(table(`[http://${A}, http://${B}]`, '', ''))()
    expect(words(shop)[A]).toBe('up')
  })
})

test('each address of a name is a server; what is said of the name holds for all of them', () => {
  const addresses = { 'shop.test:80': ['10.0.0.1', '10.0.0.2'] }
  const shop = upstreams(
    { shop: { ...NOTHING, addresses, drained: ['shop.test:80'] } },
    `[http://${A}, "http://shop.test"]`,
  )
  expect(words(shop)).toEqual({ [A]: 'up', 'shop.test:80@10.0.0.1': 'drained', 'shop.test:80@10.0.0.2': 'drained' })
  expect(shop.standing()[0]!.servers.map(({ leased }) => leased)).toEqual([false, false, false])
  expect(shop.get('shop')!.servers[1]!.pool.settings.hostname).toBe('10.0.0.1')
  expect(shop.get('shop')!.servers[1]!.authority).toBe('shop.test')
  const second = shop.get('shop')!.servers[2]
  shop.setFleet({ shop: { ...NOTHING, addresses, health: { 'http://shop.test 10.0.0.2': false } } })
  expect(words(shop)).toEqual({ [A]: 'up', 'shop.test:80@10.0.0.1': 'up', 'shop.test:80@10.0.0.2': 'unhealthy' })
  expect(shop.get('shop')!.servers[2]).toBe(second)
})

describe('slow start', () => {
  const SLOW = ', slowStart: 10s'
  const weights = (of: Upstreams): number[] => of.get('shop')!.servers.map(({ weight }) => weight)

  function slow() {
    const clock = { nowMs: 1000 }
    const shop = new Upstreams({ now: () => clock.nowMs })
    shop.prepare(table(`[http://${A}, http://${B}]`, SLOW))()
    const at = (nowMs: number): number[] => {
      clock.nowMs = nowMs
      shop.standing()
      return weights(shop)
    }
    return { shop, at }
  }

  test('none at the start of the process', () => {
    expect(slow().at(1000)).toEqual([1, 1])
  })

  test('of a server that the table or a lease adds; an edit of others, or of weights, starts nothing', () => {
    const { shop, at } = slow()
    shop.setFleet({ shop: { ...NOTHING, leased: [LEASED] } })
    expect(at(1000)[2]).toBeCloseTo(0.3)
    expect(words(shop).nine).toBe('slow-start')
    shop.prepare(table(`[{ url: "http://${A}", weight: 4 }, http://${B}, http://127.0.0.1:3]`, SLOW))()
    expect(at(6000)).toEqual([4, 1, 0.5, 1.5])
    expect(at(11_000)).toEqual([4, 1, 1, 3])
    expect(words(shop).nine).toBe('up')
  })

  test('of a server that is healthy again, or comes back from drain', () => {
    const { shop, at } = slow()
    shop.setFleet({ shop: { ...NOTHING, ...ill(A), drained: [B] } })
    expect(at(1000)).toEqual([1, 1])
    shop.setFleet({ shop: { ...NOTHING, drained: [B] } })
    expect(at(6000)[0]).toBeCloseTo(0.5)
    shop.setFleet({})
    expect(at(6000)[1]).toBeCloseTo(0.1)
    expect(words(shop)).toEqual({ [A]: 'slow-start', [B]: 'slow-start' })
  })

  test('the weight that it has by then is what it is picked by', () => {
    const { shop, at } = slow()
    shop.setFleet({ shop: { ...NOTHING, ...ill(A) } })
    shop.setFleet({})
    at(2000)
    const draws = Array.from({ length: 2000 }, () => shop.get('shop')!.pick(Math.random(), null, true)!.server.id)
    const share = draws.filter((id) => id === A).length / draws.length
    expect(share).toBeGreaterThan(0.05)
    expect(share).toBeLessThan(0.15)
  })
})

describe('places at an upstream', () => {
  class Patient implements Waiter {
    turns = 0
    onTurn(): void {
      this.turns++
    }
    onWaitedLong(): void {
      throw new Error('nobody waits that long here')
    }
  }

  const limited = (more: string, processes = 1) => {
    const shop = new Upstreams({ processes })
    shop.prepare(table(`[http://${A}]`, more))()
    return { shop, state: shop.get('shop')! }
  }

  test('each of several processes lets in its part, at least one', () => {
    const admissions = (max: number, processes: number) => {
      const { state } = limited(`, maxConcurrent: ${max}, queue: { size: 0 }`, processes)
      return Array.from({ length: 6 }, () => state.enter(new Patient())).filter((one) => one === 'in').length
    }
    expect([admissions(4, 1), admissions(4, 2), admissions(5, 2), admissions(1, 4)]).toEqual([4, 2, 3, 1])
  })

  test('first come, first served; a place that is given up in the line is the next one’s', () => {
    const { state } = limited(', maxConcurrent: 1, queue: { size: 2, timeout: 1m }')
    const [one, two, three, four] = Array.from({ length: 4 }, () => new Patient())
    expect([one, two, three, four].map((waiter) => state.enter(waiter!))).toEqual(['in', 'waits', 'waits', 'full'])
    state.giveUp(two!)
    expect(state.enter(four!)).toBe('waits')
    state.leave()
    expect([two!.turns, three!.turns, four!.turns]).toEqual([0, 1, 0])
    state.leave()
    expect([four!.turns, state.active, state.queued, state.counts.shed]).toEqual([1, 1, 0, 1])
    state.leave()
    expect(state.active).toBe(0)
  })

  test('a table that allows more lets in who waits', () => {
    const { shop, state } = limited(', maxConcurrent: 1, queue: { size: 9, timeout: 1m }')
    const waiters = Array.from({ length: 4 }, () => new Patient())
    for (const waiter of waiters) state.enter(waiter)
    shop.prepare(table(`[http://${A}]`, ', maxConcurrent: 3'))()
    expect(waiters.map(({ turns }) => turns)).toEqual([0, 1, 1, 0])
    shop.prepare(table(`[http://${A}]`))()
    expect(waiters.map(({ turns }) => turns)).toEqual([0, 1, 1, 1])
  })

  test('who leaves in the very turn it gets makes room for the next, however many there are', () => {
    const { state } = limited(', maxConcurrent: 1, queue: { size: 10000, timeout: 1m }')
    state.enter(new Patient())
    let turns = 0
    for (let n = 0; n < 10_000; n++) {
      state.enter({
        onTurn: () => {
          turns++
          state.leave()
        },
        onWaitedLong: () => {},
      })
    }
    state.leave()
    expect([turns, state.active, state.queued]).toEqual([10_000, 0, 0])
  })
})

test('undrain takes back a server that was left out before: who drained it may have replaced it', () => {
  const shop = upstreams()
  const first = shop.get('shop')!.servers.find(({ server }) => server.id === A)
  for (let n = 0; n < 5; n++) first!.ejection.failed({ failures: 5, errors: 5, pauseMs: 1e6, maxPauseMs: 1e6 }, 0)
  shop.setFleet({})
  expect(words(shop)).toEqual({ [A]: 'ejected', [B]: 'up' })
  shop.setFleet({ shop: { ...NOTHING, drained: [A] } })
  shop.setFleet({})
  expect(words(shop)).toEqual({ [A]: 'up', [B]: 'up' })
})

test('ejection: false takes back a server that was left out', () => {
  const shop = upstreams()
  const [first] = shop.get('shop')!.servers
  for (let n = 0; n < 5; n++) first!.ejection.failed({ failures: 5, errors: 5, pauseMs: 1e6, maxPauseMs: 1e6 }, 0)
  expect(words(shop)).toEqual({ [A]: 'ejected', [B]: 'up' })
  expect(asked(shop)).toEqual(new Set([B]))
  shop.prepare(table(`[http://${A}, http://${B}]`, ', ejection: false'))()
  expect(words(shop)).toEqual({ [A]: 'up', [B]: 'up' })
})

test('a breaker stays while its route keeps its settings and its to', () => {
  const shop = upstreams()
  const routeOf = (to: string, more: string): Route => {
    const text = `version: 1
upstreams: { shop: { servers: [http://${A}] }, b: { servers: [http://${B}] }, c: { servers: [http://${B}] } }
default: shop
routes: [{ id: r, match: { path: /r }, to: ${to}, percent: 100, fallback: {}${more} }]
`
    const read = readTable(text, 'routes.yaml')
    if (!read.ok) throw new Error(JSON.stringify(read.problems))
    shop.prepare(read.table)()
    return read.table.routes[0]!
  }
  const first = shop.breakers.of(routeOf('b', ''), 'b')!
  for (let n = 0; n < 20; n++) first.leave(first.enter(true, 0), false, shop.get('shop')!.now())
  const again = routeOf('b', ', sticky: ip')
  expect(shop.breakers.of(again, 'b')).toBe(first)
  expect(shop.isAvailable(again, 'GET', 'b')).toBe(false)
  expect(shop.standing().map(({ name, breakers }) => [name, breakers])).toEqual([
    ['shop', []],
    ['b', [{ route: 'r', state: 'open' }]],
    ['c', []],
  ])
  expect(shop.isAvailable(routeOf('b', ', breaker: { pause: 1s }'), 'GET', 'b')).toBe(true)
  // An exchange of the revision before has its own breaker: nobody is told of it, or of what is gone.
  expect(shop.breakers.of(again, 'b')!.isClosed).toBe(true)
  expect(shop.standing()[1]!.breakers).toEqual([{ route: 'r', state: 'closed' }])
  const opened = shop.measurements.upstream('b').breakers.of('r')
  expect(opened.opened).toBe(1)
  expect(shop.isAvailable(routeOf('c', ''), 'GET', 'c')).toBe(true)
  expect(shop.isAvailable(routeOf('b', ', breaker: false'), 'GET', 'b')).toBe(true)
  shop.breakers.of(again, 'b')
  expect(shop.standing().flatMap(({ breakers }) => breakers)).toEqual([])
  expect(opened.opened).toBe(1)
})

test('what an edit does not concern stays as it is: objects, connections, drained or not', () => {
  const shop = upstreams({ shop: { leased: [LEASED], drained: [A], ...ill(B) } })
  const before = shop.get('shop')!.servers.slice()
  shop.prepare(table(`[{ url: "http://${B}", weight: 9 }, http://${A}, http://127.0.0.1:3]`))()
  const after = shop.get('shop')!.servers
  expect(after.map(({ server }) => [server.id, server.weight])).toEqual([
    [B, 9],
    [A, 1],
    ['127.0.0.1:3', 1],
    ['nine', 3],
  ])
  expect([after[1], after[0], after[3]]).toEqual(before)
  expect(words(shop)).toEqual({ [A]: 'drained', [B]: 'unhealthy', '127.0.0.1:3': 'up', nine: 'up' })
})

test('other timeouts are other connections; another address under the same id is another server', () => {
  const shop = upstreams(undefined, `[{ id: a, url: "http://${A}" }]`)
  const [first] = shop.get('shop')!.servers
  shop.prepare(table(`[{ id: a, url: "http://${A}" }]`, ', timeouts: { idle: 5s }'))()
  const [second] = shop.get('shop')!.servers
  expect(second!.pool).not.toBe(first!.pool)
  // What is counted of a server goes on under its name.
  first!.counts.exchanges = 3
  expect(second!.counts).toBe(first!.counts)
  shop.prepare(table(`[{ id: a, url: "http://${B}" }]`, ', timeouts: { idle: 5s }'))()
  expect(shop.get('shop')!.servers[0]!.pool).not.toBe(second!.pool)
})

test('a table that was made ready before the fleet changed takes effect with the fleet as it is', () => {
  const shop = upstreams()
  const commit = shop.prepare(table(`[http://${A}]`))
  shop.setFleet({ shop: { ...NOTHING, leased: [LEASED], drained: [A] } })
  const nine = shop.get('shop')!.servers[2]
  commit()
  expect(words(shop)).toEqual({ [A]: 'drained', nine: 'up' })
  expect(shop.get('shop')!.servers[1]).toBe(nine)
})
