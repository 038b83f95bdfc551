/** The line diff beside that of GNU diff. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { diffText } from '../../../src/rules/language/text-diff.ts'

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-diff-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** What `diff -u` says, without the two file lines; it leaves out a count of 1. */
function gnu(before: string, after: string): string {
  const [old, now] = [join(folder, 'before'), join(folder, 'after')]
  writeFileSync(old, before)
  writeFileSync(now, after)
  const { stdout } = spawnSync('diff', ['-u', old, now], { encoding: 'utf8', maxBuffer: 1e8 })
  const hunks = stdout.split('\n').slice(2).join('\n')
  return hunks.replace(
    /^@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@$/gm,
    (_, old, m = ',1', now, n = ',1') => `@@ -${old}${m} +${now}${n} @@`,
  )
}

/** A table of many routes. */
const table = (routes: number, percentOf: (route: number) => number): string =>
  Array.from({ length: routes }, (_, at) => `  - id: r${at}\n    to: svc\n    percent: ${percentOf(at)}\n`).join('')

test.each([
  ['one line of few', 'a\nb\nc\n', 'a\nB\nc\n'],
  ['without a last line break', 'a\nb', 'a\nc'],
  ['a last line break that comes', 'a\nb', 'a\nb\n'],
  ['from nothing', '', 'a\n'],
  ['to nothing', 'a\n', ''],
  ['line ends', 'a\r\nb\r\n', 'a\r\nb\n'],
  ['two places far apart', table(20, () => 1), table(20, (at) => (at % 15 === 2 ? 2 : 1))],
  ['one line in 5,000 routes', table(5_000, () => 1), table(5_000, (at) => (at === 777 ? 2 : 1))],
  ['a hundred lines in 5,000 routes', table(5_000, () => 1), table(5_000, (at) => (at % 50 === 0 ? 2 : 1))],
])('%s: as GNU diff', (_, before, after) => {
  expect(diffText(before, after)).toBe(gnu(before, after))
})

test('the same text is no difference', () => {
  expect(diffText('a\n', 'a\n')).toBe('')
})

test('of texts with too many changes all is replaced', () => {
  const [before, after] = [table(5_000, () => 1), table(5_000, (at) => at)]
  const lines = diffText(before, after).split('\n')
  expect(lines[0]).toBe('@@ -1,15000 +1,15000 @@')
  expect(lines.filter((line) => line.startsWith('-'))).toHaveLength(15_000)
  expect(lines.filter((line) => line.startsWith('+'))).toHaveLength(15_000)
})
