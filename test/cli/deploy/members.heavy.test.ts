/**
 * Servers that drain, register themselves and lapse, under load: no request fails.
 */
import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { allGood, answeredBy, LOOKUP, type Stage, stageOf } from './rig.ts'

let stage: Stage

beforeEach(async () => {
  stage = await stageOf(
    ['one', 'two'],
    (legacy, port) => `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy}] }
  gtin: { servers: [{ url: http://127.0.0.1:${port('one')}, id: one }] }
default: legacy
routes:
  - { id: gtin-lookup, match: { path: "/stores/:storeId/gtins/:gtin" }, to: gtin, percent: 100 }
`,
  )
})
afterEach(() => stage?.stop())

const TWO = '/upstreams/gtin/servers/two'

test('drain gives a server nothing new and breaks off nothing: it waits until all have ended', async () => {
  let asked = 0
  const held: ServerResponse[] = []
  await stage.fleet.replaceBy('two', (_req, res) => {
    asked++
    res.write('{"host":"two-slow",')
    held.push(res)
  })
  await stage.admin('PUT', TWO, { url: `http://127.0.0.1:${stage.fleet.portOf('two')}` })
  const load = stage.load(8)
  while (held.length < 4) await load.more(1)
  const now = (await (await stage.admin('POST', `${TWO}/drain`)).json()) as { active: number; drained: boolean }
  const atDrain = asked
  expect(now).toMatchObject({ drained: true })
  expect(now.active).toBeGreaterThanOrEqual(4)
  let over = false
  const waiting = stage.admin('POST', `${TWO}/drain?wait=5m`).then(async (answer) => {
    over = true
    return answer.json()
  })
  await load.more(300)
  expect([over, asked], 'it waits, and nothing new has come').toEqual([false, atDrain])
  for (const res of held) res.end('"gtin":"1"}')
  expect(await waiting).toMatchObject({ active: 0, drained: true })
  await stage.fleet.end('two')
  await stage.admin('DELETE', TWO)
  await load.more(100)
  await load.stop()
  const count = allGood(load)
  expect(load.outcomes.filter((outcome) => answeredBy(outcome) === 'two-slow')).toHaveLength(held.length)
  await stage.fleet.start('two', 'v1')
  console.info(`drain: ${count} requests, ${held.length} of them under way at the server, 0 failed`)
})

test('the last server drained: a route that falls back is answered by the other side, another one gets 503', async () => {
  const drained = (await (await stage.admin('POST', '/upstreams/gtin/servers/one/drain')).json()) as { note: string }
  expect(drained.note).toMatch(/^no server of gtin is in use: /)
  const lookup = async (): Promise<number> => (await fetch(`http://127.0.0.1:${stage.banyan.port}${LOOKUP}`)).status
  expect(await lookup()).toBe(503)
  await stage.admin('PATCH', '/routes/gtin-lookup', { fallback: {} })
  expect(await lookup()).toBe(200)
  await stage.admin('POST', '/upstreams/gtin/servers/one/undrain')
  await stage.admin('PATCH', '/routes/gtin-lookup', { fallback: null })
  expect(await lookup()).toBe(200)
})

test('an upstream that begins without servers: the other side answers until one has registered itself', async () => {
  const table = (await (await stage.admin('GET', '/routes.yaml')).text()).replace(
    /(gtin: \{ servers: \[).*\] \}/,
    '$1] }',
  )
  expect(table).toContain('gtin: { servers: [] }')
  const put = await fetch(`http://127.0.0.1:${stage.banyan.adminPort}/routes.yaml`, {
    method: 'PUT',
    headers: { 'content-type': 'application/yaml' },
    body: table.replace('percent: 100', 'percent: 100, fallback: {}'),
  })
  expect(put.status, await put.clone().text()).toBe(200)
  const lookup = async (): Promise<string> => (await fetch(`http://127.0.0.1:${stage.banyan.port}${LOOKUP}`)).text()
  expect(await lookup()).not.toMatch(/^\{"host":"two-v1"/)
  const registered = { url: `http://127.0.0.1:${stage.fleet.portOf('two')}`, ttl: '5m' }
  expect((await stage.admin('PUT', TWO, registered)).status).toBe(201)
  expect(await lookup()).toMatch(/^\{"host":"two-v1"/)
  const gone = await stage.admin('DELETE', TWO)
  expect(gone.status, await gone.clone().text()).toBeLessThan(300)
  expect(await lookup()).not.toMatch(/^\{"host":"two-v1"/)
})

test('an instance registers itself, keeps its lease by heartbeats, and is gone when they stop', async () => {
  const url = `http://127.0.0.1:${stage.fleet.portOf('two')}`
  const beat = async (): Promise<number> => (await stage.admin('PUT', TWO, { url, ttl: '8s' })).status
  const load = stage.load()
  expect(await beat()).toBe(201)
  const begun = Date.now()
  // Longer than the lease, so that without heartbeats it would have gone.
  while (Date.now() - begun < 9000) {
    await load.more(20)
    expect(await beat()).toBe(200)
  }
  expect(new Set(load.outcomes.slice(-100).map(answeredBy))).toEqual(new Set([null, 'one-v1', 'two-v1']))
  await stage.banyan.program.line((line) => line.includes('"event":"lease-lapsed"') && line.includes('"server":"two"'))
  // It may still have what came before; that is over before the next two hundred are.
  await load.more(200)
  await stage.fleet.end('two')
  await load.more(100)
  expect(new Set(load.outcomes.slice(-60).map(answeredBy))).toEqual(new Set([null, 'one-v1']))
  await load.stop()
  const count = allGood(load)
  await stage.fleet.start('two', 'v1')
  console.info(`lease, heartbeats and lapse: ${count} requests, 0 failed`)
})
