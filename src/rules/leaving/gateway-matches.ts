/**
 * Claims as matches of an HTTPRoute, and which of two such matches the Gateway API prefers.
 */
import { hostTakes } from '../patterns/host.ts'
import type { PathPattern } from '../patterns/path.ts'
import type { Condition } from '../patterns/predicates.ts'
import { canBothPass, type ValueTest } from '../patterns/value-test.ts'
import { isReadExactly, type ListedClaim, mayBothMatch } from './claims.ts'
import { literal, pathExpression } from './patterns.ts'

type ValueMatch = { readonly type: 'Exact' | 'RegularExpression'; readonly name: string; readonly value: string }

/** One match of a rule. */
export interface RouteMatch {
  readonly path: { readonly type: 'Exact' | 'PathPrefix' | 'RegularExpression'; readonly value: string }
  readonly method?: string
  readonly headers?: readonly ValueMatch[]
  readonly queryParams?: readonly ValueMatch[]
}

/** Those that the API has. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH'])

const LIMITS = { path: 1024, header: 4096, query: 1024, conditions: 16 } as const

/** The matches of a claim, one for each of its methods; or what of it can't be said. */
export function matchesOf({ path, conditions }: ListedClaim): readonly RouteMatch[] | { readonly unsaid: string } {
  const own = pathMatch(path)
  if (own.value.length > LIMITS.path) return { unsaid: 'the path is too long' }
  const headers: ValueMatch[] = []
  const queryParams: ValueMatch[] = []
  let methods: readonly (string | undefined)[] = [undefined]
  for (const condition of conditions) {
    const { kind, subject, name, test } = condition
    if (kind === 'methods') {
      methods = test?.is === 'anyOf' ? test.values : []
      const unknown = methods.find((method) => method !== undefined && !METHODS.has(method))
      if (unknown !== undefined) return { unsaid: `the method ${unknown}` }
      continue
    }
    const match = test === null || test.is === 'absent' || test.is === 'within' ? null : valueMatch(name ?? '', test)
    const limit = kind === 'query' ? LIMITS.query : LIMITS.header
    if (match === null || kind === 'cookies' || kind === 'clients' || match.value === '' || match.value.length > limit)
      return { unsaid: `the condition on ${subject}` }
    if (kind === 'query' && !TOKEN.test(match.name)) return { unsaid: `the condition on ${subject}` }
    ;(kind === 'query' ? queryParams : headers).push(match)
  }
  if (headers.length > LIMITS.conditions || queryParams.length > LIMITS.conditions)
    return { unsaid: 'so many conditions' }
  return methods.map((method) => ({
    path: own,
    ...(method === undefined ? {} : { method }),
    ...(headers.length === 0 ? {} : { headers }),
    ...(queryParams.length === 0 ? {} : { queryParams }),
  }))
}

const TOKEN = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}$/

function valueMatch(name: string, test: ValueTest): ValueMatch {
  const expression = (value: string): ValueMatch => ({ type: 'RegularExpression', name, value })
  switch (test.is) {
    case 'anyOf': {
      const [only, ...others] = test.values
      if (others.length === 0 && only !== '') return { type: 'Exact', name, value: only as string }
      return expression(`^(?:${test.values.map(literal).join('|')})$`)
    }
    case 'startsWith':
      return expression(`^${literal(test.text)}.*$`)
    case 'contains':
      return expression(`^.*${literal(test.text)}.*$`)
    default:
      return expression('^.*$')
  }
}

/** A path with nothing but literals is one path or a prefix, any other an expression. Paths are compared as they are sent. */
export function pathMatch(path: PathPattern): RouteMatch['path'] {
  const { segments, rest, reading } = path
  if (segments.includes(null) || reading.ignoresParameters || reading.ignoresCase) {
    const sent = { ...path, segments: segments.map((text) => (text === null ? null : encoded(text))) }
    const expression = pathExpression(sent).replace(/\\z\)?$/, (end) => (end.endsWith(')') ? '$)' : '$'))
    return { type: 'RegularExpression', value: rest && expression.endsWith('/') ? `${expression}.*$` : expression }
  }
  const value = `/${segments.map((text) => encoded(text as string)).join('/')}`
  return { type: rest ? 'PathPrefix' : 'Exact', value }
}

/** As browsers and the pattern of the API write it. */
function encoded(segment: string): string {
  return encodeURIComponent(segment).replace(/%(24|26|2B|2C|3B|3D|3A|40)/g, (one) => decodeURIComponent(one))
}

/** Whether the prefix is also the path without its final slash, which the route does not have. */
export function takesBarePrefix({ path }: ListedClaim): boolean {
  return pathMatch(path).type === 'PathPrefix' && path.segments.length > 0 && !path.reading.ignoresFinalSlash
}

/**
 * Whether the Gateway API asks the first claim before the second, as the table does, for every request that both match: exact paths
 * before prefixes, longer prefixes first, then a method, the number of headers, of parameters. It says nothing of expressions.
 */
export function isPreferred(first: ListedClaim, second: ListedClaim): boolean {
  const byHost = hostRank(first) - hostRank(second)
  if (byHost !== 0) return byHost > 0
  const [one, other] = [pathMatch(first.path), pathMatch(second.path)]
  if (one.type !== other.type || one.value !== other.value) {
    if (one.type === 'Exact') return other.type !== 'Exact'
    return one.type === 'PathPrefix' && other.type === 'PathPrefix' && one.value.length > other.value.length
  }
  for (const kind of ['methods', 'headers', 'query'] as const) {
    const difference = countOf(first, kind) - countOf(second, kind)
    if (difference !== 0) return difference > 0
  }
  return false
}

function hostRank({ hosts: [host] }: ListedClaim): number {
  return host === undefined ? 0 : (host.wildcard ? 0 : 1000) + host.name.length
}

function countOf({ conditions }: ListedClaim, kind: Condition['kind']): number {
  return conditions.filter((condition) => condition.kind === kind).length
}

/** Whether one request may match both. */
export function mayMeet(a: ListedClaim, b: ListedClaim): boolean {
  if (!mayBothMatch(a.path, b.path)) return false
  if (
    a.hosts.length > 0 &&
    b.hosts.length > 0 &&
    !a.hosts.some((one) => b.hosts.some((other) => hostsMeet(one, other)))
  )
    return false
  return a.conditions.every(({ subject, test }) => {
    const rival = b.conditions.find((condition) => condition.subject === subject)
    return rival === undefined || test === null || rival.test === null || canBothPass(test, rival.test)
  })
}

type Host = ListedClaim['hosts'][number]

function hostsMeet(a: Host, b: Host): boolean {
  if (a.port !== '' && b.port !== '' && a.port !== b.port) return false
  const bare = (host: Host): Host => ({ ...host, port: '' })
  if (!a.wildcard) return hostTakes(bare(b), a.name)
  return b.wildcard ? a.name.endsWith(b.name) || b.name.endsWith(a.name) : hostTakes(bare(a), b.name)
}

/** Whether what is ignored of paths can be said. */
export function isReadAsSaid({ path }: ListedClaim): boolean {
  return isReadExactly(path) || (path.rest && !path.reading.ignoresCase && !path.reading.ignoresParameters)
}
