/**
 * `banyan export`: what it prints, what it says that an engine can't say, and that nothing from a table is more than a text there.
 */
import { BackendTLSPolicy, HTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1'
import fc from 'fast-check'
import { EndpointSlice } from 'kubernetes-models/discovery.k8s.io/v1'
import { Service } from 'kubernetes-models/v1'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { readTable } from '../../src/rules/language/text.ts'
import { ENGINES, type Engine, exportTable } from '../../src/rules/leaving/export.ts'
import { banyan } from '../cli/rig.ts'
import { complaint } from '../support/engines.ts'
import { tables } from './tables.ts'

const TABLE = `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:4001] }
  gtin:
    servers: [http://127.0.0.1:4002, { url: http://127.0.0.1:4003, weight: 2 }]
    timeouts: { connect: 250ms, headers: 2s, idle: 2s }
    health: { path: /health, every: 2s, timeout: 1s, up: 2, down: 3 }
default: legacy
routes:
  - id: gtin-lookup
    match: { path: /stores/:storeId/gtins/:gtin, methods: [GET, HEAD] }
    to: gtin
    percent: 5
    sticky: [cookie:sid, param:gtin]
    cache: { ttl: 60s }
  - id: search
    match: { path: /search, hosts: [shop.example.test] }
    to: gtin
    percent: 100
    rewrite: { path: /v2/search }
`

const files = { 'routes.yaml': TABLE }

/** The configuration of a table. @throws where the table has a problem */
function exported(engine: Engine, text: string): ReturnType<typeof exportTable> {
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error(read.problems.map(({ message }) => message).join('\n'))
  return exportTable(engine, read.table, { text, file: 'routes.yaml', listen: '127.0.0.1:18080' })
}

describe('the command', () => {
  test('prints the configuration, and each thing that it does not say with its place', async () => {
    const { code, out, err } = await banyan(['export', 'nginx'], { files })
    expect(code).toBe(0)
    expect(out).toContain(
      'location ~ "^/stores/[^/]+/gtins/[^/]+\\\\z" {\n        # routes.yaml:10:5 gtin-lookup: 5 % gtin, legacy\n',
    )
    expect(out).toContain('        # Not said, cache: no response is cached\n')
    expect(out).toContain('    server 127.0.0.1:4003 weight=2 max_fails=5 fail_timeout=10s;\n')
    expect(err).toContain('routes.yaml:7:5: warning: upstreams.gtin.health: nginx: servers are not probed\n')
    expect(err).toContain('routes.yaml:13:5: warning: routes.0.percent: nginx: clients are drawn anew')
    expect(err).toContain('routes.yaml:15:5: warning: routes.0.cache: nginx: no response is cached\n')
    expect(err).toMatch(/\n3 warnings\n$/)
  })

  test('--strict makes errors of them, and prints no configuration', async () => {
    const { code, out, err } = await banyan(['export', 'haproxy', '--strict'], { files })
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain('routes.yaml:15:5: routes.0.cache: haproxy: no response is cached\n')
  })

  test('--strict prints a table that is said whole', async () => {
    const whole = TABLE.replace(
      'percent: 5\n    sticky: [cookie:sid, param:gtin]\n    cache: { ttl: 60s }',
      'percent: 100',
    )
    const { code, out, err } = await banyan(['export', 'haproxy', '--strict', '-'], { files: { '-': whole } })
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain('# Written by banyan export haproxy from stdin.')
  })

  test('--json has both', async () => {
    const { code, out, err } = await banyan(['export', 'gateway-api', '--json'], { files })
    expect([code, err]).toEqual([0, ''])
    const { ok, config, problems } = JSON.parse(out)
    expect(ok).toBe(true)
    expect(config).toContain('kind: HTTPRoute')
    expect(problems).toContainEqual(
      expect.objectContaining({ line: 13, column: 5, pointer: '/routes/0/percent', severity: 'warning' }),
    )
  })

  test.each([
    [
      ['export', 'ngnix'],
      2,
      "unknown subcommand 'ngnix': must be one of nginx, haproxy, gateway-api (did you mean `nginx`?)",
    ],
    [
      ['export', 'nginx', '--listen', '80; include /etc/passwd'],
      2,
      '--listen 80; include /etc/passwd: expected HOST:PORT',
    ],
    [['export', 'nginx', 'bad.yaml'], 1, 'bad.yaml:12:9: routes.0.to: '],
    [['export', 'nginx', 'gone.yaml'], 1, 'gone.yaml'],
  ])('%j is refused', async (words, expected, message) => {
    const bad = { ...files, 'bad.yaml': TABLE.replace('to: gtin', 'to: gtni') }
    const { code, out, err } = await banyan(words, { files: bad })
    expect([code, out]).toEqual([expected, ''])
    expect(err).toContain(message)
  })
})

test.each(['nginx', 'haproxy'] as const)('%s takes the example', (engine) => {
  expect(complaint(engine, exported(engine, TABLE).config)).toBe('')
})

describe('nginx takes', () => {
  const upstreams = Object.fromEntries(
    ['legacy', 'a', 'b', 'c', 'd', 'e', 'f'].map((name) => [name, { servers: ['http://127.0.0.1:4001'] }]),
  )
  const config = (routes: readonly object[], more: object = {}): string =>
    exported('nginx', JSON.stringify({ version: 1, upstreams: { ...upstreams, ...more }, default: 'legacy', routes }))
      .config

  test('shares that would be more than 100 % when each is rounded; nobody loses all by it', () => {
    const to = { a: 1, b: 1, c: 1, d: 1, e: 1, f: 1 }
    const text = config([{ id: 'all', match: { path: '/*' }, to, percent: 99.9999 }])
    const percents = [...text.matchAll(/^ {4}([\d.]+)% /gm)].map(([, percent]) => Math.round(Number(percent) * 100))
    expect(percents).toEqual([1667, 1667, 1667, 1667, 1667, 1664])
    expect(config([{ id: 'most', match: { path: '/*' }, to: 'a', percent: 99.9999 }])).toContain('    99.99% "a";\n')
    expect(complaint('nginx', text)).toBe('')
  })

  test('an upstream that keeps no idle connections', () => {
    const text = config([], { once: { servers: ['http://127.0.0.1:4002'], maxIdleConnections: 0 } })
    expect(complaint('nginx', text)).toBe('')
  })

  test('a path that hundreds of hosts share, and decides by the first that matches', () => {
    const routes = Array.from({ length: 400 }, (_, at) => ({
      id: `of-${at}`,
      match: { path: '/*', hosts: [`h${at}.test`] },
      to: 'a',
      percent: 100,
    }))
    const text = config([...routes, { id: 'rest', match: { path: '/*' }, to: 'b', percent: 100 }])
    expect(complaint('nginx', text)).toBe('')
    // A map goes on in the next one, and the last of them has what nobody else has.
    const defaults = [...text.matchAll(/^map "\$\{banyan_is.* (\$\w+) \{\n(?:.*\n)*? {4}default (.*);\n\}/gm)]
    expect(defaults.map(([, name, rest]) => [name, rest])).toEqual([
      [expect.any(String), '"b"'],
      [expect.any(String), defaults[0]?.[1]],
      [expect.any(String), defaults[1]?.[1]],
    ])
    expect(text).toContain(`try_files /.banyan @${defaults[2]?.[1]};`)
  })
})

/** Texts that end a string, a line or a block somewhere, or that something is filled in for. */
const HOSTILE = [
  '"; } server { listen 127.0.0.1:19; return 200 "INJECTED"; } #',
  "'; use_backend INJECTED #",
  '\\"; INJECTED; \\',
  `$host $\{uri} $1 %[src] %{INJECTED}`,
  '{INJECTED} ; # \\x22 \\',
  'a\'b"c`d\\\'e\\"f',
  '\t*)(?:[INJECTED',
  '-i -m found INJECTED',
  'é\u2028INJECTED',
]

/** A table with such a text in each place that takes one. */
function hostile(text: string): string {
  // A path with a backslash or NUL would be ambiguous.
  const escapes = [...Buffer.from(text.replaceAll('\\', '|'))]
    .map((byte) => `%${byte.toString(16).padStart(2, '0')}`)
    .join('')
  const field = text.replace(/[{}]/g, '$&$&').trim()
  return JSON.stringify({
    version: 1,
    upstreams: {
      'a.b_c-1': {
        servers: ['http://127.0.0.1:4001', 'unix:/tmp/a-b_c.d@e~f=g,h+i'],
        headers: { set: { 'x-set': field, "x-!#$%&'*+.^_`|~": field }, remove: ["x-r!#$%&'*+.^_`|~"] },
        health: { path: `/h?${encodeURIComponent(text)}'"`, body: text },
      },
    },
    default: 'a.b_c-1',
    routes: [
      {
        id: 'one',
        match: {
          path: `/${escapes}/:x/1`,
          methods: ["!#$%&'*+.^_`|~"],
          headers: { 'x-a': text, 'x-b': { startsWith: text }, 'x-c': { contains: text }, "x-!#$%&'*+.^_`|~": text },
          query: { [text]: text, q: { contains: text } },
          cookies: { "!#$%&'*+.^_`|~": text },
        },
        to: 'a.b_c-1',
        from: 'a.b_c-1',
        percent: 50,
        sticky: [
          { source: 'cookie:sid', ignore: [text] },
          "header:x-!#$%&'*+.^_`|~",
          `query:${text}`,
          "cookie:!#$%&'*+.^_`|~",
        ],
        rewrite: {
          path: `/${escapes}/:x`,
          headers: { set: { 'x-d': field } },
        },
        answer: { headers: { set: { 'x-e': field } } },
        group: 'g',
      },
    ],
  })
}

/** A configuration with its texts and comments taken out. */
function skeleton(config: string): string {
  return config
    .replace(/^\s*#.*$/gm, '')
    .replace(/"(?:[^"\\]|\\.)*"/gs, '""')
    .replace(/'[^']*'(?:\\''[^']*')*/gs, "''")
}

describe.each(HOSTILE)('with the text %j in each place', (text) => {
  const table = hostile(text)

  test.each(['nginx', 'haproxy'] as const)(
    '%s takes the configuration, and nothing of it is more than a text',
    (engine) => {
      const { config } = exported(engine, table)
      expect(complaint(engine, config)).toBe('')
      expect(skeleton(config)).not.toContain('INJECTED')
    },
  )

  test('the objects of the Gateway API have it in values only', () => {
    const documents = objectsIn(exported('gateway-api', table).config)
    expect(new Set(documents.map(({ kind }) => kind))).toEqual(new Set(['HTTPRoute', 'Service', 'EndpointSlice']))
    for (const document of documents) expect(Object.keys(document)).not.toContain('INJECTED')
  })
})

interface Kubernetes {
  readonly kind: string
}

function objectsIn(config: string): Kubernetes[] {
  const documents = parseAllDocuments(config)
  return documents.flatMap((document) => {
    expect('errors' in document ? document.errors : []).toEqual([])
    const value = document.toJS() as Kubernetes | null
    return value === null ? [] : [value]
  })
}

const MODELS: Record<string, new (data: never) => { validate(): void }> = {
  HTTPRoute,
  Service,
  EndpointSlice,
  BackendTLSPolicy,
}

function validate(config: string): void {
  for (const object of objectsIn(config)) {
    const Model = MODELS[object.kind] ?? expect.fail(`no schema for ${object.kind}`)
    new Model(object as never).validate()
  }
}

describe('the Gateway API', () => {
  test('the example is what the published schemas allow', () => {
    const { config } = exported('gateway-api', TABLE)
    validate(config)
    const route = objectsIn(config).find((one) => one.kind === 'HTTPRoute') as unknown as {
      spec: { rules: [{ backendRefs: { weight: number }[] }] }
    }
    const weights = route.spec.rules[0].backendRefs.map(({ weight }) => weight)
    expect(weights.map((weight) => weight / weights.reduce((a, b) => a + b))).toEqual([
      expect.closeTo(0.05 / 3, 5),
      expect.closeTo(0.1 / 3, 5),
      expect.closeTo(0.95, 5),
    ])
  })

  test('so are random tables', () => {
    fc.assert(
      fc.property(tables([4001, 4002, 4003]), (text) => validate(exported('gateway-api', text).config)),
      { numRuns: 30 },
    )
  })

  test('a route that another one may overtake there is named', () => {
    const text = `version: 1
upstreams: { a: { servers: [http://127.0.0.1:1] }, b: { servers: [http://127.0.0.1:2] } }
default: a
routes:
  - { id: few, match: { path: /x/*, methods: [GET] }, to: b, percent: 100 }
  - { id: more, match: { path: /x/*, headers: { x-a: "1" }, query: { q: "1" } }, to: b, percent: 0 }
  - { id: high, match: { path: /* }, priority: 1, to: b, percent: 100 }
`
    const told = exported('gateway-api', text).problems.map(({ line, message }) => `${line}: ${message}`)
    expect(told).toContain('6: gateway-api: few may be asked before it, which has less precedence')
    expect(told).toContain('7: gateway-api: more may be asked before it, which has less precedence')
    expect(told.filter((one) => one.startsWith('5: '))).not.toContain(expect.stringContaining('precedence'))
  })
})

test('random tables are taken by all engines', { timeout: 600_000 }, () => {
  fc.assert(
    fc.property(tables([4001, 4002, 4003]), (text) => {
      for (const engine of ENGINES) {
        if (engine !== 'gateway-api') expect(complaint(engine, exported(engine, text).config)).toBe('')
      }
    }),
    { numRuns: 3, endOnFailure: true },
  )
})
