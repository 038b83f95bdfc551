/**
 * Claims of bearer tokens as keys: what is read, and that no token does any harm.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { claimOf } from '../../../src/rules/patterns/jwt.ts'

const part = (value: string | Buffer): string => Buffer.from(value as string).toString('base64url')
const bearer = (claims: unknown): string => `Bearer ${part('{"alg":"HS256"}')}.${part(JSON.stringify(claims))}.c2ln`

test('texts and numbers are keys, whatever the signature', () => {
  expect(claimOf(bearer({ sub: 'alice' }), 'sub')).toBe('alice')
  expect(claimOf(bearer({ sub: 'żółw' }), 'sub')).toBe('żółw')
  expect(claimOf(bearer({ uid: 7 }), 'uid')).toBe('7')
  expect(claimOf(bearer({ sub: 'alice' }).replace(/c2ln$/, ''), 'sub')).toBe('alice')
  expect(claimOf(bearer({ sub: 'alice' }).replace('Bearer ', 'BEARER  '), 'sub')).toBe('alice')
})

test('a new token of the same subject is the same key', () => {
  expect(claimOf(bearer({ sub: 'alice', exp: 1 }), 'sub')).toBe(
    claimOf(bearer({ iat: 5, sub: 'alice', exp: 2 }), 'sub'),
  )
})

test.each([
  ['none', undefined],
  ['another scheme', 'Basic YTpi'],
  ['an opaque token', 'Bearer abcdef'],
  ['an encrypted token', 'Bearer a.b.c.d.e'],
  ['no JSON', `Bearer e30.${part('sub')}.x`],
  ['a list', bearer(['sub'])],
  ['null', bearer(null)],
  ['an object as the claim', bearer({ sub: { sub: 'a' } })],
  ['true as the claim', bearer({ sub: true })],
  ['another claim', bearer({ sup: 'a' })],
  ['bytes that are not UTF-8', `Bearer e30.${part(Buffer.from('{"sub":"\xff"}', 'latin1'))}.x`],
  ['two tokens', `${bearer({ sub: 'a' })}, ${bearer({ sub: 'b' })}`],
  ['what goes deep', `Bearer e30.${part(`{"sub":${'['.repeat(5000)}`)}.x`],
  ['what is long', bearer({ sub: 'a'.repeat(16_000) })],
])('%s: no key', (_, authorization) => {
  expect(claimOf(authorization, 'sub')).toBeUndefined()
})

test('what every object has is no claim', () => {
  for (const name of ['__proto__', 'constructor', 'toString']) expect(claimOf(bearer({}), name)).toBeUndefined()
  expect(claimOf(`Bearer e30.${part('{"__proto__":"a"}')}.x`, '__proto__')).toBe('a')
})

test('never throws', () => {
  fc.assert(fc.property(fc.string(), fc.string(), (token, name) => void claimOf(`Bearer e30.${part(token)}.x`, name)))
  fc.assert(fc.property(fc.string(), (text) => void claimOf(text, 'sub')))
})
