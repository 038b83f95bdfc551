/** The compiled table: its defaults, what it keeps of the text, and the JSON Schema of the same schema. */
import { expect, test } from 'vitest'
import { readTable } from '../../../src/rules/language/text.ts'
import { routesJsonSchema } from '../../../src/rules/table/schema.ts'

function compiled(text: string) {
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.table
}

const MINIMAL = 'version: 1\nupstreams:\n  legacy: { servers: [http://127.0.0.1:4001] }\ndefault: legacy\n'

test('an upstream that says nothing has the defaults', () => {
  expect(compiled(MINIMAL).upstreams.get('legacy')).toEqual({
    name: 'legacy',
    servers: [
      {
        id: '127.0.0.1:4001',
        url: 'http://127.0.0.1:4001',
        tls: false,
        hostname: '127.0.0.1',
        port: 4001,
        socketPath: null,
        address: null,
        weight: 1,
      },
    ],
    connectTimeoutMs: 1_000,
    headersTimeoutMs: 60_000,
    idleTimeoutMs: 60_000,
    upgradedTimeoutMs: null,
    totalTimeoutMs: null,
    host: 'preserve',
    publicOrigin: null,
    headers: null,
    cookies: null,
    affinity: null,
    protocol: 'http1',
    lenient: false,
    reading: { ignoresCase: false, ignoresParameters: false, ignoresFinalSlash: false },
    via: false,
    tls: {
      ...{ ca: null, cert: null, key: null, serverName: null, verify: true },
      ...{ minVersion: null, maxVersion: null, ciphers: null },
    },
    maxIdleConnections: 256,
    keepAliveMs: 4_000,
    unsafeIsFresh: false,
    bufferRequestBytes: null,
    maxHeaderBytes: 65_536,
    maxHeaderFields: 1_000,
    health: null,
    ejection: { failures: 5, errors: 20, pauseMs: 10_000, maxPauseMs: 300_000 },
    slowStartMs: 0,
    maxConcurrent: null,
    queue: { size: 100, timeoutMs: 1_000 },
    document: { servers: ['http://127.0.0.1:4001'] },
  })
})

test('an upstream that says everything is compiled', () => {
  const table = compiled(`
version: 1
upstreams:
  gtin:
    servers:
      - { url: "https://[::1]:8443/", weight: 2 }
      - { url: https://GTIN.example.test, id: blue }
    timeouts: { connect: 250ms, headers: 10s, idle: 5m, upgraded: 1h, total: 20s }
    ejection: { failures: 3, errors: 0x4, pause: 2s, maxPause: 1m }
    slowStart: 30s
    maxConcurrent: 64
    queue: { size: 0, timeout: 250ms }
    host: gtin.internal
    publicOrigin: https://www.example.test/
    lenient: true
    via: true
    tls: { ca: ca.pem, cert: c.pem, key: k.pem, serverName: gtin, verify: false, minVersion: TLSv1.3, ciphers: HIGH }
    maxHeaderSize: 128KiB
    bufferRequests: 1MiB
    maxHeaderFields: 20
    maxIdleConnections: 0
    keepAlive: { idle: 1.5s, fresh: unsafe }
    health: { path: /check, every: 2s, timeout: 1s, up: 4, down: 5 }
default: gtin
`)
  expect(table.upstreams.get('gtin')).toMatchObject({
    servers: [
      {
        id: '[::1]:8443',
        url: 'https://[::1]:8443',
        tls: true,
        hostname: '::1',
        port: 8443,
        socketPath: null,
        address: null,
        weight: 2,
      },
      {
        id: 'blue',
        url: 'https://GTIN.example.test',
        tls: true,
        hostname: 'gtin.example.test',
        port: 443,
        socketPath: null,
        address: null,
        weight: 1,
      },
    ],
    connectTimeoutMs: 250,
    headersTimeoutMs: 10_000,
    idleTimeoutMs: 300_000,
    upgradedTimeoutMs: 3_600_000,
    totalTimeoutMs: 20_000,
    ejection: { failures: 3, errors: 4, pauseMs: 2_000, maxPauseMs: 60_000 },
    slowStartMs: 30_000,
    maxConcurrent: 64,
    queue: { size: 0, timeoutMs: 250 },
    host: { literal: 'gtin.internal' },
    publicOrigin: 'https://www.example.test',
    lenient: true,
    via: true,
    tls: {
      ...{ ca: 'ca.pem', cert: 'c.pem', key: 'k.pem', serverName: 'gtin', verify: false },
      ...{ minVersion: 'TLSv1.3', maxVersion: null, ciphers: 'HIGH' },
    },
    bufferRequestBytes: 1_048_576,
    maxHeaderBytes: 131_072,
    maxHeaderFields: 20,
    maxIdleConnections: 0,
    keepAliveMs: 1_500,
    unsafeIsFresh: true,
    health: { path: '/check', everyMs: 2_000, timeoutMs: 1_000, up: 4, down: 5 },
  })
})

test('a route that says little has the defaults', () => {
  const [route] = compiled(
    `${MINIMAL}routes:\n  - { id: a, match: { path: /a }, to: legacy, fallback: {}, cache: {} }\n`,
  ).routes
  expect(route).toMatchObject({
    id: 'a',
    priority: 0,
    claims: [{ path: { text: '/a' }, hosts: [], conditions: [] }],
    from: 'legacy',
    targets: [{ upstream: 'legacy', weight: 1 }],
    percent: 0,
    threshold: 0,
    salt: 'a',
    sticky: [],
    takesAmbiguousPaths: false,
    fallback: { on: new Set(['connect', 'timeout', 502, 503, 504]), methods: 'safe', maxReplayBytes: 65_536 },
    cache: {
      mode: 'rfc9111',
      force: new Set(),
      setCookie: 'refuse',
      ttlMs: null,
      staleWhileRevalidateMs: null,
      staleIfErrorMs: null,
      keepMs: 3_600_000,
      key: null,
      maxBodyBytes: 1_048_576,
      shareAcrossUpstreams: false,
      tags: null,
    },
    document: { id: 'a', match: { path: '/a' }, to: 'legacy', fallback: {}, cache: {} },
  })
})

test('a breaker stands where the route has a fallback, or says so; never where there is nowhere else to go', () => {
  const DEFAULTS = { failureRatio: 0.5, minRequests: 20, windowMs: 10_000, pauseMs: 10_000, probes: 3 }
  const breakers = (more: string) =>
    compiled(`version: 1
upstreams: { legacy: { servers: [http://a:1] }, gtin: { servers: [http://b:1] } }
default: legacy
routes: [{ id: a, match: { path: /a }, ${more} }]
`).routes[0]?.breaker
  expect(breakers('to: gtin')).toBeNull()
  expect(breakers('to: gtin, fallback: {}')).toEqual(DEFAULTS)
  expect(breakers('to: gtin, breaker: {}')).toEqual(DEFAULTS)
  expect(breakers('to: gtin, fallback: {}, breaker: false')).toBeNull()
  expect(breakers('to: legacy, fallback: {}, breaker: {}')).toBeNull()
  expect(
    breakers('to: gtin, breaker: { failureRatio: 0.2, minRequests: 3, window: 1m, pause: 1s, probes: 1 }'),
  ).toEqual({
    failureRatio: 0.2,
    minRequests: 3,
    windowMs: 60_000,
    pauseMs: 1_000,
    probes: 1,
  })
})

test('a route that says everything is compiled', () => {
  const [route] = compiled(`${MINIMAL}
routes:
  - id: a
    match: { path: "/a/:x", hosts: ["*.example.test:8080"], methods: [GET], headers: { X-A: true }, query: { q: "1" }, cookies: { c: [x, y] } }
    from: legacy
    to: legacy
    percent: 12.5
    group: people
    sticky: [cookie:sid, param:x, request]
    ambiguousPaths: allow
    fallback: { on: [404], methods: all, maxReplay: 1KiB }
    cache:
      { ttl: 1m, staleWhileRevalidate: 30s, staleIfError: 1h, keep: 1d, maxBody: 2MiB, tags: Surrogate-Key, setCookie: strip,
        mode: forced, force: [private], key: { query: { drop: [utm] }, anyQueryOrder: true, headers: [X-Tenant], cookies: [Lang] } }
`).routes
  expect(route).toMatchObject({
    claims: [
      {
        path: { text: '/a/:x', segments: ['a', null], params: ['x'] },
        hosts: [{ key: '.example.test:8080', wildcard: true }],
      },
    ],
    params: ['x'],
    percent: 12.5,
    threshold: 2 ** 29,
    salt: 'people',
    takesAmbiguousPaths: true,
    fallback: { on: new Set([404]), methods: 'all', maxReplayBytes: 1_024 },
    cache: {
      ttlMs: 60_000,
      staleWhileRevalidateMs: 30_000,
      staleIfErrorMs: 3_600_000,
      keepMs: 86_400_000,
      maxBodyBytes: 2_097_152,
      tags: 'surrogate-key',
      setCookie: 'strip',
      mode: 'forced',
      force: new Set(['private']),
      key: {
        query: { kind: 'drop', names: new Set(['utm']) },
        anyQueryOrder: true,
        headers: ['x-tenant'],
        cookies: ['Lang'],
      },
    },
  })
  expect(route?.sticky.map((source) => source.text)).toEqual(['cookie:sid', 'param:x', 'request'])
  expect(route?.conditions.map((condition) => condition.subject)).toEqual([
    'the path',
    'the host',
    'the method',
    'header x-a',
    'query parameter q',
    'cookie c',
  ])
})

test('a table and its parts cannot be changed', () => {
  const table = compiled(`${MINIMAL}routes: [{ id: a, match: { path: /a }, to: legacy }]\n`)
  expect([table, table.routes, table.routes[0], table.upstreams.get('legacy')].every(Object.isFrozen)).toBe(true)
})

test('the JSON Schema for editors knows the same keys', () => {
  const schema = routesJsonSchema() as {
    required: string[]
    additionalProperties: boolean
    $defs: Record<'Route' | 'Match', { properties: object }>
  }
  expect(schema).toMatchObject({ required: ['version', 'upstreams', 'default'], additionalProperties: false })
  expect(schema).toMatchObject({ properties: { routes: { items: { $ref: '#/$defs/Route' } } } })
  const { Route, Match } = schema.$defs
  expect(Object.keys(Route.properties)).toEqual([
    'id',
    'match',
    'from',
    'to',
    'percent',
    'noKey',
    'group',
    'sticky',
    'tellSide',
    'pinAfterWrite',
    'fallback',
    'breaker',
    'timeouts',
    'rewrite',
    'answer',
    'cache',
    'shadow',
    'ramp',
    'retire',
    'priority',
    'caseInsensitivePaths',
    'pathParameters',
    'trailingSlash',
    'ambiguousPaths',
  ])
  expect(Object.keys(Match.properties)).toEqual([
    ...['path', 'paths', 'hosts', 'methods', 'headers', 'query', 'cookies', 'clients', 'anyOf'],
  ])
  expect(Route.properties).toMatchObject({ percent: { type: 'number', minimum: 0, maximum: 100 } })
})
