/** Which route claims a request: precedence by case, then against a naive reference on random tables. */
import { BlockList, isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RequestView } from '../../../src/rules/http/exchange.ts'
import { checkTable } from '../../../src/rules/language/check.ts'
import { compileTable } from '../../../src/rules/language/compile.ts'
import { explainMatch, matchRoute } from '../../../src/rules/routing/match.ts'
import type { RouteDocument, TableDocument, UpstreamDocument } from '../../../src/rules/table/schema.ts'
import { documentOf, tableOf, view } from '../make.ts'

type Routes = Parameters<typeof documentOf>[0]
type Match = RouteDocument['match']

/** The id of the route that claims a request, whatever the order of the file. */
function claimed(matches: Record<string, Match>, request: RequestView): string | null {
  const routes = Object.entries(matches).map(([id, match]) => ({ id, match }))
  const ids = [routes, routes.toReversed()].map((order) => matchRoute(tableOf(order), request).route?.id ?? null)
  expect(ids[0]).toBe(ids[1])
  return ids[0] ?? null
}

describe('path', () => {
  const PATHS = {
    health: { path: '/stores/health/gtins/check' },
    literalStore: { path: '/stores/health/gtins/:gtin' },
    lookup: { path: '/stores/:storeId/gtins/:gtin' },
    below: { path: '/stores/*' },
    stores: { path: '/stores' },
    root: { path: '/' },
  }

  test.each([
    ['/stores/health/gtins/check', 'health'],
    ['/stores/health/gtins/1', 'literalStore'],
    ['/stores/3/gtins/check', 'lookup'],
    ['/stores/3/gtins/1?x=1', 'lookup'],
    ['/stores/3/gtins/1/', 'below'],
    ['/stores/3/gtins', 'below'],
    ['/stores/health/other/check', 'below'],
    ['/stores/', 'below'],
    ['/stores', 'stores'],
    ['/stores?q', 'stores'],
    ['/', 'root'],
    ['/Stores', null],
    ['/else', null],
    ['/st%6Fres', 'stores'],
    ['*', null],
    ['example.test:443', null],
    ['http://any.test/stores', 'stores'],
  ])('%s goes to %s', (target, id) => {
    expect(claimed(PATHS, view(target))).toBe(id)
  })

  test('where the most specific path leads nowhere the next one is tried', () => {
    const paths = { a: { path: '/a/b/c' }, b: { path: '/a/:x/d' }, c: { path: '/:y/b/e' } }
    expect(claimed(paths, view('/a/b/d'))).toBe('b')
    expect(claimed(paths, view('/a/b/e'))).toBe('c')
    expect(claimed(paths, view('/a/b/f'))).toBeNull()
  })

  test('the values of the names are handed on in order', () => {
    const table = tableOf([{ id: 'a', match: { path: '/stores/:storeId/gtins/:gtin' } }])
    expect(matchRoute(table, view('/stores/3/gtins/a%2Bb')).params).toEqual(['3', 'a+b'])
  })
})

describe('host', () => {
  const HOSTS = {
    port: { hosts: ['shop.example.test:8443'], path: '/*' },
    exact: { hosts: ['shop.example.test', 'store.example.test'], path: '/*' },
    deep: { hosts: ['*.eu.example.test'], path: '/*' },
    wild: { hosts: ['*.example.test'], path: '/*' },
    any: { path: '/a/b/c' },
  }

  test.each([
    ['shop.example.test:8443', 'port'],
    ['shop.example.test', 'exact'],
    ['shop.example.test:8080', 'exact'],
    ['shop.example.test.', 'exact'],
    ['store.example.test', 'exact'],
    ['a.eu.example.test', 'deep'],
    ['a.b.eu.example.test:1', 'deep'],
    ['eu.example.test', 'wild'],
    ['a.b.example.test', 'wild'],
    ['example.test', 'any'],
    ['.example.test', 'any'],
    ['xexample.test', 'any'],
    ['', 'any'],
    [`${'a.'.repeat(500)}example.test`, 'any'],
  ])('%s goes to %s', (host, id) => {
    expect(claimed(HOSTS, view('/a/b/c', { host }))).toBe(id)
  })

  test('the host counts before the path', () => {
    const routes = { host: { hosts: ['*.test'], path: '/*' }, path: { path: '/a/b' } }
    expect(claimed(routes, view('/a/b', { host: 'x.test' }))).toBe('host')
  })

  test('a host whose routes do not claim the request leaves it to the less specific ones', () => {
    const routes = {
      exact: { hosts: ['a.test'], path: '/x' },
      wild: { hosts: ['*.test'], path: '/y' },
      any: { path: '/z' },
    }
    const host = 'a.test'
    expect(['/x', '/y', '/z', '/w'].map((path) => claimed(routes, view(path, { host })))).toEqual([
      'exact',
      'wild',
      'any',
      null,
    ])
  })

  test('the host of an absolute target stands above the Host field', () => {
    const routes = { a: { hosts: ['a.test'] }, b: { hosts: ['b.test'] } }
    expect(claimed(routes, view('http://A.test/x', { host: 'b.test' }))).toBe('a')
  })

  test('case of the pattern does not count, and an IPv6 address is a host', () => {
    expect(claimed({ a: { hosts: ['Shop.Example.TEST.'] } }, view('/', { host: 'shop.example.test' }))).toBe('a')
    expect(claimed({ a: { hosts: ['[::1]'] } }, view('/', { host: '[::1]:8080' }))).toBe('a')
  })
})

describe('other conditions', () => {
  test('the route with more conditions wins, and the others stand behind it', () => {
    const routes: Record<string, Match> = {
      none: { path: '/a' },
      one: { path: '/a', methods: ['GET'] },
      two: { path: '/a', methods: ['GET'], headers: { 'x-beta': true } },
    }
    const beta = ['X-Beta', '']
    expect(claimed(routes, view('/a', { rawHeaders: beta }))).toBe('two')
    expect(claimed(routes, view('/a'))).toBe('one')
    expect(claimed(routes, view('/a', { method: 'POST', rawHeaders: beta }))).toBe('none')
  })

  test.each<[string, Match, Partial<RequestView>, string, boolean]>([
    ['a method', { methods: ['GET', 'HEAD'] }, { method: 'HEAD' }, '/', true],
    ['GET does not imply HEAD', { methods: ['GET'] }, { method: 'HEAD' }, '/', false],
    ['a method in another case', { methods: ['GET'] }, { method: 'get' }, '/', false],
    ['a header, its name in any case', { headers: { 'X-Beta': '1' } }, { rawHeaders: ['x-BETA', ' 1 '] }, '/', true],
    ['a header with another value', { headers: { 'x-beta': '1' } }, { rawHeaders: ['X-Beta', '11'] }, '/', false],
    [
      'a header of several lines',
      { headers: { 'x-beta': '1, 2' } },
      { rawHeaders: ['X-Beta', '1', 'x-beta', '2'] },
      '/',
      true,
    ],
    ['a header that must be absent', { headers: { 'x-beta': false } }, { rawHeaders: [] }, '/', true],
    ['a header that is there', { headers: { 'x-beta': false } }, { rawHeaders: ['X-Beta', ''] }, '/', false],
    ['one of several values', { headers: { 'x-beta': ['1', '2'] } }, { rawHeaders: ['x-beta', '2'] }, '/', true],
    ['equals', { headers: { 'x-beta': { equals: '1' } } }, { rawHeaders: ['x-beta', '1'] }, '/', true],
    ['anyOf', { headers: { 'x-beta': { anyOf: ['1'] } } }, { rawHeaders: ['x-beta', '2'] }, '/', false],
    [
      'startsWith',
      { headers: { accept: { startsWith: 'text/' } } },
      { rawHeaders: ['Accept', 'text/html'] },
      '/',
      true,
    ],
    [
      'contains',
      { headers: { 'user-agent': { contains: 'Bot' } } },
      { rawHeaders: ['User-Agent', 'aBot/1'] },
      '/',
      true,
    ],
    ['contains, absent', { headers: { 'user-agent': { contains: 'Bot' } } }, {}, '/', false],
    ['a UTF-8 header', { headers: { 'x-name': 'żółw' } }, { rawHeaders: ['x-name', latin1('żółw')] }, '/', true],
    ['a Latin-1 header', { headers: { 'x-name': 'é' } }, { rawHeaders: ['x-name', '\xe9'] }, '/', true],
    [
      'UTF-8 that ends like a space',
      { headers: { 'x-name': 'là' } },
      { rawHeaders: ['x-name', 'l\xc3\xa0'] },
      '/',
      true,
    ],
    [
      'such a cookie',
      { cookies: { name: 'là' } },
      { rawHeaders: ['cookie', 'a=1; name = l\xc3\xa0 ; b=2'] },
      '/',
      true,
    ],
    ['a query parameter', { query: { beta: '1' } }, {}, '/?a=2&beta=1', true],
    ['its name is case-sensitive', { query: { beta: '1' } }, {}, '/?Beta=1', false],
    ['a query parameter without value', { query: { beta: true } }, {}, '/?beta', true],
    ['the first of several counts', { query: { beta: '1' } }, {}, '/?beta=2&beta=1', false],
    ['plus is a space, names are decoded', { query: { 'a b': 'ż 1' } }, {}, '/?a%20b=%C5%BC+1', true],
    ['an invalid escape stands for itself', { query: { a: '%zz' } }, {}, '/?a=%zz', true],
    ['no query', { query: { a: false } }, {}, '/', true],
    ['a cookie', { cookies: { sid: 'x' } }, { rawHeaders: ['Cookie', 'a=1; sid=x'] }, '/', true],
    [
      'a cookie of a second line',
      { cookies: { sid: 'x' } },
      { rawHeaders: ['Cookie', 'a=1', 'cookie', ' sid = x '] },
      '/',
      true,
    ],
    ['the first cookie counts', { cookies: { sid: 'x' } }, { rawHeaders: ['Cookie', 'sid=y; sid=x'] }, '/', false],
    ['quotes stay part of a cookie', { cookies: { sid: '"x"' } }, { rawHeaders: ['Cookie', 'sid="x"'] }, '/', true],
    ['a cookie name is case-sensitive', { cookies: { sid: true } }, { rawHeaders: ['Cookie', 'SID=x'] }, '/', false],
    ['a pair without = is no cookie', { cookies: { sid: true } }, { rawHeaders: ['Cookie', 'sid; a=1'] }, '/', false],
    ['an empty cookie is present', { cookies: { sid: true } }, { rawHeaders: ['Cookie', 'sid='] }, '/', true],
  ])('%s', (_name, match, rest, target, takes) => {
    expect(claimed({ route: match }, view(target, rest))).toBe(takes ? 'route' : null)
  })
})

describe('ambiguous paths', () => {
  const routes: Routes = [
    { id: 'strict', match: { path: '/*' } },
    { id: 'lenient', match: { path: '/files/:name' }, ambiguousPaths: 'allow' },
  ]

  test('match no route but those that allow them', () => {
    const table = tableOf(routes)
    expect(matchRoute(table, view('/other//x'))).toMatchObject({ route: null, ambiguous: true })
    expect(matchRoute(table, view('/files/a%2Fb'))).toMatchObject({
      route: { id: 'lenient' },
      params: ['a/b'],
      ambiguous: true,
    })
    expect(matchRoute(table, view('/x/../files//y'))).toMatchObject({ route: { id: 'lenient' }, ambiguous: true })
    expect(matchRoute(table, view('/other'))).toMatchObject({ route: { id: 'strict' }, ambiguous: false })
  })

  test('match nothing where no route allows them', () => {
    expect(matchRoute(tableOf([{ id: 'a', match: { path: '/*' } }]), view('/a/%2e%2e/b'))).toMatchObject({
      route: null,
      ambiguous: true,
    })
  })
})

describe('against a naive reference', () => {
  const segment = fc.constantFrom('a', 'b', 'A', ':x', ':y', 'a%3Bx', 'a;x')
  const path = fc
    .tuple(
      fc.uniqueArray(segment, { maxLength: 4, selector: (s) => (s.startsWith(':') ? s : Symbol()) }),
      fc.constantFrom('', '/', '/*'),
    )
    .map(([segments, end]) => (segments.length === 0 ? `/${end.slice(1)}` : `/${segments.join('/')}${end}`))
  const hosts = fc.uniqueArray(fc.constantFrom('a.test', 'a.test:81', '*.test', '*.a.test', '*.test:81'), {
    minLength: 1,
    maxLength: 2,
  })
  const tested: fc.Arbitrary<boolean | string | string[]> = fc.constantFrom<boolean | string | string[]>(
    true,
    false,
    '1',
    ['1', '2'],
  )
  const conditions = {
    hosts,
    methods: fc.constantFrom<string[]>(['GET'], ['POST'], ['GET', 'PUT']),
    headers: fc.dictionary(fc.constantFrom('x-a', 'x-b'), tested),
    query: fc.dictionary(fc.constantFrom('q'), tested),
    clients: fc.constantFrom<string[]>(['10.0.0.0/8'], ['10.1.0.0/16', '192.0.2.7'], ['2001:db8::/32']),
  }
  const block = fc.record(conditions, { requiredKeys: [] }).filter((one) => Object.keys(one).length > 0)
  const match: fc.Arbitrary<Match> = fc.oneof(
    { weight: 3, arbitrary: fc.record({ path, ...conditions }, { requiredKeys: ['path'] }) },
    {
      weight: 1,
      arbitrary: fc.record({
        paths: fc.array(path, { minLength: 1, maxLength: 3 }),
        anyOf: fc.array(block, { minLength: 1, maxLength: 2 }),
      }),
    },
  )
  const exactOr = fc.constantFrom<'exact' | 'ignore'>('exact', 'ignore')
  const keys = { caseInsensitivePaths: fc.boolean(), pathParameters: exactOr, trailingSlash: exactOr }
  const reading = fc.oneof(fc.constant({}), fc.record(keys, { requiredKeys: [] }))
  const route = fc.tuple(
    match,
    fc.record(
      {
        priority: fc.constantFrom(-1, 1),
        from: fc.constant('gtin'),
        ambiguousPaths: fc.constant<'allow'>('allow'),
        ...keys,
      },
      { requiredKeys: [] },
    ),
  )
  const request = fc
    .record({
      path: fc
        .array(
          fc.constantFrom('a', 'a', 'b', 'c', 'A', 'A', '', '%61', '..', 'a;x', ';x', '%41;y=1', 'a%3Bx', '..;x'),
          {
            maxLength: 5,
          },
        )
        .map((segments) => `/${segments.join('/')}`),
      query: fc.constantFrom('', '?q', '?q=1', '?q=2&q=1'),
      host: fc.constantFrom('', 'a.test', 'a.test:81', 'b.test:81', 'c.a.test', 'other'),
      method: fc.constantFrom('GET', 'POST', 'PUT'),
      headers: fc.array(fc.constantFrom<[string, string]>(['X-A', '1'], ['X-A', '3'], ['x-b', '2'], ['x-b', '']), {
        maxLength: 2,
      }),
      clientAddress: fc.constantFrom('10.1.2.3', '10.2.0.1', '192.0.2.7', '2001:db8::5', 'unix'),
    })
    .map(({ path, query, headers, ...rest }) => view(path + query, { ...rest, rawHeaders: headers.flat() }))

  /** Routes that are alike but for how they read paths. */
  const alike = fc.tuple(
    fc.record({
      path: fc
        .tuple(
          fc.array(fc.constantFrom('a', 'A', 'a%3Bx', 'a;x', ':x'), { minLength: 1, maxLength: 2 }),
          fc.constantFrom('', '', '/', '/*'),
        )
        .map(([segments, end]) => `/${segments.map((one, at) => (one === ':x' ? `:x${at}` : one)).join('/')}${end}`),
    }),
    fc.record(keys, { requiredKeys: [] }),
  )

  test.each([
    ['tables of all sorts', fc.array(route, { maxLength: 10 }), 300],
    ['tables whose routes read paths in several ways', fc.array(alike, { maxLength: 4 }), 800],
  ])(
    'the same route wins on every table that check accepts, and none that it says can never match: %s',
    (_, routes, numRuns) => {
      fc.assert(
        fc.property(
          routes,
          fc.tuple(reading, reading),
          fc.array(request, { minLength: 8, maxLength: 8 }),
          (said, [legacy, gtin], requests) => {
            agree(said, legacy, gtin, requests)
          },
        ),
        { numRuns },
      )
    },
  )
})

type Reading = Pick<UpstreamDocument, 'caseInsensitivePaths' | 'pathParameters' | 'trailingSlash'>

/** Compares matcher, explain and check with the reference. */
function agree(
  said: readonly (readonly [Match, Partial<RouteDocument>])[],
  legacy: Reading,
  gtin: Reading,
  requests: readonly RequestView[],
): void {
  const plain = documentOf(said.map(([each, rest], at) => ({ id: `r${at}`, match: each, ...rest })))
  const upstreams = {
    legacy: { ...plain.upstreams.legacy!, ...legacy },
    gtin: { ...plain.upstreams.gtin!, ...gtin },
  }
  const all = { ...plain, upstreams }
  const wrong = new Set(checkTable(all).flatMap(({ severity, path }) => (severity === 'error' ? [path[1]] : [])))
  const document = { ...all, routes: (all.routes ?? []).filter((_, at) => !wrong.has(at)) }
  const hidden = new Set(
    checkTable(document).flatMap(({ message, path }) =>
      message.startsWith('can never match') ? [document.routes[path[1] as number]?.id] : [],
    ),
  )
  const table = compileTable(document)
  for (const each of requests) {
    const expected = naiveWinner(document, each)
    const found = matchRoute(table, each)
    expect(found.route?.id ?? null).toBe(expected?.id ?? null)
    expect(explainMatch(table, each).find(({ won }) => won)?.routeId ?? null).toBe(expected?.id ?? null)
    if (expected === null) continue
    expect(hidden).not.toContain(expected.id)
    expect(found.path?.text).toBe(expected.path)
    const { params } = found.route!
    expect(params.map((_, at) => found.params[at] ?? '')).toEqual(params.map((name) => expected.params[name] ?? ''))
  }
}

interface NaiveWinner {
  readonly id: string
  readonly path: string
  readonly params: Readonly<Record<string, string>>
}

/** Tries every path and block of every route with regular expressions, sorts by a rank of text, and insists on a single best route. */
function naiveWinner(
  { upstreams, default: whole, routes = [] }: TableDocument,
  request: RequestView,
): NaiveWinner | null {
  const [raw, query = ''] = request.target.split('?') as [string, string?]
  const parameters = new URLSearchParams(query)
  const passes = (test: unknown, value: string | null): boolean =>
    typeof test === 'boolean' ? test === (value !== null) : value !== null && [test].flat().includes(value)
  const header = (name: string): string | null => {
    const values = request.rawHeaders.filter((_, at, all) => at % 2 === 1 && all[at - 1]?.toLowerCase() === name)
    return values.length === 0 ? null : values.join(', ').trim()
  }
  const ranked = routes.flatMap((route) => {
    const { id, match, priority = 0 } = route
    const { caseInsensitivePaths, pathParameters, trailingSlash } = {
      ...upstreams[route.from ?? String(whole)],
      ...route,
    }
    const path = naivePath(raw, pathParameters === 'ignore', route.ambiguousPaths === 'allow')
    if (path === null) return []
    const isOpen = trailingSlash === 'ignore'
    return (match.paths ?? [match.path ?? '/*']).flatMap((text) =>
      (match.anyOf ?? [{}]).flatMap((block) => {
        const all: Match = {
          ...match,
          ...block,
          headers: { ...match.headers, ...block.headers },
          query: { ...match.query, ...block.query },
        }
        const bare = isOpen && text !== '/' ? text.replace(/\/$/, '') : text
        const pattern = bare
          .split('/')
          .slice(1)
          .map((part) => (part.startsWith(':') || part === '*' ? part : decodeURIComponent(part)))
        const names = pattern.filter((part) => part.startsWith(':')).map((part) => part.slice(1))
        const source = pattern
          .map((part) => (part === '*' ? (isOpen ? '?.*' : '.*') : part.startsWith(':') ? '([^/]+)' : part))
          .join('/')
        const whole = isOpen && path !== '/' ? path.replace(/\/$/, '') : path
        // `/a/*` with an optional slash: nothing, or a slash and the rest.
        const expression = new RegExp(
          `^/${source.replace('/?.*', '(?:/.*)?').replace(/^\?\.\*/, '.*')}$`,
          caseInsensitivePaths ? 'i' : '',
        )
        const found = expression.exec(whole)
        const hostRank = naiveHostRank(all.hosts, request.host)
        const tests = [
          ...(all.methods ? [all.methods.includes(request.method)] : []),
          ...Object.entries(all.headers ?? {}).map(([name, test]) => passes(test, header(name))),
          ...Object.entries(all.query ?? {}).map(([name, test]) => passes(test, parameters.get(name))),
          ...(all.clients ? [naiveNetworks(all.clients, request.clientAddress)] : []),
        ]
        if (found === null || hostRank === null || tests.includes(false)) return []
        const kinds = pattern.map((part) => (part === '*' ? '3' : part.startsWith(':') ? '1' : '0')).join('')
        const rank = `${5 - priority} ${hostRank} ${kinds}${kinds.endsWith('3') ? '' : '2'} ${9 - tests.length}`
        const params = Object.fromEntries(names.map((name, at) => [name, found[at + 1] as string]))
        return [{ id, path: text, params, rank }]
      }),
    )
  })
  ranked.sort((a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : 0))
  const [best] = ranked
  if (best === undefined) return null
  expect(new Set(ranked.filter(({ rank }) => rank === best.rank).map(({ id }) => id)).size).toBe(1)
  return best
}

/** The path as one application reads it, null where it is ambiguous; leniently then, where that is allowed. */
function naivePath(raw: string, ignoresParameters: boolean, allows: boolean): string | null {
  const plain = raw.split('/').slice(1)
  const stripped = ignoresParameters ? plain.map((part) => part.replace(/;.*/, '')) : plain
  const decoded = stripped.map(decodeURIComponent)
  const isAmbiguous =
    plain.some((part) => /^\.\.?(;|$)/.test(decodeURIComponent(part))) || decoded.slice(0, -1).includes('')
  if (!isAmbiguous) return `/${decoded.join('/')}`
  if (!allows) return null
  // Only what is told apart by dot segments and empty ones is made here: the rest of the lenient reading has tests of its own.
  const left: string[] = []
  for (const [at, part] of decoded.entries()) {
    const isLast = at === decoded.length - 1
    if (part === '..') left.pop()
    else if (part !== '' || isLast) left.push(part)
    if (isLast && part === '..') left.push('')
  }
  return `/${left.join('/')}`
}

function naiveNetworks(texts: readonly string[], address: string): boolean {
  const list = new BlockList()
  for (const text of texts) {
    const [base = '', length] = text.split('/')
    list.addSubnet(base, Number(length ?? 32), base.includes(':') ? 'ipv6' : 'ipv4')
  }
  return isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

/** Two digits, smaller is more specific: exact with port, exact, then suffixes by length, no host last; null: no match. */
function naiveHostRank(hosts: readonly string[] | undefined, host: string): string | null {
  if (hosts === undefined) return '99'
  const [name, port] = host.split(':') as [string, string?]
  const ranks = hosts.flatMap((pattern) => {
    const [wanted, wantedPort] = pattern.split(':') as [string, string?]
    if (wantedPort !== undefined && wantedPort !== port) return []
    const portRank = wantedPort === undefined ? 1 : 0
    if (wanted.startsWith('*')) return name.endsWith(wanted.slice(1)) ? [`${50 - 2 * wanted.length + portRank}`] : []
    return wanted === name ? [`0${portRank}`] : []
  })
  return ranks.sort()[0] ?? null
}

function latin1(text: string): string {
  return Buffer.from(text).toString('latin1')
}
