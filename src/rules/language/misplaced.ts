/**
 * Keys that are read as names of upstreams because they stand at the wrong indentation.
 */
import { tableSchema } from '../table/schema.ts'
import type { Finding } from '../values/problem.ts'
import { keysAt } from './places.ts'

type Path = readonly (string | number)[]

/** A key at the wrong place, and the paths whose findings follow from it. */
export interface Misplaced {
  readonly finding: Finding
  readonly instead: readonly Path[]
}

/** The keys below `upstreams` that belong at the top level, or below the name of an upstream. */
export function misplaced(document: unknown): Misplaced[] {
  const table = isMap(document) ? document : {}
  const names = isMap(table.upstreams) ? table.upstreams : {}
  const top = Object.keys(keysAt(tableSchema, []) ?? {})
  const settings = Object.keys(keysAt(tableSchema, ['upstreams', '']) ?? {})
  const of = (keys: readonly string[]): string[] =>
    keys.filter((key) => Object.hasOwn(names, key) && names[key] !== null && !isMap(names[key]))
  const found: Misplaced[] = of(top).map((key) => ({
    finding: keyError(['upstreams', key], `${key} belongs at the top level`, 'indent it as upstreams'),
    instead: [['upstreams', key], ...(Object.hasOwn(table, key) ? [] : [[key]])],
  }))
  const [first] = of(settings)
  if (first === undefined) return found
  const empty = Object.keys(names).find((name) => names[name] === null)
  const keys = settings.filter((key) => Object.hasOwn(names, key))
  const [message, hint] =
    empty === undefined
      ? [`${first} belongs below the name of an upstream`, `write NAME: { ${first}: ... }`]
      : [`${first} belongs below ${empty}`, 'indent it']
  const instead = [...keys, ...(empty === undefined ? [] : [empty])].map((key) => ['upstreams', key])
  return [...found, { finding: keyError(['upstreams', first], message, hint), instead }]
}

function keyError(path: Path, message: string, hint: string): Finding {
  return { path, message, hint, severity: 'error', at: 'key' }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
