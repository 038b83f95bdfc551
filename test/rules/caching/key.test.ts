/**
 * Cache keys: what counts, byte for byte, and what a route adds or leaves out (RFC 9111 section 2).
 */
import { describe, expect, test } from 'vitest'
import { cacheKey, isLookedUp, keyParts, keyPrefix, sentTarget } from '../../../src/rules/caching/key.ts'
import type { CacheRequest } from '../../../src/rules/caching/meta.ts'
import { fieldValues } from '../../../src/rules/http/exchange.ts'
import type { KeyRules } from '../../../src/rules/table/table.ts'
import { raw, request } from './make.ts'

const PREFIX = keyPrefix({ route: 'r', upstream: 'gtin' })
const rules = (over: Partial<KeyRules>): KeyRules => ({
  query: null,
  anyQueryOrder: false,
  headers: [],
  cookies: [],
  ...over,
})
const key = (over: Partial<CacheRequest> = {}, by: KeyRules | null = null) => cacheKey(PREFIX, request([], over), by)
const target = (text: string, by: Partial<KeyRules>) =>
  key({ target: sentTarget(text, rules(by)) }, rules(by)).split('shop.test')[1]
const parts = (fields: string[], by: KeyRules) => keyParts((name) => fieldValues(fields, name), by)

test('route, upstream, method class, scheme, host, path and query', () => {
  expect(key()).toBe('r\ngtin\nGET http://shop.test/p?q=1')
})

test('GET and HEAD are looked up, and share a key', () => {
  expect(['GET', 'HEAD', 'POST', 'get', 'PURGE'].map(isLookedUp)).toEqual([true, true, false, false, false])
  expect(key({ method: 'HEAD' })).toBe(key({ method: 'GET' }))
})

describe('another key', () => {
  test.each([
    [{ scheme: 'https' as const }],
    [{ host: 'other.test' }],
    [{ host: 'shop.test:8080' }],
    [{ target: '/P?q=1' }],
    [{ target: '/p?Q=1' }],
    [{ target: '/p/?q=1' }],
    [{ target: '/%70?q=1' }],
    [{ target: '/p?q=1&' }],
    [{ target: '//p?q=1' }],
  ])('%j', (over) => expect(key(over)).not.toBe(key()))

  test.each([[{ route: 'x', upstream: 'gtin' }], [{ route: 'r', upstream: 'legacy' }]])('%j', (scope) =>
    expect(keyPrefix(scope)).not.toBe(PREFIX),
  )
})

describe('the same key', () => {
  test.each([
    [{ host: 'shop.test:80' }],
    [{ host: 'shop.test:' }],
    [{ target: 'http://shop.test/p?q=1', host: 'other.test' }],
    [{ target: 'HTTP://SHOP.TEST:80/p?q=1' }],
  ])('%j', (over) => expect(key(over)).toBe(key()))
})

describe('query parameters', () => {
  const some = (kind: 'keep' | 'drop', ...names: string[]) => ({ query: { kind, names: new Set(names) } })
  test.each([
    ['/p?a=1&utm=2&b=3', some('drop', 'utm'), '/p?a=1&b=3'],
    ['/p?utm=2', some('drop', 'utm'), '/p'],
    ['/p?%75tm=2', some('drop', 'utm'), '/p'],
    ['/p?a=1&b=2', some('keep', 'b'), '/p?b=2'],
    ['/p?a=1&%62=2', some('keep', 'b'), '/p?%62=2'],
    ['/p?b', some('keep', 'b'), '/p?b'],
    ['/p?a+b=1', some('keep', 'a b'), '/p?a+b=1'],
    ['/p?%zz=1', some('keep', '%zz'), '/p?%zz=1'],
    ['/p', some('keep', 'b'), '/p'],
    ['/p?b=1&a=2&b=0', { anyQueryOrder: true }, '/p?a=2&b=1&b=0'],
  ])('%s', (text, by, expected) => expect(target(text, by)).toBe(expected))
})

describe('fields and cookies', () => {
  const by = rules({ headers: ['x-tenant'], cookies: ['lang'] })
  test.each([[['X-Tenant: a', 'Cookie: lang=de; sid=1']], [['x-tenant:  a', 'Cookie: sid=2; lang=de']]])(
    '%j',
    (lines) => expect(parts(raw(...lines), by)).toBe('\nh:x-tenant=a\nc:lang:lang=de'),
  )

  test('absent and empty differ', () => {
    expect(parts([], by)).toBe('\nh:x-tenant\nc:lang')
    expect(parts(raw('X-Tenant:', 'Cookie: lang='), by)).toBe('\nh:x-tenant=\nc:lang:lang=')
  })

  test('they are no part of the key that finds all variants', () => {
    expect(key({}, by)).toBe(key())
    expect(parts(raw('X-Tenant: a'), rules({ anyQueryOrder: true }))).toBe('')
  })
})
