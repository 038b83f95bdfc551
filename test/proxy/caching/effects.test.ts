/**
 * Unsafe requests: what they make untrue (RFC 9111 section 4.4), and what a POST leaves for GETs (RFC 9110 section 9.3.3).
 */
import { describe, expect, test } from 'vitest'
import type { RawResponse } from '../../support/message.ts'
import { always, inTurn, type Rig, reply, startRig, statusOf } from './rig.ts'

const FRESH = 'Cache-Control: max-age=60'

async function stored(rig: Rig, ...targets: string[]): Promise<void> {
  always(rig.legacy, 200, [FRESH], 'stored')
  for (const target of targets) await rig.get(target)
}

const isHit = (response: RawResponse): boolean => statusOf(response)?.includes('hit') ?? false

describe('invalidation', () => {
  test.each([
    ['POST', 200, false],
    ['PUT', 204, false],
    ['DELETE', 200, false],
    ['PATCH', 302, false],
    ['M-SEARCH', 200, false],
    ['POST', 404, true],
    ['POST', 500, true],
    ['OPTIONS', 200, true],
  ])('%s with %i: still a hit: %s', async (method, status, still) => {
    const rig = await startRig()
    await stored(rig, '/a', '/b')
    inTurn(rig.legacy, reply(status))
    await rig.ask(method, '/a', 'Content-Length: 0')
    always(rig.legacy, 200, [FRESH], 'again')
    expect(isHit(await rig.get('/a'))).toBe(still)
    expect(isHit(await rig.get('/b'))).toBe(true)
  })

  test('Location and Content-Location of the same origin too', async () => {
    const rig = await startRig()
    await stored(rig, '/a', '/b', '/c', '/d')
    inTurn(rig.legacy, reply(201, ['Location: /b', 'Content-Location: http://shop.test/c', 'Link: </d>']))
    await rig.ask('POST', '/x', 'Content-Length: 0')
    always(rig.legacy, 200, [FRESH], 'again')
    const hits = await Promise.all(['/a', '/b', '/c', '/d'].map(async (target) => isHit(await rig.get(target))))
    expect(hits).toEqual([true, false, false, true])
  })

  test('of another origin not', async () => {
    const rig = await startRig()
    await stored(rig, '/b')
    inTurn(rig.legacy, reply(201, ['Location: http://other.test/b']))
    await rig.ask('POST', '/x', 'Content-Length: 0')
    expect(isHit(await rig.get('/b'))).toBe(true)
  })

  test('all variants go, and none comes back', async () => {
    const rig = await startRig()
    rig.legacy.handler = (request) =>
      request.method === 'GET'
        ? request.send(reply(200, [FRESH, 'Vary: X-A'], `${request.field('x-a')} ${rig.legacy.requests}`))
        : request.send(reply(204))
    await rig.get('/a', 'X-A: 1')
    await rig.get('/a', 'X-A: 2')
    await rig.ask('DELETE', '/a')
    expect(isHit(await rig.get('/a', 'X-A: 1'))).toBe(false)
    expect((await rig.get('/a', 'X-A: 2')).body.text).toBe('2 5')
  })

  test('what was asked for before is not stored after', async () => {
    const rig = await startRig()
    const client = await rig.begin('/a')
    const get = await rig.legacy.request()
    const post = rig.ask('POST', '/a', 'Content-Length: 0')
    await (await rig.legacy.request()).send(reply(200))
    await post
    await get.send(reply(200, [FRESH], 'old'))
    expect((await client.nextResponse()).body.text).toBe('old')
    always(rig.legacy, 200, [FRESH], 'new')
    expect((await rig.get('/a')).body.text).toBe('new')
  })

  test('on both sides of a split', async () => {
    const routes = (percent: number) => [
      '- id: split',
      '  match: { path: /*, methods: [GET] }',
      '  to: modern',
      `  percent: ${percent}`,
      '  cache: {}',
    ]
    const rig = await startRig({ routes: routes(0) })
    await stored(rig, '/a')
    rig.apply({ routes: routes(100) })
    always(rig.modern, 200, [FRESH])
    await rig.get('/a')
    inTurn(rig.legacy, reply(200))
    await rig.ask('POST', '/a', 'Content-Length: 0')
    expect(isHit(await rig.get('/a'))).toBe(false)
    rig.apply({ routes: routes(0) })
    expect(isHit(await rig.get('/a'))).toBe(false)
  })
})

describe('the answer to a POST', () => {
  test('serves no GET unless the route says so', async () => {
    const rig = await startRig()
    inTurn(rig.legacy, reply(200, [FRESH, 'Content-Location: /a'], 'of the post'), reply(200, [], 'of the get'))
    await rig.ask('POST', '/a', 'Content-Length: 0')
    expect((await rig.get('/a')).body.text).toBe('of the get')
  })

  test.each([
    ['with the target as its Content-Location', [FRESH, 'Content-Location: /a'], true],
    ['with another one', [FRESH, 'Content-Location: /b'], false],
    ['without a lifetime', ['Content-Location: /a', 'ETag: "one"'], false],
  ])('%s serves a GET: %s', async (_, lines, serves) => {
    const rig = await startRig({ cache: '{ storePost: true }' })
    inTurn(rig.legacy, reply(200, lines, 'of the post'), reply(200, [], 'of the get'))
    expect(statusOf(await rig.ask('POST', '/a', 'Content-Length: 0'))).toContain('fwd=method')
    expect((await rig.get('/a')).body.text).toBe(serves ? 'of the post' : 'of the get')
  })
})

test('a GET with a body passes by', async () => {
  const rig = await startRig()
  always(rig.legacy, 200, [FRESH])
  await rig.get('/a')
  const client = await rig.begin('/a', 'Content-Length: 2')
  await client.send('ab')
  const response = await client.nextResponse()
  expect(response.body.text).toBe('body 2')
  expect(statusOf(response)).toBe('banyan;fwd=bypass')
})
