/**
 * MACs of cookies: only what was made here is read, and none of it in another form.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CookieKeys, newVisitorId, readVisitor, VISITOR } from '../../src/state/cookie-keys.ts'

const keys = new CookieKeys(['a secret of some length'])

test('what is signed is read again, for its purpose and with its secret only', () => {
  const signed = keys.sign('one', 'text')
  expect(keys.read('one', signed)).toEqual({ text: 'text', isCurrent: true })
  expect(keys.read('two', signed)).toBeNull()
  expect(new CookieKeys(['another secret, as long']).read('one', signed)).toBeNull()
  expect(new CookieKeys(['another secret, as long', 'a secret of some length']).read('one', signed)).toEqual({
    text: 'text',
    isCurrent: false,
  })
})

test('no change of a signed text is read: none of its letters, no part of it, no longer form', () => {
  const letter = fc.constantFrom(...'ABab01-_.=+/ '.split(''))
  fc.assert(
    fc.property(
      fc.base64String({ maxLength: 30 }),
      fc.nat(60),
      fc.nat(3),
      fc.array(letter, { maxLength: 3 }),
      (text, at, cut, put) => {
        const signed = keys.sign(VISITOR, text)
        const changed = signed.slice(0, at) + put.join('') + signed.slice(at + cut)
        if (changed !== signed) expect(keys.read(VISITOR, changed)).toBeNull()
      },
    ),
  )
  const signed = keys.sign(VISITOR, newVisitorId())
  for (let length = 0; length < signed.length; length++) expect(keys.read(VISITOR, signed.slice(0, length))).toBeNull()
})

test('ids of visitors are all different, and the first valid one counts', () => {
  const ids = Array.from({ length: 2000 }, newVisitorId)
  expect(new Set(ids).size).toBe(2000)
  for (const id of ids) expect(id).toMatch(/^[\w-]{22}$/)
  const [a = '', b = ''] = ids
  expect(readVisitor(keys, ['x', `${a}.x`, keys.sign(VISITOR, b), keys.sign(VISITOR, a)])?.text).toBe(b)
  expect(readVisitor(keys, [keys.sign(VISITOR, 'short')])).toBeNull()
})
