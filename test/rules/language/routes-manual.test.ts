/** docs/reference/routes.md: its tables load, and it names every key that the schema has. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { formatProblems, readTable } from '../../../src/rules/language/text.ts'
import { routesJsonSchema } from '../../../src/rules/table/schema.ts'

const MANUAL = readFileSync(new URL('../../../docs/reference/routes.md', import.meta.url), 'utf8')

describe('the tables of the manual load, without a warning', () => {
  const tables = [...MANUAL.matchAll(/^```yaml\n(.*?)^```$/gms)].map((found) => found[1] as string)

  test.each(tables.map((text, at) => [at + 1, text] as const))('table %i', (_number, text) => {
    const read = readTable(text, 'docs/reference/routes.md')
    expect(formatProblems(read.ok ? read.warnings : read.problems, text)).toBe('')
    expect(read.ok).toBe(true)
  })
})

test('the manual names every key', () => {
  const keys = new Set<string>()
  const collect = (schema: unknown): void => {
    if (typeof schema !== 'object' || schema === null) return
    const { properties, ...rest } = schema as { properties?: Record<string, unknown> }
    for (const [key, value] of Object.entries(properties ?? {})) {
      keys.add(key)
      collect(value)
    }
    for (const value of Object.values(rest)) collect(value)
  }
  collect(routesJsonSchema())
  expect(keys.size).toBeGreaterThan(40)
  expect([...keys].filter((key) => !new RegExp(`\\b${key}\\b`).test(MANUAL))).toEqual([])
})
