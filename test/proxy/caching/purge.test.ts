/**
 * Purges: what each kind covers, hard and soft, and what is under way while one comes.
 */
import { describe, expect, test } from 'vitest'
import type { PurgeTarget } from '../../../src/rules/caching/purge.ts'
import { always, inTurn, reply, startRig, statusOf } from './rig.ts'

const FRESH = 'Cache-Control: max-age=60'
const ROUTES = [
  '- id: one',
  '  match: { path: /one/* }',
  '  to: modern',
  '  cache: { tags: Surrogate-Key }',
  '- id: two',
  '  match: { path: /two/* }',
  '  to: modern',
  '  percent: 100',
  '  cache: { tags: Cache-Tag, key: { query: { drop: [utm] } } }',
]
const DROP = '{ key: { query: { drop: [utm] } } }'
const TARGETS = ['/one/a', '/one/b?x=1', '/two/a', '/two/b?x=1']

/** Which of the four targets are hits after a purge. */
async function left(target: PurgeTarget): Promise<string[]> {
  const rig = await startRig({ routes: ROUTES })
  always(rig.legacy, 200, [FRESH, 'Surrogate-Key: shoes sale'])
  always(rig.modern, 200, [FRESH, 'Cache-Tag: hats, sale'])
  for (const one of TARGETS) await rig.get(one)
  expect(await rig.plane.cache.purge(target, false)).toMatchObject({ shared: true })
  const hits = []
  for (const one of TARGETS) if (statusOf(await rig.get(one))?.includes('hit')) hits.push(one)
  return hits
}

describe('a hard purge', () => {
  test.each<[PurgeTarget, string[]]>([
    [{ what: 'everything' }, []],
    [{ what: 'route', route: 'one', upstream: null }, ['/two/a', '/two/b?x=1']],
    [{ what: 'route', route: 'one', upstream: 'legacy' }, ['/two/a', '/two/b?x=1']],
    [{ what: 'route', route: 'one', upstream: 'modern' }, TARGETS],
    [{ what: 'upstream', upstream: 'modern' }, ['/one/a', '/one/b?x=1']],
    [{ what: 'url', url: '/one/a' }, ['/one/b?x=1', '/two/a', '/two/b?x=1']],
    [{ what: 'url', url: 'https://SHOP.test:443/one/a' }, ['/one/b?x=1', '/two/a', '/two/b?x=1']],
    [{ what: 'url', url: 'http://other.test/one/a' }, TARGETS],
    [{ what: 'url', url: '/one/b' }, TARGETS],
    [{ what: 'url', url: '/two/b?utm=5&x=1' }, ['/one/a', '/one/b?x=1', '/two/a']],
    [{ what: 'url', url: 'http://shop.test/two/b?utm=5&x=1' }, ['/one/a', '/one/b?x=1', '/two/a']],
    [{ what: 'prefix', url: '/one/' }, ['/two/a', '/two/b?x=1']],
    [{ what: 'prefix', url: 'http://shop.test/' }, []],
    [{ what: 'prefix', url: 'http://shop.test/two/b' }, ['/one/a', '/one/b?x=1', '/two/a']],
    [{ what: 'tag', tag: 'shoes' }, ['/two/a', '/two/b?x=1']],
    [{ what: 'tag', tag: 'hats' }, ['/one/a', '/one/b?x=1']],
    [{ what: 'tag', tag: 'sale' }, []],
    [{ what: 'tag', tag: 'sho' }, TARGETS],
  ])('%j', async (target, expected) => expect(await left(target)).toEqual(expected))
})

describe('spellings of what is stored', () => {
  test.each<[string, string, string, PurgeTarget]>([
    ['a fragment', '{}', '/a', { what: 'url', url: 'http://shop.test/a#top' }],
    ['a fragment of a path', '{}', '/a', { what: 'url', url: '/a#top' }],
    ['escapes in another case', '{}', '/caf%c3%a9', { what: 'url', url: '/caf%C3%A9' }],
    ['escapes of letters', '{}', '/%7euser', { what: 'url', url: '/~user' }],
    ['a prefix with escapes', '{}', '/caf%c3%a9/x', { what: 'prefix', url: 'http://shop.test/caf%C3%A9' }],
    [
      'a prefix in another order',
      '{ key: { anyQueryOrder: true } }',
      '/a?b=1&a=2',
      { what: 'prefix', url: '/a?b=1&a=' },
    ],
    ['a prefix with a dropped one', DROP, '/a?x=1&utm=5', { what: 'prefix', url: '/a?utm=5&x=' }],
    ['a prefix that ends in a dropped one', DROP, '/a?x=1&utm=5', { what: 'prefix', url: '/a?x=1&utm=5' }],
  ])('%s', async (_, cache, stored, target) => {
    const rig = await startRig({ cache })
    always(rig.legacy, 200, [FRESH])
    await rig.get(stored)
    expect(await rig.plane.cache.purge(target, false)).toEqual({ shared: true, entries: 1 })
    expect(statusOf(await rig.get(stored))).not.toContain('hit')
  })

  test.each<[string, PurgeTarget]>([
    ['another value', { what: 'prefix', url: '/a?x=2&utm=' }],
    ['another path', { what: 'prefix', url: '/b?utm=1&x=' }],
  ])('a prefix covers no more than it says: %s', async (_, target) => {
    const rig = await startRig({ cache: DROP })
    always(rig.legacy, 200, [FRESH])
    await rig.get('/a?x=1')
    expect(await rig.plane.cache.purge(target, false)).toEqual({ shared: true, entries: 0 })
    expect(statusOf(await rig.get('/a?x=1'))).toContain('hit')
  })

  test('a default port that was written', async () => {
    const rig = await startRig()
    always(rig.legacy, 200, [FRESH])
    await rig.get('/x', 'Host: shop.test:443')
    await rig.plane.cache.purge({ what: 'url', url: 'https://shop.test:443/x' }, false)
    expect(statusOf(await rig.get('/x', 'Host: shop.test:443'))).not.toContain('hit')
  })
})

test('a purge says how many it covers, and each only once', async () => {
  const rig = await startRig({ routes: ROUTES })
  always(rig.legacy, 200, [FRESH, 'Vary: X-A', 'Surrogate-Key: shoes'])
  always(rig.modern, 200, [FRESH])
  for (const field of ['X-A: 1', 'X-A: 2']) await rig.get('/one/a', field)
  for (const target of TARGETS) await rig.get(target)
  const counts: (number | null)[] = []
  for (const target of [
    { what: 'url', url: '/one/a' },
    { what: 'url', url: '/one/a' },
    { what: 'tag', tag: 'shoes' },
    { what: 'route', route: 'two', upstream: 'modern' },
    { what: 'prefix', url: '/' },
  ] as const) {
    counts.push((await rig.plane.cache.purge(target, false)).entries)
  }
  expect(counts).toEqual([3, 0, 1, 2, 0])
})

test('all variants of a URL go', async () => {
  const rig = await startRig()
  rig.legacy.handler = (request) =>
    request.send(reply(200, [FRESH, 'Vary: X-A'], `${request.field('x-a')} ${rig.legacy.requests}`))
  for (const value of ['1', '2']) await rig.get('/a', `X-A: ${value}`)
  await rig.plane.cache.purge({ what: 'url', url: '/a' }, false)
  expect((await rig.get('/a', 'X-A: 1')).body.text).toBe('1 3')
  expect((await rig.get('/a', 'X-A: 2')).body.text).toBe('2 4')
})

test('a soft purge makes stale: validated, or served where the upstream fails', async () => {
  const rig = await startRig()
  const seen = inTurn(
    rig.legacy,
    reply(200, [FRESH, 'ETag: "one"'], 'body'),
    null,
    null,
    reply(304, ['ETag: "one"', FRESH]),
  )
  await rig.get('/a')
  await rig.plane.cache.purge({ what: 'prefix', url: '/' }, true)
  expect(statusOf(await rig.get('/a'))).toContain('detail=disconnected')
  expect((await rig.get('/a')).body.text).toBe('body')
  expect(statusOf(await rig.get('/a'))).toContain('hit')
  expect(seen.map((request) => request.field('if-none-match'))).toContain('"one"')
})

test('what was asked for before a purge is not served after it', async () => {
  const rig = await startRig()
  const early = rig.get('/a')
  const request = await rig.legacy.request()
  await rig.plane.cache.purge({ what: 'everything' }, false)
  always(rig.legacy, 200, [FRESH], 'new')
  // It does not wait for what the purge has overtaken.
  expect((await rig.get('/a')).body.text).toBe('new')
  await request.send(reply(200, [FRESH], 'old'))
  expect((await early).body.text).toBe('old')
  expect((await rig.get('/a')).body.text).toBe('new')
})
