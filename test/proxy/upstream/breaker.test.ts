/**
 * The breaker of a route over the wire: the share goes to from at once, single probes find out, and all can see it.
 */
import { afterAll, beforeEach, expect, test } from 'vitest'
import { makeForceToken } from '../../../src/state/force-token.ts'
import { startBanyan } from '../../support/banyan.ts'
import { type RawClient, rawClient } from '../../support/client.ts'
import { scriptedUpstream, type UpstreamRequest } from '../../support/upstream.ts'

const SECRET = 'a secret of some length'
const busy = (request: UpstreamRequest): Promise<void> =>
  request.send('HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy')

const [legacy, modern] = await Promise.all([
  scriptedUpstream((request) => request.ok('legacy')),
  scriptedUpstream(busy),
])
/** The pause is long enough for all that is asked while it is open, on a busy machine too. */
const BREAKER = '{ minRequests: 5, pause: 2s, probes: 2 }'
const route = (id: string, more: string): string =>
  `  - { id: ${id}, match: { path: /${id} }, to: modern, percent: 100, ${more} }`
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
${route('moved', `fallback: {}, breaker: ${BREAKER}`)}
${route('alone', `breaker: ${BREAKER}`)}
${route('stored', `fallback: {}, cache: {}, breaker: ${BREAKER}`)}
${route('without', 'fallback: {}, breaker: false')}
`,
  args: ['--force-secret', SECRET],
})
afterAll(() => Promise.all([banyan.stop(), legacy.stop(), modern.stop()]))
beforeEach(async () => {
  await modern.cut()
  modern.handler = busy
})

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
const admin = async (path: string, body?: object): Promise<any> => {
  const how = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
  const headers = { 'content-type': 'application/json' }
  return (await fetch(`http://127.0.0.1:${banyan.adminPort}${path}`, { ...how, headers })).json()
}

const breakerOf = async (id: string): Promise<string> => (await admin(`/routes/${id}`)).live.breaker

async function ask(client: RawClient, method: string, target: string, fields = ''): Promise<string> {
  const response = await client.ask(`${method} ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n${fields}\r\n`)
  return response.body.text
}

test.each([
  ['moved', 'GET', 'legacy'],
  ['alone', 'POST', 'busy'],
])('%s: open after enough failures, to from at once, closed by single probes', async (id, method, before) => {
  const client = await rawClient(banyan.port)
  const path = `/${id}`
  expect(await breakerOf(id)).toBe('closed')
  for (let n = 0; n < 5; n++) expect(await ask(client, method, path)).toBe(before)
  expect(await breakerOf(id)).toBe('open')
  const seen = modern.requests
  for (const each of ['GET', 'POST', 'DELETE']) expect(await ask(client, each, path)).toBe('legacy')
  expect(modern.requests).toBe(seen)
  const explained = await admin('/explain', { url: path })
  expect(explained).toMatchObject({ decision: { upstream: 'legacy', reason: 'unavailable' } })
  const token = makeForceToken(SECRET, 'modern', Date.now() + 60_000)
  const forced = `Banyan-Upstream: modern\r\nBanyan-Force: ${token}\r\n`
  expect(await ask(client, 'GET', path, forced)).toBe('busy')
  // A failed probe opens it for another pause.
  while ((await breakerOf(id)) !== 'half-open');
  expect(await ask(client, 'GET', path)).toBe(id === 'moved' ? 'legacy' : 'busy')
  expect(await breakerOf(id)).toBe('open')
  while ((await breakerOf(id)) !== 'half-open');
  modern.handler = null
  const other = await rawClient(banyan.port)
  for (let probe = 0; probe < 2; probe++) {
    await client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    const request = await modern.request()
    // The probe is under way: nobody else goes there.
    expect(await ask(other, 'GET', path)).toBe('legacy')
    expect(await breakerOf(id)).toBe('half-open')
    await request.ok('modern')
    expect((await client.nextResponse()).body.text).toBe('modern')
  }
  expect(await breakerOf(id)).toBe('closed')
  modern.handler = (request) => request.ok('modern')
  expect(await ask(other, 'POST', path)).toBe('modern')
  const { breakers } = (await admin('/upstreams/modern')).live
  expect(breakers.find((one: { route: string }) => one.route === id)).toEqual({ route: id, state: 'closed', opened: 2 })
  const metrics = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  expect(metrics).toContain(`banyan_breaker_opened_total{route="${id}",upstream="modern"} 2\n`)
  expect(metrics).toContain(`banyan_breaker_state{route="${id}",upstream="modern",state="closed"} 1\n`)
})

test('a probe whose client goes away makes room for the next one', async () => {
  const client = await rawClient(banyan.port)
  for (let n = 0; n < 5; n++) await ask(client, 'GET', '/moved')
  expect(await breakerOf('moved')).toBe('open')
  while ((await breakerOf('moved')) !== 'half-open');
  modern.handler = null
  const leaving = await rawClient(banyan.port)
  await leaving.send('GET /moved HTTP/1.1\r\nHost: a\r\n\r\n')
  const first = await modern.request()
  leaving.reset()
  await first.connection.ended()
  await client.send('GET /moved HTTP/1.1\r\nHost: a\r\n\r\n')
  await (await modern.request()).ok('modern')
  expect((await client.nextResponse()).body.text).toBe('modern')
})

test('what the cache asks counts, and is guarded, too', async () => {
  const client = await rawClient(banyan.port)
  for (let n = 0; n < 5; n++) expect(await ask(client, 'GET', `/stored?${n}`)).toBe('legacy')
  expect(await breakerOf('stored')).toBe('open')
  const seen = modern.requests
  expect(await ask(client, 'GET', '/stored?5')).toBe('legacy')
  expect(modern.requests).toBe(seen)
})

test('breaker: false tries each time; what no route claims has no breaker', async () => {
  const client = await rawClient(banyan.port)
  const seen = modern.requests
  for (let n = 0; n < 30; n++) expect(await ask(client, 'GET', '/without')).toBe('legacy')
  expect(modern.requests - seen).toBe(30)
  legacy.handler = busy
  for (let n = 0; n < 30; n++) expect(await ask(client, 'GET', '/unclaimed')).toBe('busy')
  const reasons = (await admin('/routes')).live.unclaimed.reasons
  expect(reasons).toMatchObject({ default: 30, unavailable: 0 })
})
