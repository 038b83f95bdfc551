/**
 * Cache keys (RFC 9111 section 2): method class, scheme, host, path and query as received, and what a route adds or leaves out.
 */
import type { CacheRequest } from './cache-meta.ts'
import { targetUri } from './cache-uri.ts'
import { fieldValues } from './exchange.ts'
import { cookieValue } from './request-parts.ts'

/** How a route's keys differ from the URI. */
export interface KeyRules {
  /** Query parameters that count: all (null), all but some, or only some. Names are decoded. */
  readonly query: { readonly kind: 'keep' | 'drop'; readonly names: ReadonlySet<string> } | null
  /** Parameters of different names may stand in any order. Default false. */
  readonly anyQueryOrder: boolean
  /** Request fields that count, lower case. */
  readonly headers: readonly string[]
  /** Cookies that count. */
  readonly cookies: readonly string[]
}

/** What a key belongs to besides the request. The upstream is '' where the sides of a split share their answers. */
export interface KeyScope {
  readonly upstream: string
  /** Of the route and upstream: another number is another key for everything. */
  readonly generation: number
  /** Id of the route, or '' for none. */
  readonly route: string
}

const SLASH = 0x2f
/** A host that may be written in another way as well: with a default port, an empty one, or user information. */
const ALIAS = /:(?:80|443)?$|@/

/** Whether a method is answered from the cache: GET and HEAD share what is stored for GET. */
export function isLookedUp(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

/** The part of a key that is the same for all requests of a route and upstream: worked out once, not per request. */
export function keyPrefix({ upstream, generation, route }: KeyScope): string {
  return `${route}\n${upstream}\n${generation}\nGET `
}

/**
 * The key of a request for `isLookedUp` methods (and of a POST that is stored for them). Line feeds separate its parts; no
 * method, target or field value can hold one.
 */
export function cacheKey(prefix: string, request: CacheRequest, rules: KeyRules | null): string {
  const { host, target } = request
  // Most requests: a path, and a host that is written in one way only. Nothing to take apart.
  const uri = target.charCodeAt(0) === SLASH && !ALIAS.test(host) ? host + target : fullUri(request)
  const key = `${prefix}${request.scheme}://${uri}`
  return rules === null ? key : applyRules(key, request.rawHeaders, rules)
}

function fullUri(request: CacheRequest): string {
  const { authority, target } = targetUri(request)
  return authority + target
}

function applyRules(key: string, rawHeaders: readonly string[], rules: KeyRules): string {
  let extended = rules.query === null && !rules.anyQueryOrder ? key : withQuery(key, rules)
  for (const name of rules.headers) {
    const lines = fieldValues(rawHeaders, name)
    extended += `\nh:${name}${lines.length === 0 ? '' : `=${lines.map((line) => line.trim()).join(', ')}`}`
  }
  for (const name of rules.cookies) {
    const value = cookieValue(rawHeaders, name)
    extended += `\nc:${name}${value === undefined ? '' : `=${value}`}`
  }
  return extended
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
