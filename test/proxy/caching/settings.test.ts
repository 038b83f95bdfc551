/**
 * What a route says about its cache: forced mode and its words, cookies, key rules, sharing; and what tells answers apart.
 */
import { describe, expect, test } from 'vitest'
import { always, fieldIn, inTurn, reply, startRig, statusOf } from './rig.ts'

const FRESH = 'Cache-Control: max-age=60'

/** How many of some requests reach the upstream. */
async function fetched(cache: string, requests: readonly (readonly string[])[], lines: readonly string[] = [FRESH]) {
  const rig = await startRig({ cache })
  always(rig.legacy, 200, lines)
  for (const [target, ...fields] of requests) await rig.get(target as string, ...fields)
  return rig.legacy.requests
}

describe('lifetimes', () => {
  test('a ttl serves where the answer names no lifetime', async () => {
    expect(await fetched('{ ttl: 1m }', [['/a'], ['/a']], [])).toBe(1)
    expect(await fetched('{ ttl: 1m }', [['/a'], ['/a']], ['Cache-Control: max-age=0'])).toBe(2)
    expect(await fetched('{}', [['/a'], ['/a']], [])).toBe(2)
  })

  test('forced is the word of the operator', async () => {
    expect(await fetched('{ mode: forced, ttl: 1m }', [['/a'], ['/a']], ['Cache-Control: max-age=0, no-cache'])).toBe(1)
  })

  test.each([
    ['no-store', 'Cache-Control: no-store', []],
    ['private', 'Cache-Control: private', []],
    ['authorization', 'Cache-Control: max-age=60', ['Authorization: Basic x']],
  ])('but for %s, which needs a word of its own', async (word, line, fields) => {
    const asks = [
      ['/a', ...fields],
      ['/a', ...fields],
    ]
    expect(await fetched('{ mode: forced, ttl: 1m }', asks, [line])).toBe(2)
    expect(await fetched(`{ mode: forced, ttl: 1m, force: [${word}] }`, asks, [line])).toBe(1)
  })
})

describe('cookies', () => {
  const lines = [FRESH, 'Set-Cookie: sid=#']
  test.each([
    ['refuse', ['sid=1', 'sid=2']],
    ['store', ['sid=1', 'sid=1']],
    ['strip', ['sid=1', undefined]],
  ])('setCookie: %s', async (word, cookies) => {
    const rig = await startRig({ cache: `{ setCookie: ${word} }` })
    always(rig.legacy, 200, lines)
    const got = [await rig.get('/a'), await rig.get('/a')].map((response) => fieldIn(response, 'set-cookie'))
    expect(got).toEqual(cookies)
  })
})

describe('the key', () => {
  test('takes the query as it came', async () => {
    expect(await fetched('{}', [['/a?x=1&y=2'], ['/a?y=2&x=1'], ['/a?x=1&y=2']])).toBe(2)
  })
  test('may leave parameters out', async () => {
    const cache = '{ key: { query: { drop: [utm_source] } } }'
    expect(await fetched(cache, [['/a?x=1&utm_source=b'], ['/a?utm_source=c&x=1'], ['/a?x=1'], ['/a?x=2']])).toBe(2)
  })
  test('may keep some only', async () => {
    expect(await fetched('{ key: { query: { keep: [x] } } }', [['/a?x=1&z=b'], ['/a?x=1'], ['/a']])).toBe(2)
  })
  test('may have any order', async () => {
    expect(await fetched('{ key: { anyQueryOrder: true } }', [['/a?x=1&y=2'], ['/a?y=2&x=1']])).toBe(1)
  })
  test('may count fields and cookies', async () => {
    const cache = '{ key: { headers: [X-Tenant], cookies: [lang] } }'
    const asks = [
      ['/a', 'X-Tenant: one'],
      ['/a', 'X-Tenant: two'],
      ['/a', 'X-Tenant: one', 'Cookie: sid=1'],
      ['/a', 'X-Tenant: one', 'Cookie: sid=1; lang=de'],
      ['/a', 'x-tenant: two', 'Accept: text/html'],
    ]
    expect(await fetched(cache, asks)).toBe(3)
  })
  test('has the host as it is sent', async () => {
    expect(
      await fetched('{}', [
        ['/a', 'Host: one.test'],
        ['/a', 'Host: two.test'],
        ['/a', 'Host: ONE.test:80'],
        ['/a', 'Host: one.test'],
        ['/a', 'Host: ONE.test:80'],
      ]),
    ).toBe(3)
  })
})

describe('the two sides', () => {
  const routes = (share: boolean, percent: number) => [
    '- id: split',
    '  match: { path: /* }',
    '  to: modern',
    `  percent: ${percent}`,
    `  cache: { ttl: 1m, shareAcrossUpstreams: ${share} }`,
  ]
  test('never answer for each other', async () => {
    const rig = await startRig({ routes: routes(false, 0) })
    always(rig.legacy, 200, [], 'legacy')
    always(rig.modern, 200, [], 'modern')
    expect((await rig.get('/a')).body.text).toBe('legacy')
    rig.apply({ routes: routes(false, 100) })
    expect((await rig.get('/a')).body.text).toBe('modern')
    rig.apply({ routes: routes(false, 0) })
    expect((await rig.get('/a')).body.text).toBe('legacy')
    expect([rig.legacy.requests, rig.modern.requests]).toEqual([1, 1])
  })

  test('do, where the route says so', async () => {
    const rig = await startRig({ routes: routes(true, 0) })
    always(rig.legacy, 200, [], 'legacy')
    await rig.get('/a')
    rig.apply({ routes: routes(true, 100) })
    expect((await rig.get('/a')).body.text).toBe('legacy')
  })

  test('a share that is lowered takes its answers with it', async () => {
    const rig = await startRig({ routes: routes(false, 100) })
    always(rig.modern, 200, [], 'modern #')
    await rig.get('/a')
    rig.apply({ routes: routes(false, 50) })
    rig.apply({ routes: routes(false, 100) })
    expect((await rig.get('/a')).body.text).toBe('modern 2')
    rig.apply({ routes: routes(false, 100) })
    expect((await rig.get('/a')).body.text).toBe('modern 2')
  })
})

describe('Vary', () => {
  test('tells variants apart', async () => {
    const rig = await startRig()
    rig.legacy.handler = (request) =>
      request.send(reply(200, [FRESH, 'Vary: Accept-Language'], `in ${request.field('accept-language')}`))
    for (const language of ['de', 'en', 'de', 'en', 'DE']) {
      const { body } = await rig.get('/a', `Accept-Language: ${language}`)
      expect(body.text).toBe(`in ${language}`)
    }
    expect(rig.legacy.requests).toBe(3)
    expect(statusOf(await rig.get('/a'))).toContain('fwd=vary-miss')
  })

  test('the newest fields count, and an answer without any lies beside', async () => {
    const rig = await startRig()
    inTurn(
      rig.legacy,
      reply(200, [FRESH, 'Vary: X-A'], 'one'),
      reply(200, [FRESH], 'two'),
      reply(200, [FRESH, 'Vary: X-B'], 'three'),
    )
    await rig.get('/a', 'X-A: 1')
    expect((await rig.get('/a', 'X-A: 2')).body.text).toBe('two')
    expect((await rig.get('/a', 'X-A: 1')).body.text).toBe('one')
    expect((await rig.get('/a', 'X-A: 3', 'X-B: 1')).body.text).toBe('three')
    expect((await rig.get('/a', 'X-A: 4', 'X-B: 1')).body.text).toBe('three')
    expect(rig.legacy.requests).toBe(3)
  })
})

describe('Authorization', () => {
  test.each([
    ['max-age=60', 2],
    ['max-age=60, public', 1],
    ['s-maxage=60', 1],
    ['max-age=60, must-revalidate', 1],
  ])('%s: %i requests', async (cc, requests) => {
    const asks = [
      ['/a', 'Authorization: Basic x'],
      ['/a', 'Authorization: Basic y'],
    ]
    expect(await fetched('{}', asks, [`Cache-Control: ${cc}`])).toBe(requests)
  })
})
