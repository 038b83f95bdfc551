/**
 * Discovered endpoints over restarts, by time, and while the store fails.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { Discovery, idOf } from '../../../src/control/figures/discovery.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { Table } from '../../../src/rules/table/table.ts'
import { type Unclaimed, UsageTally } from '../../../src/state/discovery/usage-tally.ts'
import { FolderStore } from '../../../src/state/store/folder-store.ts'
import { StateError, type StateStore } from '../../../src/state/store/store.ts'

const DAY_MS = 86_400_000
const NOON = Math.floor(Date.now() / DAY_MS) * DAY_MS + DAY_MS / 2

const left: (() => unknown)[] = []
afterEach(async () => {
  for (const undo of left.splice(0).reverse()) await undo()
})

function stored(): StateStore {
  const path = mkdtempSync(join(tmpdir(), 'banyan-discovery-'))
  const store = new FolderStore(path, () => null)
  left.push(async () => {
    await store.close()
    rmSync(path, { recursive: true })
  })
  return store
}

function table(routes = '[]'): Table {
  const text = `version: 1
upstreams: { legacy: { servers: ["http://127.0.0.1:1"] }, modern: { servers: ["http://127.0.0.1:2"] } }
default: legacy
routes: ${routes}
`
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.table
}

function count(
  discovery: Discovery,
  target: string,
  requests: number,
  nowMs: number,
  more: Partial<Unclaimed> = {},
): void {
  const tally = new UsageTally()
  const caller = () => ({ agent: 'job', network: '10.0.0.0/24' })
  const seen = { method: 'GET', target, status: 200, isAnswered: true, isAmbiguous: false, durationMs: 2, caller }
  for (let i = 0; i < requests; i++) tally.unclaimed({ ...seen, ignoresCase: false, ...more }, nowMs)
  discovery.add(tally.take())
}

async function found(
  discovery: Discovery,
  sinceMs: number | null = null,
  routes?: string,
): Promise<Record<string, number>> {
  const { endpoints } = await discovery.found(table(routes), sinceMs)
  return Object.fromEntries(endpoints.map(({ method, path, requests }) => [`${method} ${path}`, requests]))
}

test('a restart loses nothing, and a day that is asked for has what was counted in it', async () => {
  const store = stored()
  let nowMs = NOON - 3 * DAY_MS
  const first = new Discovery(() => nowMs)
  first.keepIn(store)
  count(first, '/stores/1/hours', 5, nowMs)
  count(first, '/wp-login.php', 2, nowMs, { status: 404 })
  await first.save()
  count(first, '/stores/2/hours', 1, nowMs)
  await first.save()
  nowMs = NOON
  const second = new Discovery(() => nowMs)
  second.keepIn(store)
  // Counted before the store was read.
  count(second, '/stores/3/hours', 2, nowMs)
  count(second, '/search', 1, nowMs)
  await second.ready()
  expect(second.storage).toBe('folder')
  expect(await found(second)).toEqual({ 'GET /stores/:id/hours': 8, 'GET /search': 1 })
  const { endpoints, others, sinceMs } = await second.found(table())
  expect(others).toEqual({ refused: 2, ambiguous: 0, more: 0 })
  expect(sinceMs).toBe(NOON - 3 * DAY_MS)
  expect(endpoints[0]).toMatchObject({
    ...{ firstMs: NOON - 3 * DAY_MS, lastMs: NOON, statuses: [0, 8, 0, 0, 0], durationMs: 16 },
    callers: { callers: [{ agent: 'job', requests: 8 }], more: 0 },
  })
  expect(await found(second, NOON - DAY_MS)).toEqual({ 'GET /stores/:id/hours': 2, 'GET /search': 1 })
  // Each day one goes that is too old.
  nowMs = NOON + 28 * DAY_MS
  await second.save()
  expect(await found(second)).toEqual({ 'GET /stores/:id/hours': 2, 'GET /search': 1 })
})

test('while the store fails everything is in memory, and is stored once it works', async () => {
  const store = stored()
  let fails = true
  const failing = new Proxy(store, {
    get: (of, name: keyof StateStore) =>
      name === 'add' && fails
        ? async () => Promise.reject(new StateError('full', 'no space left'))
        : (of[name] as () => unknown).bind(of),
  })
  const problems: (string | null)[] = []
  const discovery = new Discovery(() => NOON)
  discovery.keepIn(failing, (problem) => problems.push(problem))
  count(discovery, '/a', 3, NOON)
  await discovery.save()
  expect(discovery.storage).toBe('memory')
  expect(await found(discovery)).toEqual({ 'GET /a': 3 })
  fails = false
  await discovery.save()
  expect(problems).toEqual(['discovered endpoints are kept in memory only: no space left', null])
  const again = new Discovery(() => NOON)
  again.keepIn(store)
  await again.ready()
  expect(await found(again)).toEqual({ 'GET /a': 3 })
})

test('what lies in the store is read by its shape', async () => {
  const store = stored()
  const day = Math.floor(NOON / DAY_MS)
  const sum = (key: string) => ({ group: `day ${day}`, key, hour: day * 24, counts: { requests: 1 } })
  await store.add('discovered', ['GET /a', 'GET nothing', '', 'x', 'GET /<b>', 'get /a'].map(sum), [
    { group: 'endpoints', key: 'GET /a', value: '{"firstMs":"x"}' },
    { group: 'endpoints', key: 'GET /b', value: '{' },
  ])
  const discovery = new Discovery(() => NOON)
  discovery.keepIn(store)
  await discovery.ready()
  expect(await found(discovery)).toEqual({ 'GET /a': 1 })
})

test('an endpoint that a route claims whole is told with the route', async () => {
  const discovery = new Discovery(() => NOON)
  for (const path of ['/stores/1/hours', '/stores/1/gtins', '/search']) count(discovery, path, 1, NOON)
  const routes = `[
    { id: hours, match: { path: "/stores/:store/hours", methods: [GET] }, to: modern },
    { id: testers, match: { path: /search, headers: { x-tester: "1" } }, to: modern }]`
  const { endpoints } = await discovery.found(table(routes))
  expect(endpoints.map(({ path, route }) => [path, route])).toEqual([
    ['/search', null],
    ['/stores/:id/gtins', null],
    ['/stores/:id/hours', 'hours'],
  ])
})

test('an endpoint keeps its id when its placeholder gets another name', () => {
  expect(idOf('GET', '/stores/:id/x')).toBe(idOf('GET', '/stores/:gtin2/x'))
  expect(idOf('GET', '/stores/:id/x')).not.toBe(idOf('POST', '/stores/:id/x'))
})
