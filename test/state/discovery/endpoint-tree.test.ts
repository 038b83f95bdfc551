/**
 * The endpoints of a tree: folded, bounded, and the same however they are added.
 */
import { expect, test } from 'vitest'
import { parsePattern } from '../../../src/rules/patterns/path.ts'
import { EndpointTree } from '../../../src/state/discovery/endpoint-tree.ts'
import { takeFresh, type Unclaimed, UsageTally } from '../../../src/state/discovery/usage-tally.ts'

const caller = () => ({ agent: 'curl', network: '192.0.2.0/24' })

function seen(target: string, more: Partial<Unclaimed> = {}): Unclaimed {
  return {
    ...{ method: 'GET', target, status: 200, isAnswered: true, isAmbiguous: false, durationMs: 2, ignoresCase: false },
    caller,
    ...more,
  }
}

function pathsOf(tally: UsageTally): Record<string, number> {
  return Object.fromEntries(tally.take().endpoints.map(({ method, path, requests }) => [`${method} ${path}`, requests]))
}

test('ids are one endpoint, names are several', () => {
  const tally = new UsageTally()
  for (let store = 1; store <= 50; store++) {
    tally.unclaimed(seen(`/stores/${store}/hours?day=${store}`), store)
    tally.unclaimed(seen(`/stores/${store}/gtins/4006381333931`, { method: 'HEAD' }), store)
  }
  tally.unclaimed(seen('/search;jsessionid=ABC123?q=secret'), 1)
  expect(pathsOf(tally)).toEqual({
    'GET /stores/:id/hours': 50,
    'HEAD /stores/:id/gtins/:gtin': 50,
    'GET /search': 1,
  })
  expect(tally.take().endpoints).toEqual([])
})

test('counts by status, time and caller; the next report has only what is new', () => {
  const tally = new UsageTally()
  tally.unclaimed(seen('/a', { durationMs: 3 }), 10)
  tally.unclaimed(seen('/a', { status: 503, durationMs: 5 }), 20)
  tally.unclaimed(seen('/a', { status: 404 }), 30)
  expect(tally.take().endpoints).toEqual([
    {
      ...{ method: 'GET', path: '/a', requests: 3, statuses: [0, 1, 0, 1, 1], durationMs: 10, firstMs: 10, lastMs: 30 },
      callers: { callers: [{ ...caller(), requests: 3, lastMs: 30 }], more: 0 },
    },
  ])
  tally.unclaimed(seen('/a'), 40)
  expect(tally.take().endpoints).toMatchObject([{ requests: 1, firstMs: 40, lastMs: 40 }])
})

test('what the application refuses, and what nothing has answered, makes no endpoint', () => {
  const tally = new UsageTally()
  for (const status of [400, 401, 404, 499]) tally.unclaimed(seen(`/wp-admin/${status}.php`, { status }), 1)
  tally.unclaimed(seen('/down', { status: 502, isAnswered: false }), 1)
  tally.unclaimed(seen('/left', { status: 0 }), 1)
  tally.unclaimed(seen('*', { method: 'OPTIONS' }), 1)
  tally.unclaimed(seen('/a/../b', { isAmbiguous: true }), 1)
  expect(tally.take()).toEqual({ endpoints: [], refused: 7, ambiguous: 1, more: 0, routes: [] })
})

test('many names at one place are a value, but for those asked for often', () => {
  const tally = new UsageTally()
  const name = (at: number): string => `${String.fromCharCode(97 + (at % 26), 97 + Math.floor(at / 26))}x`
  for (let at = 0; at < 400; at++) {
    tally.unclaimed(seen('/users/me/orders'), 1)
    tally.unclaimed(seen(`/users/${name(at)}/orders`), 1)
  }
  expect(pathsOf(tally)).toEqual({ 'GET /users/me/orders': 400, 'GET /users/:name/orders': 400 })
  tally.unclaimed(seen('/users/zz/orders'), 1)
  expect(pathsOf(tally)).toEqual({ 'GET /users/:name/orders': 1 })
})

test('every path is one that a route can have, whatever comes', () => {
  const tally = new UsageTally()
  const hostile = [
    ...[
      '/<img src=x>/1',
      '/%00/%1b%5b/a',
      '/{id}/$x',
      '/(a|b)+/',
      '/:name/*',
      '/a\\b',
      '/é/ü',
      '/\x1b[31m/x',
      '/a,b=c/d',
    ],
    ...[`/${'a/'.repeat(5000)}`, `/${'x'.repeat(60_000)}`, `/${'%2e'.repeat(900)}`, '/1/2/3/4/5/6', '/a.b/c~d/e_f/'],
    ...['/*/a', '/:id/:id', '/.a', '/__proto__/constructor/toString', '/;a=b;c/d'],
  ]
  for (const target of hostile) tally.unclaimed(seen(target), 1)
  for (const { path } of tally.take().endpoints) {
    expect(parsePattern(path), path).toHaveProperty('segments')
    expect(path).toMatch(/^[\w/:.*~-]+$/)
    expect(path.length).toBeLessThan(800)
  }
})

test('a tree made of templates is the tree they came from', () => {
  const tally = new UsageTally()
  for (const target of ['/stores/1/gtins/4006381333931', '/a/b/2', '/a/', '/', `/${'a/'.repeat(20)}`])
    tally.unclaimed(seen(target), 1)
  const told = tally.take().endpoints
  const tree = new EndpointTree(100)
  for (const { method, path, requests } of told) {
    const endpoint = tree.at(method, path.slice(1), { isTemplate: true })
    if (endpoint !== null) endpoint.fresh.requests += requests
  }
  const again = takeFresh(tree).map(({ path }) => path)
  expect(again.sort()).toEqual(told.map(({ path }) => path).sort())
})

test('callers are few, and the others are counted', () => {
  const tally = new UsageTally()
  for (let at = 0; at < 20; at++) tally.late('search', { agent: `job-${at}`, network: '10.0.0.0/24' }, at)
  const [route] = tally.take().routes
  expect(route).toMatchObject({ route: 'search', more: 12 })
  expect(route?.callers).toHaveLength(8)
})
