/**
 * The JSON reader: takes what JSON.parse takes but for repeated names and depth, and says where a text breaks.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { JsonFault, parseJson } from '../../../src/control/http/json-text.ts'

test.each([
  ['', 1, 1, 'expected a value, found end of input'],
  ['{"percent": 5', 1, 14, "expected ',' or '}', found end of input"],
  ['{"percent": }', 1, 13, 'expected a value'],
  ['{\n  "percent": 5,\n}', 3, 1, 'expected a name in double quotes'],
  ['{\r\n  percent: 5}', 2, 3, 'expected a value or a name in double quotes'],
  ['{"a": 1} x', 1, 10, 'expected a value or a name in double quotes'],
  ['{"a": 1} 2', 1, 10, 'expected end of input'],
  ['[1] // one', 1, 5, 'expected a value, found a comment'],
  ['{"percent": 5, "percent": 50}', 1, 16, 'duplicate name "percent"'],
  ['[1 2]', 1, 4, "expected ','"],
  ['{"a" 1}', 1, 6, "expected ':'"],
  ['"a\nb"', 1, 1, 'unterminated string, invalid escape or control character'],
  ['\uFEFF{}', 1, 1, 'expected a value or a name in double quotes'],
  ['05', 1, 2, 'expected end of input'],
  ['[NaN]', 1, 2, 'expected a value or a name in double quotes'],
])('%j breaks at %i:%i', (text, line, column, message) => {
  let fault: unknown
  try {
    parseJson(text)
  } catch (error) {
    fault = error
  }
  expect(fault).toBeInstanceOf(JsonFault)
  expect(fault).toMatchObject({ line, column, message })
})

test('names of the prototype are names like any other', () => {
  const value = parseJson('{"__proto__": {"percent": 1}, "constructor": 2}') as object
  expect(Object.keys(value)).toEqual(['__proto__', 'constructor'])
  expect((value as { percent?: number }).percent).toBeUndefined()
})

test('depth and length have no end in a crash', () => {
  expect(() => parseJson('['.repeat(500_000))).toThrow('nested deeper than 64 levels')
  const long = 'x\\n'.repeat(300_000)
  expect(parseJson(`"${long}"`)).toHaveLength(600_000)
  expect(() => parseJson(`"${long}`)).toThrow(JsonFault)
})

test('reads what JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), fc.nat(4), (value, indent) => {
      const text = JSON.stringify(value, null, indent)
      expect(JSON.stringify(parseJson(text))).toBe(JSON.stringify(JSON.parse(text)))
    }),
  )
})

test('takes a mutilated text if and only if JSON.parse takes it', () => {
  const piece = fc.constantFrom(
    ...'{}[]",:0123.eE+-\\u \n\tnulltruefalse',
    '"a"',
    '1e5',
    '-0',
    '\\u00e9',
    '\u0007',
    'ż',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('')
      const known = attempt(() => JSON.parse(text))
      const ours = attempt(() => parseJson(text))
      if (ours instanceof JsonFault && /^(duplicate name|number out of range)/.test(ours.message)) return
      expect(ours instanceof Error).toBe(known instanceof Error)
      if (!(known instanceof Error)) expect(JSON.stringify(ours)).toBe(JSON.stringify(known))
    }),
    { numRuns: 5_000 },
  )
})

function attempt(read: () => unknown): unknown {
  try {
    return read()
  } catch (error) {
    return error
  }
}
