/**
 * If-Match as RFC 9110 section 13.1.1 reads it.
 */
import { expect, test } from 'vitest'
import { existenceOf, mayEdit, parseIfMatch } from '../../../src/control/http/preconditions.ts'

test.each([
  ['*', '*'],
  ['"1-a"', ['"1-a"']],
  ['"1-a", W/"2-b" ,"3,c"', ['"1-a"', 'W/"2-b"', '"3,c"']],
  [', "1-a",,', ['"1-a"']],
  ['""', ['""']],
])('%s is read', (value, expected) => {
  expect(parseIfMatch(value)).toEqual(expected)
})

test.each(['', ',', '1-a', '"1-a', '"1-a" "2-b"', '"1-a"x', '*, "1-a"', 'w/"1"'])('%s is malformed', (value) => {
  expect(parseIfMatch(value)).toBeNull()
})

test.each([
  ['', '', 'either'],
  ['"1-a"', '', 'either'],
  ['*', '', 'known'],
  ['', '*', 'new'],
  [' * ', '', 'known'],
])('If-Match %j and If-None-Match %j ask of the route: %s', (ifMatch, ifNoneMatch, existence) => {
  expect(existenceOf(ifMatch, ifNoneMatch)).toBe(existence)
})

test('compares strongly', () => {
  expect(mayEdit(['"1"', '"2"'], '"2"')).toBe(true)
  expect(mayEdit(['W/"2"'], '"2"')).toBe(false)
  expect(mayEdit('*', '"2"')).toBe(true)
})
