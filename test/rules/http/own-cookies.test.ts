/**
 * Banyan's own cookies: what is taken out of a request, and how they are set.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  nameOfSetCookie,
  ownValues,
  setCookieLike,
  setCookieText,
  takeOwnCookies,
} from '../../../src/rules/http/own-cookies.ts'

const cookieOf = (value: string): unknown => {
  const { rawHeaders, own } = takeOwnCookies(['Host', 'a.test', 'Cookie', value, 'Accept', '*/*'])
  return [rawHeaders.length === 4 ? null : rawHeaders[3], own]
}

test('what is taken out, and what stays as it is', () => {
  expect(cookieOf('a=1; b=2')).toEqual(['a=1; b=2', []])
  expect(cookieOf('banyan_visitor=x')).toEqual([null, ['banyan_visitor', 'x']])
  expect(cookieOf('__Host-banyan_force=x;  a="1"')).toEqual(['a="1"', ['__Host-banyan_force', 'x']])
  expect(cookieOf('a=1;banyan_server_legacy=x ; b')).toEqual(['a=1; b', ['banyan_server_legacy', 'x']])
  expect(cookieOf(' a; banyan_side_gtin-lookup=to;;')).toEqual(['a;;', ['banyan_side_gtin-lookup', 'to']])
  expect(cookieOf('Banyan_visitor=x; xbanyan_visitor=y; banyan_visitors=z; banyan_visitor')).toEqual([
    'Banyan_visitor=x; xbanyan_visitor=y; banyan_visitors=z; banyan_visitor',
    [],
  ])
})

test('several lines, and several of one name: the ones that only this host can have set come first', () => {
  const { rawHeaders, own } = takeOwnCookies([
    ...['cookie', 'banyan_visitor=1; a=1', 'COOKIE', '__Host-banyan_visitor=2', 'cookie', 'banyan_visitor=3;b=2'],
  ])
  expect(rawHeaders).toEqual(['cookie', 'a=1', 'cookie', 'b=2'])
  expect(ownValues(own, 'banyan_visitor')).toEqual(['2', '1', '3'])
})

test('the names of all other cookies stay, in their order', () => {
  const pair = fc.tuple(
    fc.constantFrom('a', 'b', 'banyan_visitor', '__Host-banyan_side_r', 'sid'),
    fc.constantFrom('', '1', '"x y"'),
  )
  fc.assert(
    fc.property(fc.array(pair), (pairs) => {
      const text = (some: typeof pairs) => some.map(([name, value]) => `${name}=${value}`).join('; ')
      const { rawHeaders } = takeOwnCookies(['cookie', text(pairs)])
      const others = pairs.filter(([name]) => !name.includes('banyan'))
      expect(rawHeaders[1] ?? '').toBe(text(others))
    }),
  )
})

test('how they are set', () => {
  const attributes = { path: '/', domain: null, maxAge: 60, sameSite: 'none', httpOnly: true } as const
  expect(setCookieText('n', 'v', attributes, true)).toBe(
    '__Host-n=v; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=None',
  )
  expect(setCookieText('n', 'v', attributes, false)).toBe('n=v; Path=/; Max-Age=60; HttpOnly')
  const elsewhere = { ...attributes, path: '/shop', domain: 'a.test', maxAge: null, sameSite: 'lax' } as const
  expect(setCookieText('n', 'v', elsewhere, true)).toBe(
    'n=v; Path=/shop; Domain=a.test; Secure; HttpOnly; SameSite=Lax',
  )
})

test('set as another one', () => {
  const like = (other: string, secure = true) => setCookieLike(other, 'n', 'v', secure)
  expect(like('sid=1; Path=/; HttpOnly')).toBe('__Host-n=v; Path=/; Secure; HttpOnly')
  expect(like('sid=1; path=/app; Max-Age=0;SameSite=None ; Domain=.a.test')).toBe(
    'n=v; path=/app; Domain=.a.test; Max-Age=0; Secure; HttpOnly; SameSite=None',
  )
  expect(like('sid=1; Path=/; Secure; SameSite=None', false)).toBe('n=v; Path=/; HttpOnly')
  expect(nameOfSetCookie(' sid =1; Path=/')).toBe('sid')
  expect(nameOfSetCookie('sid; a=1')).toBeNull()
})
