/**
 * POST /explain: the same decision as the proxy's, each candidate with why it lost, and errors at their pointers.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type AdminRig, adminRig } from '../rig.ts'

const TABLE = `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:4001] }
  gtin: { servers: [http://127.0.0.1:4002] }
default: legacy
routes:
  - id: gtin-lookup
    match: { path: /stores/:storeId/gtins/:gtin, methods: [GET] }
    to: gtin
    percent: 50
    sticky: [cookie:sid, param:gtin]
  - id: stores
    match: { path: /stores/* }
    to: gtin
    percent: 50
  - id: preview
    match: { hosts: [preview.example.test] }
    to: gtin
    percent: 100
    sticky: ip
`

let at: AdminRig
let open = true

beforeAll(async () => {
  at = await adminRig({ isAvailable: (_route, _method, target) => target !== 'gtin' || open, text: TABLE })
})
afterAll(() => at.close())

const explain = (body: object | string) => at.ask('POST', '/explain', { body })

test('gives the decision, each candidate with why it lost, and the revision', async () => {
  const reply = await explain({ url: '/stores/3/gtins/123456789012', headers: { cookie: 'sid=alice' } })
  expect(reply.status).toBe(200)
  expect(reply.headers.etag).toBe(at.live.current.etag)
  expect(reply.json).toMatchObject({
    revision: 1,
    // murmur3 of gtin-lookup and alice is 1732175213: 40.33 per cent of 2^32.
    decision: {
      routeId: 'gtin-lookup',
      upstream: 'gtin',
      reason: 'percent',
      bucket: (1732175213 / 2 ** 32) * 100,
      percent: 50,
      sticky: 'cookie:sid',
    },
    request: { method: 'GET', target: '/stores/3/gtins/123456789012', host: '', clientAddress: '127.0.0.1' },
  })
  const [won, ...lost] = reply.json.candidates
  expect(won).toMatchObject({ routeId: 'gtin-lookup', won: true, lost: [] })
  for (const candidate of lost) {
    expect(candidate).toMatchObject({ won: false, lost: [expect.any(String)] })
  }
})

test('takes a whole URL, with the host of its own unless Host is given', async () => {
  const url = 'http://user@Preview.Example.Test:8080/x?q=%C3%A9#part'
  const { request, decision } = (await explain({ url })).json
  expect(request).toMatchObject({ host: 'preview.example.test:8080', target: '/x?q=%C3%A9' })
  expect(decision).toMatchObject({ routeId: 'preview', percent: 100, bucket: null })
  const other = (await explain({ url, headers: [['Host', 'other.test']] })).json
  expect(other).toMatchObject({ request: { host: 'other.test' }, decision: { routeId: null, reason: 'default' } })
  expect((await explain({ url: 'http://a.test?x' })).json.request.target).toBe('/?x')
  expect((await explain({ url: '/a//b/../c' })).json.decision.reason).toBe('ambiguous')
})

test('takes headers as pairs, in order and with duplicates, and as an object with lists', async () => {
  const pairs = [
    ['X-A', '1'],
    ['x-a', 'ż'],
  ]
  const expected = ['X-A', '1', 'x-a', Buffer.from('ż').toString('latin1')]
  expect((await explain({ url: '/', headers: pairs })).json.request.rawHeaders).toEqual(expected)
  const object = { 'X-A': ['1', '2'], 'X-B': '3' }
  expect((await explain({ url: '/', headers: object })).json.request.rawHeaders).toEqual([
    ...['X-A', '1', 'X-A', '2'],
    ...['X-B', '3'],
  ])
})

test('draws with the chance that is given, or one of its own that it tells', async () => {
  const at40 = (await explain({ url: '/stores/1', chance: 0.4 })).json.decision
  expect(at40).toMatchObject({ routeId: 'stores', upstream: 'gtin', bucket: 40, sticky: 'request' })
  const at60 = (await explain({ url: '/stores/1', chance: 0.6 })).json.decision
  expect(at60).toMatchObject({ upstream: 'legacy', reason: 'rest', bucket: 60 })
  expect((await explain({ url: '/stores/1' })).json.request.chance).toBe(0.5)
})

test('says unavailable where the upstream may not be asked', async () => {
  open = false
  const { decision } = (await explain({ url: '/stores/1', chance: 0.4 })).json
  open = true
  expect(decision).toMatchObject({ upstream: 'legacy', reason: 'unavailable' })
})

test.each([
  [{}, ['/url']],
  [{ url: 'stores/3' }, ['/url']],
  [{ url: 'ftp://a/b' }, ['/url']],
  [{ url: 'http:///b' }, ['/url']],
  [{ url: '/a b' }, ['/url']],
  [{ url: 5, method: 'G T', chance: 1, clientAddress: 'home' }, ['/url', '/method', '/clientAddress', '/chance']],
  [{ url: '/', headers: 'a: b' }, ['/headers']],
  [{ url: '/', headers: [['a'], ['b', 'c'], ['d e', 'f']] }, ['/headers/0', '/headers/2']],
  [{ url: '/', headers: { 'a/b': 'x', c: 'y\r\nz', d: [1] } }, ['/headers/a~1b', '/headers/c', '/headers/d']],
  [[], ['']],
])('%j is invalid at %j', async (body, pointers) => {
  const reply = await at.ask('POST', '/explain', {
    body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json' },
  })
  expect(reply.status).toBe(422)
  expect(reply.json.errors.map((error: { pointer: string }) => error.pointer)).toEqual(pointers)
})

test('says which member was meant', async () => {
  const { errors } = (await explain({ url: '/', header: {} })).json
  expect(errors).toEqual([{ pointer: '/header', detail: 'unknown member', hint: 'did you mean `headers`?' }])
})

describe('a route that caches', () => {
  const CACHING = `version: 1
upstreams: { legacy: { servers: [http://127.0.0.1:4001] } }
default: legacy
routes:
  - { id: pages, match: { path: /* }, to: legacy, cache: {} }
`

  test.each<[string, object, object | null]>([
    ['a GET', { url: '/a' }, { verdict: 'miss', why: 'nothing-stored', key: expect.stringContaining('/a') }],
    ['a GET with an empty body', { url: '/a', headers: { 'content-length': '0' } }, { verdict: 'miss' }],
    [
      'a GET with a body',
      { url: '/a', headers: { 'content-length': '5' } },
      { verdict: 'pass', why: 'body', key: null },
    ],
    ['a chunked one', { url: '/a', headers: { 'transfer-encoding': 'chunked' } }, { verdict: 'pass', why: 'body' }],
    [
      'an upgrade',
      { url: '/a', headers: { connection: 'keep-alive, Upgrade', upgrade: 'websocket' } },
      { verdict: 'pass', why: 'upgrade' },
    ],
    ['an offer of h2c', { url: '/a', headers: { connection: 'upgrade', upgrade: 'h2c' } }, { verdict: 'miss' }],
    ['a POST', { url: '/a', method: 'POST' }, { verdict: 'pass', why: 'method' }],
  ])('%s', async (_, body, cache) => {
    const rig = await adminRig({ text: CACHING })
    onTestFinished(() => rig.close())
    const reply = await rig.ask('POST', '/explain', { body })
    expect(reply.json.cache).toMatchObject({ stored: null, ...cache })
  })

  test('a purge tells why it can have covered nothing', async () => {
    const rig = await adminRig({ text: CACHING.replace('/*', '/pages/*') })
    onTestFinished(() => rig.close())
    const purge = async (body: object) => (await rig.ask('POST', '/cache/purge', { body })).json
    expect(await purge({ url: 'https://shop.test/other?x#y' })).toMatchObject({
      entries: 0,
      note: 'no route that caches takes /other?x',
    })
    expect(await purge({ url: '/pages/1' })).not.toHaveProperty('note')
    expect(await purge({ tag: 'shoes' })).toMatchObject({ note: 'no route has tags' })
    const refused = await rig.ask('POST', '/cache/purge', { body: { prefix: '//shop.test/p' } })
    expect(refused.status).toBe(422)
    expect(JSON.stringify(refused.json)).toContain('write https://HOST/PATH')
  })
})
