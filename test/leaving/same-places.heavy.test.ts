/**
 * Exported configurations in nginx and HAProxy, beside banyan: requests go to the same places.
 */
import { once } from 'node:events'
import { Agent, request as ask, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readTable } from '../../src/rules/language/text.ts'
import { exportTable } from '../../src/rules/leaving/export.ts'
import { readTarget } from '../../src/rules/patterns/path.ts'
import { matchRoute } from '../../src/rules/routing/match.ts'
import { view } from '../rules/make.ts'
import { startBanyan } from '../support/banyan.ts'
import { type ProxyEngine, startEngine } from '../support/engines.ts'
import { freePort } from '../support/free-port.ts'
import { type Asked, request, tables, UPSTREAMS } from './tables.ts'

const ENGINES: readonly ProxyEngine[] = ['nginx', 'haproxy']

const servers = UPSTREAMS.map((name) =>
  createServer((got, answer) => {
    got.resume()
    answer.setHeader('Served-By', name).end()
  }),
)
let ports: number[] = []
const agent = new Agent({ keepAlive: true, maxSockets: 32 })

beforeAll(async () => {
  for (const server of servers) await once(server.listen(0, '127.0.0.1'), 'listening')
  ports = servers.map((server) => (server.address() as AddressInfo).port)
})

afterAll(() => {
  agent.destroy()
  for (const server of servers) server.close().closeAllConnections()
})

/** Where a proxy sends a request: the name of the upstream, or the status that the proxy answers with itself. */
function placeOf(port: number, { method, target, headers }: Asked): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = ask({
      agent,
      port,
      host: '127.0.0.1',
      method,
      path: target,
      setHost: false,
      headers: [...headers, 'Content-Length', '0'],
    })
    sent.once('error', reject).once('response', (answer) => {
      answer.resume()
      answer.once('end', () => resolve(String(answer.headers['served-by'] ?? answer.statusCode)))
    })
    sent.end()
  })
}

async function placesOf(port: number, all: readonly Asked[]): Promise<string[]> {
  const places: string[] = []
  for (let at = 0; at < all.length; at += 64)
    places.push(...(await Promise.all(all.slice(at, at + 64).map((one) => placeOf(port, one)))))
  return places
}

/** What a request has that engines read otherwise: docs/guides/leave.md lists them. */
function peculiarity({ target, headers }: Asked): string | null {
  if (readTarget(target).ambiguity !== null) return 'ambiguous path'
  const names = headers.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase())
  if (new Set(names).size < names.length) return 'repeated header'
  if (headers.some((text, at) => at % 2 === 1 && text === '')) return 'empty header'
  return null
}

/** Where banyan sends a request by a table that has no share between 0 and 100. */
function placeByTable(text: string, { method, target, headers }: Asked): string {
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error('the table has a problem')
  const { route } = matchRoute(
    read.table,
    view(target, { method, host: (headers[1] ?? '').toLowerCase(), rawHeaders: headers, clientAddress: '127.0.0.1' }),
  )
  if (route === null) return read.table.default
  return route.percent === 0 ? route.from : (route.targets[0]?.upstream ?? '')
}

/** Runs the engines on exported tables; the places of each request, by engine. */
async function withEngines<Result>(
  text: string,
  use: (ports: Record<ProxyEngine, number>) => Promise<Result>,
): Promise<Result> {
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error('the table has a problem')
  const own = { nginx: await freePort(), haproxy: await freePort() }
  const running = []
  try {
    for (const engine of ENGINES) {
      const { config } = exportTable(engine, read.table, {
        text,
        file: 'routes.yaml',
        listen: `127.0.0.1:${own[engine]}`,
      })
      running.push(await startEngine(engine, config, own[engine]))
    }
    return await use(own)
  } finally {
    for (const one of running) await one.stop()
  }
}

const sampled = (count: number, seed: number): Asked[] => fc.sample(request, { numRuns: count, seed })

/** Requests that go elsewhere, by what they have that is read otherwise. */
function differences(
  all: readonly Asked[],
  own: readonly string[],
  other: readonly string[],
): Map<string, (Asked & { own: string; other: string })[]> {
  const found = all
    .map((one, at) => ({ ...one, own: own[at] as string, other: other[at] as string }))
    .filter((one) => one.own !== one.other)
  return Map.groupBy(found, (one) => peculiarity(one) ?? 'unexpected')
}

describe('beside banyan', () => {
  test('10,000 random requests go where banyan sends them; what is read otherwise is counted apart', async () => {
    const text = table(ports)
    const banyan = await startBanyan({ table: text })
    try {
      await withEngines(text, async (engines) => {
        const every = sampled(20_000, 26)
        const plain = every.filter((one) => peculiarity(one) === null).slice(0, 10_000)
        expect(plain).toHaveLength(10_000)
        const all = [...plain, ...every.filter((one) => peculiarity(one) !== null).slice(0, 1_000)]
        const own = await placesOf(banyan.port, all)
        // All upstreams have their share, or the comparison would say little.
        for (const name of UPSTREAMS) expect(own.filter((place) => place === name).length).toBeGreaterThan(300)
        for (const engine of ENGINES) {
          const differing = differences(all, own, await placesOf(engines[engine], all))
          expect((differing.get('unexpected') ?? []).slice(0, 3), engine).toEqual([])
          console.log(engine, [...differing].map(([kind, found]) => `${kind}: ${found.length}`).join(', '))
        }
      })
    } finally {
      await banyan.stop()
    }
  })

  test('so do requests of random tables', async () => {
    await fc.assert(
      fc.asyncProperty(tables(ports), fc.integer(), async (text, seed) => {
        await withEngines(text, async (engines) => {
          const all = sampled(100, seed)
          const own = all.map((one) => placeByTable(text, one))
          for (const engine of ENGINES) {
            const differing = differences(all, own, await placesOf(engines[engine], all))
            expect((differing.get('unexpected') ?? []).slice(0, 3), engine).toEqual([])
          }
        })
      }),
      { numRuns: 5, endOnFailure: true },
    )
  })
})

/** Routes with every kind of condition, several of which most requests meet. */
function table([legacy, fresh, next]: readonly number[]): string {
  return `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy}"] }
  new: { servers: ["http://127.0.0.1:${fresh}"], maxIdleConnections: 8 }
  next: { servers: ["http://127.0.0.1:${next}"], timeouts: { headers: 5s } }
default: legacy
routes:
  - { id: any, match: { path: /* , hosts: [one.test, "*.test"] }, to: next, percent: 100 }
  - { id: a, match: { path: /a/* }, to: new, percent: 100, trailingSlash: ignore }
  - { id: a-x, match: { path: "/a/:x", methods: [GET, HEAD] }, to: next, percent: 100, timeouts: { headers: 2s } }
  - { id: a-x-old, match: { path: "/a/:x", methods: [GET], headers: { x-one: "1" } }, to: new, percent: 0 }
  - { id: a-b, match: { path: /a/b, query: { q: ["1", "2"], "a b": true } }, to: new, percent: 100 }
  - { id: spaces, match: { paths: ["/a%20b", "/é/*", "/a.b/:x"] }, to: next, percent: 100 }
  - { id: x-b, match: { path: "/:x/b", cookies: { sid: { startsWith: "1" } } }, to: new, percent: 100 }
  - { id: x-c, match: { path: "/:x/:y/c", headers: { x-two: { contains: "$" } } }, to: next, percent: 100 }
  - { id: case, match: { path: /c/*, anyOf: [{ cookies: { c: false } }, { hosts: ["one.test:8443"] }] }, to: new, percent: 100, caseInsensitivePaths: true }
  - { id: first, match: { path: /x/*, clients: [127.0.0.0/8], query: { q: { contains: "é" } } }, to: new, percent: 100, priority: 5 }
  - { id: posts, match: { path: "/:x/*", methods: [POST] }, from: new, to: next, percent: 0, priority: -1 }
`
}
