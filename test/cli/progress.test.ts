/**
 * `banyan progress` against a running proxy with two workers, over a restart.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { startBanyan } from '../support/banyan.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { banyan as command, type Ended } from './rig.ts'

const [legacy, modern] = await Promise.all([
  scriptedUpstream((request) => request.ok('legacy')),
  scriptedUpstream((request) =>
    request.target === '/gtins/0' ? request.send('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n') : request.ok('modern'),
  ),
])
const folder = mkdtempSync(join(tmpdir(), 'banyan-progress-'))
const table = join(folder, 'routes.yaml')
writeFileSync(
  table,
  `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
  - { id: gtins, match: { path: /gtins/:gtin }, to: modern, percent: 100, fallback: { on: [503] } }
  - { id: hours, match: { path: /stores/:store/hours }, to: modern, percent: 25 }
  - { id: search, match: { path: /search }, to: modern }
`,
)
const start = () => startBanyan({ table: '', args: ['--table', table, '--workers', '2'] })
let banyan = await start()
afterAll(async () => {
  await Promise.all([banyan.stop(), legacy.stop(), modern.stop()])
  rmSync(folder, { recursive: true })
})

const run = (...words: string[]): Promise<Ended> =>
  command(words, { env: { BANYAN_ADMIN: `127.0.0.1:${banyan.adminPort}` } })
const rows = (text: string): string[][] => text.split('\n').map((line) => line.split(/ {2,}/))
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d$/)
const DATE = expect.stringMatching(/^\d{4}-\d\d-\d\d$/)

test('what is where, since when, and what is next', async () => {
  expect((await run('progress')).out).toMatch(
    /^no requests of the last 7 days, and 1 of 3 endpoints, are on new services\n/,
  )
  for (let i = 0; i < 8; i++) await (await fetch(`http://127.0.0.1:${banyan.port}/gtins/${i}`)).text()
  for (const path of ['/old/1', '/old/2', '/']) await (await fetch(`http://127.0.0.1:${banyan.port}${path}`)).text()

  const { out } = await run('progress')
  const [title] = out.split('\n')
  expect(title).toBe('63.6 % of the requests of the last 7 days, and 1 of 5 endpoints, are on new services')
  const cells = rows(out)
  expect(cells.slice(2, 4)).toEqual([
    ['WEEK', 'REQUESTS', 'MOVED', '0 %', '100 %', 'ENDPOINTS'],
    [DATE, '11', '63.6 %', '#############.......', '1 of 5'],
  ])
  expect(cells.slice(5, 10)).toEqual([
    ['ROUTE', 'PERCENT', 'SINCE', 'REQUESTS', 'MOVED', 'FALLBACKS'],
    ['gtins', '100 %', TIME, '8', '87.5 %', '1'],
    ['hours', '25 %', TIME, '0', '-', '0'],
    ['search', '0 %', TIME, '0', '-', '0'],
    ['(no route)', '-', '-', '3', '0 %', '-'],
  ])
  expect(out).toContain('next\n  hours, at 25 % for 0 days:\n    banyan routes hours\n')
  expect(out).toContain('  search, at 0 %:\n    banyan shadow start search\n')
  expect(out).toMatch(
    / {2}GET \/old\/:id, 2 requests without a route:\n {4}banyan routes add --endpoint [0-9a-f]{6}\n$/,
  )
  for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(84)

  const { since } = JSON.parse((await run('progress', '--json')).out).routes[0]
  await banyan.stop()
  banyan = await start()
  const again = JSON.parse((await run('progress', '--by', 'hour', '--json')).out)
  expect(again).toMatchObject({
    ...{ storage: 'folder', by: 'hour', requests: { to: 7, from: 4, fallback: 1 }, unclaimed: { from: 3 } },
    endpoints: { moved: 1, moving: 1, waiting: 1, unclaimed: 2 },
  })
  expect(again.routes[0].since).toBe(since)
  expect(again.history.at(-1)).toMatchObject({ endpoints: null })
  const scrape = await (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
  expect(scrape).toMatch(/^banyan_moved_requests_ratio 0\.6363/m)
  expect(scrape).toMatch(/^banyan_moved_endpoints_ratio 0\.2$/m)
})

test('mistakes', async () => {
  expect(await run('progress', '--by', 'month')).toMatchObject({
    code: 1,
    err: 'banyan: by must be hour, day or week\n',
  })
})
