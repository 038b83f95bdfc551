/** Explain, word for word: why each route won or lost. */
import { expect, test } from 'vitest'
import type { RequestView } from '../../../src/rules/http/exchange.ts'
import { explainMatch } from '../../../src/rules/routing/match.ts'
import type { RouteDocument } from '../../../src/rules/table/schema.ts'
import { tableOf, view } from '../make.ts'

type Match = RouteDocument['match']

/** The sentences for one route, alone in its table. */
function lost(match: Match, request: RequestView): readonly string[] {
  return explainMatch(tableOf([{ id: 'route', match }]), request)[0]?.lost ?? []
}

test.each<[Match, RequestView, string]>([
  [{ path: '/a/:b' }, view('/a?x'), 'the path /a is not /a/:b'],
  [{ path: '/a' }, view('http://h.test/b'), 'the path /b is not /a'],
  [{ path: '/*' }, view('*', { method: 'OPTIONS' }), 'the target * has no path'],
  [{ path: '/*' }, view('/a//b'), 'the path has an empty segment (//), and the route has no ambiguousPaths: allow'],
  [{ paths: ['/a', '/b/*'] }, view('/c'), 'the path /c is not /a or /b/*'],
  [{ clients: ['10.0.0.0/8', '::1'] }, view('/'), 'the client is "192.0.2.1", must be in 10.0.0.0/8 or ::1'],
  [
    { anyOf: [{ methods: ['PUT'] }, { headers: { 'x-a': true }, cookies: { b: '1' } }] },
    view('/', { rawHeaders: ['X-A', '1'] }),
    'no block of anyOf is met: (1) the method is "GET", must be "PUT"; (2) cookie b is absent, must be "1"',
  ],
  [{ hosts: ['a.test'] }, view('/', { host: 'b.test' }), 'the host b.test is not a.test'],
  [{ hosts: ['a.test', '*.b.test'] }, view('/', { host: 'b.test' }), 'the host b.test is not a.test or *.b.test'],
  [{ hosts: ['a.test'] }, view('/'), 'the request has no host, must be a.test'],
  [{ methods: ['GET', 'HEAD'] }, view('/', { method: 'POST' }), 'the method is "POST", must be "GET" or "HEAD"'],
  [{ headers: { 'X-Beta': '1' } }, view('/'), 'header x-beta is absent, must be "1"'],
  [
    { headers: { 'x-beta': false } },
    view('/', { rawHeaders: ['X-Beta', 'on'] }),
    'header x-beta is "on", must be absent',
  ],
  [{ query: { q: true } }, view('/'), 'query parameter q is absent, must be present'],
  [
    { query: { q: { startsWith: 'a' } } },
    view('/?q=b'),
    'query parameter q is "b", must be a string starting with "a"',
  ],
  [
    { cookies: { sid: { contains: 'x' } } },
    view('/', { rawHeaders: ['Cookie', `sid=${'a'.repeat(100)}`] }),
    `cookie sid is "${'a'.repeat(80)}…", must be a string containing "x"`,
  ],
])('%j says why not', (match, request, sentence) => {
  expect(lost(match, request)).toEqual([sentence])
})

test('all that is missing is said, in one go', () => {
  expect(lost({ path: '/a', methods: ['PUT'], query: { q: '1' } }, view('/b?q=2'))).toEqual([
    'the path /b is not /a',
    'the method is "GET", must be "PUT"',
    'query parameter q is "2", must be "1"',
  ])
})

test('routes that match and do not win say which one is more specific, and on what', () => {
  const table = tableOf([
    { id: 'any-host', match: { path: '/a/b' } },
    { id: 'wild', match: { hosts: ['*.example.test'], path: '/a/b' } },
    { id: 'rest', match: { hosts: ['shop.example.test'], path: '/a/*' } },
    { id: 'name', match: { hosts: ['shop.example.test'], path: '/a/:x' } },
    { id: 'plain', match: { hosts: ['shop.example.test'], path: '/a/b' } },
    { id: 'winner', match: { hosts: ['shop.example.test'], path: '/a/b', methods: ['GET'] } },
    { id: 'other', match: { path: '/c' } },
  ])
  expect(explainMatch(table, view('/a/b', { host: 'shop.example.test:8080' }))).toEqual([
    {
      routeId: 'any-host',
      matched: true,
      won: false,
      lost: ['winner is more specific: it names the host shop.example.test, this route matches any host'],
    },
    {
      routeId: 'wild',
      matched: true,
      won: false,
      lost: ['winner is more specific: it names the host shop.example.test, this route names *.example.test'],
    },
    {
      routeId: 'rest',
      matched: true,
      won: false,
      lost: ['winner is more specific: its path has b where this one has *'],
    },
    {
      routeId: 'name',
      matched: true,
      won: false,
      lost: ['winner is more specific: its path has b where this one has :x'],
    },
    {
      routeId: 'plain',
      matched: true,
      won: false,
      lost: ['winner is more specific: it has 1 condition besides host and path, this route 0'],
    },
    { routeId: 'winner', matched: true, won: true, lost: [] },
    { routeId: 'other', matched: false, won: false, lost: ['the path /a/b is not /c'] },
  ])
})

test('a route of lower priority says so, and one whose paths end is less specific than a literal', () => {
  const table = tableOf([
    { id: 'high', match: { path: '/*', methods: ['GET'] }, priority: 2 },
    { id: 'low', match: { path: '/a/b' }, priority: -1 },
  ])
  expect(explainMatch(table, view('/a/b'))[1]?.lost).toEqual(['high has a higher priority: 2, this route has -1'])
  const slashes = tableOf([
    { id: 'open', match: { path: '/a' }, trailingSlash: 'ignore' },
    { id: 'rest', match: { path: '/a/*' } },
  ])
  expect(explainMatch(slashes, view('/a/'))).toMatchObject([
    { won: true },
    { won: false, lost: ['open is more specific: its path has its end where this one has *'] },
  ])
})
