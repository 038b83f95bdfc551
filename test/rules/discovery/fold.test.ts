/**
 * Folding of paths: values become placeholders, names stay.
 */
import { expect, test } from 'vitest'
import { callerOf } from '../../../src/rules/discovery/caller.ts'
import { foldMethod, kindOf, pathOf } from '../../../src/rules/discovery/fold.ts'

test.each([
  ...['stores', 'search.json', 'v1', '1.0', 'mp3', 'robots.txt', '.well-known', 'a-b_c~d', 'index.php'].map((name) => [
    name,
    null,
  ]),
  ...['1', '404', '12-34', '1.2.3', 'SKU12345', 'order-4711', 'user_001'].map((name) => [name, 'id']),
  ...['4006381333931', '96385074', '036000291452'].map((name) => [name, 'gtin']),
  ['4006381333932', 'id'],
  ['2026-11-30', 'date'],
  ['2026-11-30T08:15:00Z', 'date'],
  ['2026-11', 'date'],
  ['c9bf9e57-1685-4c89-bafb-ff5af830be8a', 'uuid'],
  ['C9BF9E57-1685-4C89-BAFB-FF5AF830BE8A', 'uuid'],
  ['1da041c6b52f', 'hash'],
  ['deadbeef', null],
  ['eyJhbGciOiJIUzI1NiIsInR5cCI6', 'token'],
  ['a'.repeat(32), 'token'],
  ['a'.repeat(60_000), 'token'],
  ['logo-1234.png', 'file'],
  ['app.3f2a9c1b77.js', 'file'],
  ['<script>alert(1)</script>', 'text'],
  ['%3Cscript%3E', 'text'],
  ['a\x1b[31m', 'text'],
  ['alice@example.test', 'text'],
  [`${'%00'.repeat(20_000)}`, 'token'],
])('segment %#', (segment, kind) => {
  expect(kindOf(segment as string)).toBe(kind)
})

test.each([
  ['/a/b?c=d', 'a/b'],
  ['/a/b#c', 'a/b'],
  ['/', ''],
  ['http://shop.test/a?b', 'a'],
  ['http://shop.test', ''],
  ['*', null],
  ['shop.test:443', null],
])('the path of %s is %s', (target, path) => {
  expect(pathOf(target)).toBe(path)
})

test('methods that nobody knows are one', () => {
  expect(foldMethod('PROPFIND')).toBe('PROPFIND')
  expect(foldMethod('get')).toBe('OTHER')
  expect(foldMethod('X'.repeat(9000))).toBe('OTHER')
})

test.each([
  ['billing-job/2.3 (host 10.1.2.3; secret=1)', '10.1.2.3', 'billing-job', '10.1.2.0/24'],
  ['Mozilla/5.0 (X11; Linux x86_64)', '2001:db8:1:2::3', 'Mozilla', '2001:db8:1::/48'],
  [undefined, '::1', '-', '0:0:0::/48'],
  ['<b>x</b>', '192.0.2.1', '-', '192.0.2.0/24'],
  ['\x1b[31mred', 'unix', '-', 'unix'],
  ['a'.repeat(9000), '', 'a'.repeat(40), '-'],
])('caller %#', (value, clientAddress, agent, network) => {
  const rawHeaders = value === undefined ? [] : ['User-Agent', value]
  expect(callerOf({ rawHeaders, clientAddress })).toEqual({ agent, network })
})
