/**
 * Prints values as YAML in the style of tables: short collections on one line, strings quoted only if necessary.
 */
import { isList, type Plain } from '../values/plain.ts'

/** Collections that are longer than this on one line are written one entry to a line. */
const MAX_FLOW_LENGTH = 90

/** Texts that mean themselves without quotes, in a block and in a flow collection. */
const BARE =
  /^(?:[A-Za-z/][A-Za-z0-9_./:*%+@=~$-]*[A-Za-z0-9_./*%+@=~$-]|[A-Za-z/]|[0-9]+(?:ms|s|m|h|d|B|KiB|MiB|GiB))$/
/** Texts that YAML 1.2, or readers of YAML 1.1, take for something else. */
const WORDS = /^(?:true|false|null|yes|no|on|off|y|n)$/i

/** The value on one line: `{ path: /search, methods: [GET, HEAD] }`. Keys that are undefined are left out. */
export function flowText(value: Plain): string {
  if (typeof value === 'string') return BARE.test(value) && !WORDS.test(value) ? value : JSON.stringify(value)
  if (typeof value !== 'object' || value === null) return String(value ?? null)
  if (isList(value)) return `[${value.map(flowText).join(', ')}]`
  const pairs = entriesOf(value).map(([key, inner]) => `${flowText(key)}: ${flowText(inner)}`)
  return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`
}

/** The value as JSON on one line, with or without spaces behind colons and commas. Keys that are undefined are left out. */
export function jsonText(value: Plain, spaced: boolean): string {
  const space = spaced ? ' ' : ''
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null)
  if (isList(value)) return `[${value.map((item) => jsonText(item, spaced)).join(`,${space}`)}]`
  const pairs = entriesOf(value).map(([key, inner]) => `${JSON.stringify(key)}:${space}${jsonText(inner, spaced)}`)
  return `{${pairs.join(`,${space}`)}}`
}

/** `key: value`, beginning at column `indent` and without the indentation of its first line or a line break at the end. */
export function pairText(key: string, value: Plain, indent: number): string {
  const name = flowText(key)
  if (isShort(value)) return `${name}: ${flowText(value)}`
  const inner = indent + 2
  return `${name}:\n${' '.repeat(inner)}${blockText(value, inner)}`
}

/** A collection one entry to a line, beginning at column `indent`; its inner collections on one line where they are short. */
export function blockText(value: Plain, indent: number): string {
  if (typeof value !== 'object' || value === null) return flowText(value)
  const lines = isList(value)
    ? value.map((item) => itemText(item, indent))
    : entriesOf(value).map(([key, inner]) => pairText(key, inner, indent))
  return lines.length === 0 ? flowText(value) : lines.join(`\n${' '.repeat(indent)}`)
}

/** `- entry`, beginning at column `indent`. A map has its keys below each other. */
export function itemText(value: Plain, indent: number): string {
  const isMap = typeof value === 'object' && value !== null && !isList(value)
  return `- ${isMap || !isShort(value) ? blockText(value, indent + 2) : flowText(value)}`
}

/** Whether a value is written on one line. Lists of maps are not: a route each is what they are for. */
export function isShort(value: Plain): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (roomAfter(value, MAX_FLOW_LENGTH) < 0 || flowText(value).length > MAX_FLOW_LENGTH) return false
  return !isList(value) || value.length === 0 || !value.some((item) => typeof item === 'object' && item !== null)
}

/**
 * What at most is left of `room` after the value on one line. Looks at no more of it than has room: the whole text of each of the
 * collections around a large one would cost its size for each level.
 */
function roomAfter(value: Plain, room: number): number {
  if (typeof value === 'string') return room - value.length
  if (typeof value !== 'object' || value === null) return room - (value === undefined ? 0 : 1)
  let left = room
  for (const inner of Object.values(value)) {
    left = roomAfter(inner, left)
    if (left < 0) break
  }
  return left
}

function entriesOf(value: object): [string, Plain][] {
  return (Object.entries(value) as [string, Plain][]).filter(([, inner]) => inner !== undefined)
}
