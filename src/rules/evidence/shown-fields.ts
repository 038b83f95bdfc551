/**
 * Values of header fields as they are shown in a difference: without credentials, and without what may be a session or token
 * in a URL.
 */
import { shortened } from './rendering.ts'

/** Fields whose values are never shown: credentials and what they are made of (RFC 9110 section 11, RFC 6265). */
const CREDENTIALS: ReadonlySet<string> = new Set([
  'authorization',
  'authentication-info',
  'www-authenticate',
  'proxy-authorization',
  'proxy-authenticate',
  'proxy-authentication-info',
  'cookie',
  'cookie2',
  'set-cookie',
  'set-cookie2',
])

/** Fields that are one URL as a whole, or end with one. */
const URL_FIELDS: ReadonlySet<string> = new Set(['location', 'content-location', 'refresh'])

/** In these a `/` begins no path. */
const NO_URLS: ReadonlySet<string> = new Set(['content-type', 'cache-control'])

/** The value of a field as it is shown; null where there is none. @param name in lower case */
export function shownField(name: string, value: string | null): string | null {
  if (value === null) return null
  if (CREDENTIALS.has(name)) return '(redacted)'
  const shown = value
    // A link has its parameters behind its URL (RFC 8288 section 3).
    .replaceAll(name === 'link' ? /[?#][^>]*/g : /[?#].*/gs, hideReference)
    .replaceAll(/(\bhttps?:[/\\]*|[/\\]{2,})([^/\\<>]*)/gi, hideUserinfo)
  if (URL_FIELDS.has(name)) return shortened(hidePathParameters(shown))
  return shortened(NO_URLS.has(name) ? shown : shown.replaceAll(/<[^<>]*>|\/[^\s<>"]*/g, hidePathParameters))
}

/** A query, of which the names are left, and fragment. */
function hideReference(text: string): string {
  const at = text.indexOf('#')
  const query = at === -1 ? text : text.slice(0, at)
  return `${query === '' ? '' : `?${hideQuery(query.slice(1), '…')}`}${at === -1 ? '' : '#…'}`
}

/** The names of a query (without `?`), with a mark in the place of the values, and of what may be a value. */
export function hideQuery(query: string, mark: string): string {
  const parameters = query.split('&').map((pair) => {
    const at = pair.indexOf('=')
    const name = pair.slice(0, Math.max(0, at))
    // A text with nothing but = behind it may be a value in base64.
    const isName = /^[\w.[\]%-]{1,64}$/.test(name) && /[^=]/.test(pair.slice(at))
    return isName ? `${name}=${mark}` : pair === '' ? '' : mark
  })
  return parameters.join('&')
}

/** User and password of a URL (RFC 3986 section 3.2.1). */
function hideUserinfo(_: string, begin: string, authority: string): string {
  const at = authority.lastIndexOf('@')
  return begin + (at === -1 ? authority : `…${authority.slice(at)}`)
}

/** Parameters in a path, such as `;jsessionid=`, but not the `url=` of Refresh. */
const hidePathParameters = (url: string): string => url.replaceAll(/(?<!\burl)=[^?&;#>]+/gi, '=…')
