/**
 * Force tokens on a running proxy: who has one names the upstream, and nobody else; nothing of it reaches the upstream.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeForceToken } from '../../src/state/force-token.ts'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { type ScriptedUpstream, scriptedUpstream } from '../support/upstream.ts'

const SECRET = 'a secret of some length'

let legacy: ScriptedUpstream
let gtin: ScriptedUpstream
let banyan: Banyan
const heads: string[] = []

beforeAll(async () => {
  const answering = (name: string) =>
    scriptedUpstream((request) => {
      heads.push(request.head)
      return request.send(
        `HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: ${name.length}\r\n\r\n${name}`,
      )
    })
  legacy = await answering('legacy')
  gtin = await answering('gtin')
  banyan = await startBanyan({
    table: `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${legacy.port}] }
  gtin: { servers: [http://127.0.0.1:${gtin.port}] }
default: legacy
routes:
  - { id: lookup, match: { path: /lookup }, to: gtin, percent: 0, cache: {} }
`,
    args: ['--force-secret', SECRET],
  })
})
afterAll(async () => {
  await banyan.stop()
  await legacy.stop()
  await gtin.stop()
})

async function lookup(fields: Record<string, string>): Promise<string> {
  const client = await rawClient(banyan.port)
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return (await client.ask(`GET /lookup HTTP/1.1\r\nHost: a.test\r\n${lines.join('')}\r\n`)).body.text
}

const soon = Date.now() + 60_000

test('a valid token sends the request where it says, and no field of it goes there', async () => {
  heads.length = 0
  const token = makeForceToken(SECRET, 'gtin', soon)
  expect(await lookup({ 'Banyan-Upstream': 'gtin', 'banyan-force': token })).toBe('gtin')
  expect(heads).toHaveLength(1)
  expect(heads[0]?.toLowerCase()).not.toContain('banyan-')
})

test('without a valid token it goes where it would go anyway', async () => {
  const token = makeForceToken(SECRET, 'gtin', soon)
  for (const [what, fields] of Object.entries({
    'no token': { 'Banyan-Upstream': 'gtin' },
    'no upstream': { 'Banyan-Force': token },
    'another upstream': { 'Banyan-Upstream': 'legacy', 'Banyan-Force': token },
    'no such upstream': { 'Banyan-Upstream': 'gtni', 'Banyan-Force': makeForceToken(SECRET, 'gtni', soon) },
    'another secret': {
      'Banyan-Upstream': 'gtin',
      'Banyan-Force': makeForceToken('another secret of length', 'gtin', soon),
    },
    expired: { 'Banyan-Upstream': 'gtin', 'Banyan-Force': makeForceToken(SECRET, 'gtin', Date.now() - 1000) },
    'a later time': {
      'Banyan-Upstream': 'gtin',
      'Banyan-Force': token.replace(/^\d+/, (seconds) => String(Number(seconds) + 1)),
    },
    nonsense: { 'Banyan-Upstream': 'gtin', 'Banyan-Force': 'yes' },
  })) {
    expect(await lookup(fields as Record<string, string>), what).toBe('legacy')
  }
})

async function explain(headers: Record<string, string>) {
  const body = JSON.stringify({ url: 'http://a.test/lookup', headers })
  const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body }
  return (await (await fetch(`http://127.0.0.1:${banyan.adminPort}/explain`, init)).json()) as {
    decision: { upstream: string; reason: string }
    cache: { verdict: string } | null
  }
}

test('explain takes a token as a request would, and counts none', async () => {
  const token = makeForceToken(SECRET, 'gtin', soon)
  const forced = { decision: { upstream: 'gtin', reason: 'forced' }, cache: { verdict: 'pass', why: 'forced' } }
  expect(await explain({ 'Banyan-Upstream': 'gtin', 'Banyan-Force': token })).toMatchObject(forced)
  const refused = { decision: { upstream: 'legacy' }, cache: { verdict: 'fresh' } }
  expect(await explain({ 'Banyan-Upstream': 'legacy', 'Banyan-Force': token })).toMatchObject(refused)
})

test('a forced answer is not stored, and is marked; refused tokens are counted', async () => {
  const token = makeForceToken(SECRET, 'gtin', soon)
  const before = gtin.requests
  for (let time = 0; time < 2; time++) await lookup({ 'Banyan-Upstream': 'gtin', 'Banyan-Force': token })
  expect(gtin.requests).toBe(before + 2)
  const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  expect(metrics).toMatch(/^banyan_requests_total\{route="lookup",upstream="gtin",reason="forced",[^}]*\} 3$/m)
  expect(metrics).toMatch(/^banyan_force_refused_total 7$/m)
  const { exchanges } = (await (await fetch(`http://127.0.0.1:${banyan.adminPort}/exchanges`)).json()) as {
    exchanges: { decision: { reason: string } }[]
  }
  expect(exchanges.some(({ decision }) => decision.reason === 'forced')).toBe(true)
})
