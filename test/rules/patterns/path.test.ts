/** Patterns that are taken and refused, and the one reading of each request target. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type PathPattern, paramsOf, parsePattern, patternTakes, readTarget } from '../../../src/rules/patterns/path.ts'

function pattern(text: string): PathPattern {
  const parsed = parsePattern(text)
  if ('message' in parsed) throw new Error(parsed.message)
  return parsed
}

test.each([
  ['/', ['']],
  ['/a', ['a']],
  ['/a/', ['a', '']],
  ['/a/:id', ['a', null]],
  ['/v1/things:batchGet', ['v1', 'things:batchGet']],
  ['/caf%C3%A9', ['café']],
  ['/café', ['café']],
  ['/%3Aid/%2A', [':id', '*']],
  ['/a%20b', ['a b']],
  ['/%7Bid%7D/%24id', ['{id}', '$id']],
  ['/Products(1)/a,b;c=d/~alice/x@y', ['Products(1)', 'a,b;c=d', '~alice', 'x@y']],
])('the pattern %s has the segments %j', (text, segments) => {
  expect(pattern(text)).toMatchObject({ segments, rest: false })
})

test('a final * takes the rest', () => {
  expect(pattern('/a/*')).toMatchObject({ segments: ['a'], rest: true })
  expect(pattern('/*')).toMatchObject({ segments: [], rest: true })
})

test.each([
  'a',
  '',
  '*',
  '/a//b',
  '//',
  '/a/../b',
  '/.',
  '/a/%2e%2e',
  '/a%2Fb',
  '/a%5cb',
  '/a\\b',
  '/a?b=1',
  '/a#b',
  '/:',
  '/:a-b',
  '/:1',
  '/:a/:a',
  '/*/a',
  '/a*',
  '/%zz',
  '/%ff',
  '/%00',
  `/${'a/'.repeat(200)}`,
])('the pattern %j is refused', (text) => {
  expect(parsePattern(text)).toHaveProperty('message')
})

test.each([
  // OpenAPI, Spring, Go, ASP.NET
  ['/products/{id}', 'write /products/:id'],
  ['/products/{id:[0-9]+}/x', 'write /products/:id/x'],
  ['/products/{id:int}', 'write /products/:id'],
  ['/products/{id?}', 'write paths: [/products, /products/:id]'],
  ['/files/{path...}', 'write /files/*'],
  ['/files/{*path}', 'write /files/*'],
  ['/v{version}/{name}.{format}', 'write /:version/:name'],
  ['/{id}/{id}', 'write /:id/:id2'],
  // Flask, Rocket
  ['/products/<id>', 'write /products/:id'],
  ['/products/<int:id>', 'write /products/:id'],
  ['/files/<path:rest>', 'write /files/*'],
  ['/files/<rest..>', 'write /files/*'],
  // Express, Rails, Next.js
  ['/products/:id(\\d+)', 'write /products/:id'],
  ['/products/:id.json', 'write /products/:id'],
  ['/:from-:to', 'write /:from'],
  ['/:lang?/about', 'write paths: [/about, /:lang/about]'],
  ['/users(/:id)', 'write paths: [/users, /users/:id]'],
  ['/users{/:id}', 'write paths: [/users, /users/:id]'],
  ['/files/:path*', 'write /files/*'],
  ['/files/*path', 'write /files/*'],
  ['/products/$id', 'write /products/:id'],
  ['/[id]/[...slug]', 'write /:id/*'],
  ['/:1', 'write /:id'],
  // nginx, HAProxy, Envoy, Caddy
  ['/products/**', 'write /products/*'],
  ['/**/x', 'write /*'],
  ['/*/x', 'write /:id/x'],
  ['/api*', 'write paths: [/api, /api/*]'],
  ['^/products/[0-9]+$', 'write /products/:id'],
  ['~ ^/products/\\d+', 'write /products/:id'],
  ['^~ /static/', 'write /static/*'],
  ['= /exact', 'write /exact'],
  ['/products/(a|b)', 'write paths: [/products/a, /products/b]'],
  ['/products/(?P<id>[^/]+)/x', 'write /products/:id/x'],
  ['/products/.*', 'write /products/*'],
  ['/a\\.b', 'write /a.b'],
  ['/a b', 'write /a%20b'],
  ['/caf\u00e9 "x"', 'write /caf%C3%A9%20%22x%22'],
  ['products/{id}', 'write /products/:id'],
  ['http://shop.test/products/{id}', 'write /products/:id'],
])('what other routers write as %s is an error that says how it is written here', (text, hint) => {
  const flaw = parsePattern(text)
  expect(flaw).toHaveProperty('message')
  expect(flaw).toHaveProperty('hint', hint)
})

test('whatever is refused, what is suggested for it is taken; and what is taken has nothing that must be encoded', () => {
  const piece = fc.constantFrom(
    ...[
      '/',
      '/',
      '/',
      '{',
      '}',
      '<',
      '>',
      '[',
      ']',
      '(',
      ')',
      ':',
      '$',
      '*',
      '**',
      '|',
      '^',
      '?',
      '+',
      '.',
      '..',
      '\\',
      '#',
      '~ ',
      '=',
      '%',
    ],
    ...['id', 'a', '1', '\\d+', '[0-9]+', '.*', ' ', '"', 'é', '...', 'int:', 'path:', '%20', '%2F'],
  )
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
      fc.boolean(),
      (text, slash) => {
        const read = parsePattern(slash ? `/${text}` : text)
        if (!('message' in read)) {
          expect(read.text).toMatch(/^\/[^{}<>[\]|^?\\# "`]*$/)
          return
        }
        const written = /^write (?:a route for each: )?(\/.*)$/.exec(read.hint ?? '')?.[1]
        for (const own of written?.split(', ') ?? []) pattern(own)
      },
    ),
    { numRuns: 5_000 },
  )
})

test.each([
  ['/', ['']],
  ['/a', ['a']],
  ['/a/', ['a', '']],
  ['/a/b?c=/d//e', ['a', 'b']],
  ['/?x', ['']],
  ['/%61', ['a']],
  ['/caf%C3%A9/', ['café', '']],
  ['/%252e', ['%2e']],
  ['/...', ['...']],
  ['/.well-known/x', ['.well-known', 'x']],
  ['/a;v=1/b', ['a;v=1', 'b']],
  ["/a'b/(c)", ["a'b", '(c)']],
  ['/a%20b', ['a b']],
  ['/a+b', ['a+b']],
])('the target %s has the segments %j and one reading', (target, segments) => {
  expect(readTarget(target)).toMatchObject({ authority: null, segments, ambiguity: null })
})

// The lenient reading is what `ambiguousPaths: allow` matches against.
test.each([
  ['//', 'an empty segment (//)', ['']],
  ['//a', 'an empty segment (//)', ['a']],
  ['/a//b', 'an empty segment (//)', ['a', 'b']],
  ['/a//', 'an empty segment (//)', ['a', '']],
  ['/a/./b', 'a dot segment', ['a', 'b']],
  ['/a/../b', 'a dot segment', ['b']],
  ['/a/..', 'a dot segment', ['']],
  ['/..', 'a dot segment', ['']],
  ['/a/.', 'a dot segment', ['a', '']],
  ['/a/../../../b', 'a dot segment', ['b']],
  ['/a/%2e%2E/b', 'a dot segment', ['b']],
  ['/a/..?x', 'a dot segment', ['']],
  ['/a/..;x/b', 'a dot segment', ['a', '..;x', 'b']],
  ['/a%2Fb', 'an encoded slash (%2F)', ['a/b']],
  ['/a%2fb/c', 'an encoded slash (%2F)', ['a/b', 'c']],
  ['/a%5Cb', 'a backslash', ['a\\b']],
  ['/a\\b', 'a backslash', ['a\\b']],
  ['/a%00', 'a NUL', ['a\0']],
  ['/a%', 'an invalid escape', ['a%']],
  ['/a%zz/b', 'an invalid escape', ['a%zz', 'b']],
  ['/%ff', 'an invalid escape', ['%ff']],
  ['/%c0%af', 'an invalid escape', ['%c0%af']],
  ['/%ed%a0%80', 'an invalid escape', ['%ed%a0%80']],
  ['/a#b', 'a fragment (#)', ['a']],
  ['/a?b#c', 'a fragment (#)', ['a']],
  ['/caf\xe9', 'a byte that must be percent-encoded', ['caf\xe9']],
  ['/a b', 'a byte that must be percent-encoded', ['a b']],
])('the target %j is ambiguous: %s; leniently it is %j', (target, ambiguity, segments) => {
  expect(readTarget(target)).toMatchObject({ authority: null, segments, ambiguity })
})

test.each([
  ['http://Example.TEST:8080/a?b', 'example.test:8080', ['a']],
  ['http://example.test', 'example.test', ['']],
  ['http://example.test?x=/y', 'example.test', ['']],
  ['HTTPS://[::1]:8443/a/', '[::1]:8443', ['a', '']],
])('the absolute target %s names the host %s', (target, authority, segments) => {
  expect(readTarget(target)).toMatchObject({ authority, segments, ambiguity: null })
})

test.each(['http://user@example.test/a', 'http:///a', 'http://a\\@b/c'])(
  'the absolute target %s is ambiguous',
  (target) => {
    expect(readTarget(target).ambiguity).not.toBeNull()
  },
)

test.each(['*', 'example.test:443', '', 'a/b', '?x'])('the target %j has no path', (target) => {
  expect(readTarget(target)).toMatchObject({ authority: null, segments: null, ambiguity: null })
})

test.each([
  ['/a/*', '/a', false],
  ['/a/*', '/a/', true],
  ['/a/*', '/a/b/c', true],
  ['/*', '/', true],
  ['/*', '/a/b', true],
  ['/', '/', true],
  ['/', '/a', false],
  ['/a', '/a/', false],
  ['/a/', '/a', false],
  ['/a/:id', '/a/1', true],
  ['/a/:id', '/a/', false],
  ['/a/:id/', '/a/1/', true],
  ['/a/:id', '/a/1/2', false],
  ['/A', '/a', false],
])('%s against %s: %s', (text, target, takes) => {
  expect(patternTakes(pattern(text), readTarget(target).segments ?? [])).toBe(takes)
})

test('the values of the names come decoded, in the order of the path', () => {
  const { segments } = readTarget('/stores/3/gtins/a%20b')
  expect(paramsOf(pattern('/stores/:storeId/gtins/:gtin'), segments ?? [])).toEqual(['3', 'a b'])
})

test('no text makes the reading of a target throw, and what has one reading has no doubtful segment', () => {
  const piece = fc.constantFrom(
    '/',
    '//',
    '.',
    '..',
    '%2e',
    '%2F',
    '%5c',
    '\\',
    '%',
    '%zz',
    '%C3%A9',
    '?',
    '#',
    ';',
    'a',
    'é',
    '\0',
  )
  fc.assert(
    fc.property(
      fc.array(fc.oneof(piece, fc.string())).map((pieces) => `/${pieces.join('')}`),
      (target) => {
        const { segments, ambiguity } = readTarget(target)
        expect(segments).not.toBeNull()
        expect((segments ?? []).slice(0, -1)).not.toContain('')
        if (ambiguity !== null) return
        for (const segment of segments ?? []) expect(segment).not.toMatch(/^\.\.?$|[/\\\0]/)
      },
    ),
    { numRuns: 2_000 },
  )
})

test('the fast and the slow reading agree', () => {
  const part = fc.stringMatching(/^[a-z.:;@!~]{1,4}$/)
  fc.assert(
    fc.property(fc.array(part), fc.boolean(), (parts, slash) => {
      const target = `/${parts.join('/')}${slash ? '/' : ''}`
      // `%61` is a: one escape sends the same path through the slow reading.
      const slow = readTarget(`/%61${target}`)
      const fast = readTarget(`/a${target}`)
      expect(slow).toEqual(fast)
    }),
  )
})
