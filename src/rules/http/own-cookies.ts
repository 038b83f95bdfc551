/**
 * Cookies of banyan's own: taken out of what clients send before anything else looks at it, and set on delivery. The application
 * and the cache never see them.
 */
import { withoutBlanks } from '../values/blanks.ts'

/** How a cookie is set (RFC 6265bis section 4.1). */
export interface CookieAttributes {
  readonly path: string
  /** Null: for this host only. */
  readonly domain: string | null
  /** Lifetime in seconds; null: until the browser is closed. */
  readonly maxAge: number | null
  readonly sameSite: 'strict' | 'lax' | 'none'
  readonly httpOnly: boolean
}

/** Name of the cookie that is the key of visitors without one, unless the table gives another. */
export const VISITOR_COOKIE = 'banyan_visitor'
export const FORCE_COOKIE = 'banyan_force'

/** Name of the cookie that names a server of this upstream: one for each, since answers of several may come at the same time. */
export function serverCookie(upstream: string): string {
  return `banyan_server_${upstream}`
}

/** Name of the cookie that tells the side of this route. */
export function sideCookie(route: string): string {
  return `banyan_side_${route}`
}

/** A browser takes a cookie of this prefix only over TLS, for this host and all paths (RFC 6265bis section 4.1.3.2). */
const HOST_PREFIX = '__Host-'

/** What all names of banyan's own cookies have, but for a visitor cookie that the table names. */
const MARK = 'banyan_'
const OWN = /^banyan_(?:visitor|force|(?:server|side)(?:_.*)?)$/

/** Whether a Cookie value may hold one of banyan's own; a quick look. */
export function mayHoldOwn(cookie: string): boolean {
  return cookie.includes(MARK)
}

/** The fields of a request without banyan's own cookies, and these: name, value, name, value. */
export interface TakenCookies {
  /** The same array if there were none. */
  readonly rawHeaders: readonly string[]
  readonly own: readonly string[]
}

const NO_COOKIES: readonly string[] = []

/**
 * Takes banyan's own cookies out of a request. What else its Cookie lines have stays as it is, byte for byte; a line that had
 * nothing else is removed.
 * @param visitor name of the visitor cookie
 */
export function takeOwnCookies(rawHeaders: readonly string[], visitor: string = VISITOR_COOKIE): TakenCookies {
  const own: string[] = []
  const fields: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    const value = rawHeaders[i + 1] as string
    if (name.length !== 6 || name.toLowerCase() !== 'cookie') fields.push(name, value)
    else {
      const rest = withoutOwn(value, visitor, own)
      if (rest !== '') fields.push(name, rest)
    }
  }
  return own.length === 0 ? { rawHeaders, own: NO_COOKIES } : { rawHeaders: fields, own }
}

/** @param own gets what is taken out */
function withoutOwn(line: string, visitor: string, own: string[]): string {
  const kept: string[] = []
  const before = own.length
  for (const pair of line.split(';')) {
    const equals = pair.indexOf('=')
    const name = equals === -1 ? '' : withoutBlanks(pair.slice(0, equals))
    const bare = name.startsWith(HOST_PREFIX) ? name.slice(HOST_PREFIX.length) : name
    if (bare === visitor || OWN.test(bare)) own.push(name, withoutBlanks(pair.slice(equals + 1)))
    else kept.push(pair)
  }
  if (own.length === before) return line
  return kept.join(';').replace(/^[ \t]+/, '')
}

/** The values of one of the cookies taken, those with the prefix first: only this host can have set them. */
export function ownValues(own: readonly string[], name: string): string[] {
  const values: string[] = []
  for (const wanted of [HOST_PREFIX + name, name]) {
    for (let i = 0; i < own.length; i += 2) if (own[i] === wanted) values.push(own[i + 1] as string)
  }
  return values
}

/**
 * The value of a Set-Cookie field.
 * @param secure the client uses TLS: with the prefix where path and domain allow it
 */
export function setCookieText(name: string, value: string, attributes: CookieAttributes, secure: boolean): string {
  const { path, domain, maxAge, sameSite, httpOnly } = attributes
  const prefixed = secure && path === '/' && domain === null
  let text = `${prefixed ? HOST_PREFIX : ''}${name}=${value}; Path=${path}`
  if (domain !== null) text += `; Domain=${domain}`
  if (maxAge !== null) text += `; Max-Age=${maxAge}`
  if (secure) text += '; Secure'
  if (httpOnly) text += '; HttpOnly'
  // Browsers reject SameSite=None without Secure.
  if (sameSite !== 'none' || secure) text += `; SameSite=${sameSite[0]?.toUpperCase()}${sameSite.slice(1)}`
  return text
}

/** The value of a Set-Cookie field that sets the cookie as another one is set: same path, domain, lifetime and SameSite. */
export function setCookieLike(other: string, name: string, value: string, secure: boolean): string {
  const [, ...attributes] = other.split(';').map(withoutBlanks)
  const named = (attribute: string) =>
    attributes.find((one) => one.split('=', 1)[0]?.trim().toLowerCase() === attribute)
  const path = named('path')
  const domain = named('domain')
  const prefixed = secure && domain === undefined && path !== undefined && /=\s*\/$/.test(path)
  let text = `${prefixed ? HOST_PREFIX : ''}${name}=${value}`
  for (const one of [path, domain, named('max-age'), named('expires')]) if (one !== undefined) text += `; ${one}`
  if (secure) text += '; Secure'
  text += '; HttpOnly'
  for (const one of secure ? [named('samesite'), named('partitioned')] : []) if (one !== undefined) text += `; ${one}`
  return text
}

/** The name that a Set-Cookie value sets, or null. */
export function nameOfSetCookie(value: string): string | null {
  const pair = value.split(';', 1)[0] as string
  const equals = pair.indexOf('=')
  return equals === -1 ? null : withoutBlanks(pair.slice(0, equals))
}
