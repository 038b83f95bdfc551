/**
 * Endpoints that end, and tables without an old application, as clients and the log see them.
 */
import { writeFileSync } from 'node:fs'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { type Banyan, startBanyan } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'
import { scriptedUpstream } from '../support/upstream.ts'

const [legacy, modern] = await Promise.all(
  ['legacy', 'modern'].map((name) =>
    scriptedUpstream(async (request) => {
      await request.body()
      await request.send(`HTTP/1.1 200 OK\r\nSunset: never\r\nContent-Length: ${name.length}\r\n\r\n${name}`)
    }),
  ),
)
afterAll(() => Promise.all([legacy?.stop(), modern?.stop()]))
let banyan: Banyan | undefined
afterEach(async () => {
  await banyan?.stop()
  banyan = undefined
})

const iso = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`
const table = (routes: string, old = 'legacy'): string => `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy?.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern?.port}"] }
default: ${old}
routes:
${routes}`

async function start(text: string, ...args: string[]): Promise<Banyan> {
  banyan = await startBanyan({ table: text, args: ['--access-log', 'json', ...args] })
  return banyan
}

const get = (at: Banyan, path: string, how: RequestInit = {}) => fetch(`http://127.0.0.1:${at.port}${path}`, how)

test('announced in each response, cached ones included; then ended', async () => {
  const at = await start(
    table(`  - { id: a, match: { path: /a }, to: modern, percent: 100, cache: { ttl: 1m },
      retire: { deprecated: 2026-01-01, sunset: 2099-03-01, link: "https://a.test/x" } }
  - { id: b, match: { path: /b }, to: modern, retire: { status: 410, link: "https://a.test/b" } }
  - { id: c, match: { path: /c }, to: modern, retire: { sunset: 2026-01-01 }, cache: { ttl: 1m } }`),
  )
  for (const word of ['miss', 'hit']) {
    const response = await get(at, '/a')
    expect([word, await response.text(), Object.fromEntries(response.headers)]).toEqual([
      ...[word, 'modern'],
      expect.objectContaining({
        ...{ deprecation: '@1767225600', sunset: 'Sun, 01 Mar 2099 00:00:00 GMT' },
        link: '<https://a.test/x>; rel="deprecation sunset"',
      }),
    ])
  }
  const ended = await get(at, '/b')
  expect(ended.status).toBe(410)
  expect(ended.headers.get('link')).toBe('<https://a.test/b>; rel="sunset"')
  expect(ended.headers.get('cache-control')).toBe('no-store')
  expect(ended.headers.get('retry-after')).toBeNull()
  expect(await ended.json()).toMatchObject({ type: 'urn:banyan:problem:ended', title: 'Gone', status: 410 })
  expect((await get(at, '/b', { method: 'HEAD' })).status).toBe(410)
  expect((await get(at, '/c')).status).toBe(410)
  const [asked, before] = [modern?.requests, legacy?.requests]
  // A body that nobody reads is no obstacle for the next request.
  const client = await rawClient(at.port)
  const body = 'x'.repeat(200_000)
  const post = `POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  expect((await client.ask(post)).status).toBe(410)
  expect((await client.ask('GET /b HTTP/1.1\r\nHost: a\r\n\r\n')).status).toBe(410)
  expect(
    (await client.ask('GET /c HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n')).status,
  ).toBe(410)
  client.socket.destroy()
  expect([modern?.requests, legacy?.requests]).toEqual([asked, before])
  await at.program.line((line) => /"route":"b","upstream":null.*"reason":"retired"/.test(line))
  const scrape = await (await fetch(`http://127.0.0.1:${at.adminPort}/metrics`)).text()
  expect(scrape).toMatch(
    /^banyan_requests_total\{route="b",upstream="",reason="retired",side="",status="4xx",cache="-"\} 4$/m,
  )
  const { routes } = await (await fetch(`http://127.0.0.1:${at.adminPort}/progress`)).json()
  expect(routes[1]).toMatchObject({ id: 'b', stage: 'ended', ended: 4, share: null })
})

test('a brownout refuses with Retry-After while it lasts, and is over by itself', async () => {
  const nowMs = Date.now()
  const at = await start(
    table(`  - { id: a, match: { path: /a }, to: modern, percent: 100, retire: { brownouts: [{ at: "${iso(nowMs - 3_600_000)}", for: 1h }] } }
  - { id: b, match: { path: /b }, to: modern, percent: 100, retire: { brownouts: [{ at: "${iso(nowMs - 1000)}", for: 1h, status: 410 }] } }
  - { id: c, match: { path: /c }, to: modern, percent: 50, retire: { brownouts: [{ at: "${iso(nowMs - 1000)}", for: 1h, percent: 30 }] } }`),
  )
  // The first one ended within the second of its begin.
  await vi.waitFor(async () => expect((await get(at, '/a')).status).toBe(200), { timeout: 120_000 })
  const refused = await get(at, '/b')
  expect([refused.status, (await refused.json()).type]).toEqual([410, 'urn:banyan:problem:brownout'])
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(3500)
  expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(3600)
  const statuses: number[] = []
  for (let i = 0; i < 300; i++) statuses.push((await get(at, '/c')).status)
  const part = statuses.filter((status) => status === 503).length / statuses.length
  expect(statuses.filter((status) => status !== 503 && status !== 200)).toEqual([])
  expect(part).toBeGreaterThan(0.18)
  expect(part).toBeLessThan(0.42)
})

test('the old application goes while requests are under way; without one there is nothing but the routes', async () => {
  const at = await start(table('  - { id: a, match: { path: /a }, to: modern, percent: 100 }'), '--request-ids')
  expect(await (await get(at, '/x')).text()).toBe('legacy')
  const text = `version: 1
upstreams: { modern: { servers: ["http://127.0.0.1:${modern?.port}"] } }
default: { status: 404 }
routes: [{ id: a, match: { path: /a }, to: modern, percent: 100, sticky: visitor, tellSide: header }]
`
  let isDone = false
  const statuses = new Set<number>()
  const busy = Promise.all(
    [1, 2, 3].map(async () => {
      while (!isDone) {
        statuses.add((await get(at, '/a')).status)
        await new Promise((done) => setTimeout(done, 2))
      }
    }),
  )
  const put = await fetch(`http://127.0.0.1:${at.adminPort}/routes.yaml`, {
    ...{ method: 'PUT', body: text },
    headers: { 'Content-Type': 'application/yaml' },
  })
  expect(put.status).toBe(200)
  expect((await put.json()).changes).toContainEqual(
    expect.objectContaining({ what: 'default', keys: [{ key: 'default', before: 'legacy', after: { status: 404 } }] }),
  )
  isDone = true
  await busy
  expect([...statuses]).toEqual([200])
  const missing = await get(at, '/x')
  expect([missing.status, (await missing.json()).type]).toEqual([404, 'urn:banyan:problem:no-route'])
  expect(missing.headers.get('x-request-id')).not.toBeNull()
  expect((await get(at, '/a')).headers.get('banyan-side')).toBe('to')
  const admin = async (path: string) => (await fetch(`http://127.0.0.1:${at.adminPort}${path}`)).json()
  expect(await admin('/routes')).toMatchObject({ default: null, defaultStatus: 404 })
  const explained = await fetch(`http://127.0.0.1:${at.adminPort}/explain`, {
    ...{ method: 'POST', body: '{"url":"/x"}', headers: { 'Content-Type': 'application/json' } },
  })
  expect(await explained.json()).toMatchObject({ decision: { upstream: '', reason: 'default' }, server: null })
  // A broken edit leaves it at that.
  writeFileSync(at.tableFile, text.replace('percent: 100', 'percent: 5'))
  await at.program.line((line) => line.includes('95 % of the requests have nowhere to go'))
  expect((await get(at, '/a')).status).toBe(200)
})
