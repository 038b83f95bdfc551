/**
 * Random tables and requests that an engine can be asked about: few names, so that requests meet routes, and routes each other.
 */
import fc from 'fast-check'
import { readTable } from '../../src/rules/language/text.ts'

export const UPSTREAMS = ['legacy', 'new', 'next'] as const

const PATHS = [
  '/',
  '/*',
  '/a',
  '/a/',
  '/a/*',
  '/a/b',
  '/a/:x',
  '/a/:x/*',
  '/:x',
  '/:x/b',
  '/a/:x/c',
  '/a b',
  '/é/*',
  '/a.b',
  '/%3F/:y',
]
const HOSTS = ['one.test', 'two.test', '*.test', '*.one.test', 'one.test:8443']

const some = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(value, { nil: undefined, freq: 2 })

const valueTest = fc.oneof(
  fc.constant(true),
  fc.constant(false),
  fc.constantFrom('1', '2', 'a.b', 'q"x\'$y\\'),
  fc.constant(['1', '2']),
  fc.constantFrom({ startsWith: '1' }, { contains: '.' }, { contains: 'é' }),
)

const conditions = fc.record(
  {
    hosts: some(fc.uniqueArray(fc.constantFrom(...HOSTS), { minLength: 1, maxLength: 2 })),
    methods: some(fc.uniqueArray(fc.constantFrom('GET', 'HEAD', 'POST'), { minLength: 1, maxLength: 2 })),
    headers: some(fc.dictionary(fc.constantFrom('x-one', 'X-Two'), valueTest, { minKeys: 1, maxKeys: 2 })),
    query: some(fc.dictionary(fc.constantFrom('q', 'a b'), valueTest, { minKeys: 1, maxKeys: 2 })),
    cookies: some(fc.dictionary(fc.constantFrom('c', 'sid'), valueTest, { minKeys: 1, maxKeys: 1 })),
    clients: some(fc.constantFrom(['127.0.0.0/8'], ['10.0.0.0/8', '::1'])),
  },
  { requiredKeys: [] },
)

const route = fc.record({
  paths: fc.uniqueArray(fc.constantFrom(...PATHS), { minLength: 1, maxLength: 2 }),
  rest: conditions,
  priority: fc.constantFrom(0, 0, 0, 1, -1),
  from: fc.constantFrom(...UPSTREAMS),
  to: fc.constantFrom(...UPSTREAMS),
  percent: fc.constantFrom(0, 100),
  reading: fc.constantFrom({}, {}, {}, { caseInsensitivePaths: true }, { trailingSlash: 'ignore' }),
})

/** The text of a table that banyan takes, in JSON. @param ports of the upstreams */
export function tables(ports: readonly number[]): fc.Arbitrary<string> {
  return fc
    .array(route, { minLength: 1, maxLength: 8 })
    .map((routes) =>
      JSON.stringify({
        version: 1,
        upstreams: Object.fromEntries(
          UPSTREAMS.map((name, at) => [name, { servers: [`http://127.0.0.1:${ports[at]}`] }]),
        ),
        default: 'legacy',
        routes: routes.map(({ paths, rest, reading, ...said }, at) => ({
          id: `route-${at}`,
          match: { ...(paths.length === 1 ? { path: paths[0] } : { paths }), ...rest },
          ...reading,
          ...said,
        })),
      }),
    )
    .filter((text) => readTable(text, 'random').ok)
}

/** A request, as far as a table can tell it from others. */
export interface Asked {
  readonly method: string
  readonly target: string
  /** Names and values in turn. */
  readonly headers: readonly string[]
}

const SEGMENTS = ['a', 'b', 'c', 'A', 'x', 'a b', 'é', 'a.b', '?', 'a;p', '%']
const AMBIGUOUS = ['..', '.', '', 'a%2Fb', '..%2Fa', '%5c', 'x%zz']

const encoded = (text: string): string => encodeURIComponent(text)
/** Every letter as an escape. */
const escaped = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')

const segment = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(...SEGMENTS).map(encoded) },
  { weight: 1, arbitrary: fc.constantFrom(...SEGMENTS).map(escaped) },
  { weight: 1, arbitrary: fc.constantFrom(...AMBIGUOUS) },
)

const value = fc.constantFrom('1', '2', '12', 'a.b', 'q"x\'$y\\', 'xé', 'no')
const latin1 = (text: string): string => Buffer.from(text).toString('latin1')

const parameter = fc
  .tuple(fc.constantFrom('q', 'a b', 'other'), fc.option(value, { nil: null }), fc.constantFrom(encoded, escaped))
  .map(([name, text, write]) => (text === null ? write(name) : `${write(name)}=${write(text)}`))

const cookie = fc.tuple(fc.constantFrom('c', 'sid', 'other'), value).map(([name, text]) => `${name}=${latin1(text)}`)

export const request: fc.Arbitrary<Asked> = fc
  .record({
    method: fc.constantFrom('GET', 'GET', 'HEAD', 'POST', 'PUT'),
    segments: fc.array(segment, { minLength: 0, maxLength: 4 }),
    slash: fc.boolean(),
    query: fc.array(parameter, { maxLength: 3 }),
    host: fc.constantFrom(
      'one.test',
      'ONE.test',
      'two.test',
      'three.test',
      'a.one.test',
      'one.test:8443',
      'else.example',
      'one.test.',
    ),
    fields: fc.array(
      fc.tuple(
        fc.constantFrom('X-One', 'x-two'),
        fc.oneof({ weight: 9, arbitrary: value }, { weight: 1, arbitrary: fc.constant('') }),
      ),
      { maxLength: 2 },
    ),
    cookies: fc.array(cookie, { maxLength: 3 }),
  })
  .map(({ method, segments, slash, query, host, fields, cookies }) => ({
    method,
    target: `/${segments.join('/')}${slash && segments.length > 0 ? '/' : ''}${query.length > 0 ? `?${query.join('&')}` : ''}`,
    headers: [
      ...['Host', host],
      ...fields.flatMap(([name, text]) => [name, latin1(text)]),
      ...(cookies.length === 0 ? [] : ['Cookie', cookies.join('; ')]),
    ],
  }))
