/**
 * Where the requests of a route go: those without a key, and those of a share that is split among several upstreams. Real processes.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { banyan as command } from '../cli/rig.ts'
import { type Banyan, startBanyan } from '../support/banyan.ts'

const NAMES = ['legacy', 'gtin', 'next'] as const
const servers = new Map<string, Server>()
/** By the cookie of the request: the upstream that a copy went to. */
const copies = new Map<string, string>()
let proxy: Banyan | null = null

beforeAll(async () => {
  for (const name of NAMES) {
    const server = createServer((req, res) => {
      // `from` is asked again where the sides differ.
      if (req.headers['banyan-shadow'] !== undefined && name !== 'legacy') copies.set(req.headers.cookie ?? '', name)
      res.end(name)
    })
    servers.set(name, server)
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
  }
})
afterEach(async () => {
  await proxy?.stop()
  proxy = null
})
afterAll(() => {
  for (const server of servers.values()) {
    server.closeAllConnections()
    server.close()
  }
})

function table(route: string): string {
  const upstreams = NAMES.map((name) => `  ${name}: { servers: [http://127.0.0.1:${portOf(name)}] }\n`).join('')
  return `version: 1\nupstreams:\n${upstreams}default: legacy\nroutes:\n  - { id: a, match: { path: /a }, ${route} }\n`
}

function portOf(name: string): number {
  return (servers.get(name)!.address() as AddressInfo).port
}

async function get(sid: string | null = null): Promise<string> {
  const headers = sid === null ? {} : { cookie: `sid=${sid}` }
  return (await fetch(`http://127.0.0.1:${proxy?.port}/a`, { headers })).text()
}

/** Runs a command against the proxy. */
async function told(...words: string[]): Promise<string> {
  const { out, err, code } = await command([...words, '--admin', `127.0.0.1:${proxy?.adminPort}`])
  expect([code, err]).toEqual([0, ''])
  return out
}

test('requests without a key stay until the percent is 100, and set says that they move at once; noKey: from keeps them', async () => {
  proxy = await startBanyan({ table: table('to: gtin, percent: 99.9999, sticky: cookie:sid') })
  expect(await get()).toBe('legacy')
  expect(await get()).toBe('legacy')
  expect(await get('alice')).toBe('gtin')
  const wouldMove = /(\d+) of them have no sticky key: such requests would move all at once/
  await expect.poll(() => told('set', 'a', '100', '--dry-run')).toMatch(wouldMove)
  const all = await told('set', 'a', '100')
  expect(all).toMatch(
    /^\d+ of its last \d+ requests have no sticky key: such requests move all at once; noKey: from keeps them$/m,
  )
  expect(await get()).toBe('gtin')
  expect(await told('set', 'a', '0')).toMatch(
    /of its last \d+ requests have no sticky key: such requests move all at once$/m,
  )
  const patch = { method: 'PATCH', body: JSON.stringify({ percent: 100, noKey: 'from' }) }
  const init = { ...patch, headers: { 'content-type': 'application/json' } }
  const answer = await fetch(`http://127.0.0.1:${proxy.adminPort}/routes/a`, init)
  expect(await answer.json()).toMatchObject({ percent: 100, noKey: 'from', withoutKey: { moved: 0 } })
  expect([await get(), await get('alice')]).toEqual(['legacy', 'gtin'])
  expect(await told('explain', '/a')).toContain('legacy: no sticky key in the request, and noKey says so (no-key)')
})

test('noKey: to moves them first', async () => {
  proxy = await startBanyan({ table: table('to: gtin, percent: 0.0001, sticky: cookie:sid, noKey: to') })
  expect([await get(), await get('alice')]).toEqual(['gtin', 'legacy'])
})

test('a share is split among several upstreams; weights and percent are edited one without the other', async () => {
  const text = table('to: { gtin: 50, next: 50 }, percent: 50, sticky: cookie:sid, fallback: {}')
  proxy = await startBanyan({ table: text })
  const clients = Array.from({ length: 60 }, (_, n) => `client${n}`)
  const all = (): Promise<string[]> => Promise.all(clients.map((sid) => get(sid)))
  const half = await all()
  expect(new Set(half)).toEqual(new Set(['legacy', 'gtin', 'next']))
  expect(await all()).toEqual(half)
  expect(await told('set', 'a', '100')).toContain('a: 50 % -> 100 % to gtin 50, next 50')
  const whole = await all()
  expect(new Set(whole)).toEqual(new Set(['gtin', 'next']))
  expect(half.filter((name, n) => name !== 'legacy' && name !== whole[n])).toEqual([])
  expect(await told('set', 'a', '--to', 'next=0')).toContain('100 % to gtin 50, next 50 -> 100 % to gtin 50, next 0')
  expect(new Set(await all())).toEqual(new Set(['gtin']))
  expect(await told('set', 'a', '10', '--to', 'gtin=1,next=3')).toContain('-> 10 % to gtin 1, next 3')
  expect(await (await fetch(`http://127.0.0.1:${proxy.adminPort}/routes.yaml`)).text()).toBe(
    text.replace('gtin: 50, next: 50', 'gtin: 1, next: 3').replace('percent: 50', 'percent: 10'),
  )
  const live = (await (await fetch(`http://127.0.0.1:${proxy.adminPort}/routes/a`)).json()).live
  expect(Object.keys(live.lastMinute.sides).sort()).toEqual(['gtin', 'legacy', 'next'])
  expect(live.lastMinute.share.actualPercent).toBeGreaterThan(50)
  const metrics = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text()
  expect(metrics).toContain('banyan_route_percent{route="a",to="gtin"} 2.5')
  expect(metrics).toContain('banyan_route_percent{route="a",to="next"} 7.5')
  expect(await told('explain', '/a', '-H', 'cookie: sid=client1')).toMatch(
    /a: 10 % to gtin 1, next 3 \(this request: (gtin|next)\), the rest to legacy/,
  )
  expect(await told('routes')).toContain('gtin 1, next 3')
})

test('a target that fails is answered for by from; its breaker is its own', async () => {
  const breaker = 'breaker: { minRequests: 5, pause: 1h }'
  const route = `to: { gtin: 50, gone: 50 }, percent: 100, sticky: cookie:sid, fallback: {}, ${breaker}`
  const gone = createServer()
  await new Promise<void>((resolve) => {
    gone.listen(0, '127.0.0.1', resolve)
  })
  const { port } = gone.address() as AddressInfo
  await new Promise((resolve) => {
    gone.close(resolve)
  })
  const text = table(route).replace('default:', `  gone: { servers: [http://127.0.0.1:${port}] }\ndefault:`)
  proxy = await startBanyan({ table: text })
  const answers: string[] = []
  for (let n = 0; n < 60; n++) answers.push(await get(`client${n}`))
  expect(new Set(answers)).toEqual(new Set(['gtin', 'legacy']))
  const { upstreams } = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/upstreams`)).json()
  const states = upstreams.flatMap((one: { name: string; live: { breakers: { state: string }[] } }) =>
    one.live.breakers.map(({ state }) => `${one.name} ${state}`),
  )
  expect(states.sort()).toEqual(['gone open', 'gtin closed'])
  expect((await (await fetch(`http://127.0.0.1:${proxy.adminPort}/routes/a`)).json()).live.breaker).toBe('open')
})

test('a copy for comparison goes to the upstream that would have the key', async () => {
  copies.clear()
  const route = 'to: { gtin: 50, next: 50 }, percent: 0, sticky: cookie:sid, shadow: { percent: 100, noise: 0 }'
  proxy = await startBanyan({ table: table(route) })
  const clients = Array.from({ length: 12 }, (_, n) => `client${n}`)
  for (const sid of clients) {
    expect(await get(sid)).toBe('legacy')
    await expect.poll(() => copies.has(`sid=${sid}`), { timeout: 120_000 }).toBe(true)
  }
  expect(new Set(copies.values())).toEqual(new Set(['gtin', 'next']))
  await told('set', 'a', '100')
  for (const sid of clients) expect(await get(sid)).toBe(copies.get(`sid=${sid}`))
})
