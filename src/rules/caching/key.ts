/**
 * Cache keys (RFC 9111 section 2): method class, scheme, host, path and query as received, and what a route adds or leaves out.
 */

import { fieldValues } from '../http/exchange.ts'
import { cookieValue } from '../patterns/request-parts.ts'
import type { KeyRules } from '../table/table.ts'
import { type RequestTarget, targetUri } from './uri.ts'

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
  const { host, target } = request
  // Most requests: a path, and a host that is written in one way only. Nothing to take apart.
  const uri = target.charCodeAt(0) === SLASH && !ALIAS.test(host) ? host + target : fullUri(request)
  const key = `${prefix}${request.scheme}://${uri}`
  return rules === null || (rules.query === null && !rules.anyQueryOrder) ? key : withQuery(key, rules)
}

function fullUri(request: RequestTarget): string {
  const { authority, target } = targetUri(request)
  return authority + target
}

/** Whether request fields or cookies count: then what is stored under a key are variants, always. */
export function hasKeyParts(rules: KeyRules | null): rules is KeyRules {
  return rules !== null && (rules.headers.length > 0 || rules.cookies.length > 0)
}

/** What a route's rules take from the request's fields: equal for two requests where all that counts is. */
export function keyParts(rawHeaders: readonly string[], rules: KeyRules): string {
  let parts = ''
  for (const name of rules.headers) {
    const lines = fieldValues(rawHeaders, name)
    parts += `\nh:${name}${lines.length === 0 ? '' : `=${lines.map((line) => line.trim()).join(', ')}`}`
  }
  for (const name of rules.cookies) {
    const value = cookieValue(rawHeaders, name)
    parts += `\nc:${name}${value === undefined ? '' : `=${value}`}`
  }
  return parts
}

function withQuery(key: string, rules: KeyRules): string {
  const mark = key.indexOf('?')
  if (mark === -1) return key
  let pairs = key
    .slice(mark + 1)
    .split('&')
    .map((pair) => ({ pair, name: nameOf(pair) }))
  const { query } = rules
  if (query !== null) pairs = pairs.filter(({ name }) => query.names.has(name) === (query.kind === 'keep'))
  // The sort is stable: the order of two parameters of one name goes on to matter.
  if (rules.anyQueryOrder) pairs.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  const path = key.slice(0, mark)
  return pairs.length === 0 ? path : `${path}?${pairs.map(({ pair }) => pair).join('&')}`
}

/** The decoded name: an escaped letter in a name must not smuggle a parameter past the key that the application will see. */
function nameOf(pair: string): string {
  const equals = pair.indexOf('=')
  const name = (equals === -1 ? pair : pair.slice(0, equals)).replaceAll('+', ' ')
  if (!name.includes('%')) return name
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
