/**
 * The whole story: an application is wrapped, its endpoints are found, compared, moved by their evidence, and the old application is
 * switched off. Its clients notice nothing.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, expect, test, vi } from 'vitest'
import { banyan as command, type Ended } from '../cli/rig.ts'
import { type Banyan, startBanyan } from '../support/banyan.ts'

/** Both answer alike, and count who was asked. */
function application(): Promise<{ port: number; asked: number; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    state.asked++
    response.setHeader('Content-Type', 'application/json')
    response.end(JSON.stringify({ path: request.url, open: ['08:00', '20:00'] }))
  })
  const state = {
    port: 0,
    asked: 0,
    close: () =>
      new Promise<void>((done) => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
  return new Promise((done) =>
    server.listen(0, '127.0.0.1', () => {
      state.port = (server.address() as AddressInfo).port
      done(state)
    }),
  )
}

const [legacy, modern] = await Promise.all([application(), application()])
const folder = mkdtempSync(join(tmpdir(), 'banyan-story-'))
const file = join(folder, 'routes.yaml')
const upstreams = {
  legacy: `  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }\n`,
  modern: `  modern: { servers: ["http://127.0.0.1:${modern.port}"] }\n`,
}
writeFileSync(file, `version: 1\nupstreams:\n${upstreams.legacy}${upstreams.modern}default: legacy\n`)

let banyan: Banyan
const run = async (...words: string[]): Promise<Ended> =>
  command(words, { env: { BANYAN_ADMIN: `127.0.0.1:${banyan.adminPort}` } })
// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
const ask = async (path: string, how: RequestInit = {}): Promise<any> =>
  (await fetch(`http://127.0.0.1:${banyan.adminPort}${path}`, how)).json()

/** What clients have got that is not what they always got. */
const surprises: string[] = []
let responses = 0
let paused: Promise<void> | null = null
let isOver = false

async function client(number: number): Promise<void> {
  for (let i = 0; !isOver; i++) {
    if (paused !== null) await paused
    const path = i % 2 === 0 ? `/stores/${(i * 7 + number) % 900}/hours` : `/stores/${number}/gtins/4006381333931?all=1`
    try {
      const response = await fetch(`http://127.0.0.1:${banyan.port}${path}`, {
        headers: { 'User-Agent': `shop-${number}/1.0` },
      })
      const body = await response.text()
      responses++
      if (response.status !== 200 || body !== JSON.stringify({ path, open: ['08:00', '20:00'] }))
        surprises.push(`${path}: ${response.status} ${body}`)
    } catch (error) {
      surprises.push(`${path}: ${(error as Error).message}`)
    }
    await new Promise((done) => setTimeout(done, 3))
  }
}

afterAll(async () => {
  isOver = true
  await banyan.stop()
  await Promise.all([legacy.close().catch(() => {}), modern.close()])
  rmSync(folder, { recursive: true })
})

/** As if 40 days had passed: what the state folder says moves that far into the past. */
function letTimePass(): void {
  const state = new DatabaseSync(join(folder, '.banyan/routes.yaml/state.db'))
  const [days, hours, ms] = [40, 40 * 24, 40 * 86_400_000]
  const group = `CASE WHEN grp LIKE 'day %' THEN 'day ' || (CAST(substr(grp, 5) AS INTEGER) - ${days}) ELSE grp END`
  state.exec(
    `UPDATE sums SET hour = hour - ${hours}, grp = ${group} WHERE space IN ('progress', 'progress-hours', 'discovered')`,
  )
  state.exec(`UPDATE records SET at_ms = at_ms - ${ms} WHERE space = 'discovered'`)
  state.exec(`UPDATE records SET value = json_set(value, '$.sinceMs', json_extract(value, '$.sinceMs') - ${ms})
    WHERE space = 'progress-routes' AND key = 'state'`)
  state.close()
}

test('discover, compare, ramp, 100 percent, retire, switch off: clients unchanged', async () => {
  const args = ['--table', file]
  banyan = await startBanyan({ table: '', args })
  const clients = [1, 2, 3, 4].map(client)
  const waiting = { timeout: 100_000, interval: 100 }

  // Discover: two endpoints, whatever the ids.
  const found = await vi.waitUntil(async () => {
    const { endpoints } = await ask('/discovered')
    return endpoints.length === 2 && endpoints.every(({ requests }: { requests: number }) => requests > 20)
      ? endpoints
      : null
  }, waiting)
  expect(found.map(({ path }: { path: string }) => path).sort()).toEqual([
    '/stores/:id/gtins/:gtin',
    '/stores/:id/hours',
  ])
  for (const { id } of found) expect((await run('routes', 'add', '--endpoint', id)).code).toBe(0)
  const routes = ['stores-gtins', 'stores-hours']
  expect((await run('discover')).out).toContain('2 that have a route by now')
  expect((await ask('/progress')).endpoints).toMatchObject({ waiting: 2, moved: 0 })

  // Compare, before a client sees the new side.
  for (const route of routes) expect((await run('shadow', 'start', route, '--percent', '100')).code).toBe(0)
  for (const route of routes)
    await vi.waitUntil(async () => (await ask(`/routes/${route}/comparisons`)).comparisons >= 20, waiting)
  for (const route of routes) {
    expect(await ask(`/routes/${route}/comparisons`)).toMatchObject({ mismatches: 0 })
    expect((await run('shadow', 'stop', route)).code).toBe(0)
  }

  // Ramp: by evidence, to 100 percent.
  const ramp = { steps: [25, 100, 'all'], hold: '1s', guard: { minKeys: 10, tolerate: { harm: 50, latency: 100 } } }
  for (const route of routes) {
    const patched = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/${route}`, {
      ...{ method: 'PATCH', body: JSON.stringify({ ramp }), headers: { 'Content-Type': 'application/json' } },
    })
    expect(patched.status).toBe(200)
    expect((await run('ramp', 'start', route)).code).toBe(0)
  }
  for (const route of routes) {
    await vi.waitUntil(async () => (await ask(`/routes/${route}/ramp`)).status === 'done', waiting)
    expect(await ask(`/routes/${route}`)).toMatchObject({ percent: 100 })
  }
  expect((await ask('/progress')).endpoints).toMatchObject({ moved: 2, unclaimed: 0, share: 1 })

  // Retire: not on the day, and some weeks later.
  expect((await run('retire', 'stores-hours', '--check')).out).toContain('since      at 100 % for 0 days, not 30')
  let goOn = (): void => {}
  paused = new Promise((done) => (goOn = done))
  await new Promise((done) => setTimeout(done, 500))
  await banyan.stop()
  letTimePass()
  banyan = await startBanyan({ table: '', args })
  goOn()
  paused = null
  for (const route of routes) expect(await run('retire', route, '--check')).toMatchObject({ code: 0 })
  const all = await run('retire', '--check')
  expect(all.out).toContain('the old application: ready, nothing has needed legacy for 30 days')
  expect(all.code).toBe(0)

  // Off: the table has no old application, and then there is none.
  const text = (await (await fetch(`http://127.0.0.1:${banyan.adminPort}/routes.yaml`)).text())
    .replace(upstreams.legacy, '')
    .replace('default: legacy', 'default: { status: 404 }')
    .replaceAll(/^ {4}(?:ramp|shadow):.*\n(?: {6}.*\n)*/gm, '')
  const put = await fetch(`http://127.0.0.1:${banyan.adminPort}/routes.yaml`, {
    ...{ method: 'PUT', body: text, headers: { 'Content-Type': 'application/yaml' } },
  })
  expect([put.status, await put.text()]).toEqual([200, expect.any(String)])
  await legacy.close()
  await expect(
    new Promise((done, fail) => connect(legacy.port, '127.0.0.1').once('connect', done).once('error', fail)),
  ).rejects.toThrow('ECONNREFUSED')
  const [asked, before] = [legacy.asked, responses]
  await vi.waitUntil(() => responses > before + 300, waiting)
  expect(legacy.asked).toBe(asked)
  expect((await run('retire', '--check')).out).toBe('the old application: done, there is no old side\n')
  expect((await fetch(`http://127.0.0.1:${banyan.port}/nobody`)).status).toBe(404)
  isOver = true
  await Promise.all(clients)
  expect(surprises).toEqual([])
}, 300_000)
