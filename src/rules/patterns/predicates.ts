/**
 * The match conditions: one entry per key of `match`, with its schema, its test and its explanation.
 */
import { z } from 'zod'
import type { RequestView } from '../http/exchange.ts'
import { checked, object, TOKEN } from '../values/schema-blocks.ts'
import type { Flaw } from '../values/units.ts'
import { type Network, readNetwork } from './address.ts'
import { type HostPattern, hostTakes, parseHost } from './host.ts'
import { type PathPattern, type PathReading, parsePattern, patternTakes, readTarget } from './path.ts'
import { cookieValue, headerValue, queryValue } from './request-parts.ts'
import { parseValueTest, sayTest, sayValue, type ValueTest, valuePasses, valueTestSchema } from './value-test.ts'

/** One compiled condition. A request matches a route if it meets all of the route's conditions. */
export interface Condition {
  /** The key of `match` that it comes from. */
  readonly kind: PredicateName | 'anyOf'
  /** What it tests: `the method`, `header x-beta`. No route has two conditions on one subject. */
  readonly subject: string
  /** The name of the header (in lower case), parameter or cookie; null for what has none. */
  readonly name: string | null
  /** The test of a method, header, parameter, cookie or address; null for all that a claim has apart: path, hosts, `anyOf`. */
  readonly test: ValueTest | null
  matches(view: RequestView): boolean
  /** What is required and what the request has instead. Only for a request that does not meet the condition. */
  shortfall(view: RequestView): string
}

/** A key of `match`: the schema of its argument, and the conditions that an argument compiles to. */
interface Predicate<Argument extends z.ZodType> {
  readonly schema: Argument
  /** @param reading how the route reads paths */
  compile(argument: z.output<Argument>, reading: PathReading): Condition[]
}

function predicate<Argument extends z.ZodType>(entry: Predicate<Argument>): Predicate<Argument> {
  return entry
}

/** More would be better as routes of their own. */
const MAX_PATHS = 64
const MAX_NETWORKS = 1000
const MAX_BLOCKS = 32

const path = checked(z.string(), (text) => flawIn(parsePattern(text)))

/** The match conditions by their key in the table. */
export const PREDICATES = {
  path: predicate({
    schema: path.describe('Literal segments, :name for one segment, a final * for the rest.'),
    compile: (text, reading) => [pathCondition([parsePattern(text, reading) as PathPattern])],
  }),
  paths: predicate({
    schema: z.array(path).min(1).max(MAX_PATHS).describe('Several paths, one of which must match.'),
    compile: (texts, reading) => [pathCondition(texts.map((text) => parsePattern(text, reading) as PathPattern))],
  }),
  hosts: predicate({
    schema: z
      .array(checked(z.string(), (text) => flawIn(parseHost(text))))
      .min(1)
      .describe('Exact names or *.example.test, with a port only if it must match.'),
    compile: (texts) => [hostsCondition(texts.map((text) => parseHost(text) as HostPattern))],
  }),
  methods: predicate({
    schema: z.array(checked(z.string(), flawOfMethod)).min(1).describe('Case-sensitive; GET does not imply HEAD.'),
    compile: (methods) => [valueCondition('methods', null, { is: 'anyOf', values: methods }, (v) => v.method)],
  }),
  headers: predicate({
    schema: checked(z.record(checked(z.string(), flawOfFieldName), valueTestSchema), flawOfFieldNames).describe(
      'By header name, case-insensitive: true, false, a value, a list of values, {startsWith} or {contains}.',
    ),
    compile: (fields) =>
      compileEach('headers', lowerCaseKeys(fields), (view, name) => headerValue(view.rawHeaders, name)),
  }),
  query: predicate({
    schema: z.record(z.string(), valueTestSchema).describe('By decoded parameter name, case-sensitive.'),
    compile: (fields) => compileEach('query', fields, (view, name) => queryValue(view.target, name)),
  }),
  cookies: predicate({
    schema: z.record(checked(z.string(), flawOfToken), valueTestSchema).describe('By cookie name, case-sensitive.'),
    compile: (fields) => compileEach('cookies', fields, (view, name) => cookieValue(view.rawHeaders, name)),
  }),
  clients: predicate({
    schema: z
      .array(checked(z.string(), flawOfNetwork))
      .min(1)
      .max(MAX_NETWORKS)
      .describe("Addresses or networks, one of which must have the client's address: 10.0.0.0/8, ::1."),
    compile: (texts) => {
      const networks = texts.map((text) => readNetwork(text) as Network)
      return [valueCondition('clients', null, { is: 'within', networks }, (view) => view.clientAddress)]
    },
  }),
}

/** The keys of `match`. */
export type PredicateName = 'path' | 'paths' | 'hosts' | 'methods' | 'headers' | 'query' | 'cookies' | 'clients'

const { hosts, methods, headers, query, cookies, clients } = PREDICATES

/** One block of `anyOf`. */
const block = checked(
  object({
    hosts: hosts.schema.optional(),
    methods: methods.schema.optional(),
    headers: headers.schema.optional(),
    query: query.schema.optional(),
    cookies: cookies.schema.optional(),
    clients: clients.schema.optional(),
  }),
  (keys) => (Object.keys(keys).length > 0 ? null : { message: 'expected at least one condition' }),
).meta({ id: 'MatchBlock' })

/** The schema of `anyOf`: blocks of conditions, one of which must be met. */
export const anyOfSchema = z
  .array(block)
  .min(1)
  .max(MAX_BLOCKS)
  .describe('Blocks of conditions (all but path, paths and anyOf), one of which must be met.')

/** A block of `anyOf`. */
export type MatchBlock = z.output<typeof block>

/** `anyOf` as one condition, made of the conditions of its blocks. */
export function anyOfCondition(blocks: readonly (readonly Condition[])[]): Condition {
  const meets = (view: RequestView, conditions: readonly Condition[]): boolean =>
    conditions.every((condition) => condition.matches(view))
  return {
    kind: 'anyOf',
    subject: 'anyOf',
    name: null,
    test: null,
    matches: (view) => blocks.some((conditions) => meets(view, conditions)),
    shortfall: (view) => {
      const all = blocks.map((conditions) =>
        conditions
          .filter((condition) => !condition.matches(view))
          .map((condition) => condition.shortfall(view))
          .join(', '),
      )
      return `no block of anyOf is met: ${all.map((one, at) => `(${at + 1}) ${one}`).join('; ')}`
    },
  }
}

/** @param patterns one of which must match; all read paths in one way */
function pathCondition(patterns: readonly PathPattern[]): Condition {
  const { reading } = patterns[0] as PathPattern
  return {
    kind: patterns.length === 1 ? 'path' : 'paths',
    subject: 'the path',
    name: null,
    test: null,
    matches: (view) => {
      const { segments } = readTarget(view.target, reading)
      return segments !== null && patterns.some((pattern) => patternTakes(pattern, segments))
    },
    shortfall: (view) => `the path ${pathOf(view.target)} is not ${patterns.map(({ text }) => text).join(' or ')}`,
  }
}

function hostsCondition(patterns: readonly HostPattern[]): Condition {
  return {
    kind: 'hosts',
    subject: 'the host',
    name: null,
    test: null,
    matches: (view) => {
      const host = hostOf(view)
      return patterns.some((pattern) => hostTakes(pattern, host))
    },
    shortfall: (view) => {
      const wanted = patterns.map((pattern) => pattern.text).join(' or ')
      const host = hostOf(view)
      return host === '' ? `the request has no host, must be ${wanted}` : `the host ${host} is not ${wanted}`
    },
  }
}

/** The host of a request, in lower case with its port: from the target if it has one, else from the Host header. */
export function hostOf(view: RequestView): string {
  return readTarget(view.target).authority ?? view.host
}

function pathOf(target: string): string {
  return (target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').split('?', 1)[0] as string) || '/'
}

function compileEach(
  kind: TestedName,
  fields: Readonly<Record<string, z.output<typeof valueTestSchema>>>,
  read: (view: RequestView, name: string) => string | undefined,
): Condition[] {
  return Object.entries(fields).map(([name, argument]) =>
    valueCondition(kind, name, parseValueTest(argument), (view) => read(view, name)),
  )
}

/** The keys of `match` whose conditions test one value, and what that value is called. */
const NOUNS = {
  methods: 'the method',
  clients: 'the client',
  headers: 'header',
  query: 'query parameter',
  cookies: 'cookie',
} as const

type TestedName = keyof typeof NOUNS

function valueCondition(
  kind: TestedName,
  name: string | null,
  test: ValueTest,
  read: (view: RequestView) => string | undefined,
): Condition {
  const subject = name === null ? NOUNS[kind] : `${NOUNS[kind]} ${name}`
  return {
    kind,
    subject,
    name,
    test,
    matches: (view) => valuePasses(test, read(view)),
    shortfall: (view) => `${subject} is ${sayValue(read(view))}, must be ${sayTest(test)}`,
  }
}

function lowerCaseKeys<Value>(fields: Readonly<Record<string, Value>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]))
}

function flawIn(parsed: object): Flaw | null {
  return 'message' in parsed ? (parsed as Flaw) : null
}

const USUAL_METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']

function flawOfMethod(text: string): Flaw | null {
  if (!TOKEN.test(text)) return { message: `invalid method ${JSON.stringify(text)}` }
  if (text === 'CONNECT') return { message: 'CONNECT never matches: its target has no path' }
  if (/^(?:\*|any|all)$/i.test(text)) return { message: `${text} is no method`, hint: 'leave methods out to match all' }
  const usual = text.toUpperCase()
  if (text === usual || !USUAL_METHODS.includes(usual)) return null
  return { message: `unknown method ${text}: methods are case-sensitive`, hint: `write ${usual}` }
}

function flawOfNetwork(text: string): Flaw | null {
  if (readNetwork(text) !== null) return null
  const message = `invalid address or network ${JSON.stringify(text.slice(0, 60))}: expected 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32`
  const [, octets = ''] = /^((?:\d{1,3}\.){1,3})(?:\*(?:\.\*)*)?$/.exec(text) ?? []
  if (octets === '') return { message }
  const parts = octets.split('.').filter((part) => part !== '')
  const network = `${[...parts, '0', '0', '0'].slice(0, 4).join('.')}/${parts.length * 8}`
  return readNetwork(network) === null ? { message } : { message, hint: `write ${network}` }
}

function flawOfToken(text: string): Flaw | null {
  return TOKEN.test(text)
    ? null
    : { message: `invalid name ${JSON.stringify(text)}: must be a token (RFC 9110 section 5.6.2)` }
}

function flawOfFieldName(text: string): Flaw | null {
  if (text.toLowerCase() === 'host') return { message: 'Host cannot be matched as a header', hint: 'use match.hosts' }
  return flawOfToken(text)
}

function flawOfFieldNames(fields: Readonly<Record<string, unknown>>): Flaw | null {
  const seen = new Set<string>()
  for (const name of Object.keys(fields)) {
    if (seen.has(name.toLowerCase())) return { message: `duplicate header ${name}: header names are case-insensitive` }
    seen.add(name.toLowerCase())
  }
  return null
}
