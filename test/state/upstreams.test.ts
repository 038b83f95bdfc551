/**
 * The servers of upstreams: what table and fleet make of them, and what survives an edit of either.
 */
import { expect, test } from 'vitest'
import type { Table } from '../../src/rules/table.ts'
import { compileServer } from '../../src/rules/table-compile.ts'
import { readTable } from '../../src/rules/table-text.ts'
import type { Fleet, UpstreamFleet } from '../../src/state/fleet.ts'
import { Upstreams } from '../../src/state/upstreams.ts'

const NOTHING: UpstreamFleet = { leased: [], drained: [], unhealthy: [] }
const A = '127.0.0.1:1'
const B = '127.0.0.1:2'
const LEASED = compileServer({ url: 'http://127.0.0.1:9', id: 'nine', weight: 3 })

function table(servers: string, more = ''): Table {
  const text = `version: 1\nupstreams:\n  shop: { servers: ${servers}${more} }\ndefault: shop\n`
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
  Object.fromEntries(of.figures()[0]!.servers.map(({ id, state }) => [id, state]))

const asked = (of: Upstreams): Set<string | null> => new Set([0.1, 0.4, 0.7, 0.9].map((at) => of.serverFor('shop', at)))

test('a leased server joins those of the table, and leaves when its lease lapses', () => {
  const shop = upstreams()
  shop.setFleet({ shop: { ...NOTHING, leased: [LEASED] }, nobody: NOTHING })
  expect(shop.figures()[0]!.servers.map(({ id, leased, weight }) => [id, leased, weight])).toEqual([
    [A, false, 1],
    [B, false, 1],
    ['nine', true, 3],
  ])
  shop.setFleet({})
  expect(Object.keys(words(shop))).toEqual([A, B])
})

test("the table's server stands above a lease with its id", () => {
  const shop = upstreams({ shop: { ...NOTHING, leased: [compileServer({ url: `http://${A}`, weight: 7 })] } })
  expect(shop.figures()[0]!.servers.map(({ id, leased, weight }) => [id, leased, weight])).toEqual([
    [A, false, 1],
    [B, false, 1],
  ])
})

test('a drained server takes nothing, the last one neither; an unhealthy one is asked where no other is left', () => {
  const shop = upstreams()
  shop.setFleet({ shop: { ...NOTHING, drained: [A] } })
  expect(words(shop)).toEqual({ [A]: 'drained', [B]: 'up' })
  expect(asked(shop)).toEqual(new Set([B]))
  shop.setFleet({ shop: { ...NOTHING, unhealthy: [B] } })
  expect(asked(shop)).toEqual(new Set([A]))
  shop.setFleet({ shop: { ...NOTHING, drained: [A], unhealthy: [B] } })
  expect(words(shop)).toEqual({ [A]: 'drained', [B]: 'unhealthy' })
  expect(asked(shop)).toEqual(new Set([B]))
  shop.setFleet({ shop: { ...NOTHING, unhealthy: [A, B] } })
  expect(asked(shop)).toEqual(new Set([A, B]))
  shop.setFleet({ shop: { ...NOTHING, drained: [A, B] } })
  expect(asked(shop)).toEqual(new Set([null]))
  const single = upstreams({ shop: { ...NOTHING, drained: [A] } }, `[http://${A}]`)
  expect(asked(single)).toEqual(new Set([null]))
})

test('each address of a name is a server; what is said of the name holds for all of them', () => {
  const addresses = { 'shop.test:80': ['10.0.0.1', '10.0.0.2'] }
  const shop = upstreams(
    { shop: { ...NOTHING, addresses, drained: ['shop.test:80'] } },
    `[http://${A}, "http://shop.test"]`,
  )
  expect(words(shop)).toEqual({ [A]: 'up', 'shop.test:80@10.0.0.1': 'drained', 'shop.test:80@10.0.0.2': 'drained' })
  expect(shop.figures()[0]!.servers.map(({ leased }) => leased)).toEqual([false, false, false])
  expect(shop.get('shop')!.servers[1]!.pool.settings.hostname).toBe('10.0.0.1')
  expect(shop.get('shop')!.servers[1]!.authority).toBe('shop.test')
  const second = shop.get('shop')!.servers[2]
  shop.setFleet({ shop: { ...NOTHING, addresses, unhealthy: ['shop.test:80@10.0.0.2'] } })
  expect(words(shop)).toEqual({ [A]: 'up', 'shop.test:80@10.0.0.1': 'up', 'shop.test:80@10.0.0.2': 'unhealthy' })
  expect(shop.get('shop')!.servers[2]).toBe(second)
})

test('what an edit does not concern stays as it is: objects, connections, drained or not', () => {
  const shop = upstreams({ shop: { leased: [LEASED], drained: [A], unhealthy: [B] } })
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
