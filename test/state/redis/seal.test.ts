/**
 * Seals of what a cluster stores: what is encrypted can be read with one of the secrets, under its own key, unchanged.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Seal } from '../../../src/state/redis/seal.ts'

const [OLD, NEW] = ['a secret of the test', 'another secret of the test']

test('what is encrypted is read with any of the secrets, and by nobody else', () => {
  const old = new Seal('shop', [OLD])
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string(), (text, key) => {
      const hidden = old.hide(key, text)
      expect(new Seal('shop', [NEW, OLD]).reveal(key, hidden)).toBe(text)
      expect(old.hide(key, text)).not.toBe(hidden)
      expect(old.reveal(`${key}x`, hidden)).toBeNull()
      expect(new Seal('shop', [NEW]).reveal(key, hidden)).toBeNull()
      expect(new Seal('other', [OLD]).reveal(key, hidden)).toBeNull()
      expect(new Seal('shop', []).reveal(key, hidden)).toBeNull()
    }),
  )
  expect(new Seal('shop', [NEW, OLD]).reveal('k', new Seal('shop', [NEW]).hide('k', 'text'))).toBe('text')
  expect(() => new Seal('shop', []).hide('k', 'text')).toThrow('no secret')
})

test('what is changed, cut or anything else is none', () => {
  const seal = new Seal('shop', [OLD])
  const hidden = Buffer.from(seal.hide('key', 'some text'), 'base64url')
  for (let at = 0; at < hidden.length; at++) {
    const changed = Buffer.from(hidden)
    changed[at] = (changed[at] as number) ^ 1
    expect(seal.reveal('key', changed.toString('base64url'))).toBeNull()
    expect(seal.reveal('key', hidden.subarray(0, at).toString('base64url'))).toBeNull()
  }
  fc.assert(fc.property(fc.string(), (text) => seal.reveal('key', text) === null))
})
