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
const TARGETS = ['/one/a', '/one/b?x=1', '/two/a', '/two/b?x=1']

/** Which of the four targets are hits after a purge. */
async function left(target: PurgeTarget): Promise<string[]> {
  const rig = await startRig({ routes: ROUTES })
  always(rig.legacy, 200, [FRESH, 'Surrogate-Key: shoes sale'])
  always(rig.modern, 200, [FRESH, 'Cache-Tag: hats, sale'])
  for (const one of TARGETS) await rig.get(one)
  expect(await rig.plane.cache.purge(target, false)).toEqual({ shared: true })
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
