/**
 * Schema errors of a document, as messages for the operator.
 */

import type { z } from 'zod'
import { STICKY_FORMS } from '../patterns/sticky.ts'
import { NO_CONDITION, tableSchema } from '../table/schema.ts'
import { anyOf, didYouMean, type Finding, pointerOf } from '../values/problem.ts'
import { fractionHint, groupHint, mapHint, typeHint, unitHint } from './hints.ts'
import { misplaced } from './misplaced.ts'
import { type Meaning, meaningOf } from './unknown-keys.ts'

type Issue = z.core.$ZodIssue
type Path = readonly (string | number)[]

/** A finding, and what one of an unknown key makes of the others. */
interface SchemaFinding extends Finding {
  /** The key that was meant by an unknown one. */
  readonly meant?: () => Pick<Meaning, 'key' | 'misspelt'>
  /** Other findings at its path follow from it. */
  readonly alone?: boolean
}

/**
 * Checks a document against the schema of routes.yaml. Returns all errors, in the order of the schema; one that follows from another
 * is left out. Never throws.
 */
export function schemaFindings(document: unknown): Finding[] {
  const result = tableSchema.safeParse(document, { reportInput: true })
  if (result.success) return []
  const findings = withoutConsequences(findingsOfIssues(result.error.issues, tableSchema), document)
  const moved = misplaced(document)
  if (moved.length === 0) return findings
  const told = new Set(moved.flatMap(({ instead }) => instead.map(pointerOf)))
  const isTold = ({ path }: Finding): boolean => path.some((_, at) => told.has(pointerOf(path.slice(0, at + 1))))
  return [...findings.filter((finding) => !isTold(finding)), ...moved.map(({ finding }) => finding)]
}

/** The errors of a value that a schema does not accept, checked with `reportInput`. */
export function findingsOfIssues(issues: readonly Issue[], schema: z.core.$ZodType): Finding[] {
  return issues.flatMap((issue) => findingsOf(issue, [], schema))
}

/**
 * `{ methods: GET, POST }`: the first value stands where a list is expected, and the others are read as keys without a value.
 * @param input the map
 */
function wordsAfter(key: string, input: unknown): string[] {
  const entries = typeof input === 'object' && input !== null ? Object.entries(input) : []
  const rest = entries.slice(entries.findIndex(([name]) => name === key) + 1)
  const end = rest.findIndex(([, value]) => value !== null)
  return rest.slice(0, end === -1 ? undefined : end).map(([name]) => name)
}

/** Of a map with more unknown keys than this, the others are not asked for what they mean. */
const MAX_ASKED = 50

/** A key that is misspelt is not missing too. */
function withoutConsequences(all: readonly SchemaFinding[], document: unknown): Finding[] {
  const lone = new Set(all.filter(({ alone }) => alone).map(({ path }) => pointerOf(path)))
  const findings = lone.size === 0 ? all : all.filter(({ path, alone }) => alone || !lone.has(pointerOf(path)))
  const unknown = new Map<string, SchemaFinding[]>()
  for (const finding of findings) {
    if (finding.meant === undefined) continue
    const parent = pointerOf(finding.path.slice(0, -1))
    unknown.set(parent, [...(unknown.get(parent) ?? []), finding].slice(0, MAX_ASKED))
  }
  if (unknown.size === 0) return [...findings]
  const spread = new Map<string, Finding>()
  for (const finding of findings) {
    const key = finding.path.at(-1)
    const parent = finding.path.slice(0, -1)
    const others = unknown.get(pointerOf(parent))
    if (
      others === undefined ||
      typeof key !== 'string' ||
      !finding.message.startsWith('expected list, received string')
    )
      continue
    const map = valueAt(document, parent) as Record<string, unknown>
    const words = wordsAfter(key, map).filter((word) => others.some(({ path }) => path.at(-1) === word))
    if (words.length === 0) continue
    spread.set(pointerOf(finding.path), { ...finding, hint: `write [${[map[key], ...words].join(', ')}]` })
    for (const word of words) unknown.set(pointerOf([...parent, word]), [])
  }
  const meantKeys = new Map<string, string>()
  for (const [parent, others] of unknown) {
    for (const { path, meant } of others) {
      const { key, misspelt } = meant?.() ?? {}
      if (key === undefined) continue
      const place = pointerOf([parent, key])
      // Two keys that stand for one are one mistake.
      if (meantKeys.has(place) && misspelt !== true) unknown.set(pointerOf(path), [])
      else meantKeys.set(place, pointerOf(path))
    }
  }
  const isMeant = (path: Path): boolean => meantKeys.has(pointerOf([pointerOf(path.slice(0, -1)), path.at(-1) ?? '']))
  const kept = findings
    .filter(({ path, at }) => at !== 'key' || !unknown.has(pointerOf(path)))
    .map((finding) => spread.get(pointerOf(finding.path)) ?? finding)
    .filter(({ path, message }) => message !== NO_CONDITION || !unknown.has(pointerOf(path)))
  return kept.filter(({ at, path }) => !isMeant(path) || (at !== 'parent' && valueAt(document, path) !== null))
}

/** YAML's names for the types of the schema and of JavaScript. */
const TYPE_WORDS: Readonly<Record<string, string>> = {
  array: 'list',
  object: 'map',
  record: 'map',
  int: 'integer',
}

function valueAt(document: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], document)
}

function findingsOf(issue: Issue, parent: Path, root: z.core.$ZodType): SchemaFinding[] {
  const path = [...parent, ...(issue.path as Path)]
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(key, path, issue.message, issue.input, root))
    case 'invalid_key':
      return issue.issues
        .flatMap((inner) => findingsOf(inner, path, root))
        .map((finding) => ({ ...finding, path, at: 'key' }))
    case 'invalid_union':
      return unionFindings(issue, path, root)
    case 'invalid_type':
      // The schema has its own message where the type says too little, as for durations.
      return issue.input === undefined || issue.message.startsWith('Invalid input')
        ? [typeFinding([issue.expected], issue.input, path, root)]
        : [error(path, `${issue.message}, received ${shown(issue.input)}`, unitHint(issue.message, issue.input))]
    case 'invalid_value':
      return [valueFinding(issue.values, issue.input, path)]
    case 'too_small':
      return [error(path, rangeMessage(issue))]
    case 'too_big':
      return [error(path, rangeMessage(issue), fractionHint(issue.input, issue.maximum))]
    case 'custom':
      return [error(path, issue.message, issue.params?.hint as string | undefined)]
    default:
      return [error(path, issue.message)]
  }
}

function error(path: Path, message: string, hint?: Finding['hint'], at: Finding['at'] = 'value'): Finding {
  return { path, message, hint, severity: 'error', at }
}

function unknownKey(key: string, path: Path, knownKeys: string, map: unknown, root: z.core.$ZodType): SchemaFinding {
  const place = [...path, key]
  const known = knownKeys.split(' ')
  if (key === '<<') {
    return error(
      place,
      'merge keys are not supported',
      'write the keys out, or use an alias for the whole value',
      'key',
    )
  }
  const [, before = '', value] = /^([A-Za-z]+):(\S.*)$/s.exec(key) ?? []
  if (known.includes(before)) {
    const hint = `write ${before}: ${value}`
    return { ...error(place, `missing space after ${before}:`, hint, 'key'), meant: () => ({ key: before }) }
  }
  if (key.startsWith('//')) {
    const swallowed = () => ({ key: known.find((word) => key.includes(word)) })
    return { ...error(place, 'a comment starts with #', 'write # in place of //', 'key'), meant: swallowed }
  }
  const comma = decimalComma(key, map, path)
  if (comma !== null) return comma
  let meaning: Meaning | undefined
  const mean = (): Meaning => {
    meaning ??= meaningOf(key, { path, known, map: map as Record<string, unknown>, root })
    return meaning
  }
  return { ...error(place, 'unknown key', () => mean().hint, 'key'), meant: mean }
}

/** `{ percent: 2,5 }`: `5` is read as a key. */
function decimalComma(key: string, map: unknown, path: Path): SchemaFinding | null {
  if (!/^\d{1,9}(?:%|[A-Za-z]{1,3})?$/.test(key)) return null
  const entries = Object.entries(map as Record<string, unknown>)
  const [[name, number] = [], ...more] = entries.filter(([, value]) => Number.isSafeInteger(value))
  if (name === undefined || more.length > 0 || !entries.some(([word, value]) => word === key && value === null))
    return null
  const hint = `write ${name}: ${number}.${key.replace('%', '')}`
  return { ...error([...path, name], 'decimals are written with a point, not a comma', hint), alone: true }
}

/** The errors of the one alternative that accepts this type of value; if none does, what all of them expect. */
function unionFindings(issue: Extract<Issue, { code: 'invalid_union' }>, path: Path, root: z.core.$ZodType): Finding[] {
  const ofOtherTypes: string[] = []
  const values: z.core.util.Primitive[] = []
  for (const issues of issue.errors) {
    const first = issues[0]
    // A map such as `cookie: sid` is meant to be the text `cookie:sid`.
    if (ofOtherTypes.includes('string') && isAllUnknown(issues, issue.input) && isStickyForm(issue.input, path))
      continue
    if (first?.path.length === 0 && first.code === 'invalid_type') ofOtherTypes.push(first.expected)
    else if (first?.path.length === 0 && first.code === 'invalid_value') values.push(...first.values)
    else return issues.flatMap((inner) => findingsOf(inner, path, root))
  }
  if (values.length > 0 && typeof issue.input === 'string')
    return [valueFinding(values, issue.input, path, ofOtherTypes)]
  return [typeFinding(ofOtherTypes, issue.input, path, root, values.map(String))]
}

/** None of the keys of a map is known. */
function isAllUnknown(issues: readonly Issue[], input: unknown): boolean {
  const unknown = issues.find(({ code, path }) => code === 'unrecognized_keys' && path.length === 0)
  return unknown?.code === 'unrecognized_keys' && unknown.keys.length === Object.keys(input as object).length
}

function isStickyForm(input: unknown, path: Path): boolean {
  const [kind = ''] = Object.keys(input as object)
  return path.includes('sticky') && STICKY_FORMS.some((form) => form.startsWith(`${kind}:`))
}

/** `words` are values that are accepted besides the expected types. */
function typeFinding(
  expected: readonly string[],
  input: unknown,
  path: Path,
  root: z.core.$ZodType,
  words: readonly string[] = [],
): Finding {
  if (input === undefined) return error(path, 'missing required key', undefined, 'parent')
  if (path.length === 0 && input === null)
    return error(path, 'the table is empty', 'it needs version, upstreams and default')
  const types = new Set(expected.map((type) => TYPE_WORDS[type] ?? type))
  const received = typeof input === 'number' && !expected.includes('string') ? String(input) : typeOf(input)
  const message = `expected ${anyOf([...words, ...types])}, received ${received}`
  return error(path, message, typeHint(expected, input, path, root))
}

function typeOf(input: unknown): string {
  if (input === null) return 'nothing'
  if (Array.isArray(input)) return 'list'
  return TYPE_WORDS[typeof input] ?? typeof input
}

/** `types` are accepted besides the values. */
function valueFinding(
  values: readonly z.core.util.Primitive[],
  input: unknown,
  path: Path,
  types: readonly string[] = [],
): Finding {
  if (input === undefined) return error(path, 'missing required key', undefined, 'parent')
  const words = values.map(String)
  const message = `expected ${anyOf([...words, ...types.map((type) => TYPE_WORDS[type] ?? type)])}, received ${shown(input)}`
  if (typeof input !== 'string') return error(path, message)
  if (values.includes(Number(input))) return error(path, message, `write ${input}, not "${input}"`)
  const hint = groupHint(input, path) ?? (types.includes('object') ? mapHint(input, path) : undefined)
  return error(path, message, hint ?? (() => didYouMean(input, words)))
}

function rangeMessage(issue: Extract<Issue, { code: 'too_small' | 'too_big' }>): string {
  const bound = issue.code === 'too_small' ? issue.minimum : issue.maximum
  if (issue.origin === 'array' || issue.origin === 'string') {
    const units = issue.origin === 'array' ? 'entries' : 'characters'
    return issue.code === 'too_small' ? 'must not be empty' : `must have at most ${bound} ${units}`
  }
  return `invalid value ${shown(issue.input)}: must be at ${issue.code === 'too_small' ? 'least' : 'most'} ${bound}`
}

/** A value as written, truncated; only the type of a list or map. */
function shown(input: unknown): string {
  if (typeof input === 'object') return typeOf(input)
  const text = typeof input === 'string' ? JSON.stringify(input) : String(input)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
