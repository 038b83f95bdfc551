/**
 * A client's own copy of an answer: no other cache may keep it, and nothing else of it changes.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseCacheControl } from '../../../src/rules/caching/directives.ts'
import { privateCopy } from '../../../src/rules/caching/private-copy.ts'

const copyOf = (...fields: string[]) => privateCopy(200, fields)

test('private takes the place of what lets shared caches keep it', () => {
  expect(copyOf('ETag', '"1"', 'Cache-Control', 'public, max-age=60, s-maxage=90, immutable')).toEqual([
    ...['ETag', '"1"', 'Cache-Control', 'private, max-age=60, immutable'],
  ])
  expect(copyOf('cache-control', 'max-age=1', 'Vary', 'x', 'CACHE-CONTROL', 'private="a, public", ext="b, c"')).toEqual(
    [...['cache-control', 'private, max-age=1, ext="b, c"', 'Vary', 'x']],
  )
  expect(copyOf('Date', 'now')).toEqual(['Date', 'now', 'Cache-Control', 'private'])
})

test('what shared caches can not keep stays as it is', () => {
  for (const said of ['no-store', 'PRIVATE, max-age=5', 'max-age=1, no-store']) {
    expect(copyOf('Cache-Control', said)).toEqual(['Cache-Control', said])
  }
  expect(privateCopy(500, ['Date', 'now'])).toEqual(['Date', 'now'])
  expect(privateCopy(500, ['Expires', '0'])).toEqual(['Expires', '0', 'Cache-Control', 'private'])
})

test('fields for shared caches alone are left out', () => {
  const fields = ['CDN-Cache-Control', 'Cloudflare-CDN-Cache-Control', 'Surrogate-Control', 'X-Accel-Expires']
  expect(copyOf('Cache-Control', 'private', ...fields.flatMap((name) => [name, 'max-age=60']))).toEqual([
    ...['Cache-Control', 'private'],
  ])
})

test('no shared cache may keep the copy, whatever the answer says', () => {
  const member = fc.constantFrom(
    'public',
    'private="x"',
    's-maxage=9',
    'max-age=9',
    'ext="a,public',
    'must-understand',
    'no-store',
    '',
    'x="\\""',
  )
  fc.assert(
    fc.property(fc.array(fc.array(member)), (lines) => {
      const copy = copyOf(...lines.flatMap((members) => ['Cache-Control', members.join(', ')]))
      const said = copy.flatMap((text, at) => (at % 2 === 1 && copy[at - 1] === 'Cache-Control' ? [text] : []))
      const { private: isPrivate, noStore, mustUnderstand } = parseCacheControl(said)
      expect(isPrivate || (noStore && !mustUnderstand)).toBe(true)
    }),
  )
})
