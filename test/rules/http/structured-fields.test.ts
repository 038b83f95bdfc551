/**
 * Structured Fields (RFC 9651): dictionaries are read strictly and whole, or not at all.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseDictionary, writeItem } from '../../../src/rules/http/structured-fields.ts'

/** Keys with the bare values of their items; lists are arrays. */
function plain(...lines: string[]): Record<string, unknown> | null {
  const dictionary = parseDictionary(lines)
  if (dictionary === null) return null
  return Object.fromEntries(
    [...dictionary].map(([key, member]) => [
      key,
      member.kind === 'item'
        ? member.item.value
        : member.items.map((inner) => (inner.kind === 'item' ? inner.item.value : null)),
    ]),
  )
}

describe('dictionaries (section 4.2.2)', () => {
  test.each([
    ['', {}],
    ['   ', {}],
    ['a', { a: true }],
    ['a=?0, b=?1', { a: false, b: true }],
    ['a=1,b=2', { a: 1, b: 2 }],
    ['  a=1 \t,\t b=2  ', { a: 1, b: 2 }],
    ['a=-5', { a: -5 }],
    ['a=007', { a: 7 }],
    ['a=999999999999999', { a: 999999999999999 }],
    ['a=1.500', { a: 1.5 }],
    ['a="x\\"y\\\\z"', { a: 'x"y\\z' }],
    ['a=max-age=3', null],
    ['a=to/ken:*', { a: 'to/ken:*' }],
    ['a=:aGk=:', { a: 'hi' }],
    ['a=:aGk:', { a: 'hi' }],
    ['a=@1659578233', { a: 1659578233 }],
    ['a=%"f%c3%bc"', { a: 'fü' }],
    ['a=(1 "b"  c)', { a: [1, 'b', 'c'] }],
    ['a=()', { a: [] }],
    ['a=1;x;y=2', { a: 1 }],
    ['a;x=";,"', { a: true }],
    ['a=1, a=2', { a: 2 }],
    ['*x.y_z-1=1', { '*x.y_z-1': 1 }],
  ])('%j', (text, value) => expect(plain(text)).toEqual(value))

  test.each([
    'A=1',
    '1=1',
    'a=1,',
    ',a=1',
    'a=1,,b=2',
    'a=1 b=2',
    'a =1',
    'a= 1',
    'a=',
    'a=+1',
    'a=--1',
    'a=1.',
    'a=.5',
    'a=1.2345',
    'a=1000000000000000',
    'a=1234567890123.1',
    "a='x'",
    'a="x',
    'a="\\x"',
    'a="é"',
    'a=?2',
    'a=?',
    'a=:a b:',
    'a=:a:',
    'a=@1.5',
    'a=@x',
    'a=%"%ff"',
    'a=%"%C3%BC"',
    'a=(1',
    'a=(1,2)',
    'a=(1"b")',
    'a=1;X',
    'a=1;',
    'a=1; ',
    '\ta=1',
    'a=é',
    'a=1;x=',
  ])('refused: %j', (text) => expect(plain(text)).toBeNull())

  test('several lines are one list, and one bad line spoils it', () => {
    expect(plain('a=1', 'b=2')).toEqual({ a: 1, b: 2 })
    expect(plain('a=1', '???')).toBeNull()
    expect(plain('a="x', 'y"')).toEqual({ a: 'x, y' })
  })

  test('a repeated key keeps its last value and place (section 3.2)', () => {
    expect([...(parseDictionary(['a=1, b=2, a=3']) ?? new Map()).keys()]).toEqual(['b', 'a'])
  })

  test('never throws', () => {
    const bits = fc.constantFrom(
      'a',
      '=',
      ',',
      ';',
      '"',
      '\\',
      '(',
      ')',
      ' ',
      '\t',
      '1',
      '.',
      '-',
      '?',
      ':',
      '@',
      '%',
      '*',
    )
    fc.assert(fc.property(fc.array(fc.oneof(bits, fc.string())), (parts) => void parseDictionary([parts.join('')])))
  })
})

describe('items written (section 4.1)', () => {
  test.each([
    [{}, 'banyan'],
    [{ hit: true }, 'banyan;hit'],
    [{ hit: false, fwd: { token: 'miss' }, ttl: 30.9 }, 'banyan;fwd=miss;ttl=30'],
    [{ ttl: -1.5 }, 'banyan;ttl=-2'],
    [{ ttl: 1e300 }, 'banyan;ttl=999999999999999'],
    [{ key: 'a"b\\c' }, 'banyan;key="a\\"b\\\\c"'],
    [{ key: 'a\nb\xff' }, 'banyan;key="a%0Ab%FF"'],
    [{ key: '\u20ac\u{1f600}' }, 'banyan;key="%E2%82%AC%F0%9F%98%80"'],
  ])('%j', (parameters, text) => expect(writeItem('banyan', parameters)).toBe(text))

  test('any string can be read back as an item', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)) }), (key) => {
        expect(parseDictionary([`x=${writeItem('t', { key })}`])?.size).toBe(1)
      }),
    )
  })
})
