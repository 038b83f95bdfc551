/**
 * Hidden values say their type and length, and whether two are the same, to those who have the key.
 */
import { expect, test } from 'vitest'
import { hideValue } from '../../../src/state/evidence/hidden.ts'
import { compareJson } from '../../rules/evidence/make.ts'

const KEY = Buffer.from('the key of a store')

test.each([
  ['"19.99"', /^string, 5 characters, [\da-f]{16}$/],
  ['19.99', /^number, 5 characters, [\da-f]{16}$/],
  ['-1e400', /^number, 6 characters, [\da-f]{16}$/],
  ['true', /^boolean, 4 characters, [\da-f]{16}$/],
  ['null', /^null$/],
  ['{"a":1}', /^object, 7 characters, [\da-f]{16}$/],
  ['[1]', /^list, 3 characters, [\da-f]{16}$/],
  ['17 bytes, 1c9a0f3b', /^text, 18 characters, [\da-f]{16}$/],
  [`${'1'.repeat(60)}… (number of 101 digits)`, /^number, /],
  ['text/html', /^text, 9 characters, [\da-f]{16}$/],
  ['', /^text, 0 characters, [\da-f]{16}$/],
])('%s', (value, hidden) => {
  expect(hideValue(value, KEY)).toMatch(hidden)
  expect(hideValue(value, KEY)).toBe(hideValue(value, KEY))
})

test('another value or another key gives another hash', () => {
  expect(hideValue('"a"', KEY)).not.toBe(hideValue('"b"', KEY))
  expect(hideValue('"a"', KEY)).not.toBe(hideValue('"a"', Buffer.from('another key')))
})

test('a value that was shortened keeps its length, and differs where only its end does', () => {
  const [difference] = compareJson(`"${'x'.repeat(5_000)}a"`, `"${'x'.repeat(5_000)}b"`).differences
  const hidden = [difference?.from, difference?.to].map((value) => hideValue(value as string, KEY))
  for (const one of hidden) expect(one).toMatch(/^string, 5001 characters, /)
  expect(hidden[0]).not.toBe(hidden[1])
})
