/** Edits of a text: what was asked for is read back, and every other byte stays. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { editTable } from '../../../src/rules/language/edit.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { RouteDocument, TableDocument } from '../../../src/rules/table/schema.ts'

const documentOf = (text: string): TableDocument => parse(text, { uniqueKeys: false }) as TableDocument

const TEXT = `# The table.   Two spaces stay  two.
version: 1

upstreams:
  legacy:            # the wrapped application
    servers: [ http://127.0.0.1:4001 ]   # one
  gtin:
    servers:
      - http://127.0.0.1:4002            # first
      - { url: http://127.0.0.1:4003,   weight: 2 }

default: legacy   # whatever no route claims

routes:
  # about lookups
  - id: gtin-lookup          # moved first
    match:
      path: "/stores/:storeId/gtins/:gtin"
      methods: [GET, HEAD]
    to: gtin
    percent: 5               # żółw: raised on Mondays
    sticky: [cookie:sid, 'header:x-client-id']

  # about search
  - { id: search, match: { path: /search }, to: gtin, percent: 100 }

  # the last one has no percent yet
  - id: reviews
    match: { path: /reviews/* }
    to: gtin
# the end`

/** Changes one route; the others and all else stay. */
function editRoute(text: string, id: string, change: (route: RouteDocument) => object): string {
  return editTable(text, (document) => ({
    ...document,
    routes: (document.routes ?? []).map((route) => (route.id === id ? (change(route) as RouteDocument) : route)),
  }))
}

const withRoutes = (change: (routes: RouteDocument[]) => object[]) => (document: TableDocument) =>
  ({ ...document, routes: change(document.routes ?? []) }) as TableDocument

const NEW = { id: 'new', match: { path: '/new/:id', hosts: ['*.example.test'] }, to: 'gtin', percent: 1.5 }
const NEW_LINES = `  - id: new
    match: { path: /new/:id, hosts: ["*.example.test"] }
    to: gtin
    percent: 1.5
`

function setPercent(text: string, id: string, percent: number): string {
  return editRoute(text, id, (route) => ({ ...route, percent }))
}

const DESIGN = readFileSync(new URL('../../tables/ok-design-example.yaml', import.meta.url), 'utf8')

describe('one route', () => {
  test('a value changes where it stands', () => {
    expect(editRoute(TEXT, 'gtin-lookup', (route) => ({ ...route, percent: 12.5 }))).toBe(
      TEXT.replace('percent: 5  ', 'percent: 12.5  '),
    )
    expect(editRoute(TEXT, 'search', (route) => ({ ...route, percent: 0 }))).toBe(
      TEXT.replace('percent: 100 }', 'percent: 0 }'),
    )
  })

  test('a value deep inside changes where it stands', () => {
    const match = { path: '/stores/:storeId/gtins/:gtin', methods: ['GET'] }
    expect(editRoute(TEXT, 'gtin-lookup', (route) => ({ ...route, match }))).toBe(TEXT.replace('[GET, HEAD]', '[GET]'))
  })

  test('a new key goes where routes have it, in the style of the route', () => {
    expect(editRoute(TEXT, 'reviews', (route) => ({ ...route, percent: 4, from: 'legacy' }))).toBe(
      TEXT.replace(
        '    match: { path: /reviews/* }\n    to: gtin\n',
        '    match: { path: /reviews/* }\n    from: legacy\n    to: gtin\n    percent: 4\n',
      ),
    )
    expect(editRoute(TEXT, 'search', (route) => ({ ...route, cache: { ttl: '60s' } }))).toBe(
      TEXT.replace('percent: 100 }', 'percent: 100, cache: { ttl: 60s } }'),
    )
  })

  test('a key that goes takes its line with it', () => {
    const { percent, ...rest } = (documentOf(TEXT).routes as RouteDocument[])[0] as RouteDocument
    expect(percent).toBe(5)
    expect(editRoute(TEXT, 'gtin-lookup', () => rest)).toBe(TEXT.replace(/ {4}percent: 5.*\n/, ''))
    const { percent: other, ...flow } = (documentOf(TEXT).routes as RouteDocument[])[1] as RouteDocument
    expect(other).toBe(100)
    expect(editRoute(TEXT, 'search', () => flow)).toBe(TEXT.replace(', percent: 100', ''))
  })

  test('what says the same already keeps the text', () => {
    expect(editRoute(TEXT, 'reviews', (route) => ({ to: 'gtin', match: route.match, id: route.id }))).toBe(TEXT)
  })
})

describe('anchors and aliases', () => {
  const HEAD =
    'version: 1\nupstreams: { legacy: { servers: [http://l] }, gtin: { servers: [http://g] } }\ndefault: legacy\n'
  const wave = `${HEAD}routes:
  - { id: a, match: { path: /a }, to: gtin, percent: &wave 5 } # first
  - id: b
    match: { path: /b }
    to: gtin
    percent: *wave # with a
  - { id: c, match: { path: /c }, to: gtin, percent: *wave }
`

  test('an alias is written out where it changes', () => {
    expect(setPercent(wave, 'b', 7)).toBe(wave.replace('percent: *wave # with a', 'percent: 7 # with a'))
  })

  test('an anchor moves to the first alias that stays, and the others stay as they are', () => {
    const moved = wave.replace('&wave 5', '0').replace('percent: *wave # with a', 'percent: &wave 5 # with a')
    expect(setPercent(wave, 'a', 0)).toBe(moved)
    expect(setPercent(moved, 'b', 1)).toBe(
      moved.replace('&wave 5', '1').replace('percent: *wave }', 'percent: &wave 5 }'),
    )
  })

  test('all at once, and back', () => {
    const all = ['a', 'b', 'c'].reduce((text, id) => setPercent(text, id, 0), wave)
    expect(documentOf(all).routes?.map(({ percent }) => percent)).toEqual([0, 0, 0])
  })

  test('a route with an anchor can go', () => {
    const edited = editTable(
      wave,
      withRoutes((routes) => routes.filter(({ id }) => id !== 'a')),
    )
    expect(edited).toBe(
      wave.replace(/ {2}- \{ id: a.*\n/, '').replace('percent: *wave # with a', 'percent: &wave 5 # with a'),
    )
  })

  test('settings that others share change for one route only', () => {
    const text = `${HEAD}routes:
  - id: a
    match: { path: /a }
    to: gtin
    cache: &kept # why
      ttl: 60s # a minute
      keep: 1h
  - { id: b, match: { path: /b }, to: gtin, cache: *kept }
`
    expect(editRoute(text, 'a', (route) => ({ ...route, cache: { ...route.cache, ttl: '5s' } }))).toBe(
      text
        .replace('&kept # why', '# why')
        .replace('60s # a', '5s # a')
        .replace('*kept', '&kept { ttl: 60s, keep: 1h }'),
    )
    expect(editRoute(text, 'b', (route) => ({ ...route, cache: { ttl: '5s' } }))).toBe(
      text.replace('*kept', '{ ttl: 5s }'),
    )
  })
})

describe('a percent', () => {
  /** How one route is written; `{percent}` marks where its percent stands, or is to be added. */
  const LAYOUTS: readonly (readonly [string, present: string, absent: string])[] = [
    [
      'block',
      '  - id: ID\n    match: { path: /ID } # why\n    to: gtin  # here\n    percent: {percent} # by hand\n',
      '  - id: ID\n    match:\n      path: /ID\n    to: gtin  # here\n{line}    group: g\n',
    ],
    [
      'block, percent first',
      '  - percent: {percent}\n    id: ID\n    to: gtin\n    match: { path: /ID }\n',
      '  -   to: gtin # first\n      id: ID\n      match: { path: /ID }\n{line8}',
    ],
    [
      'flow',
      '  - { id: ID, match: { path: /ID }, percent:   {percent}, to: gtin }\n',
      '  - { id: ID, match: { path: /ID }, to: gtin{inline} } # flow\n',
    ],
    [
      'flow over lines',
      '  - {\n      id: ID, match: { path: /ID }, # c\n      to: "gtin", percent: {percent} }\n',
      "  - {\n      id: ID, match: { path: /ID }, to: 'gtin'{inline} # c\n      , group: g }\n",
    ],
    [
      'JSON',
      '  - {"id":"ID","match":{"path":"/ID"},"to":"gtin","percent":{percent}}\n',
      '  - {"id":"ID","match":{"path":"/ID"},"to":"gtin"{json}}\n',
    ],
  ]
  const HEAD =
    '# the table\nversion: 1\nupstreams: { legacy: { servers: [http://a] }, gtin: { servers: [http://b] } }\ndefault:   legacy\nroutes:\n\n'
  const percent = fc.integer({ min: 0, max: 1_000_000 }).map((units) => units / 10_000)
  const route = fc.record({
    layout: fc.constantFrom(...LAYOUTS),
    old: fc.option(percent),
    comment: fc.constantFrom('', '\n', '    # percent: 99\n'),
  })

  /** The text of a route with `shown` as its percent; null leaves it out. */
  function write(layout: (typeof LAYOUTS)[number], present: boolean, id: string, shown: string | null): string {
    const text = (present ? layout[1] : layout[2]).replaceAll('ID', id)
    const [line, inline, json] =
      shown === null ? ['', '', ''] : [`percent: ${shown}\n`, `, percent: ${shown}`, `,"percent":${shown}`]
    return text
      .replace('{percent}', shown ?? '')
      .replace('{line}', line && `    ${line}`)
      .replace('{line8}', line && `      ${line}`)
      .replace('{inline}', inline)
      .replace('{json}', json)
  }

  test('changes the one number, or adds it behind `to`, and leaves every other byte', () => {
    fc.assert(
      fc.property(
        fc.array(route, { minLength: 1, maxLength: 4 }),
        fc.nat(3),
        percent,
        fc.boolean(),
        fc.boolean(),
        (routes, pick, next, crlf, bom) => {
          const chosen = pick % routes.length
          const textWith = (wanted: number | null) => {
            const body = routes.map(({ layout, old, comment }, at) => {
              const shown = at === chosen && wanted !== null ? wanted : old
              return comment + write(layout, old !== null, `r${at}`, shown === null ? null : String(shown))
            })
            const text = HEAD + body.join('')
            return (bom ? '\uFEFF' : '') + (crlf ? text.replaceAll('\n', '\r\n') : text)
          }
          const before = textWith(null)
          expect(readTable(before, 'routes.yaml').ok).toBe(true)
          const after = setPercent(before, `r${chosen}`, next)
          expect(after).toBe(textWith(next))
          const wanted = documentOf(before)
          Object.assign(wanted.routes?.[chosen] as object, { percent: next })
          expect(documentOf(after)).toEqual(wanted)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('keeps the comments and the order of the design example', () => {
    const edited = setPercent(DESIGN, 'gtin-lookup', 12.5)
    expect(edited).toBe(DESIGN.replace('    percent: 5\n', '    percent: 12.5\n'))
    expect(setPercent(edited, 'gtin-lookup', 5)).toBe(DESIGN)
  })

  test.each([
    ['a last line without a newline', `${HEAD}  - id: a\n    match: { path: /a }\n    to: gtin`, '\n    percent: 7'],
    [
      'a last line with a comment and no newline',
      `${HEAD}  - id: a\n    match: { path: /a }\n    to: gtin # x`,
      '\n    percent: 7',
    ],
  ])('adds the key behind %s', (_name, text, added) => {
    expect(setPercent(text, 'a', 7)).toBe(text + added)
  })
})

describe('the list of routes', () => {
  test('a route is added at the end, spaced as the others are', () => {
    expect(
      editTable(
        TEXT,
        withRoutes((routes) => [...routes, NEW]),
      ),
    ).toBe(TEXT.replace('    to: gtin\n# the end', `    to: gtin\n\n${NEW_LINES}# the end`))
  })

  test('a route is removed with its lines; what is said about others stays', () => {
    expect(
      editTable(
        TEXT,
        withRoutes((routes) => routes.filter(({ id }) => id !== 'search')),
      ),
    ).toBe(TEXT.replace(/ {2}- \{ id: search.*\n/, ''))
  })

  test('the first route of a table that has none, in each way of having none', () => {
    const head = 'version: 1\nupstreams: { gtin: { servers: [http://a.test] } }\ndefault: gtin\n'
    for (const none of ['', 'routes: []\n', 'routes:   [ ]  # none\n']) {
      const edited = editTable(
        head + none,
        withRoutes(() => [NEW]),
      )
      expect(edited.startsWith(`${head}routes:`)).toBe(true)
      expect(edited).toContain(`\n${NEW_LINES.trimEnd()}`)
    }
  })

  test('the last route that goes leaves a table without routes', () => {
    const edited = editTable(
      TEXT,
      withRoutes(() => []),
    )
    expect(documentOf(edited).routes).toEqual([])
    expect(edited.startsWith(TEXT.slice(0, TEXT.indexOf('routes:')))).toBe(true)
  })

  test('line ends and byte order mark stay as they are', () => {
    const text = `\uFEFF${TEXT.replaceAll('\n', '\r\n')}`
    const edited = editTable(
      text,
      withRoutes((routes) => [...routes, NEW]),
    )
    expect(edited.replaceAll('\r\n', '')).not.toContain('\n')
    expect(edited).toBe(
      `\uFEFF${editTable(
        TEXT,
        withRoutes((routes) => [...routes, NEW]),
      ).replaceAll('\n', '\r\n')}`,
    )
  })
})

test('servers of an upstream come and go', () => {
  const servers = (list: readonly unknown[]) => (document: TableDocument) =>
    ({ ...document, upstreams: { ...document.upstreams, gtin: { servers: list } } }) as unknown as TableDocument
  const [first, second] = documentOf(TEXT).upstreams.gtin?.servers ?? []
  const last = '      - { url: http://127.0.0.1:4003,   weight: 2 }\n'
  expect(editTable(TEXT, servers([first, second, 'http://127.0.0.1:5000']))).toBe(
    TEXT.replace(last, `${last}      - http://127.0.0.1:5000\n`),
  )
  expect(editTable(TEXT, servers([second]))).toBe(TEXT.replace(/ {6}- http:\/\/127\.0\.0\.1:4002.*\n/, ''))
})

describe('lists in brackets over lines', () => {
  const LIST = `version: 1
upstreams:
  gtin:
    servers: [
      http://a.test, # first
      http://b.test # second
    ] # all
  old: { servers: [ http://a.test, http://b.test, http://c.test ] } # three
default: gtin
`
  const serversOf = (upstream: string, list: readonly unknown[], text = LIST): string =>
    editTable(text, (document) => {
      const upstreams = { ...document.upstreams, [upstream]: { servers: list } }
      return { ...document, upstreams } as unknown as TableDocument
    })
  const [a, b, c, d] = ['http://a.test', 'http://b.test', 'http://c.test', 'http://d.test']

  test('an item comes on a line of its own, and every comment stays', () => {
    expect(serversOf('gtin', [a, b, c])).toBe(
      LIST.replace('http://b.test # second\n', 'http://b.test, # second\n      http://c.test\n'),
    )
    expect(serversOf('gtin', [c, a, b])).toBe(
      LIST.replace('      http://a.test,', '      http://c.test,\n      http://a.test,'),
    )
    expect(serversOf('gtin', [a, c, b])).toBe(LIST.replace('# first\n', '# first\n      http://c.test,\n'))
    const trailing = LIST.replace('b.test # second', 'b.test, # second')
    expect(serversOf('gtin', [a, b, c, d], trailing)).toBe(
      trailing.replace('# second\n', '# second\n      http://c.test,\n      http://d.test,\n'),
    )
  })

  test('an item goes with its line', () => {
    expect(serversOf('gtin', [a])).toBe(
      LIST.replace('http://a.test, # first', 'http://a.test # first').replace(/ +http:\/\/b.*\n/, ''),
    )
    expect(serversOf('gtin', [b])).toBe(LIST.replace(/ +http:\/\/a\.test, # first\n/, ''))
  })

  test('on one line', () => {
    expect(serversOf('old', [a, b, c, d])).toBe(LIST.replace('http://c.test ]', 'http://c.test, http://d.test ]'))
    expect(serversOf('old', [d, a, b, c])).toBe(LIST.replace('[ http://a', '[ http://d.test, http://a'))
    expect(serversOf('old', [b, c])).toBe(LIST.replace('[ http://a.test, ', '[ '))
    expect(serversOf('old', [a, c])).toBe(LIST.replace(', http://b.test, http://c', ', http://c'))
    expect(serversOf('old', [a])).toBe(LIST.replace(', http://b.test, http://c.test', ''))
    expect(serversOf('old', [c])).toBe(LIST.replace('http://a.test, http://b.test, ', ''))
  })

  test('a comment between items on one line and the next stays', () => {
    const text = LIST.replace('[ http://a.test, http://b', '[ http://a.test, # first\n    http://b')
    expect(serversOf('old', [a, b], text)).toBe(text.replace(', http://c.test', ''))
    const two = text.replace(', http://c.test', '')
    expect(serversOf('old', [a], two)).toContain('# first')
  })

  test('routes in brackets come and go, with the comments of the others', () => {
    const text = `${LIST}routes: [
  # about a
  { id: a, match: { path: /a }, to: gtin },
  { id: b, match: { path: /b }, to: old }, # about b
]
`
    const added = editTable(
      text,
      withRoutes((routes) => [...routes, { id: 'c', match: { path: '/c' }, to: 'old' }]),
    )
    expect(added).toBe(text.replace('# about b\n', '# about b\n  { id: c, match: { path: /c }, to: old },\n'))
    const removed = editTable(
      text,
      withRoutes((routes) => routes.slice(1)),
    )
    expect(removed).toBe(text.replace(/ {2}\{ id: a.*\n/, ''))
  })
})

describe('a list that becomes one of its items', () => {
  const STICKY = `    sticky:
      - cookie:sid # the session
      - ip # else
    percent: 5
`
  const withSticky = (text: string): string => `${DESIGN.slice(0, DESIGN.indexOf('routes:'))}routes:
  - id: a
    match: { path: /a }
    to: gtin
${text}`
  const become = (text: string, sticky: string): string => editRoute(text, 'a', (route) => ({ ...route, sticky }))

  test('the item keeps its comment, and the others take theirs with them', () => {
    const text = withSticky(STICKY)
    expect(become(text, 'cookie:sid')).toBe(withSticky('    sticky: cookie:sid # the session\n    percent: 5\n'))
    expect(become(text, 'ip')).toBe(withSticky('    sticky: ip # else\n    percent: 5\n'))
    expect(become(text, 'request')).toBe(withSticky('    sticky: request\n    percent: 5\n'))
  })

  test('in brackets, and back to a list', () => {
    const text = withSticky('    sticky: [cookie:sid, ip] # one side\n')
    const one = withSticky('    sticky: ip # one side\n')
    expect(become(text, 'ip')).toBe(one)
    expect(editRoute(one, 'a', (route) => ({ ...route, sticky: ['cookie:sid', 'ip'] }))).toBe(text)
  })
})

describe('a JSON text stays one', () => {
  const table = {
    version: 1,
    upstreams: { legacy: { servers: ['http://l'] }, gtin: { servers: ['http://g'] } },
    default: 'legacy',
    routes: [
      { id: 'a', match: { path: '/a' }, to: 'gtin' },
      { id: 'b', match: { path: '/b' }, to: 'gtin', percent: 5 },
    ],
  }

  test.each([
    ['compact', JSON.stringify(table)],
    ['indented', JSON.stringify(table, null, 2)],
    ['without routes', JSON.stringify({ ...table, routes: [] }, null, 2)],
    ['with a byte order mark', `\uFEFF${JSON.stringify(table)}`],
  ])('%s', (_, text) => {
    const changes = [
      withRoutes((routes) => [...routes, NEW]),
      withRoutes((routes) => [NEW, ...routes]),
      withRoutes((routes) => routes.slice(1)),
      withRoutes((routes) => routes.slice(0, 1)),
      withRoutes(() => []),
      withRoutes((routes) => routes.map((route) => ({ ...route, percent: 12.5, sticky: ['cookie:sid', 'ip'] }))),
      withRoutes((routes) => routes.map((route) => ({ ...route, cache: { ttl: '60s' }, fallback: {} }))),
      (document: TableDocument) => ({
        ...document,
        upstreams: { ...document.upstreams, gtin: { servers: ['http://g', { url: 'http://h', weight: 2 }] } },
      }),
    ]
    for (const change of changes) {
      const wanted = change(JSON.parse(text.replace('\uFEFF', '')) as TableDocument)
      expect(JSON.parse(editTable(text, change as never).replace('\uFEFF', ''))).toEqual(wanted)
    }
  })

  test('in the way it is written', () => {
    expect(setPercent(JSON.stringify(table), 'a', 5)).toContain(
      '{"id":"a","match":{"path":"/a"},"to":"gtin","percent":5}',
    )
    const indented = JSON.stringify(table, null, 2)
    expect(setPercent(indented, 'a', 5)).toBe(indented.replace('"to": "gtin"\n', '"to": "gtin",\n      "percent": 5\n'))
  })
})

const routeArbitrary: fc.Arbitrary<object> = fc.record(
  {
    match: fc.record({
      path: fc.constantFrom('/a', '/b/:x', '/c/*', '/ż ó'),
      query: fc.dictionary(fc.string(), fc.string()),
    }),
    to: fc.constantFrom('gtin', 'legacy', 'true', '5', 'a: b', '#x', '- y', "it's"),
    percent: fc.integer({ min: 0, max: 1_000_000 }).map((units) => units / 10_000),
    sticky: fc.oneof(fc.string(), fc.array(fc.string(), { minLength: 1, maxLength: 3 })),
    fallback: fc.constantFrom({}, { on: ['connect', 502], methods: 'safe' }),
    cache: fc.record({ ttl: fc.constant('60s'), tags: fc.string(), deep: fc.array(fc.object({ maxDepth: 1 })) }),
  },
  { requiredKeys: ['match', 'to'] },
)

/** JSON has no -0 and no undefined, so neither has a body. */
const asJson = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T

describe('whatever is asked for', () => {
  const ids = ['gtin-lookup', 'search', 'reviews']

  test('is read back, and no line outside the route changes', () => {
    fc.assert(
      fc.property(fc.constantFrom(...ids), routeArbitrary, (id, said) => {
        const route = asJson({ id, ...said })
        const edited = editRoute(TEXT, id, () => route)
        expect(documentOf(edited).routes?.find((one) => one.id === id)).toEqual(route)
        const [before, after] = [cutOut(TEXT, id), cutOut(edited, id)]
        expect(after).toEqual(before)
      }),
      { numRuns: 300 },
    )
  })

  test('routes added and removed at once are read back in their order', () => {
    fc.assert(
      fc.property(fc.subarray(ids), fc.array(routeArbitrary, { maxLength: 3 }), fc.nat(3), (kept, said, place) => {
        const added = said.map((route, at) => asJson({ id: `new-${at}`, ...route }))
        const edited = editTable(
          TEXT,
          withRoutes((routes) =>
            routes.filter(({ id }) => kept.includes(id)).toSpliced(place, 0, ...(added as RouteDocument[])),
          ),
        )
        const wanted = kept.toSpliced(place, 0, ...said.map((_, at) => `new-${at}`))
        expect(documentOf(edited).routes?.map(({ id }) => id)).toEqual(wanted)
      }),
      { numRuns: 200 },
    )
  })
})

/** The text before and behind a route's lines, comments above a route counted as what is before it. */
function cutOut(text: string, id: string): [string, string] {
  const start = text.search(new RegExp(`^ {2}- (?:\\{ )?id: ${id}\\b`, 'm'))
  const rest = text.slice(start)
  const end = rest.search(/\n(?:\n {2}[#-]| {2}[#-]|#)/)
  return [text.slice(0, start), end === -1 ? '' : rest.slice(end)]
}

test('an edit of a table that is in force gives one that can be put in force', () => {
  const read = readTable(
    editTable(
      TEXT,
      withRoutes((routes) => [...routes, NEW]),
    ),
    'routes.yaml',
  )
  expect(read.ok).toBe(true)
})

test('thousands of new keys in one map take no longer than a few readings of the text', () => {
  const headers = Object.fromEntries(Array.from({ length: 100_000 }, (_, n) => [`X-${n}`, 'a']))
  const table = (match: object): string =>
    `version: 1\nupstreams: { a: { servers: [http://a] } }\ndefault: a\nroutes:\n  - { id: a, to: a, match: ${JSON.stringify(match)} }\n`
  const start = performance.now()
  expect(readTable(table({ headers }), 'routes.yaml').ok).toBe(true)
  const read = performance.now()
  const edited = editTable(table({ headers: { 'X-0': 'a' } }), (document) => {
    Object.assign(document.routes?.[0]?.match.headers ?? {}, headers)
    return document
  })
  const ended = performance.now()
  expect(documentOf(edited).routes?.[0]?.match.headers).toEqual(headers)
  expect(ended - read).toBeLessThan(10 * (read - start))
})
