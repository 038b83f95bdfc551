/**
 * Hidden values say their type and length, and whether two are the same, to those who have the key.
 */
import { expect, test } from 'vitest'
import { compare } from '../../../src/rules/evidence/compare.ts'
import { hideDifference, hideValue } from '../../../src/state/evidence/hidden.ts'
import { answer, compareJson, html, SETTINGS } from '../../rules/evidence/make.ts'

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

const headers = (type: string, more: readonly string[] = []) => ({
  ...{ status: 200, body: Buffer.from('a') },
  rawHeaders: ['Content-Type', type, ...more],
})
const shown = (from: Parameters<typeof compare>[0], to: Parameters<typeof compare>[1]) => {
  const settings = { ...SETTINGS, headers: ['content-type', 'cache-control', 'location', 'etag'] }
  return compare(from, to, settings).differences.map((one) => {
    const { path, from: old, to: young } = hideDifference(one, KEY)
    return `${path}: ${old} -> ${young}`
  })
}

test('what is never of a client is shown: status, type, directives, whether a cookie is set, and how long a body is', () => {
  expect(shown(answer('a'), answer('b', { status: 404 }))).toEqual(['status: 200 -> 404'])
  const [old, young] = [
    headers('text/csv', ['Cache-Control', 'no-cache', 'Location', '/canary', 'ETag', '"canary"']),
    headers('text/plain', ['Set-Cookie', 'sid=canary']),
  ]
  const told = shown(old, young)
  expect(told).toContain('header:content-type: text/csv -> text/plain')
  expect(told).toContain('header:cache-control: no-cache -> null')
  expect(told).toContain('cookie:sid: null -> set')
  expect(told).toContainEqual(expect.stringMatching(/^header:location: text, 7 characters, [\da-f]{16} -> null$/))
  expect(told.join()).not.toContain('canary')
  const bytes = (body: string) => answer(body, { headers: ['Content-Type', 'text/csv'] })
  expect(shown(bytes('balance;7'), bytes('balance;17'))).toEqual([
    expect.stringMatching(/^: 9 bytes, [\da-f]{16} -> 10 bytes, [\da-f]{16}$/),
  ])
})

test('a text that has the form of what is shown is hidden all the same', () => {
  const hidden = expect.stringMatching(/^: \w+, \d+ characters, [\da-f]{16} -> \w+, \d+ characters, [\da-f]{16}$/)
  expect(shown(html('17 bytes, 1c9a0f3b'), html('18 bytes'))).toEqual([hidden])
  expect(shown(answer('"17 bytes"'), answer('200'))).toEqual([hidden])
  expect(shown(answer('{"status":200}'), answer('{"status":404}')).join()).toMatch(/^\/status: number, 3 characters/)
  expect(shown(answer('{"header:content-type":1}'), answer('{"header:content-type":2}')).join()).toMatch(/number, 1 /)
})
