/** Edits of a text: what was asked for is read back, and every other byte stays. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { documentOf, editTable } from '../../../src/rules/language/edit.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { RouteDocument, TableDocument } from '../../../src/rules/table/schema.ts'

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

  test('an alias is written out where it changes, and an anchor that others use is refused', () => {
    const text = TEXT.replace('percent: 5  ', 'percent: &p 5  ').replace('percent: 100 }', 'percent: *p }')
    expect(editRoute(text, 'search', (route) => ({ ...route, percent: 7 }))).toBe(text.replace('*p', '7'))
    expect(() => editRoute(text, 'gtin-lookup', (route) => ({ ...route, percent: 7 }))).toThrow(RangeError)
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
