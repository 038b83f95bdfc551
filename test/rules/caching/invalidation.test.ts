/**
 * Invalidation by successful unsafe requests (RFC 9111 section 4.4), and references resolved as RFC 3986 says.
 */
import { describe, expect, test } from 'vitest'
import { invalidatedUrls } from '../../../src/rules/caching/invalidation.ts'
import { raw, request } from './make.ts'

const changedBy = (method: string, status: number, ...lines: string[]) =>
  invalidatedUrls(request([], { method, target: '/a/b?q=1' }), { status, rawHeaders: raw(...lines) }).map((url) =>
    url.replace('http://shop.test', ''),
  )

test.each(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND'])('%s is safe', (method) =>
  expect(changedBy(method, 200)).toEqual([]),
)
test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'PURGE', 'FOO', 'get'])('%s may change things', (method) =>
  expect(changedBy(method, 200)).toEqual(['/a/b?q=1']),
)
test.each([199, 400, 404, 500, 599])('a failed one (%i) invalidates nothing', (status) =>
  expect(changedBy('POST', status)).toEqual([]),
)
test.each([200, 204, 299, 301, 303, 399])('a successful one (%i) does', (status) =>
  expect(changedBy('POST', status)).toEqual(['/a/b?q=1']),
)

describe('Location and Content-Location of the same origin', () => {
  test.each([
    ['/c', '/c'],
    ['/c?x=1#frag', '/c?x=1'],
    ['http://shop.test/c', '/c'],
    ['HTTP://Shop.Test:80/c', '/c'],
    ['http://shop.test', '/'],
    ['http://shop.test?x', '/?x'],
    ['http://user@shop.test/c', '/c'],
    ['//shop.test/c', '/c'],
    ['c', '/a/c'],
    ['./c', '/a/c'],
    ['../c', '/c'],
    ['../../../c', '/c'],
    ['/x/./y/../z/.', '/x/z/'],
    ['/x/..', '/'],
    ['?x=2', '/a/b?x=2'],
    ['/c?d=/../e', '/c?d=/../e'],
  ])('%s', (reference, expected) => {
    expect(changedBy('POST', 201, `Location: ${reference}`)).toEqual(['/a/b?q=1', expected])
    expect(changedBy('POST', 201, `Content-Location: ${reference}`)).toEqual(['/a/b?q=1', expected])
  })

  test.each([
    ['/%63', '/c'],
    ['/caf%c3%a9', '/caf%C3%A9'],
    ['/x?q=a%2db', '/x?q=a-b'],
  ])('%s, in normal form and as received', (reference, normal) => {
    expect(changedBy('POST', 201, `Location: ${reference}`)).toEqual(['/a/b?q=1', normal, reference])
  })

  test('both, and each once', () => {
    expect(changedBy('PUT', 200, 'Location: /c', 'Content-Location: /d', 'Location: /a/b?q=1')).toEqual([
      '/a/b?q=1',
      '/c',
      '/d',
    ])
  })

  test.each([
    'http://other.test/c',
    'https://shop.test/c',
    'http://shop.test:8080/c',
    '//other.test/c',
    'http://shop.test@other.test/c',
    'mailto:a@shop.test',
    'javascript:1',
  ])('never another origin: %s', (reference) =>
    expect(changedBy('POST', 201, `Location: ${reference}`)).toEqual(['/a/b?q=1']),
  )
})
