/**
 * Parses request targets and Host values (RFC 9112 section 3.2, RFC 3986 section 3.2.2).
 */

/** A target in absolute form (RFC 9112 section 3.2.2), in its parts. */
export interface AbsoluteTarget {
  readonly scheme: 'http' | 'https'
  readonly authority: string
  /** The same target as an origin server must get it (RFC 9112 section 3.2.1): path and query, their bytes as received. */
  readonly origin: string
}

const ABSOLUTE = /^(https?):\/\/([^/?#]*)([/?].*)?$/is

/**
 * Reads a target in absolute form; null where the target has another form, or can't be an http one.
 * User information is no part of an http authority (RFC 9110 section 4.2.4): such a target gives null too.
 * @param method OPTIONS without a path and query is for the whole server: `*` (RFC 9112 section 3.2.4)
 */
export function readAbsolute(target: string, method: string): AbsoluteTarget | null {
  const [, scheme, authority = '', rest = ''] = ABSOLUTE.exec(target) ?? []
  if (scheme === undefined || !isHost(authority)) return null
  const origin = rest.startsWith('/') ? rest : rest === '' && method === 'OPTIONS' ? '*' : `/${rest}`
  return { scheme: scheme.toLowerCase() as 'http' | 'https', authority, origin }
}

/** Whether an absolute target and Host name one authority: case and the scheme's default port do not count. */
export function isSameAuthority({ scheme, authority }: AbsoluteTarget, host: string): boolean {
  return withoutDefaultPort(authority, scheme) === withoutDefaultPort(host, scheme)
}

function withoutDefaultPort(authority: string, scheme: 'http' | 'https'): string {
  return authority.toLowerCase().replace(scheme === 'https' ? /:(?:443)?$/ : /:(?:80)?$/, '')
}

/**
 * An IPv6 literal, or a registered name or IPv4 address, with or without a port. RFC 3986 would allow a comma in a name:
 * none has one, and two Host lines that somebody has joined into one do.
 */
const HOST = /^(?:\[[0-9a-f:.]+\]|[a-z0-9._~%!$&'()*+;=-]+)(?::[0-9]*)?$/i

/** Whether a text can stand as the value of Host: not empty, and with one reading only. */
export function isHost(text: string): boolean {
  return HOST.test(text)
}

/** RFC 3986 section 5.2.4, for a path that begins with a slash; the query stays. */
export function withoutDots(pathAndQuery: string): string {
  const mark = pathAndQuery.indexOf('?')
  const path = mark === -1 ? pathAndQuery : pathAndQuery.slice(0, mark)
  if (!path.includes('/.')) return pathAndQuery
  const kept: string[] = []
  const segments = path.split('/').slice(1)
  segments.forEach((segment, index) => {
    const last = index === segments.length - 1
    if (segment === '..') kept.pop()
    if (segment !== '.' && segment !== '..') kept.push(segment)
    else if (last) kept.push('')
  })
  return `/${kept.join('/')}${mark === -1 ? '' : pathAndQuery.slice(mark)}`
}
