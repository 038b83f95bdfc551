/**
 * `banyan retire --check` against a running proxy with two workers that has been running for weeks, by its state folder.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { FolderStore } from '../../src/state/store/folder-store.ts'
import { startBanyan } from '../support/banyan.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { banyan as command, type Ended } from './rig.ts'

const DAY_MS = 86_400_000
const [legacy, modern] = await Promise.all([
  scriptedUpstream((request) => request.ok('legacy')),
  scriptedUpstream((request) =>
    request.target === '/falls' ? request.send('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n') : request.ok('modern'),
  ),
])
const folder = mkdtempSync(join(tmpdir(), 'banyan-retire-'))
const state = join(folder, 'routes.yaml')
mkdirSync(state)
const store = new FolderStore(state, () => null)
const sinceMs = Date.now() - 40 * DAY_MS
for (const route of ['done', 'falls'])
  await store.write('progress-routes', route, 'state', JSON.stringify({ at: 'all', sinceMs }))
await store.close()
const banyan = await startBanyan({
  table: `version: 1
upstreams:
  legacy: { servers: ["http://127.0.0.1:${legacy.port}"] }
  modern: { servers: ["http://127.0.0.1:${modern.port}"] }
default: legacy
routes:
  - { id: done, match: { path: /done }, to: modern, percent: 100 }
  - { id: falls, match: { path: /falls, methods: [GET] }, to: modern, percent: 100, fallback: { on: [503] } }
  - { id: half, match: { path: /half }, to: modern, percent: 50 }
  - { id: ended, match: { path: /ended }, to: modern, retire: { status: 410 } }
`,
  args: ['--workers', '2', '--state', folder],
})
afterAll(async () => {
  await Promise.all([banyan.stop(), legacy.stop(), modern.stop()])
  rmSync(folder, { recursive: true })
})

const retire = (...words: string[]): Promise<Ended> =>
  command(['retire', ...words], { env: { BANYAN_ADMIN: `127.0.0.1:${banyan.adminPort}` } })
const ask = async (path: string, agent: string, method = 'GET'): Promise<void> => {
  const response = await fetch(`http://127.0.0.1:${banyan.port}${path}`, { method, headers: { 'User-Agent': agent } })
  await response.text()
}

test('what stands in the way, and who', async () => {
  for (const path of ['/done', '/half', '/other']) await ask(path, 'shop/3')
  for (let i = 0; i < 3; i++) await ask('/falls', 'month-end/1.0')
  await ask('/falls', 'shop/3', 'POST')
  for (let i = 0; i < 4; i++) await ask('/ended', 'old-app/0.9')

  expect(await retire('done', '--check')).toEqual({
    ...{ code: 0, err: '' },
    out: 'done: ready, nothing has needed legacy for 30 days; its code in legacy can go\n',
  })
  const falls = await retire('falls', '--check')
  expect(falls.code).toBe(1)
  expect(falls.out.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['falls: not yet, legacy is still needed'],
    ['fallback', 'legacy answers where modern fails: 3 times in the last 30 days. Remove fallback'],
    ['breaker', 'legacy gets the requests while the breaker of modern is open. Remove it, or write breaker: false'],
    ['method', 'POST /falls has no route: 1 request'],
    [expect.stringMatching(/^banyan routes add --endpoint [0-9a-f]{6}$/)],
    ['still on the old side, since everybody has moved:'],
    ['CALLER', 'NETWORK', 'REQUESTS', 'LAST'],
    ['month-end', '127.0.0.0/24', '3', expect.stringMatching(/^\d{4}-/)],
    [''],
  ])
  expect((await retire('half', '--check')).out).toBe(
    'half: not yet, legacy is still needed\n  percent    50 % of the requests go to modern, not 100\n             banyan set half 100\n',
  )
  const ended = await retire('ended', '--check')
  expect(ended.code).toBe(0)
  expect(ended.out).toMatch(
    /^ended: has ended\nstill asked for, since everybody has moved:\nCALLER .*\nold-app +127\.0\.0\.0\/24 +4 /,
  )
  const all = await retire('--check', '--days', '7')
  expect(all.code).toBe(1)
  expect(all.out).toMatch(
    /^the old application: not yet, legacy is still needed\n {2}route {6}route falls: 3 reasons\n {13}banyan retire falls --check\n/,
  )
  expect(all.out).toMatch(/^ {2}unclaimed {2}GET \/other: 1 request$/m)
  const { obstacles, ready } = JSON.parse((await retire('falls', '--check', '--json')).out)
  expect([ready, obstacles[0].kind]).toEqual([false, 'fallback'])
})

test.each<[string[], number, RegExp]>([
  [['done'], 2, /missing --check/],
  [['doen', '--check'], 1, /unknown route "doen" \(did you mean `done`\?\)/],
  [['done', '--check', '--days', '90'], 1, /days must be a whole number from 1 to 35/],
])('%j exits with %d', async (words, code, message) => {
  const ended = await retire(...words)
  expect(ended.err).toMatch(message)
  expect(ended.code).toBe(code)
})
