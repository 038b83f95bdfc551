/**
 * What to write in the place of a value that has the wrong type or form.
 */
import type { z } from 'zod'
import {
  EXPECTED_DURATION,
  EXPECTED_SIZE,
  flawOfDuration,
  flawOfPercent,
  formatSize,
  numberMeantBy,
} from '../values/units.ts'
import { rangeAt } from './places.ts'

type Path = readonly (string | number)[]

/** Longer texts are not repeated in a hint. */
const MAX_REPEATED = 60

/** Maps of which every key may be left out. */
const OPTIONAL_MAPS = ['fallback', 'cache', 'breaker', 'ejection', 'queue', 'timeouts']

/** Maps that need a key. */
const EXAMPLES: Readonly<Record<string, string>> = {
  match: '{ path: /* }',
  health: '{ path: /health }',
  shadow: '{ percent: 5 }',
}

/** A group of statuses, as other programs write it. */
const STATUS_GROUP = /^([1-5])(?:xx|\*\*|\?\?)$/i

/**
 * The hint for a value of the wrong type.
 * @param expected the types of the schema
 * @param root the schema that `path` leads into
 */
export function typeHint(
  expected: readonly string[],
  input: unknown,
  path: Path,
  root: z.core.$ZodType,
): string | undefined {
  const key = path.findLast((part) => typeof part === 'string')
  const takes = (type: string): boolean => expected.includes(type)
  if (takes('string')) {
    if (path.includes('sticky') && typeof input === 'boolean') return 'write cookie:NAME'
    if (typeof input === 'number' || typeof input === 'boolean') return `write "${input}"`
    if (Array.isArray(input)) return listHint(input, key)
    if (path.includes('sticky')) return stickyHint(input)
  }
  if (takes('object') || takes('record')) return mapHint(input, path)
  if (takes('array') && typeof input === 'object' && input !== null && !Array.isArray(input)) {
    return key === 'routes' ? 'start each route with - id:' : `start each item with -`
  }
  if (typeof input === 'string' && input.length <= MAX_REPEATED) {
    const group = groupHint(input, path)
    if (group !== undefined) return group
    if (takes('number') || takes('int')) return numberHint(input, path, root)
    if (takes('boolean') && /^(yes|on|no|off)$/i.test(input)) return `write ${/^(yes|on)$/i.test(input)}`
    if (takes('array')) return `write [${input}]`
  }
  return undefined
}

/** `5%` or `2,5` where a number is expected: a fraction of 1 where the schema has one. */
function numberHint(input: string, path: Path, root: z.core.$ZodType): string | undefined {
  const found = numberMeantBy(input)
  if (found === null) return undefined
  const { minimum, maximum } = rangeAt(root, path) ?? { minimum: 0, maximum: 100 }
  const number = maximum === 1 && (found.isPercent || found.number > 1) ? fractionOf(found.number) : found.number
  if (number < minimum || number > maximum || flawOfPercent(number) !== null) return undefined
  return `write ${number}, not ${JSON.stringify(input)}`
}

/** The fraction of 1 that a number out of range means as a percent. */
export function fractionHint(input: unknown, maximum: unknown): string | undefined {
  return maximum === 1 && typeof input === 'number' && input > 1 && input <= 100
    ? `write ${fractionOf(input)} for ${input} %`
    : undefined
}

/** 5 -> 0.05, without the rounding errors of doubles. */
function fractionOf(percent: number): number {
  return Number((percent / 100).toPrecision(12))
}

/** The hint for a group of statuses such as `5xx`. */
export function groupHint(input: string, path: Path): string | undefined {
  const group = STATUS_GROUP.exec(input)?.[1]
  if (group === undefined) return undefined
  if (group === '2' && path.includes('status')) return 'leave it out: 200 to 299 are expected'
  return `write each status: ${group === '5' ? '500, 502, 503, 504' : `${group}00, ${group}01`}`
}

/** `cookie: sid` in the place of `cookie:sid`. */
function stickyHint(input: unknown): string | undefined {
  const [[kind, name] = [], ...more] = typeof input === 'object' && input !== null ? Object.entries(input) : []
  return more.length === 0 && typeof name === 'string' && name.length <= MAX_REPEATED
    ? `write ${kind}:${name}`
    : undefined
}

/** A list where one text is expected. */
function listHint(list: readonly unknown[], key: string | undefined): string | undefined {
  if (list.length === 1 && typeof list[0] === 'string' && list[0].length <= MAX_REPEATED) return `write ${list[0]}`
  if (key === 'to' && list.length < 10 && list.every((one) => typeof one === 'string' && /^[\w.-]+$/.test(one)))
    return `write { ${list.map((one) => `${one}: 1`).join(', ')} }`
  if (key !== 'path') return undefined
  const all = list.join(', ')
  return list.every((one) => typeof one === 'string') && all.length <= MAX_REPEATED
    ? `write paths: [${all}]`
    : 'use paths'
}

/** The hint for something else where a map is expected. */
export function mapHint(input: unknown, path: Path): string | undefined {
  const key = String(path.findLast((part) => typeof part === 'string') ?? '')
  const isEmptyMap =
    input === true || input === null || (typeof input === 'string' && /^(yes|on|default)$/i.test(input))
  if (isEmptyMap && OPTIONAL_MAPS.includes(key)) return `write ${key}: {}`
  if (input === null) {
    if (path.at(-2) === 'upstreams') return 'write { servers: [http://HOST:PORT] }'
    return Object.hasOwn(EXAMPLES, key) ? `write ${key}: ${EXAMPLES[key]}` : undefined
  }
  const isOff = input === false || input === 'no' || input === 'off'
  if (isOff) return key === 'collapse' ? 'write { wait: 0s }' : key === '' ? undefined : `leave ${key} out`
  const form = formOf(input, key, path)
  if (form !== undefined) return form
  const words = Array.isArray(input) ? input.map(pairText) : []
  if (words.length > 0 && words.every((word) => word !== null)) return `write { ${words.join(', ')} }`
  if (Array.isArray(input)) return key === 'upstreams' ? 'write NAME: { servers: [...] }' : 'write KEY: VALUE pairs'
  return undefined
}

/** What people write for a map that they need one key of, and the map. */
function formOf(input: unknown, key: string, path: Path): string | undefined {
  const list = Array.isArray(input) ? input : [input]
  if (list.length === 0 || !list.every(isShort)) return undefined
  const texts = list.map(String)
  const text = texts.join(', ')
  const time = Array.isArray(input) ? null : timeOf(input)
  const isNumber = typeof input === 'number'
  const all = (pattern: RegExp): boolean => texts.every((word) => pattern.test(word))
  switch (key) {
    case 'cache':
    case 'keepAlive':
    case 'collapse':
    case 'timeouts': {
      const name = { cache: 'ttl', keepAlive: 'idle', collapse: 'wait', timeouts: 'headers' }[key]
      return time === null ? undefined : `write { ${name}: ${time} }`
    }
    case 'queue':
      return isNumber ? `write { size: ${input} }` : time === null ? undefined : `write { timeout: ${time} }`
    case 'fallback':
      if (all(/^(?:connect|timeout|[45]\d\d)$/)) return `write { on: [${text}] }`
      if (all(/^(?:safe|idempotent|all)$/)) return `write { methods: ${text} }`
      return texts.length === 1 && typeof input === 'string' ? 'write {}: it goes to the upstream in from' : undefined
    case 'breaker': {
      const found = numberMeantBy(text)
      if (found === null || found.number === 0) return undefined
      return `write { failureRatio: ${found.isPercent || found.number > 1 ? fractionOf(found.number) : found.number} }`
    }
    case 'ejection':
      return isNumber ? `write { failures: ${input} }` : time === null ? undefined : `write { pause: ${time} }`
    case 'health':
      if (input === true) return 'write { path: /health }'
      if (time !== null) return `write { path: /health, every: ${time} }`
      return typeof input === 'string' ? pathForm(input) : undefined
    case 'shadow': {
      const found = numberMeantBy(text)
      return `write { percent: ${found === null || flawOfPercent(found.number) !== null ? 5 : found.number} }`
    }
    case 'compare':
      return all(/^(?:\/|status$|body$|charset$|header:|cookie:)/) ? `write { ignore: [${text}] }` : undefined
    case 'rewrite':
      return texts.length === 1 && text.startsWith('/') ? `write { path: ${text} }` : undefined
    case 'tls':
      if (input === true) return 'leave tls out: servers with https:// use TLS'
      return all(/\.(?:pem|crt|cer)$/) && texts.length === 1 ? `write { ca: ${text} }` : undefined
    case 'match':
      if (texts.length > 1) return all(/^[A-Z]+$/) ? `write { methods: [${text}] }` : undefined
      if (text.startsWith('/')) return `write { path: ${text} }`
      if (/^[A-Z]+$/.test(text)) return `write { methods: [${text}] }`
      return /^[\w*-]+(?:\.[\w-]+)+(?::\d+)?$/.test(text) ? `write { hosts: [${text}] }` : undefined
    case 'query':
      if (path.at(-2) === 'key') return `write { keep: [${text}] }`
      return pairsForm(texts)
    case 'headers':
    case 'cookies':
      return pairsForm(texts)
    case 'upstreams':
      return all(/^https?:\/\//) ? `write NAME: { servers: [${text}] }` : undefined
    default:
      return path.at(-2) === 'upstreams' && all(/^https?:\/\//) ? `write { servers: [${text}] }` : undefined
  }
}

function isShort(value: unknown): boolean {
  return ['boolean', 'number'].includes(typeof value) || (typeof value === 'string' && value.length <= MAX_REPEATED)
}

/** A duration, also one whose unit is missing; else null. */
function timeOf(input: unknown): string | null {
  if (typeof input === 'number') return Number.isSafeInteger(input) && input > 0 ? `${input}s` : null
  return typeof input === 'string' && flawOfDuration(input) === null ? input : null
}

/** `/health` or `http://127.0.0.1:4001/health` as the path of a probe. */
function pathForm(text: string): string | undefined {
  const path = text.startsWith('/') ? text : URL.parse(text)?.pathname
  return path === undefined ? undefined : `write { path: ${path} }`
}

/** `sid=1`, `X-Beta: 1` or a name alone as tests of values. */
function pairsForm(texts: readonly string[]): string | undefined {
  const pairs = texts.flatMap((text) => text.split(/[;&]\s*/)).map((text) => /^([\w-]+)(?:\s*[=:]\s*(.*))?$/.exec(text))
  if (!pairs.every((pair) => pair !== null)) return undefined
  const written = pairs.map(([, name, value]) => `${name}: ${value === undefined ? 'true' : JSON.stringify(value)}`)
  return `write { ${written.join(', ')} }`
}

/** `key: value` of a map with one short text or number, such as `- X-Beta: 1`; else null. */
function pairText(item: unknown): string | null {
  const entries = typeof item === 'object' && item !== null && !Array.isArray(item) ? Object.entries(item) : []
  const [key, value] = entries[0] ?? []
  const isPair = typeof value === 'number' || (typeof value === 'string' && value.length <= 40)
  return entries.length === 1 && isPair ? `${key}: ${typeof value === 'number' ? `"${value}"` : value}` : null
}

/** The hint for a number without its unit. */
export function unitHint(message: string, input: unknown): string | undefined {
  if (typeof input !== 'number' || !Number.isSafeInteger(input) || input < 0) return undefined
  if (message === EXPECTED_DURATION) return `write ${input}s or ${input}ms`
  return message === EXPECTED_SIZE ? `write ${formatSize(input)}` : undefined
}
