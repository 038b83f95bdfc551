/**
 * Servers of an upstream that are killed and come back, under load: no safe request fails.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { startLoad } from '../support/load.ts'
import { type Program, startProgram } from '../support/process.ts'

const CLIENTS = 24

interface Plain {
  readonly name: string
  readonly port: number
  program: Program
}

async function startPlain(name: string, port = 0): Promise<Plain> {
  const program = startProgram(['test/support/plain-server.ts', String(port), name])
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
  const load = startLoad(banyan.port, CLIENTS, () => ({ path: '/alone' }))
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
  const load = startLoad(banyan.port, CLIENTS, () => ({ path: '/moved' }))
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
