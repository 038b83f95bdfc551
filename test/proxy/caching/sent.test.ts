/**
 * The cache looks at the request that is sent: what tells two sent requests apart tells their answers apart, and what is not
 * sent tells nothing.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { describe, expect, onTestFinished, test } from 'vitest'
import { scriptedUpstream } from '../../support/upstream.ts'
import { always, fieldIn, type Rig, type RigOptions, reply, startRig, statusOf } from './rig.ts'

const FRESH = 'Cache-Control: max-age=60'

/** Answers with the bytes of the request line and of the fields named, as they came. */
function echo(rig: Rig, names: readonly string[], lines: readonly string[] = []): void {
  for (const upstream of [rig.legacy, rig.modern]) {
    upstream.handler = (request) => {
      const said = names.map(
        (name) =>
          `${name}=${request.fields
            .filter((f) => f[0].toLowerCase() === name)
            .map((f) => f[1])
            .join('|')}`,
      )
      void request.send(reply(200, [FRESH, ...lines], [request.target, ...said].join(' ')))
    }
  }
}

interface Case extends RigOptions {
  readonly vary?: string
  /** Fields that the upstream goes by, lower case. */
  readonly reads: readonly string[]
  readonly first: readonly [string, ...string[]]
  readonly second: readonly [string, ...string[]]
}

const HOST: Pick<Case, 'reads' | 'second'> = { reads: ['host', 'x-forwarded-host'], second: ['/a'] }
const XFP: Pick<Case, 'reads' | 'trusted'> = { reads: ['x-forwarded-proto'], trusted: true }
const TENANT = '{ key: { headers: [x-tenant] } }'
const LANG = '{ key: { cookies: [lang] } }'

/** Two requests that are sent in two forms; each must get what the upstream makes for its own. */
const APART: Record<string, Case> = {
  'a port that need not be said': { ...HOST, first: ['/a', 'Host: shop.test:80'] },
  'an empty port': { ...HOST, first: ['/a', 'Host: shop.test:'] },
  'letters of the host': { ...HOST, first: ['/a', 'Host: SHOP.test'] },
  'the scheme that a proxy tells': {
    ...XFP,
    first: ['/a', 'X-Forwarded-Proto: http'],
    second: ['/a', 'X-Forwarded-Proto: https'],
  },
  'the scheme in other letters': {
    ...XFP,
    first: ['/a', 'X-Forwarded-Proto: HTTPS'],
    second: ['/a', 'X-Forwarded-Proto: https'],
  },
  'the host that a proxy tells': {
    reads: ['x-forwarded-host'],
    trusted: true,
    first: ['/a', 'X-Forwarded-Host: evil.test'],
    second: ['/a'],
  },
  'Forwarded of a proxy': {
    reads: ['forwarded'],
    trusted: true,
    first: ['/a', 'Forwarded: for=1.2.3.4;host=evil.test'],
    second: ['/a'],
  },
  'a cookie that stands twice': {
    cache: LANG,
    reads: ['cookie'],
    first: ['/a', 'Cookie: lang=en; lang=evil'],
    second: ['/a', 'Cookie: lang=en'],
  },
  'a cookie on two lines': {
    cache: LANG,
    reads: ['cookie'],
    first: ['/a', 'Cookie: lang=en', 'Cookie: lang=evil'],
    second: ['/a', 'Cookie: lang=en'],
  },
  'a no-break space in a cookie': {
    cache: LANG,
    reads: ['cookie'],
    first: ['/a', 'Cookie: lang=en\xa0'],
    second: ['/a', 'Cookie: lang=en'],
  },
  'a no-break space in the name of a cookie': {
    cache: LANG,
    reads: ['cookie'],
    first: ['/a', 'Cookie: lang\xa0=en'],
    second: ['/a'],
  },
  'bytes of a cookie in two encodings': {
    cache: LANG,
    reads: ['cookie'],
    first: ['/a', 'Cookie: lang=\xe9'],
    second: ['/a', 'Cookie: lang=\xc3\xa9'],
  },
  'a no-break space in a field of the key': {
    cache: TENANT,
    reads: ['x-tenant'],
    first: ['/a', 'X-Tenant: acme\xa0'],
    second: ['/a', 'X-Tenant: acme'],
  },
  'a no-break space in a field of Vary': {
    vary: 'X-Tenant',
    reads: ['x-tenant'],
    first: ['/a', 'X-Tenant: acme\xa0'],
    second: ['/a', 'X-Tenant: acme'],
  },
  'letters beyond ASCII': {
    vary: 'Accept-Language',
    reads: ['accept-language'],
    first: ['/a', 'Accept-Language: \xc9'],
    second: ['/a', 'Accept-Language: \xe9'],
  },
  'the order of languages': {
    vary: 'Accept-Language',
    reads: ['accept-language'],
    first: ['/a', 'Accept-Language: de;q=0.9,en-US'],
    second: ['/a', 'Accept-Language: en-US,de;q=0.9'],
  },
  'a field that Connection takes away': {
    vary: 'X-Tenant',
    reads: ['x-tenant'],
    first: ['/a', 'X-Tenant: acme', 'Connection: x-tenant'],
    second: ['/a', 'X-Tenant: acme'],
  },
  'a cookie that Connection takes away': {
    cache: LANG,
    reads: ['cookie'],
    first: ['/a', 'Cookie: lang=en', 'Connection: cookie'],
    second: ['/a', 'Cookie: lang=en'],
  },
  'the client, where Vary names it': {
    vary: 'X-Forwarded-For',
    reads: ['x-forwarded-for'],
    trusted: true,
    first: ['/a', 'X-Forwarded-For: 10.0.0.1'],
    second: ['/a', 'X-Forwarded-For: 10.0.0.2'],
  },
  'a parameter behind a semicolon': {
    cache: '{ key: { query: { drop: [utm] } } }',
    reads: [],
    first: ['/a?utm=1;q=evil'],
    second: ['/a'],
  },
  'a parameter behind an escaped separator': {
    cache: '{ key: { query: { drop: [utm] } } }',
    reads: [],
    first: ['/a?utm=1%26q=evil'],
    second: ['/a'],
  },
}

describe('sent in two forms: two answers', () => {
  test.each(Object.entries(APART))('%s', async (_, { vary, reads, first, second, ...options }) => {
    const rig = await startRig(options)
    echo(rig, reads, vary === undefined ? [] : [`Vary: ${vary}`])
    const one = await rig.get(...first)
    const two = await rig.get(...second)
    const fresh = await startRig({ ...options, upstreams: rig })
    expect(two.body.text).toBe((await fresh.get(...second)).body.text)
    expect(two.body.text).not.toBe(one.body.text)
    // And each of them is stored.
    expect((await rig.get(...first)).body.text).toBe(one.body.text)
    expect((await rig.get(...second)).body.text).toBe(two.body.text)
    expect(rig.legacy.requests).toBe(3)
  })
})

/** Two requests that are sent in one form; one answer serves both. */
const TOGETHER: Record<string, Case> = {
  'absolute form and origin form': { reads: ['host'], first: ['http://shop.test/a'], second: ['/a'] },
  'lines combined': {
    vary: 'X-A',
    reads: [],
    first: ['/a', 'X-A: 1', 'X-A: 2'],
    second: ['/a', 'X-A: 1 ,\t2'],
  },
  'a field that the upstream never gets': {
    vary: 'X-Real-IP',
    reads: ['x-real-ip'],
    first: ['/a', 'X-Real-IP: 1.2.3.4'],
    second: ['/a'],
  },
  'a field in other letters of its name that banyan sets': {
    reads: ['x_forwarded_host', 'if_none_match'],
    trusted: true,
    first: ['/a', 'X_Forwarded_Host: evil.test', 'If_None_Match: "a"'],
    second: ['/a'],
  },
  'a field in other letters of its name that the key has': {
    cache: TENANT,
    reads: ['x_tenant', 'x.tenant', 'x-tenant'],
    first: ['/a', 'X_Tenant: evil', 'X.Tenant: evil'],
    second: ['/a'],
  },
  'languages that the route normalizes': {
    cache: '{ normalize: [accept-language] }',
    vary: 'Accept-Language',
    reads: ['accept-language'],
    first: ['/a', 'Accept-Language: de;q=0.9, EN-us'],
    second: ['/a', 'Accept-Language: en-US,de;q=0.90'],
  },
  'codings that the route normalizes': {
    cache: '{ normalize: [accept-encoding] }',
    vary: 'Accept-Encoding',
    reads: ['accept-encoding'],
    first: ['/a', 'Accept-Encoding: GZIP', 'Accept-Encoding: br'],
    second: ['/a', 'Accept-Encoding: br;q=1.0, gzip'],
  },
  'parameters that are not kept': {
    cache: '{ key: { query: { keep: [id] } } }',
    reads: [],
    first: ['/a?id=1&x=1;id=2&id[]=3&+id=4&ID=5&id%00=6'],
    second: ['/a?id=1'],
  },
  'parameters in any order': {
    cache: '{ key: { anyQueryOrder: true } }',
    reads: [],
    first: ['/a?x=1&y=2'],
    second: ['/a?y=2&x=1'],
  },
}

describe('sent in one form: one answer', () => {
  test.each(Object.entries(TOGETHER))('%s', async (_, { vary, reads, first, second, ...options }) => {
    const rig = await startRig(options)
    echo(rig, reads, vary === undefined ? [] : [`Vary: ${vary}`])
    const one = await rig.get(...first)
    const fresh = await startRig({ ...options, upstreams: rig })
    expect(one.body.text).toBe((await fresh.get(...second)).body.text)
    expect((await rig.get(...second)).body.text).toBe(one.body.text)
    expect(rig.legacy.requests).toBe(2)
  })
})

test('a field that may be taken for one that Vary names is not stored, and does not go on once that is known', async () => {
  const rig = await startRig()
  echo(rig, ['x-tenant', 'x_tenant'], ['Vary: X-Tenant'])
  expect((await rig.get('/a', 'X_Tenant: evil')).body.text).toContain('evil')
  expect((await rig.get('/a')).body.text).not.toContain('evil')
  expect((await rig.get('/a', 'X-Tenant: b', 'X_Tenant: evil')).body.text).toBe('/a x-tenant=b x_tenant=')
})

test('what has two readings passes the cache by', async () => {
  const rig = await startRig({ cache: '{ mode: forced, ttl: 1m }', route: ['ambiguousPaths: allow'] })
  always(rig.legacy, 200, [])
  for (const number of [1, 2]) {
    const response = await rig.get('/static/..%2faccount')
    expect([response.body.text, statusOf(response)]).toEqual([`body ${number}`, 'banyan;fwd=bypass'])
  }
})

test('conditions that Connection takes away are none', async () => {
  const rig = await startRig()
  always(rig.legacy, 200, [FRESH, 'ETag: "a"'])
  await rig.get('/a')
  expect((await rig.get('/a', 'If-None-Match: "a"')).status).toBe(304)
  expect((await rig.get('/a', 'If-None-Match: "a"', 'Connection: if-none-match')).status).toBe(200)
})

test('an unsafe request and a purge reach all forms of a URI', async () => {
  const rig = await startRig()
  always(rig.legacy, 200, [FRESH])
  const hosts = ['shop.test', 'SHOP.test:80', 'shop.test:']
  const bodies = () => Promise.all(hosts.map(async (host) => (await rig.get('/a', `Host: ${host}`)).body.text))
  const first = await bodies()
  expect(new Set(first).size).toBe(3)
  expect(await bodies()).toEqual(first)
  await rig.ask('POST', '/a', 'Content-Length: 0')
  const second = await bodies()
  for (const body of second) expect(first).not.toContain(body)
  await rig.plane.cache.purge({ what: 'url', url: 'http://shop.test/a' }, false)
  for (const body of await bodies()) expect(second).not.toContain(body)
})

describe('the side is that which answers', () => {
  const fallback = (cache: string, on: string) => [
    '- id: all',
    '  match: { path: /* }',
    '  to: modern',
    '  percent: 100',
    '  breaker: false',
    `  fallback: { on: [${on}], methods: all }`,
    `  cache: ${cache}`,
  ]

  test('an answer to POST of the fallback is none of the new side', async () => {
    const [legacy, modern] = [await scriptedUpstream(), await scriptedUpstream()]
    await modern.stop()
    const upstreams = { legacy, modern }
    const rig = await startRig({ routes: fallback('{ storePost: true }', 'connect'), upstreams })
    always(legacy, 200, [FRESH, 'Content-Location: /a'], 'legacy')
    expect((await rig.ask('POST', '/a', 'Content-Length: 0')).body.text).toBe('legacy')
    const back = createServer((_, res) => res.setHeader('Cache-Control', 'max-age=60').end('modern'))
    back.listen(modern.port, '127.0.0.1')
    await once(back, 'listening')
    onTestFinished(async () => {
      await legacy.stop()
      back.closeAllConnections()
      back.close()
    })
    expect((await rig.get('/a')).body.text).toBe('modern')
  })

  test('a failure that sides share is nobody else’s answer', async () => {
    const cache = '{ shareAcrossUpstreams: true, errors: explicit }'
    const rig = await startRig({ routes: fallback(cache, '503') })
    always(rig.modern, 503, [FRESH])
    always(rig.legacy, 200, [FRESH], 'legacy')
    const herd = await Promise.all(Array.from({ length: 10 }, () => rig.get('/a')))
    for (const { status, body } of herd) expect([status, body.text]).toEqual([200, 'legacy'])
    expect(rig.legacy.requests).toBe(1)
  })
})

describe('what settings have made does not outlive them', () => {
  test('a field comes into the key', async () => {
    const rig = await startRig()
    echo(rig, ['x-tenant'])
    await rig.get('/a', 'X-Tenant: a')
    rig.apply({ cache: TENANT })
    expect((await rig.get('/a', 'X-Tenant: b')).body.text).toBe('/a x-tenant=b')
  })

  test('cookies, also of what comes later', async () => {
    const rig = await startRig({ cache: '{ setCookie: store }' })
    const late = rig.get('/late')
    const request = await rig.legacy.request()
    rig.apply({ cache: '{ setCookie: refuse }' })
    await request.send(reply(200, [FRESH, 'Set-Cookie: sid=1'], 'late'))
    expect(fieldIn(await late, 'set-cookie')).toBe('sid=1')
    always(rig.legacy, 200, [FRESH, 'Set-Cookie: sid=2'])
    expect(fieldIn(await rig.get('/late'), 'set-cookie')).toBe('sid=2')
  })

  test('another side and back, a route that goes and comes', async () => {
    const side = (to: string) => ({
      routes: [`- { id: all, match: { path: /* }, to: ${to}, percent: 100, cache: {} }`],
    })
    const rig = await startRig(side('modern'))
    always(rig.modern, 200, [FRESH], 'modern #')
    always(rig.legacy, 200, [FRESH], 'legacy #')
    await rig.get('/a')
    for (const to of ['legacy', 'modern']) rig.apply(side(to))
    expect((await rig.get('/a')).body.text).toBe('modern 2')
    rig.apply({ routes: ['- { id: other, match: { path: /b }, to: modern, cache: {} }'] })
    rig.apply(side('modern'))
    expect((await rig.get('/a')).body.text).toBe('modern 3')
  })

  test('the upstream behind a name changes', async () => {
    const rig = await startRig()
    always(rig.legacy, 200, [FRESH])
    await rig.get('/a')
    rig.apply({ legacy: 'host: upstream' })
    expect((await rig.get('/a')).body.text).toBe('body 2')
    rig.apply({})
    expect((await rig.get('/a')).body.text).toBe('body 3')
    rig.apply({})
    expect((await rig.get('/a')).body.text).toBe('body 3')
  })
})
