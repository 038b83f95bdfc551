/**
 * Which requests may be copied: none that could change anything, none whose response depends on what the client has.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type CopiedRequest,
  copiesSide,
  hideSecrets,
  maySetSession,
  whyNotCopied,
} from '../../../src/rules/evidence/copying.ts'

const plain: CopiedRequest = {
  method: 'GET',
  rawHeaders: ['Host', 'a', 'Cookie', 'sid=1', 'Authorization', 'Bearer x', 'Accept', '*/*'],
  ...{ hasBody: false, upgrades: false, isPrivate: false, reason: 'rest' },
}

test('a plain GET or HEAD is copied', () => {
  expect(whyNotCopied(plain)).toBeNull()
  expect(whyNotCopied({ ...plain, method: 'HEAD' })).toBeNull()
})

test.each<[string, Partial<CopiedRequest>]>([
  ['body', { hasBody: true }],
  ['upgrade', { upgrades: true }],
  ['private', { isPrivate: true }],
  ['private', { reason: 'pinned' }],
  ['forced', { reason: 'forced' }],
  ['unavailable', { reason: 'unavailable' }],
  ['conditional', { rawHeaders: ['IF-NONE-MATCH', '"x"'] }],
  ['conditional', { rawHeaders: ['If-Modified-Since', 'x'] }],
  ['conditional', { rawHeaders: ['if-match', '*'] }],
  ['conditional', { rawHeaders: ['If-Unmodified-Since', 'x'] }],
  ['range', { rawHeaders: ['RANGE', 'bytes=0-1'] }],
  ['range', { rawHeaders: ['If-Range', '"x"'] }],
])('%s: %j is not', (reason, more) => {
  expect(whyNotCopied({ ...plain, ...more })).toBe(reason)
})

test('no method but GET and HEAD is ever copied, whatever else the request has', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.constantFrom('POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'get', 'Head', 'GETX', ''), fc.string()),
      fc.boolean(),
      fc.boolean(),
      (method, hasBody, upgrades) => {
        fc.pre(method !== 'GET' && method !== 'HEAD')
        expect(whyNotCopied({ ...plain, method, hasBody, upgrades })).toBe('method')
      },
    ),
  )
})

test('sides', () => {
  const copied = (sides: 'from' | 'to' | 'both') => (['from', 'to'] as const).filter((side) => copiesSide(sides, side))
  expect([copied('from'), copied('to'), copied('both')]).toEqual([['from'], ['to'], ['from', 'to']])
})

test.each([
  ['/x', '/x'],
  ['/x?', '/x?'],
  ['/x?a=SECRET&SECRET&&b=SECRET=', '/x?a=...&...&&b=...'],
  ['/x?U0VDUkVU==', '/x?...'],
  ['/x?/y?SECRET=1', '/x?...'],
  ['/x;sid=SECRET;v=SECRET/y=1?a=1', '/x;sid=...;v=.../y=1?a=...'],
  ['/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImFkbWluIjp0cnVlfQ.3q2-7w/done', '/reset/.../done'],
  ['/share/s3cR3tAbCdEfGhIjK/0123456789abcdef0123456789abcdef;v=1', '/share/.../...;v=...'],
  [
    '/stores/8f14e45f-ceea-467f-a0e6-9b1f2b3c4d5e/gtins/4006381333931',
    '/stores/8f14e45f-ceea-467f-a0e6-9b1f2b3c4d5e/gtins/4006381333931',
  ],
])('of the target %s a sample keeps %s', (target, shown) => {
  expect(hideSecrets(target)).toBe(shown)
})

test.each<[string, set: string[], sent: string, begins: boolean]>([
  ['nothing', [], 'a=1', false],
  ['a new one', ['sid=1; Path=/'], 'a=1', true],
  ['one that the client has', ['sid=1; Path=/'], 'a=1; sid=1', false],
  ['several that it has', [' sid = 1 ', 'lb='], 'lb=; sid=1', false],
  ['one that it has, and a new one', ['sid=1', 'lb=x'], 'sid=1', true],
  ['one that is replaced', ['sid=2; Path=/'], 'a=1; sid=1', true],
  ['one that is removed', ['sid=; Max-Age=0'], 'sid=1', true],
  ['one of another case', ['SID=2'], 'sid=1', true],
  ['one without a name', ['canary'], 'sid=1', true],
])('a response may begin a session by the cookies that it sets: %s', (_, set, sent, begins) => {
  const answered = set.flatMap((value) => ['Set-Cookie', value])
  expect(maySetSession(answered, ['Cookie', sent])).toBe(begins)
  expect(maySetSession(answered, [])).toBe(set.length > 0)
})
