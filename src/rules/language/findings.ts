/**
 * Schema errors of a document, as messages for the operator.
 */
import type { z } from 'zod'
import { NO_CONDITION, tableSchema } from '../table/schema.ts'
import { anyOf, didYouMean, type Finding, nearestWord, pointerOf } from '../values/problem.ts'
import { EXPECTED_DURATION, EXPECTED_SIZE, flawOfDuration, formatSize, percentMeantBy } from '../values/units.ts'

type Issue = z.core.$ZodIssue
type Path = readonly (string | number)[]

/** A finding, and what one of an unknown key makes of the others. */
interface SchemaFinding extends Finding {
  /** The key that was meant by an unknown one. */
  readonly meant?: () => string | undefined
}

/**
 * Checks a document against the schema of routes.yaml. Returns all errors, in the order of the schema; one that follows from another
 * is left out. Never throws.
 */
export function schemaFindings(document: unknown): Finding[] {
  const result = tableSchema.safeParse(document, { reportInput: true })
  return result.success ? [] : withoutConsequences(findingsOfIssues(result.error.issues), document)
}

/** The errors of a value that a schema does not accept, checked with `reportInput`. */
export function findingsOfIssues(issues: readonly Issue[]): Finding[] {
  return issues.flatMap((issue) => findingsOf(issue, []))
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
function withoutConsequences(findings: readonly SchemaFinding[], document: unknown): Finding[] {
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
  const kept = findings
    .filter(({ path, at }) => at !== 'key' || !unknown.has(pointerOf(path)))
    .map((finding) => spread.get(pointerOf(finding.path)) ?? finding)
    .filter(({ path, message }) => message !== NO_CONDITION || !unknown.has(pointerOf(path)))
  return kept.filter(
    ({ at, path }) =>
      at !== 'parent' || !unknown.get(pointerOf(path.slice(0, -1)))?.some(({ meant }) => meant?.() === path.at(-1)),
  )
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

function findingsOf(issue: Issue, parent: Path): SchemaFinding[] {
  const path = [...parent, ...(issue.path as Path)]
  switch (issue.code) {
    case 'unrecognized_keys':
      return keysToTell(issue).map((key) => unknownKey(key, path, issue.message, issue.input))
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
        : [error(path, `${issue.message}, received ${shown(issue.input)}`, unitHint(issue.message, issue.input))]
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

/** Keys that other proxies have for what banyan calls otherwise. */
const SYNONYMS: Readonly<Record<string, string>> = {
  address: 'url',
  backend: 'to',
  backends: 'upstreams',
  cluster: 'to',
  clusters: 'upstreams',
  endpoints: 'servers',
  fallbackOn: 'on',
  host: 'url',
  maxSize: 'maxBody',
  name: 'id',
  params: 'query',
  prefix: 'path',
  proxy_pass: 'to',
  retryOn: 'on',
  service: 'to',
  statuses: 'status',
  targets: 'servers',
  uri: 'path',
  upstream: 'to',
  verbs: 'methods',
  weight: 'percent',
}

/** Of `{ host: 10.0.0.5, port: 80 }` in the place of a URL, one key is told. */
function keysToTell({ keys, message }: Extract<Issue, { code: 'unrecognized_keys' }>): readonly string[] {
  const isServer = message.split(' ').includes('url') && keys.some((key) => SYNONYMS[key] === 'url')
  return isServer ? keys.filter((key) => key !== 'port') : keys
}

function unknownKey(key: string, path: Path, knownKeys: string, map: unknown): SchemaFinding {
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
    return { ...error(place, `missing space after ${before}:`, hint, 'key'), meant: () => before }
  }
  if (key.startsWith('//')) {
    const swallowed = (): string | undefined => known.find((word) => key.includes(word))
    return { ...error(place, 'a comment starts with #', 'write # in place of //', 'key'), meant: swallowed }
  }
  const isPresent = (word: string): boolean => typeof map === 'object' && map !== null && Object.hasOwn(map, word)
  const meant = (): string | undefined => {
    const synonym = Object.hasOwn(SYNONYMS, key) ? SYNONYMS[key] : undefined
    if (synonym !== undefined && known.includes(synonym) && !isPresent(synonym)) return synonym
    return nearestWord(key, known)
  }
  const hint = (): string | undefined => {
    const word = meant()
    if (word === 'url' && isPresent('port')) {
      const { port, ...rest } = map as Record<string, unknown>
      return `write url: http://${rest[key]}:${port}`
    }
    return word === undefined ? undefined : `did you mean \`${word}\`?`
  }
  return { ...error(place, 'unknown key', hint, 'key'), meant }
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
  if (values.length > 0 && typeof issue.input === 'string')
    return [valueFinding(values, issue.input, path, ofOtherTypes)]
  return [typeFinding(ofOtherTypes, issue.input, path, values.map(String))]
}

/** `words` are values that are accepted besides the expected types. */
function typeFinding(expected: readonly string[], input: unknown, path: Path, words: readonly string[] = []): Finding {
  if (input === undefined) return error(path, 'missing required key', undefined, 'parent')
  if (path.length === 0 && input === null)
    return error(path, 'the table is empty', 'it needs version, upstreams and default')
  const types = new Set(expected.map((type) => TYPE_WORDS[type] ?? type))
  const received = typeof input === 'number' && !expected.includes('string') ? String(input) : typeOf(input)
  const message = `expected ${anyOf([...words, ...types])}, received ${received}`
  return error(path, message, typeHint(expected, input, path))
}

function typeOf(input: unknown): string {
  if (input === null) return 'nothing'
  if (Array.isArray(input)) return 'list'
  return TYPE_WORDS[typeof input] ?? typeof input
}

/** Maps of which every key may be left out. */
const OPTIONAL_MAPS = ['fallback', 'cache', 'breaker', 'ejection', 'queue', 'timeouts']

/** A group of statuses, as other programs write it. */
const STATUS_GROUP = /^([1-5])(?:xx|\*\*|\?\?)$/i

function typeHint(expected: readonly string[], input: unknown, path: Path): string | undefined {
  const key = path.findLast((part) => typeof part === 'string')
  const takes = (type: string): boolean => expected.includes(type)
  if (takes('string')) {
    if (path.includes('sticky') && typeof input === 'boolean') return 'write cookie:NAME'
    if (typeof input === 'number' || typeof input === 'boolean') return `write "${input}"`
    if (Array.isArray(input)) return listHint(input, key)
    if (path.includes('sticky')) return stickyHint(input)
  }
  if (takes('object') || takes('record')) return mapHint(input, key)
  if (takes('array') && typeof input === 'object' && input !== null && !Array.isArray(input)) {
    return key === 'routes' ? 'start each route with - id:' : `start each item with -`
  }
  if (typeof input === 'string' && input.length <= 60) {
    const group = groupHint(input, path)
    if (group !== undefined) return group
    if (takes('number') || takes('int')) {
      const meant = percentMeantBy(input)
      return meant === null ? undefined : `write ${meant}, not ${JSON.stringify(input)}`
    }
    if (takes('boolean') && /^(yes|on|no|off)$/i.test(input)) return `write ${/^(yes|on)$/i.test(input)}`
    if (takes('array')) return `write [${input}]`
  }
  return undefined
}

function groupHint(input: string, path: Path): string | undefined {
  const group = STATUS_GROUP.exec(input)?.[1]
  if (group === undefined) return undefined
  if (group === '2' && path.includes('status')) return 'leave it out: 200 to 299 are expected'
  return `write each status: ${group === '5' ? '500, 502, 503, 504' : `${group}00, ${group}01`}`
}

/** `cookie: sid` in the place of `cookie:sid`. */
function stickyHint(input: unknown): string | undefined {
  const [[kind, name] = [], ...more] = typeof input === 'object' && input !== null ? Object.entries(input) : []
  return more.length === 0 && typeof name === 'string' && name.length <= 60 ? `write ${kind}:${name}` : undefined
}

/** A list where one text is expected. */
function listHint(list: readonly unknown[], key: string | undefined): string | undefined {
  if (list.length === 1 && typeof list[0] === 'string' && list[0].length <= 60) return `write ${list[0]}`
  return key === 'path' ? 'write one route for each path' : undefined
}

/** Something else where a map is expected. */
function mapHint(input: unknown, key: string | undefined): string | undefined {
  const isEmptyMap =
    input === true || input === null || (typeof input === 'string' && /^(yes|on|default)$/i.test(input))
  if (isEmptyMap && OPTIONAL_MAPS.includes(key ?? '')) return `write ${key}: {}`
  if ((input === false || input === 'no' || input === 'off') && key !== undefined) return `leave ${key} out`
  const words = Array.isArray(input) ? input.map(pairText) : []
  if (words.length > 0 && words.every((word) => word !== null)) return `write { ${words.join(', ')} }`
  if (Array.isArray(input))
    return key === 'upstreams' ? 'write NAME: { servers: [...] }' : 'write KEY: VALUE, without -'
  if (typeof input !== 'string' || input.length > 60) return undefined
  if (key === 'timeouts' && flawOfDuration(input) === null) return `write { headers: ${input} }`
  if (key === 'match' && input.startsWith('/')) return `write { path: ${input} }`
  return /^https?:\/\//.test(input) ? `write { servers: [${input}] }` : undefined
}

/** `key: value` of a map with one short text or number, such as `- X-Beta: 1`; else null. */
function pairText(item: unknown): string | null {
  const entries = typeof item === 'object' && item !== null && !Array.isArray(item) ? Object.entries(item) : []
  const [key, value] = entries[0] ?? []
  const isShort = typeof value === 'number' || (typeof value === 'string' && value.length <= 40)
  return entries.length === 1 && isShort ? `${key}: ${typeof value === 'number' ? `"${value}"` : value}` : null
}

/** A number without its unit. */
function unitHint(message: string, input: unknown): string | undefined {
  if (typeof input !== 'number' || !Number.isSafeInteger(input) || input < 0) return undefined
  if (message === EXPECTED_DURATION) return `write ${input}s or ${input}ms`
  return message === EXPECTED_SIZE ? `write ${formatSize(input)}` : undefined
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
  const hint = groupHint(input, path) ?? (types.includes('object') ? mapHint(input, String(path.at(-1))) : undefined)
  return error(path, message, hint ?? (() => didYouMean(input, words)))
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
