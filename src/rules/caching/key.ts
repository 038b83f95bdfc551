/**
 * Cache keys (RFC 9111 section 2): method class and URI as they are sent, and what a route adds or leaves out.
 */
import { bytesOfEscapes, parameterName } from '../patterns/request-parts.ts'
import { rewrittenTarget, type Sending } from '../sending/sent.ts'
import type { KeyRules, RouteRewrite } from '../table/table.ts'
import { trimmed } from './sent.ts'
import { type RequestTarget, targetUri } from './uri.ts'
import type { SentValues } from './vary.ts'

/** What a key belongs to besides the request. */
export interface KeyScope {
  /** Id of the route. */
  readonly route: string
  /** Its name, or '' where the sides of a split share their answers. */
  readonly upstream: string
}

const SLASH = 0x2f
/** A host that may be written in another way as well: with a default port, an empty one, or user information. */
const ALIAS = /:(?:80|443)?$|@/

/** Whether a method is answered from the cache: GET and HEAD share what is stored for GET. */
export function isLookedUp(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** The part of a key that is the same for all requests of a route and upstream: worked out once, not per request. */
export function keyPrefix({ route, upstream }: KeyScope): string {
  return `${route}\n${upstream}\nGET `
}

/**
 * The key of a request for `isLookedUp` methods (and of a POST that is stored for them): all variants of a resource lie
 * under it. Line feeds separate its parts; no method, target or field value can hold one.
 */
export function cacheKey(prefix: string, request: RequestTarget, rules: KeyRules | null): string {
  const { host } = request
  const target = keyedTarget(request.target, rules)
  // Most requests: a path, and a host that is written in one way only. Nothing to take apart.
  const uri = target.charCodeAt(0) === SLASH && !ALIAS.test(host) ? host + target : fullUri({ ...request, target })
  return `${prefix}${request.scheme}://${uri}`
}

function fullUri(request: RequestTarget): string {
  const { authority, target } = targetUri(request)
  return authority + target
}

/** What a route's rules take from the request's fields: equal for two requests where all that counts is. */
export function keyParts(values: SentValues, rules: KeyRules | null): string {
  if (rules === null) return ''
  let parts = ''
  for (const name of rules.headers) {
    const lines = values(name)
    const separator = name === 'cookie' || name === 'authorization' ? '\r' : ', '
    parts += `\nh:${name}${lines.length === 0 ? '' : `=${lines.map(trimmed).join(separator)}`}`
  }
  for (const name of rules.cookies) parts += `\nc:${name}${cookiePart(values('cookie'), name)}`
  return parts
}

/**
 * All pairs of a cookie in their order, as they are sent: applications differ on which one of several counts (RFC 6265
 * section 4.2.2), and on names that are not written as names are. What some may take for the cookie counts too.
 */
function cookiePart(lines: readonly string[], name: string): string {
  const said: string[] = []
  for (const line of lines) {
    const pairs = line.split(';').map(trimmed)
    const own = pairs.filter((pair) => pair.split(',').some((part) => mayName(trimmed(part), name)))
    if (own.length > 0) said.push(own.join(';'))
  }
  return said.length === 0 ? '' : `:${said.join('\r')}`
}

const COOKIE_NAME = /^[!#$&'*+^`|~0-9A-Za-z_-]+$/

function mayName(pair: string, name: string): boolean {
  const equals = pair.indexOf('=')
  const found = trimmed(equals === -1 ? pair : pair.slice(0, equals))
  if (found === name) return true
  const [letters, wanted] = [lettersOf(found), lettersOf(name)]
  return COOKIE_NAME.test(found) ? letters === wanted : letters.startsWith(wanted)
}

/** What is left of a name where white space, escapes, brackets and case are read away. */
function lettersOf(name: string): string {
  return bytesOfEscapes(name)
    .replace(/[^A-Za-z0-9]/g, '')
    .toLowerCase()
}

/** The target that the upstream gets: with parameters that count only, and in order where the route takes any order. */
export function sentTarget(target: string, rules: KeyRules | null): string {
  if (rules === null) return target
  const keeps = rules.query?.kind === 'keep' ? rules.query.names : null
  if (keeps === null && !rules.anyQueryOrder) return target
  return withPairs(target, (pairs) => {
    const kept = keeps === null ? pairs : pairs.filter((pair) => keeps.has(parameterName(pair)))
    // The sort is stable: the order of two parameters of one name goes on to matter.
    return rules.anyQueryOrder ? sorted(kept) : kept
  })
}

/** A sent target without the parameters that do not count. */
export function keyedTarget(target: string, rules: KeyRules | null): string {
  if (rules?.query?.kind !== 'drop') return target
  const { names } = rules.query
  return withPairs(target, (pairs) =>
    pairs.filter((pair) => !names.has(parameterName(pair)) || SEVERAL_READINGS.test(pair)),
  )
}

/** What a key says of a target that a route rewrites: the whole of what is sent, but for parameters that do not count. */
export function targetPart(rewrite: RouteRewrite, keyed: string, sending: Sending): string {
  return `\nf:target=${rewrittenTarget(rewrite, keyed, sending)?.target ?? ''}`
}

/** Some applications take `;` for a separator as well, and some decode before they split. */
const SEVERAL_READINGS = /[;#?\\]|%(?:00|0a|0d|23|25|26|3b|3d|3f|5c)/i

function withPairs(target: string, change: (pairs: string[]) => string[]): string {
  const mark = target.indexOf('?')
  if (mark === -1) return target
  const pairs = change(target.slice(mark + 1).split('&'))
  const path = target.slice(0, mark)
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}

function sorted(pairs: readonly string[]): string[] {
  return pairs
    .map((pair) => ({ pair, name: parameterName(pair) }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    .map(({ pair }) => pair)
}
