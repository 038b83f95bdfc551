/**
 * Servers of an upstream that are killed and come back, under load: no safe request fails.
 */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Banyan, startBanyan } from '../../support/banyan.ts'
import { freePort } from '../../support/free-port.ts'
import { startLoad } from '../../support/load.ts'
import { type Program, startProgram } from '../../support/process.ts'
import { scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

const CLIENTS = 24

interface Plain {
  readonly name: string
  readonly port: number
  program: Program
}

async function startPlain(name: string, port?: number): Promise<Plain> {
  const program = startProgram(['test/support/plain-server.ts', String(port ?? (await freePort())), name])
  const line = await program.line((one) => one.startsWith('plain ready '))
  return { name, port: Number(line.split(' ')[2]), program }
}

let legacy: Plain
let modern: Plain[]
let banyan: Banyan

beforeAll(async () => {
  const [first, ...others] = await Promise.all(['legacy', 'm1', 'm2', 'm3'].map((name) => startPlain(name)))
  legacy = first as Plain
  modern = others
  const servers = modern.map(({ port }) => `"http://127.0.0.1:${port}"`).join(', ')
  banyan = await startBanyan({
    table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: [${servers}], ejection: { pause: 200ms, maxPause: 1s } }
default: legacy
routes:
  - { id: alone, match: { path: /alone }, to: modern, percent: 100 }
  - { id: stored, match: { path: /stored }, to: modern, percent: 100, cache: {} }
  - id: moved
    match: { path: /moved }
    to: modern
    percent: 100
    fallback: {}
    breaker: { window: 1s, pause: 500ms }
`,
  })
})

afterAll(async () => {
  expect(await banyan.stop()).toBe(0)
  await Promise.all([legacy, ...modern].map(({ program }) => program.kill()))
})

const failed = (outcomes: readonly { status: number }[]): unknown[] => outcomes.filter(({ status }) => status !== 200)

interface Live {
  readonly servers: readonly { id: string; state: string; ejections: number }[]
  readonly retries: number
  readonly breakers: readonly { route: string; state: string; opened: number }[]
}

async function live(): Promise<Live> {
  const response = await fetch(`http://127.0.0.1:${banyan.adminPort}/upstreams/modern`)
  return ((await response.json()) as { live: Live }).live
}

test('one of three is killed, and started again: no GET fails, and the server has its share again', async () => {
  // The cache asks for its own: of half of them, each another one.
  const load = startLoad(banyan.port, CLIENTS, (n) => ({ path: n % 2 === 0 ? '/alone' : `/stored?${n}` }), 0)
  await load.more(1000)
  expect(new Set(load.outcomes.map(({ text }) => text))).toEqual(new Set(['m1', 'm2', 'm3']))
  const [, victim] = modern as [Plain, Plain, Plain]
  await victim.program.kill()
  await load.more(3000)
  const before = await live()
  expect(before.retries).toBeGreaterThan(0)
  expect(before.servers.map(({ state }) => state)).toEqual(['up', 'ejected', 'up'])
  expect(before.servers[1]?.ejections).toBeGreaterThan(0)
  victim.program = (await startPlain(victim.name, victim.port)).program
  await load.next(({ text }) => text === victim.name)
  const from = load.outcomes.length
  await load.more(3000)
  await load.stop()
  expect(failed(load.outcomes)).toEqual([])
  const share = load.outcomes.slice(from).filter(({ text }) => text === victim.name).length
  expect(share).toBeGreaterThan(500)
})

test('all three are killed: legacy answers all of the share, and the share returns by itself', async () => {
  const load = startLoad(banyan.port, CLIENTS, () => ({ path: '/moved' }), 0)
  await load.more(500)
  expect(load.outcomes.some(({ text }) => text === 'legacy')).toBe(false)
  await Promise.all(modern.map(({ program }) => program.kill()))
  await load.next(({ text }) => text === 'legacy')
  await load.more(3000)
  const down = await live()
  expect(down.breakers.find(({ route }) => route === 'moved')?.opened).toBeGreaterThan(0)
  await Promise.all(
    modern.map(async (one) => {
      one.program = (await startPlain(one.name, one.port)).program
    }),
  )
  await load.next(({ text }) => text !== 'legacy')
  // The breaker closes behind its third probe: from then on it is all of the share again.
  let inARow = 0
  await load.next(({ text }) => {
    inARow = text === 'legacy' ? 0 : inARow + 1
    return inARow === 1000
  })
  await load.stop()
  expect(failed(load.outcomes)).toEqual([])
  const up = await live()
  expect(up.breakers.find(({ route }) => route === 'moved')?.state).toBe('closed')
  const response = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/moved`)
  const route = (await response.json()) as { live: { reasons: Record<string, number>; breaker: string } }
  expect(route.live.breaker).toBe('closed')
  expect(route.live.reasons.unavailable).toBeGreaterThan(0)
  expect(route.live.reasons.fallback).toBeGreaterThan(0)
})

test('retries of what may have arrived stay within their budget', async () => {
  const held: UpstreamRequest[] = []
  const all = Promise.withResolvers<void>()
  const take = (request: UpstreamRequest): void => {
    held.push(request)
    if (held.length === 10) all.resolve()
  }
  const pair = await Promise.all([scriptedUpstream(take), scriptedUpstream(take)])
  const proxy = await startBanyan({
    table: `version: 1
upstreams: { pair: { servers: ["http://127.0.0.1:${pair[0].port}", "http://127.0.0.1:${pair[1].port}"], ejection: false } }
default: pair
`,
  })
  onTestFinished(async () => {
    await Promise.all([proxy.stop(), ...pair.map((one) => one.stop())])
  })
  const load = startLoad(proxy.port, 10, () => ({ path: '/' }))
  await all.promise
  const first = held.splice(0)
  for (const one of pair) one.handler = (request) => void held.push(request)
  // New connections, closed without an answer, all at once: what they did is unknown.
  for (const request of first) request.connection.reset()
  const stopped = load.stop()
  // Three are tried again, and wait; for seven there was no room.
  while (load.outcomes.length < 7 || held.length < 3) await new Promise((resolve) => setTimeout(resolve, 5))
  expect(load.outcomes.map(({ status }) => status)).toEqual(Array(7).fill(502))
  for (const request of held) await request.ok()
  await stopped
  expect(load.outcomes.slice(7).map(({ status }) => status)).toEqual([200, 200, 200])
  const response = await fetch(`http://127.0.0.1:${proxy.adminPort}/upstreams/pair`)
  const { live } = (await response.json()) as { live: Record<string, number> }
  expect(live).toMatchObject({ retries: 3, retriesRefused: 7, active: 0 })
})
