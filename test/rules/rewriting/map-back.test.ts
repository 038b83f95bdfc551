/**
 * What answers say of the upstream's own places, in the words of clients.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EXACT, type PathPattern, parsePattern, rawSegmentsOf } from '../../../src/rules/patterns/path.ts'
import { type CookieChanges, type MapBack, mappedFields } from '../../../src/rules/rewriting/map-back.ts'
import { planOf, rewritePath } from '../../../src/rules/rewriting/path.ts'

const origins = {
  own: [
    { hostname: '10.0.0.5', port: 8080 },
    { hostname: 'legacy.internal', port: 80 },
    { hostname: '[::1]', port: 8080 },
  ],
  publicOrigin: 'https://shop.test',
}

function pathOf(from: string, to: string, clientTarget: string): MapBack['path'] {
  const plan = planOf(parsePattern(from) as PathPattern, parsePattern(to) as PathPattern)
  const sentTarget = rewritePath(plan, clientTarget, false)?.target as string
  return {
    plan,
    requested: rawSegmentsOf(clientTarget, false, EXACT),
    clientTarget,
    sentTarget,
    hosts: ['shop.test', 'www.test:8443'],
  }
}

const mapped = (name: string, value: string, map: Partial<MapBack>) =>
  mappedFields([name, value], { origins: null, cookies: null, path: null, ...map })[1]

describe('origins', () => {
  test.each([
    ['http://10.0.0.5:8080/a?b#c', 'https://shop.test/a?b#c'],
    ['HTTP://10.0.0.5:8080', 'https://shop.test'],
    ['https://10.0.0.5:8080/a', 'https://shop.test/a'],
    ['//10.0.0.5:8080/a', '//shop.test/a'],
    ['http://10.0.0.5/a', 'http://10.0.0.5/a'],
    ['http://10.0.0.5:80800/a', 'http://10.0.0.5:80800/a'],
    ['http://10.0.0.5:8080.evil.test/', 'http://10.0.0.5:8080.evil.test/'],
    ['http://10.0.0.5:8080@evil.test/', 'http://10.0.0.5:8080@evil.test/'],
    ['http://[::1]:8080/', 'https://shop.test/'],
    ['http://Legacy.Internal/a', 'https://shop.test/a'],
    ['http://legacy.internal:80/a', 'https://shop.test/a'],
    ['https://legacy.internal/a', 'https://shop.test/a'],
    ['//legacy.internal/a', '//shop.test/a'],
    ['http://legacy.internal:8081/a', 'http://legacy.internal:8081/a'],
    ['http://shop.test/a', 'https://shop.test/a'],
    ['https://shop.test/a', 'https://shop.test/a'],
    ['//shop.test/a', '//shop.test/a'],
    ['http://other.test/a', 'http://other.test/a'],
    ['/a', '/a'],
    ['mailto:a@10.0.0.5:8080', 'mailto:a@10.0.0.5:8080'],
    ['', ''],
  ])('Location: %s -> %s', (said, seen) => {
    expect(mapped('Location', said, { origins })).toBe(seen)
    expect(mapped('Content-Location', said, { origins })).toBe(seen)
  })

  test('clients of plain http are not sent away from https', () => {
    const plain = { ...origins, publicOrigin: 'http://shop.test' }
    expect(mapped('Location', 'https://shop.test/login', { origins: plain })).toBe('https://shop.test/login')
  })

  test.each([
    [
      '<http://10.0.0.5:8080/2>; rel="next"; title="<http://10.0.0.5:8080/x>", </1>; rel=prev',
      '<https://shop.test/2>; rel="next"; title="<http://10.0.0.5:8080/x>", </1>; rel=prev',
    ],
    ['<http://10.0.0.5:8080/2', '<http://10.0.0.5:8080/2'],
    ['"\\"<http://10.0.0.5:8080/>"', '"\\"<http://10.0.0.5:8080/>"'],
  ])('Link: %s', (said, seen) => {
    expect(mapped('link', said, { origins })).toBe(seen)
  })

  test.each([
    ['5; url=http://10.0.0.5:8080/a', '5; url=https://shop.test/a'],
    ['0;URL="http://10.0.0.5:8080/a"', '0;URL="https://shop.test/a"'],
    ['5', '5'],
  ])('Refresh: %s -> %s', (said, seen) => {
    expect(mapped('Refresh', said, { origins })).toBe(seen)
  })

  test('no other field, and no field of another length, is touched', () => {
    const fields = ['X-Location', 'http://10.0.0.5:8080/', 'Server', 'x', 'Referrer-Policy', 'origin']
    expect(mappedFields(fields, { origins, cookies: null, path: null })).toEqual(fields)
  })
})

describe('paths', () => {
  const lookup = pathOf('/stores/:storeId/gtins/:gtin', '/v2/gtins/:gtin', '/stores/3/gtins/1')
  const shop = pathOf('/shop/*', '/*', '/shop/list/1?page=1')

  test.each([
    [lookup, '/v2/gtins/2?x#y', '/stores/3/gtins/2?x#y'],
    [lookup, '/v2/../v2/gtins/2', '/stores/3/gtins/2'],
    [lookup, '/login', '/login'],
    [lookup, 'http://shop.test/v2/gtins/2', 'http://shop.test/stores/3/gtins/2'],
    [lookup, 'https://shop.test:443/v2/gtins/2', 'https://shop.test:443/stores/3/gtins/2'],
    [lookup, '//shop.test/v2/gtins/2', '//shop.test/stores/3/gtins/2'],
    [lookup, 'https://www.test:8443/v2/gtins/2', 'https://www.test:8443/stores/3/gtins/2'],
    [lookup, 'https://www.test/v2/gtins/2', 'https://www.test/v2/gtins/2'],
    [lookup, 'https://other.test/v2/gtins/2', 'https://other.test/v2/gtins/2'],
    // Relative ones lead to the same place, or are mapped.
    [lookup, '2', '2'],
    [lookup, '?page=2', '?page=2'],
    [lookup, '../gtins/2', '../gtins/2'],
    [shop, '2', '2'],
    [shop, '../../cart', '/shop/cart'],
    [shop, '../cart', '../cart'],
    [shop, '/', '/shop/'],
    [shop, 'http://shop.test', 'http://shop.test/shop/'],
  ])('%#: Location: %s -> %s', (path, said, seen) => {
    expect(mapped('Location', said, { path })).toBe(seen)
  })

  const whole = pathOf('/*', '/app/*', '/x')

  test.each([
    [whole, '/app//evil.test/x?y', '/.//evil.test/x?y'],
    [whole, '/app/\\evil.test', '/./\\evil.test'],
    [whole, '/app/\t/evil.test', '/./\t/evil.test'],
    [whole, '../app//evil.test', '/.//evil.test'],
    [pathOf('/:store/*', '/v2/:store/*', '/3/x'), '/v2/\\evil.test/x', '/./\\evil.test/x'],
    [whole, 'http://shop.test/app//evil.test', 'http://shop.test//evil.test'],
    [whole, '/\\evil.test', '/\\evil.test'],
  ])('%#: Location: %j stays on its host: %j', (path, said, seen) => {
    expect(mapped('Location', said, { path })).toBe(seen)
    expect(new URL(seen, 'http://shop.test').host).toBe(said === seen ? 'evil.test' : 'shop.test')
  })

  test('origin and path at once', () => {
    expect(mapped('Location', 'http://10.0.0.5:8080/v2/gtins/2', { origins, path: lookup })).toBe(
      'https://shop.test/stores/3/gtins/2',
    )
    expect(mapped('Link', '</v2/gtins/2>; rel=next', { path: lookup })).toBe('</stores/3/gtins/2>; rel=next')
  })
})

describe('cookies', () => {
  const set = (cookies: Partial<CookieChanges>) => ({
    cookies: { domain: null, path: null, secure: null, sameSite: null, ...cookies },
  })
  const shop = { path: pathOf('/shop/*', '/*', '/shop/x') }

  test.each([
    ['a=b; Domain=10.0.0.5; Path=/', { origins }, 'a=b; Domain=shop.test; Path=/'],
    ['a=b; domain = .Legacy.Internal ; secure', { origins }, 'a=b; domain = shop.test; secure'],
    ['a=domain=10.0.0.5; Path=/', { origins }, 'a=domain=10.0.0.5; Path=/'],
    ['a=b; Path=/; HttpOnly', shop, 'a=b; Path=/shop/; HttpOnly'],
    ['a=b; Path=/cart', shop, 'a=b; Path=/shop/cart'],
    ['a=b; Path=/l\xc3\xa0 ', shop, 'a=b; Path=/shop/l\xc3\xa0'],
    ['a=b', shop, 'a=b'],
    ['__Host-a=b; Path=/; Secure', shop, '__Host-a=b; Path=/; Secure'],
    ['a=b; Max-Age=5; Secure', set({ secure: false }), 'a=b; Max-Age=5'],
    ['__Secure-a=b; Secure', set({ secure: false }), '__Secure-a=b; Secure'],
    ['a=b; SameSite=Lax', set({ secure: true, sameSite: 'None' }), 'a=b; Secure; SameSite=None'],
    ['a=b; Domain=x.test; Path=/x', set({ domain: 'shop.test', path: '/' }), 'a=b; Domain=shop.test; Path=/'],
    ['a=b; Domain=x.test', set({ domain: '' }), 'a=b'],
    ['__Host-a=b; Path=/', set({ domain: 'shop.test', path: '/x' }), '__Host-a=b; Path=/'],
    [
      'a=b; Expires=Mon, 01 Jan 2027 00:00:00 GMT',
      set({ secure: true }),
      'a=b; Expires=Mon, 01 Jan 2027 00:00:00 GMT; Secure',
    ],
  ])('%s, %#', (said, map, seen) => {
    expect(mapped('Set-Cookie', said, map)).toBe(seen)
  })
})

test.each([
  ['Set-Cookie', 'a=b; Path=/n', 'a=b; Path=/x'],
  ['Set-Cookie', 'a=b; Path=/n/c;Secure', 'a=b; Path=/x;Secure'],
  ['Link', '</n/c>; rel=next', '</x/y;Domain=evil.test%3E;z/c>; rel=next'],
])('the path of a request adds nothing to %s: %s', (name, said, seen) => {
  expect(mapped(name, said, { path: pathOf('/x/:id/*', '/n/*', '/x/y;Domain=evil.test>;z/c') })).toBe(seen)
})

test('what has nothing to map keeps every byte', () => {
  const bytes = fc.string({ unit: fc.integer({ min: 32, max: 255 }).map((code) => String.fromCharCode(code)) })
  const map = { origins, cookies: null, path: pathOf('/a/*', '/zzz/*', '/a/x') }
  const names = fc.constantFrom('Location', 'Link', 'Refresh', 'Set-Cookie', 'Content-Location')
  fc.assert(
    fc.property(names, bytes, (name, value) => {
      fc.pre(!/10\.0|legacy|::1|zzz|shop|path|domain|secure|samesite/i.test(value))
      expect(mappedFields([name, value], map)[1]).toBe(value)
    }),
  )
})

test('no answer takes longer than its length allows', () => {
  const long = 60_000
  for (const [name, value] of [
    ['Link', '\\"'.repeat(long / 2)],
    ['Link', '<'.repeat(long)],
    ['Link', '"'.repeat(long - 1)],
    ['Set-Cookie', `a=b; path=${' '.repeat(long)}x`],
    ['Set-Cookie', `a=b;${' '.repeat(long)}x=`],
    ['Refresh', `5;${' '.repeat(long)}`],
    ['Location', `/${'../'.repeat(long / 3)}`],
    ['Location', `http:${'/'.repeat(long)}`],
  ] as const) {
    mappedFields([name, value], { origins, cookies: null, path: pathOf('/a/*', '/*', '/a/x') })
  }
})
