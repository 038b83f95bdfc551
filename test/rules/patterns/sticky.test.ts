/** Sticky sources: what each of them reads, and which texts are refused. */
import { expect, test } from 'vitest'
import type { RequestView } from '../../../src/rules/http/exchange.ts'
import { keyOf, parseSticky, type StickySource } from '../../../src/rules/patterns/sticky.ts'
import { view } from '../make.ts'

function key(text: string, request: RequestView, params: readonly string[] = []): string | undefined {
  return keyOf(parseSticky(text, ['storeId', 'gtin']) as StickySource, request, params)
}

test.each<[string, RequestView, string | undefined]>([
  ['cookie:sid', view('/', { rawHeaders: ['Cookie', 'a=b; sid=x; sid=y'] }), 'x'],
  ['cookie:sid', view('/', { rawHeaders: ['Cookie', 'sid="x y"'] }), '"x y"'],
  ['cookie:sid', view('/', { rawHeaders: ['Cookie', 'sid='] }), undefined],
  ['cookie:sid', view('/', { rawHeaders: ['Cookie', 'xsid=1;sidx=2;;=3'] }), undefined],
  ['cookie:sid', view('/', { rawHeaders: ['Cookie', 'a=1', 'COOKIE', 'sid=x=y'] }), 'x=y'],
  ['cookie:sid', view('/'), undefined],
  ['header:X-Client-Id', view('/', { rawHeaders: ['x-client-ID', ' 7 '] }), '7'],
  ['header:x-client-id', view('/', { rawHeaders: ['X-Client-Id', ''] }), undefined],
  ['header:x-client-id', view('/', { rawHeaders: ['X-Client-Id', Buffer.from('żółw').toString('latin1')] }), 'żółw'],
  ['query:user', view('/?user=a%20b+c'), 'a b c'],
  ['query:user', view('/?user='), undefined],
  ['query:user', view('/?USER=1'), undefined],
  ['query:user', view('/?x=user=1'), undefined],
  ['ip', view('/', { clientAddress: '203.0.113.9' }), '203.0.113.9'],
  ['ip', view('/', { clientAddress: '' }), undefined],
  ['request', view('/'), undefined],
])('%s', (text, request, expected) => {
  expect(key(text, request)).toBe(expected)
})

test('a param is read by its place in the path', () => {
  expect(key('param:gtin', view('/'), ['3', '123'])).toBe('123')
  expect(key('param:storeId', view('/'), ['3', '123'])).toBe('3')
})

test.each([
  ['cookie', 'cookie needs a name'],
  ['cookie:', 'cookie needs a name'],
  ['cookie:a b', 'invalid name "a b": must be a token (RFC 9110 section 5.6.2)'],
  ['ip:v4', 'ip takes no name'],
  ['request:1', 'request takes no name'],
  ['param:store', "the route's path has no parameter :store"],
  [
    'Cookie:sid',
    'unknown sticky key "Cookie:sid": must be one of cookie:NAME, header:NAME, query:NAME, param:NAME, jwt:NAME, ip, visitor, request',
  ],
  [
    'toString:x',
    'unknown sticky key "toString:x": must be one of cookie:NAME, header:NAME, query:NAME, param:NAME, jwt:NAME, ip, visitor, request',
  ],
  [
    '',
    'unknown sticky key "": must be one of cookie:NAME, header:NAME, query:NAME, param:NAME, jwt:NAME, ip, visitor, request',
  ],
])('%j is refused', (text, message) => {
  expect(parseSticky(text, ['storeId', 'gtin'])).toMatchObject({ message })
})
