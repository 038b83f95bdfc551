/**
 * Paths that the new side has elsewhere: forth, and back.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  EXACT,
  type PathPattern,
  parsePattern,
  rawSegmentsOf,
  readingOf,
  readTarget,
} from '../../../src/rules/patterns/path.ts'
import { clientCookiePath, clientPath, flawOfRewrite, planOf, rewritePath } from '../../../src/rules/rewriting/path.ts'

const pattern = (text: string): PathPattern => parsePattern(text) as PathPattern
const plan = (from: string, to: string) => planOf(pattern(from), pattern(to))
const segmentsOf = (path: string): readonly string[] => rawSegmentsOf(path, false, EXACT)

/** `from -> to`, a target, and what is sent with the prefix that went. */
const FORTH: [string, string, string, string, string | null][] = [
  ['/stores/:storeId/gtins/:gtin', '/v2/gtins/:gtin', '/stores/3/gtins/12', '/v2/gtins/12', null],
  ['/a/:x/:y', '/:y/:x', '/a/1/2?q#f', '/2/1?q#f', null],
  ['/shop/*', '/*', '/shop/cart?x=1', '/cart?x=1', '/shop'],
  ['/shop/*', '/*', '/shop/', '/', '/shop'],
  ['/t/:tenant/*', '/*', '/t/a%20b/x', '/x', '/t/a%20b'],
  ['/*', '/app/*', '/x', '/app/x', null],
  ['/*', '/app/*', '/', '/app/', null],
  ['/old/*', '/new', '/old/a/b?c', '/new?c', null],
  ['/a', '/b', '/a', '/b', null],
  ['/api/v1/*', '/v1/*', '/api/v1/x', '/v1/x', '/api'],
  ['/api/v1/*', '/v2/*', '/api/v1/x', '/v2/x', null],
  ['/x/:a', '/caf%C3%A9/:a', '/x/%C3%A9', '/caf%C3%A9/%C3%A9', null],
  ['/x/:a', '/café/:a', '/x/1', '/caf%C3%A9/1', null],
  ['/x/:a', '/%3Aa/:a', '/x/1', '/%3Aa/1', null],
]

describe('forth', () => {
  test.each(FORTH)('%s -> %s: %s', (from, to, target, sent, prefix) => {
    expect(rewritePath(plan(from, to), target, false)).toEqual({ target: sent, prefix })
  })

  test.each([
    ['/files/:name', '/f/:name', '/files/a%2Fb'],
    ['/files/:name', '/f/:name', '/files/a%5Cb'],
    ['/files/:name', '/f/:name', '/files/a%00b'],
    ['/files/:name', '/f/:name', '/files/..;x'],
    ['/files/*', '/f/*', '/files/a/b%2f..%2fc'],
  ])('%s -> %s: %s is refused', (from, to, target) => {
    expect(readTarget(target).ambiguity).not.toBeNull()
    expect(rewritePath(plan(from, to), target, true)).toBeNull()
  })

  test.each([
    ['/files/*', '/f/*', '/files//a/../b', '/f/b'],
    ['/files/*', '/*', '/files//evil.test/x', '/evil.test/x'],
    ['/files/:name', '/f/:name', '/files/a%zz', '/f/a%zz'],
    ['/files/:name', '/f', '/files/a%2Fb', '/f'],
  ])('%s -> %s: of %s that has more than one reading, the lenient one is sent', (from, to, target, sent) => {
    expect(rewritePath(plan(from, to), target, true)?.target).toBe(sent)
  })
})

test('what the route does not read is no part of a parameter; a final slash that it ignores goes on', () => {
  const reading = readingOf({ ignoresCase: true, ignoresParameters: true, ignoresFinalSlash: true })
  const lenient = (from: string, to: string) => planOf(parsePattern(from, reading) as PathPattern, pattern(to))
  const sent = (from: string, to: string, target: string) => rewritePath(lenient(from, to), target, false)?.target
  expect(sent('/Stores/:id', '/v2/:id', '/STORES;a=1/3;jsessionid=9?x')).toBe('/v2/3?x')
  expect(sent('/stores/:id', '/v2/:id', '/stores/3/')).toBe('/v2/3/')
  expect(sent('/shop/*', '/*', '/shop')).toBe('/')
  expect(sent('/shop/*', '/app/*', '/shop/')).toBe('/app/')
  expect(rewritePath(lenient('/Old/Shop/*', '/Shop/*'), '/old/shop/x', false)).toEqual({
    target: '/Shop/x',
    prefix: '/old',
  })
  expect(clientPath(lenient('/Stores/:id/:x', '/v2/:x'), '/v2/5', ['stores', '3;jsessionid=9', '4'])).toBe(
    '/Stores/3/5',
  )
})

test('parameters and a rest that the path does not have are refused, with what it has', () => {
  expect(flawOfRewrite(pattern('/a/:storeId/:gtin'), pattern('/b/:storeID'))).toEqual({
    message: 'the path /a/:storeId/:gtin has no parameter :storeID',
    hint: 'did you mean :storeId?',
  })
  expect(flawOfRewrite(pattern('/a'), pattern('/:x'))?.hint).toBe('it has none')
  expect(flawOfRewrite(pattern('/a'), pattern('/b/*'))).toEqual({
    message: 'the path /a has no * at its end',
    hint: 'leave /* out',
  })
  expect(flawOfRewrite(pattern('/a/:x/*'), pattern('/b'))).toBeNull()
})

describe('back', () => {
  const LOOKUP = plan('/stores/:storeId/gtins/:gtin', '/v2/gtins/:gtin')
  const STRIPPED = plan('/shop/*', '/*')
  const ADDED = plan('/*', '/app/*')

  test.each([
    [LOOKUP, '/stores/3/gtins/1', '/v2/gtins/2', '/stores/3/gtins/2'],
    [LOOKUP, '/stores/3/gtins/1', '/v2/gtins/', null],
    [LOOKUP, '/stores/3/gtins/1', '/v2/other/2', null],
    [STRIPPED, '/shop/x', '/cart', '/shop/cart'],
    [STRIPPED, '/shop/x', '/', '/shop/'],
    [ADDED, '/x', '/app/y', '/y'],
    [ADDED, '/x', '/app', '/'],
    [ADDED, '/x', '/elsewhere', null],
    [plan('/old/*', '/new'), '/old/a/b', '/new', '/old/a/b'],
  ])('%#: %s, %s -> %s', (of, requested, path, expected) => {
    expect(clientPath(of, path, segmentsOf(requested))).toBe(expected)
  })

  test.each([
    ['the root of what was stripped', STRIPPED, '/shop/x', '/', '/shop/'],
    ['below it', STRIPPED, '/shop/x', '/cart', '/shop/cart'],
    ['the root where a prefix was added', ADDED, '/x', '/', null],
    ['the prefix that was added', ADDED, '/x', '/app', '/'],
    ['below the prefix that was added', ADDED, '/x', '/app/cart', '/cart'],
    ['above an inner path: the narrowest that covers all below', LOOKUP, '/stores/3/gtins/1', '/v2', '/stores'],
    ['the page itself', LOOKUP, '/stores/3/gtins/1', '/v2/gtins/1', '/stores/3/gtins/1'],
    ['the root of the new side, which has more than this route', LOOKUP, '/stores/3/gtins/1', '/', null],
    ['another part of the new side', LOOKUP, '/stores/3/gtins/1', '/admin', null],
    ['no path', LOOKUP, '/stores/3/gtins/1', 'v2', null],
  ])('cookies: %s', (_, of, requested, path, expected) => {
    expect(clientCookiePath(of, path, segmentsOf(requested))).toBe(expected)
  })
})

/** Segments as they are in requests with one reading. */
const segment = fc
  .stringMatching(/^[A-Za-z0-9_~!$&'()*+,;=:@-]{1,6}$/)
  .filter((text) => !/^[:*]/.test(text))
  .chain((text) => fc.constantFrom(text, encodeURIComponent(`é ${text}`)))
const names = ['a', 'b', 'c'] as const

/** A pattern of literals and all of these parameters, in any order. */
function patterns(params: readonly string[], rest: boolean) {
  return fc
    .tuple(fc.array(segment, { maxLength: 3 }), fc.constant(params))
    .chain(([literals, own]) =>
      fc.shuffledSubarray([...literals, ...own.map((name) => `:${name}`)], { minLength: literals.length + own.length }),
    )
    .map((parts) => `/${[...parts, ...(rest ? ['*'] : [])].join('/')}`)
}

test('back is the inverse of forth wherever the new path has all parameters and the rest', () => {
  const moves = fc
    .tuple(fc.subarray([...names]), fc.boolean())
    .chain(([params, rest]) =>
      fc.tuple(
        patterns(params, rest),
        patterns(params, rest),
        fc.array(segment, { minLength: 3, maxLength: 3 }),
        fc.array(segment, { minLength: 1, maxLength: 3 }),
      ),
    )
    .filter(([from, to]) => !('message' in parsePattern(from)) && !('message' in parsePattern(to)))
  fc.assert(
    fc.property(moves, ([from, to, values, rest]) => {
      const of = plan(from, to)
      let next = 0
      const filled = from
        .split('/')
        .map((part) => (part.startsWith(':') ? values[next++] : part))
        .join('/')
      const path = filled.endsWith('/*') ? `${filled.slice(0, -1)}${rest.join('/')}` : filled
      expect(readTarget(path).ambiguity).toBeNull()
      const sent = rewritePath(of, path, false)?.target as string
      // Back by another request of the route: nothing of it is needed.
      const other = path
        .split('/')
        .slice(1)
        .map(() => 'other')
      expect(clientPath(of, sent, other)).toBe(path)
      // And a path of the new side that has a client's path is what that path becomes.
      expect(rewritePath(of, clientPath(of, sent, other) as string, false)?.target).toBe(sent)
    }),
  )
})

test('whatever a client sends, what is sent upstream begins with one slash and has one reading', () => {
  const target = fc
    .array(fc.constantFrom('a', '..', '.', '', '%2e%2e', '%2F', '%5c', '%00', '..;x', '%zz', 'é', 'b;c'), {
      maxLength: 6,
    })
    .map((parts) => `/x/${parts.join('/')}`)
  fc.assert(
    fc.property(target, fc.constantFrom('/*', '/app/*'), (text, to) => {
      const { ambiguity } = readTarget(text)
      const sent = rewritePath(plan('/x/*', to), text, ambiguity !== null)
      if (sent === null) return
      expect(sent.target).toMatch(/^\/(?!\/)/)
      expect(sent.target.split('/').slice(1, -1)).not.toContain('')
      expect(sent.target.split('/')).not.toContain('..')
      expect(decodeURIComponent(sent.target.replaceAll('%zz', ''))).not.toMatch(/[\\\0]|(^|\/)\.\.?(;|\/|$)/)
    }),
  )
})
