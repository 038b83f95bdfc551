/** Ties and hidden routes: what a large table says of its routes is what their pairs say, which are compared without an index. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileTable } from '../../../src/rules/language/compile.ts'
import {
  type Clash,
  clashSteps,
  hiddenFindings,
  overlapFindings,
  type PlacedRoute,
} from '../../../src/rules/routing/overlap.ts'
import type { RouteDocument } from '../../../src/rules/table/schema.ts'
import { allOf } from '../../../src/rules/values/steps.ts'
import { documentOf } from '../make.ts'

type Said = Pick<RouteDocument, 'match' | 'priority' | 'caseInsensitivePaths' | 'pathParameters' | 'trailingSlash'>

const wanted = fc.constantFrom<NonNullable<Said['match']['headers']>[string]>(
  ...[true, false, 'a', 'ab', ['abc', 'b'], { startsWith: 'a' }, { startsWith: 'ab' }, { contains: 'b' }],
)
const match: fc.Arbitrary<Said['match']> = fc.record(
  {
    path: fc.constantFrom('/a', '/A', '/a/', '/a/*', '/:x', '/:x/b', '/a/b', '/a/b/*', '/:x/*', '/*', '/a%3Bx'),
    hosts: fc.uniqueArray(fc.constantFrom('a.test', 'b.a.test', '*.test', '*.a.test', 'a.test:81'), {
      minLength: 1,
      maxLength: 2,
    }),
    methods: fc.constantFrom<string[]>(['GET'], ['POST'], ['GET', 'PUT']),
    headers: fc.dictionary(fc.constantFrom('x-a', 'x-b'), wanted, { minKeys: 1 }),
    clients: fc.constantFrom<string[]>(['10.0.0.0/8'], ['10.1.0.0/16', '192.0.2.7']),
  },
  { requiredKeys: ['path'] },
)
const keys = {
  priority: fc.constantFrom(-1, 1),
  caseInsensitivePaths: fc.boolean(),
  pathParameters: fc.constant<'ignore'>('ignore'),
  trailingSlash: fc.constant<'ignore'>('ignore'),
}
/** Of all sorts, and those of one path that only their values and hosts tell apart. */
const route = fc
  .tuple(match, fc.record(keys, { requiredKeys: [] }))
  .map(([said, rest]): Said => ({ match: said, ...rest }))
const alike = fc
  .tuple(match, fc.constantFrom(0, 1))
  .map(([said, priority]): Said => ({ match: { ...said, path: '/a' }, priority }))
const text = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 8 })
const texts = fc.oneof(
  text,
  text.map((startsWith) => ({ startsWith })),
)
const valued = texts.map((value): Said => ({ match: { path: '/a', headers: { 'x-a': value } } }))

test.each([
  ['of all sorts', route],
  ['with one path', alike],
  ['with one header', valued],
])('routes of a large table are tied and hidden as they are by one another: %s', (_, one) => {
  fc.assert(
    fc.property(fc.array(one, { minLength: 30, maxLength: 60, size: 'max' }), (said) => {
      const placed = placedOf(said)
      const clashes = (at: number): Clash[] =>
        placed.map((other) => allOf(clashSteps([placed[at] as PlacedRoute], [other])))
      const tied = placed.filter((_, at) => clashes(at).slice(0, at).includes('tied'))
      const hidden = placed.filter(({ priority }, at) =>
        clashes(at).some((clash, by) => clash === 'hidden' && (placed[by] as PlacedRoute).priority > priority),
      )
      expect(placesOf(overlapFindings(placed))).toEqual(tied.map(({ at }) => at))
      expect(placesOf(hiddenFindings(placed))).toEqual(hidden.map(({ at }) => at))
    }),
    { numRuns: 100 },
  )
})

test('names the first route that another one is tied with, and the first that hides it', () => {
  const tenants = Array.from(
    { length: 40 },
    (_, at): Said => ({ match: { path: '/a', headers: { tenant: `t${at}x` } } }),
  )
  const placed = placedOf([
    ...tenants,
    { match: { path: '/a', headers: { tenant: { startsWith: 't2' } } } },
    { match: { path: '/a' }, priority: 1 },
    { match: { path: '/:x' }, priority: 2 },
    { match: { path: '/a', headers: { tenant: 't7x' } }, priority: 3 },
  ])
  expect(overlapFindings(placed)).toMatchObject([
    { path: ['routes', 40, 'match'], message: 'ambiguous: some requests match both this route and "r2" (routes.2)' },
  ])
  const by = (at: number): string | undefined =>
    hiddenFindings(placed)
      .find(({ path }) => path[1] === at)
      ?.message.split(',')[0]
  expect(by(7)).toBe('can never match: "r41" (routes.41) has a higher priority')
  expect(by(41)).toBe('can never match: "r42" (routes.42) has a higher priority')
  expect(by(43)).toBeUndefined()
})

function placedOf(said: readonly Said[]): PlacedRoute[] {
  const { routes } = compileTable(documentOf(said.map((one, at) => ({ id: `r${at}`, ...one }))))
  return routes.map((compiled, at) => ({ ...compiled, at }))
}

function placesOf(findings: readonly { readonly path: readonly (string | number)[] }[]): unknown[] {
  return findings.map(({ path }) => path[1] as number).sort((a, b) => a - b)
}
