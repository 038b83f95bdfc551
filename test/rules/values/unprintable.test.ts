/**
 * What does something to a terminal is escaped in JSON and replaced in text; everything else is left alone.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { columns } from '../../../src/cli/columns.ts'
import { jsonText, printable } from '../../../src/cli/io.ts'
import { formatProblem } from '../../../src/rules/values/problem.ts'
import { escapedJson, UNPRINTABLE } from '../../../src/rules/values/unprintable.ts'

const BAD = ['\x1b[31m', '\x07', '\x85', '\x9b', '\x7f', '\u2028', '\u202e', '\u2066', '\u200f', '\u061c', '\ufeff']

test.each(BAD)('%j reaches no terminal', (bad) => {
  const reason = `fine ${bad}evil`
  const problem = { file: 'a', line: 1, column: 1, pointer: '', message: reason, severity: 'error' } as const
  for (const text of [
    jsonText({ reason }),
    printable(reason),
    columns(['A'], [[printable(reason)]], false),
    formatProblem(problem),
  ]) {
    expect(text.search(UNPRINTABLE)).toBe(-1)
    expect(text).toContain('evil')
  }
})

test('JSON means the same with and without escapes', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      const text = JSON.stringify(value)
      expect(JSON.parse(escapedJson(text))).toEqual(JSON.parse(text))
    }),
  )
})

test('letters of all scripts stay', () => {
  const text = 'żółw, 漢字, 🐢, ‘quoted’ – café\tand\nso on'
  expect(printable(text)).toBe(text)
  expect(escapedJson(text)).toBe(text)
})
