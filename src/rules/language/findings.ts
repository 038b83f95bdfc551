/**
 * Schema errors of a document, as messages for the operator.
 */
import type { z } from 'zod'
import { tableSchema } from '../table/schema.ts'
import { anyOf, didYouMean, type Finding } from '../values/problem.ts'
import { percentMeantBy } from '../values/units.ts'

type Issue = z.core.$ZodIssue
type Path = readonly (string | number)[]

/** Checks a document against the schema of routes.yaml. Returns all errors, in the order of the schema. Never throws. */
export function schemaFindings(document: unknown): Finding[] {
  const result = tableSchema.safeParse(document, { reportInput: true })
  return result.success ? [] : result.error.issues.flatMap((issue) => findingsOf(issue, []))
}

/** YAML's names for the types of the schema and of JavaScript. */
const TYPE_WORDS: Readonly<Record<string, string>> = {
  array: 'list',
  object: 'map',
  record: 'map',
  int: 'integer',
}

function findingsOf(issue: Issue, parent: Path): Finding[] {
  const path = [...parent, ...(issue.path as Path)]
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(key, path, issue.message))
    case 'invalid_key':
      return issue.issues
        .flatMap((inner) => findingsOf(inner, path))
        .map((finding) => ({ ...finding, path, at: 'key' }))
    case 'invalid_union':
      return unionFindings(issue, path)
    case 'invalid_type':
      // The schema has its own message where the type says too little, as for durations.
      return issue.input === undefined || issue.message.startsWith('Invalid input')
        ? [typeFinding([issue.expected], issue.input, path)]
        : [error(path, `${issue.message}, received ${shown(issue.input)}`)]
    case 'invalid_value':
      return [valueFinding(issue.values, issue.input, path)]
    case 'too_small':
    case 'too_big':
      return [error(path, rangeMessage(issue))]
    case 'custom':
      return [error(path, issue.message, issue.params?.hint as string | undefined)]
    default:
      return [error(path, issue.message)]
  }
}

function error(path: Path, message: string, hint?: Finding['hint'], at: Finding['at'] = 'value'): Finding {
  return { path, message, hint, severity: 'error', at }
}

function unknownKey(key: string, path: Path, knownKeys: string): Finding {
  return error([...path, key], 'unknown key', () => didYouMean(key, knownKeys.split(' ')), 'key')
}

/** The errors of the one alternative that accepts this type of value; if none does, what all of them expect. */
function unionFindings(issue: Extract<Issue, { code: 'invalid_union' }>, path: Path): Finding[] {
  const ofOtherTypes: string[] = []
  const values: z.core.util.Primitive[] = []
  for (const issues of issue.errors) {
    const first = issues[0]
    if (first?.path.length === 0 && first.code === 'invalid_type') ofOtherTypes.push(first.expected)
    else if (first?.path.length === 0 && first.code === 'invalid_value') values.push(...first.values)
    else return issues.flatMap((inner) => findingsOf(inner, path))
  }
  if (values.length > 0 && typeof issue.input === 'string') return [valueFinding(values, issue.input, path)]
  return [typeFinding(ofOtherTypes, issue.input, path, values.map(String))]
}

/** `words` are values that are accepted besides the expected types. */
function typeFinding(expected: readonly string[], input: unknown, path: Path, words: readonly string[] = []): Finding {
  if (input === undefined) return error(path, 'missing required key', undefined, 'parent')
  const types = new Set(expected.map((type) => TYPE_WORDS[type] ?? type))
  const received = typeof input === 'number' && !expected.includes('string') ? String(input) : typeOf(input)
  const message = `expected ${anyOf([...words, ...types])}, received ${received}`
  return error(path, message, typeHint(expected, input))
}

function typeOf(input: unknown): string {
  if (input === null) return 'null'
  if (Array.isArray(input)) return 'list'
  return TYPE_WORDS[typeof input] ?? typeof input
}

function typeHint(expected: readonly string[], input: unknown): string | undefined {
  if (expected.includes('string') && (typeof input === 'number' || typeof input === 'boolean'))
    return `write "${input}"`
  if (typeof input === 'string' && input.length <= 60) {
    if (expected.includes('number') || expected.includes('int')) {
      const meant = percentMeantBy(input)
      return meant === null ? undefined : `write ${meant}, not ${JSON.stringify(input)}`
    }
    if (expected.includes('boolean') && /^(yes|on|no|off)$/i.test(input)) {
      return `write ${/^(yes|on)$/i.test(input)}`
    }
    if (expected.includes('array')) return `write [${input}]`
  }
  return undefined
}

function valueFinding(values: readonly z.core.util.Primitive[], input: unknown, path: Path): Finding {
  if (input === undefined) return error(path, 'missing required key', undefined, 'parent')
  const words = values.map(String)
  const message = `expected ${anyOf(words)}, received ${shown(input)}`
  if (typeof input !== 'string') return error(path, message)
  if (values.includes(Number(input))) return error(path, message, `write ${input}, not "${input}"`)
  return error(path, message, () => didYouMean(input, words))
}

function rangeMessage(issue: Extract<Issue, { code: 'too_small' | 'too_big' }>): string {
  const bound = issue.code === 'too_small' ? issue.minimum : issue.maximum
  if (issue.origin === 'array') return 'must not be empty'
  if (issue.origin === 'string') return 'must not be empty'
  return `invalid value ${shown(issue.input)}: must be at ${issue.code === 'too_small' ? 'least' : 'most'} ${bound}`
}

/** A value as written, truncated; only the type of a list or map. */
function shown(input: unknown): string {
  if (typeof input === 'object') return typeOf(input)
  const text = typeof input === 'string' ? JSON.stringify(input) : String(input)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
