/**
 * What comparisons are evidence of: an edit that makes them evidence of something else begins anew, over restarts too.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { Evidence } from '../../../src/control/figures/evidence.ts'
import { fieldsSeen } from '../../../src/control/ramps/run.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { Route } from '../../../src/rules/table/table.ts'
import { PASSING, Tally } from '../../../src/state/evidence/tally.ts'
import { FolderStore } from '../../../src/state/store/folder-store.ts'

const left: (() => unknown)[] = []
afterEach(async () => {
  for (const undo of left.splice(0).reverse()) await undo()
})

function routesOf(said: string): readonly Route[] {
  const read = readTable(
    `version: 1
upstreams: { legacy: { servers: ["http://127.0.0.1:1"] }, modern: { servers: ["http://127.0.0.1:2"] }, other: { servers: ["http://127.0.0.1:3"] } }
default: legacy
routes: [${said}]
`,
    'routes.yaml',
  )
  if (!read.ok) throw new Error(JSON.stringify(read))
  return read.table.routes
}

const routeOf = (shadow: string, match = '/a/:id', more = ''): string =>
  `{ id: a, match: { path: "${match}" }, to: modern, percent: 0, ${shadow === '' ? '' : `shadow: { percent: 5, ${shadow} },`} ${more} }`

const STRICT = 'compare: { ignore: [/at, header:location] }'
const LENIENT = 'compare: { ignore: [/at, header:location, /price, status] }'

/** Comparisons of a plane: two that differ at some paths, and one that does not. */
function told(nowMs: number): ReturnType<Tally['take']> {
  const tally = new Tally()
  const differences = ['/price', '/list/*/price', 'status', ''].map(
    (path) => ({ path, kind: 'value', from: 'a', to: 'b' }) as const,
  )
  const sample = { id: `s${nowMs}`, route: 'a', atMs: nowMs, method: 'GET', target: '/a/1', revision: 1, note: null }
  for (const found of [differences, differences, []]) {
    tally.compared('a', { differences: found, bodyCompared: true, isCut: false, note: null }, nowMs)
  }
  tally.keep({ ...sample, differences: [{ path: '/email', kind: 'value', from: '"canary@a.test"', to: null }] })
  return tally.take()
}

const pathsIn = (evidence: Evidence): unknown => evidence.of('a')?.paths.map(({ path }) => path)

test.each<[string, before: string, after: string, holds: boolean]>([
  ['another percent', routeOf(STRICT), routeOf(STRICT).replace('percent: 0', 'percent: 50'), true],
  ['no shadow', routeOf(STRICT), routeOf(''), true],
  ['more is ignored', routeOf(STRICT), routeOf(LENIENT), true],
  ['a reset', routeOf(STRICT), routeOf(`since: "2026-11-30T10:00:00Z", ${STRICT}`), false],
  ['less is ignored', routeOf(LENIENT), routeOf(STRICT), false],
  ['another header', routeOf(STRICT), routeOf(STRICT.replace('ignore', 'headers: [etag], ignore')), false],
  ['less tolerance', routeOf(STRICT.replace('ignore', 'tolerance: 0.1, ignore')), routeOf(STRICT), false],
  ['other copies', routeOf(`${STRICT}, match: { headers: { x-test: true } }`), routeOf(STRICT), false],
  ['other requests', routeOf(STRICT), routeOf(STRICT, '/b/:id'), false],
  ['another upstream', routeOf(STRICT), routeOf(STRICT).replace('modern', 'other'), false],
  ['another path', routeOf(STRICT), routeOf(STRICT, '/a/:id', 'rewrite: { path: /v2/:id }'), false],
  ['another answer', routeOf(STRICT), routeOf(STRICT, '/a/:id', 'answer: { headers: { remove: [x-a] } }'), false],
])('%s', async (_, before, after, holds) => {
  const path = mkdtempSync(join(tmpdir(), 'banyan-basis-'))
  const store = new FolderStore(path, () => null)
  left.push(async () => {
    await store.close()
    rmSync(path, { recursive: true })
  })
  const live = new Evidence()
  live.follow(routesOf(before))
  live.keepIn(store)
  const early = told(Date.now() - 1)
  live.add(early)
  await live.save()
  // As an edit of the file while banyan is not there.
  const restarted = new Evidence()
  restarted.follow(routesOf(after))
  restarted.keepIn(store)
  await restarted.ready()
  expect(restarted.of('a')?.comparisons).toBe(holds ? 3 : undefined)
  // As an edit at the API. What a plane had counted before it, and tells behind it, counts no more.
  live.follow(routesOf(after))
  live.add(early)
  expect(live.of('a')?.comparisons).toBe(holds ? 6 : undefined)
  expect(live.samplesOf('a')).toHaveLength(holds ? 1 : 0)
  live.add(told(Date.now() + 1))
  expect(live.of('a')?.comparisons).toBe(holds ? 9 : 3)
})

test('what was compared without shadow in between is what counts', () => {
  const evidence = new Evidence()
  evidence.follow(routesOf(routeOf(LENIENT)))
  evidence.add(told(Date.now()))
  evidence.follow(routesOf(routeOf('')))
  expect(evidence.of('a')?.comparisons).toBe(3)
  evidence.follow(routesOf(routeOf(STRICT)))
  expect(evidence.of('a')).toBeNull()
})

test('a path that is ignored by now is not shown, whenever it differed', () => {
  const evidence = new Evidence()
  evidence.follow(routesOf(routeOf(STRICT)))
  evidence.add(told(Date.now()))
  expect(pathsIn(evidence)).toEqual(['/price', '/list/*/price', 'status', ''])
  evidence.follow(routesOf(routeOf(LENIENT)))
  expect(pathsIn(evidence)).toEqual(['/list/*/price', ''])
  expect(evidence.of('a')).toMatchObject({ comparisons: 3, matches: 1 })
  evidence.follow(routesOf(routeOf(LENIENT.replace('status', 'status, body'))))
  expect(evidence.of('a')).toMatchObject({ comparisons: 3, matches: 3, paths: [] })
  evidence.follow(routesOf(routeOf(STRICT)))
  evidence.add(told(Date.now() + 1))
  evidence.follow(routesOf(routeOf(LENIENT)))
  // One of the places that the path stands for.
  evidence.follow(routesOf(routeOf(LENIENT.replace('status', '/list/0'))))
  expect(evidence.of('a')).toBeNull()
  evidence.add(told(Date.now() + 1))
  expect(pathsIn(evidence)).toEqual(['/list/*/price', 'status', ''])
  evidence.follow(routesOf(routeOf(LENIENT.replace('status', '/list/0, /list/*/price'))))
  expect(pathsIn(evidence)).toEqual(['status', ''])
  evidence.follow(routesOf(routeOf(LENIENT.replace('status', '/list/0, /list/*/price, body'))))
  expect(pathsIn(evidence)).toEqual(['status'])
})

test.each([
  ['redacted', 'samples: values, redact: [/name, /email]'],
  ['hashed', 'redact: [/name]'],
])('values that are %s by now are shown and stored no more', async (_, after) => {
  const path = mkdtempSync(join(tmpdir(), 'banyan-basis-'))
  const store = new FolderStore(path, () => null)
  left.push(async () => {
    await store.close()
    rmSync(path, { recursive: true })
  })
  const evidence = new Evidence()
  evidence.follow(routesOf(routeOf('samples: values, redact: [/name]')))
  evidence.keepIn(store)
  evidence.add(told(Date.now()))
  await evidence.save()
  const stored = (): string => readFileSync(join(path, 'state.db'), 'latin1')
  expect(stored()).toContain('canary@a.test')
  evidence.follow(routesOf(routeOf(after)))
  expect(evidence.samplesOf('a')).toEqual([])
  expect(evidence.of('a')?.comparisons).toBe(3)
  await evidence.tick()
  expect(stored()).not.toContain('canary@a.test')
})

test('of what is stored only the newest hours are read again and again, and what is forgotten does not come back', async () => {
  const path = mkdtempSync(join(tmpdir(), 'banyan-basis-'))
  const store = new FolderStore(path, () => null)
  left.push(async () => {
    await store.close()
    rmSync(path, { recursive: true })
  })
  const evidence = new Evidence()
  evidence.follow(routesOf(routeOf(STRICT)))
  evidence.keepIn(store)
  evidence.add(told(Date.now()))
  await evidence.save()
  const sum = { group: 'a', key: '', counts: { comparisons: 10, matches: 10 } }
  const reading = async (): Promise<number | undefined> => {
    evidence.reload()
    await evidence.save()
    return evidence.of('a')?.comparisons
  }
  const hour = Math.floor(Date.now() / 3_600_000)
  await store.add('evidence', [
    { ...sum, hour: hour - 600 },
    { ...sum, hour: hour - 800 },
  ])
  expect(await reading()).toBe(3)
  let nowMs = Date.now() + 3_600_000
  const later = new Evidence(() => nowMs)
  later.follow(routesOf(routeOf(STRICT)))
  later.keepIn(store)
  await later.ready()
  expect(later.of('a')?.comparisons).toBe(13)
  // Another instance, in one of the newest hours.
  await store.add('evidence', [{ ...sum, hour: hour - 3 }])
  const totals = store.totals.bind(store)
  const read: number[] = []
  store.totals = (space, terms) => {
    read.push((terms.untilHour ?? hour + 2) - terms.sinceHour)
    return totals(space, terms)
  }
  later.reload()
  await later.save()
  expect(later.of('a')?.comparisons).toBe(23)
  // One of the days before them is read once more.
  expect(read.reduce((sum, hours) => sum + hours, 0)).toBeLessThan(4 * 24)
  later.follow(routesOf(routeOf(STRICT, '/b/:id')))
  nowMs += 1
  later.add(told(nowMs))
  await later.tick()
  later.reload()
  await later.save()
  expect(later.of('a')?.comparisons).toBe(3)
})

test('noise evicts no sample of a fault, of this route or of others, nor in the store', async () => {
  const path = mkdtempSync(join(tmpdir(), 'banyan-basis-'))
  const store = new FolderStore(path, () => null)
  left.push(async () => {
    await store.close()
    rmSync(path, { recursive: true })
  })
  const routes = ['a', 'b', 'c'].map((id) => routeOf(STRICT, `/${id}/*`).replace('id: a', `id: ${id}`)).join(', ')
  const evidence = new Evidence()
  evidence.follow(routesOf(routes))
  evidence.keepIn(store)
  let count = 0
  for (let save = 0; save < 4; save++) {
    const tally = new Tally(PASSING)
    for (let i = 0; i < 300; i++) {
      const route = ['a', 'b', 'c'][i % 3] as string
      const paths = save === 0 && i < 3 ? ['/time', '/price'] : ['/time']
      const differences = paths.map((one) => ({ path: one, kind: 'value', from: '1', to: '2' }) as const)
      const atMs = Date.now()
      tally.compared(route, { differences, bodyCompared: true, isCut: false, note: null }, atMs)
      const said = { id: `s${count++}`, route, atMs, method: 'GET', target: '/', revision: 1, note: null }
      tally.keep({ ...said, differences })
    }
    evidence.add(tally.take())
    await evidence.save()
  }
  const restarted = new Evidence()
  restarted.follow(routesOf(routes))
  restarted.keepIn(store)
  await restarted.ready()
  for (const one of [evidence, restarted]) {
    for (const [i, route] of ['a', 'b', 'c'].entries()) {
      const known = one.of(route)?.paths.toSorted((x, y) => (x.path < y.path ? -1 : 1))
      expect(known).toMatchObject([{ sample: `s${i}` }, { path: '/time', sample: `s${1197 + i}` }])
      expect(await one.sample(`s${i}`)).toMatchObject({ route, differences: [{ path: '/time' }, { path: '/price' }] })
    }
  }
  expect(await store.list('samples')).toHaveLength(3 * 22)
  // Of another instance, which has read the store before.
  const other = new Evidence()
  other.follow(routesOf(routes))
  other.keepIn(store)
  expect(await other.sample('s1')).toMatchObject({ route: 'b' })
  expect(await other.sample('s4')).toBeNull()
  expect((await evidence.since('a', Date.now()))?.paths.map(({ sample }) => sample).sort()).toEqual(['s0', 's1197'])
})

test('a store that fails while it is read goes on where it stopped', async () => {
  const path = mkdtempSync(join(tmpdir(), 'banyan-basis-'))
  const store = new FolderStore(path, () => null)
  left.push(async () => {
    await store.close()
    rmSync(path, { recursive: true })
  })
  const first = new Evidence()
  first.follow(routesOf(routeOf(STRICT)))
  first.keepIn(store)
  first.add(told(Date.now()))
  await first.save()
  const totals = store.totals.bind(store)
  let calls = 0
  store.totals = async (space, terms) => {
    if (++calls % 10 === 0) throw new Error('it does not answer in time')
    return totals(space, terms)
  }
  const evidence = new Evidence()
  evidence.follow(routesOf(routeOf(STRICT)))
  evidence.keepIn(store)
  for (let tries = 0; tries < 3; tries++) await evidence.save()
  expect(evidence.problem).toContain('does not answer in time')
  await evidence.save()
  expect([evidence.of('a')?.comparisons, evidence.problem]).toEqual([3, null])
})

test('what a store has added, though it said that it could not, counts once', async () => {
  const path = mkdtempSync(join(tmpdir(), 'banyan-basis-'))
  const store = new FolderStore(path, () => null)
  left.push(async () => {
    await store.close()
    rmSync(path, { recursive: true })
  })
  const evidence = new Evidence()
  evidence.follow(routesOf(routeOf(STRICT)))
  const added = new Set<string | undefined>()
  const add = store.add.bind(store)
  let isLost = true
  // As the Redis of a cluster that hangs: it does what it was asked for when it goes on.
  store.add = async (space, sums, records, bounds, id?: string) => {
    if (!added.has(id) || id === undefined) await add(space, sums, records, bounds)
    added.add(id)
    if (isLost) throw new Error('the reply is lost')
  }
  evidence.keepIn(store)
  evidence.add(told(Date.now()))
  await evidence.save()
  expect(evidence.problem).toContain('the reply is lost')
  evidence.add(told(Date.now()))
  expect((await evidence.since('a', Date.now()))?.comparisons).toBe(6)
  isLost = false
  await evidence.tick()
  evidence.reload()
  await evidence.save()
  expect([evidence.of('a')?.comparisons, evidence.problem]).toEqual([6, null])
})

test('fields of a ramp count from now on where their evidence has begun anew', () => {
  const evidence = new Evidence()
  evidence.follow(routesOf(routeOf(STRICT)))
  evidence.add(told(Date.now()))
  const before = fieldsSeen({ route: 'a', fields: [{ field: '/price value', of: 5_000, hits: 4_000 }] }, evidence)
  expect(before[0]).toEqual({ field: '/price value', of: 3, hits: 2 })
  expect(fieldsSeen({ route: 'a', fields: before }, evidence)).toBe(before)
})
