/**
 * Target URIs (RFC 9110 section 7.1) and references to them (RFC 3986 section 5), with their bytes left as they are.
 */

import { withoutDots } from '../patterns/target.ts'
import { trimmed } from './sent.ts'

/** Where a request is for. */
export interface RequestTarget {
  readonly scheme: 'http' | 'https'
  /** The Host in lower case with its port, or ''. */
  readonly host: string
  /** The request target as received: path and query, or an absolute URI. */
  readonly target: string
}

const ABSOLUTE = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)(.*)/s

/** A target URI in its two parts: the authority without a default port, and path and query byte for byte. */
export interface TargetUri {
  readonly authority: string
  readonly target: string
}

/**
 * The URI that a request is for. An absolute target's own authority counts, not Host (RFC 9112 section 3.2.2); an empty
 * path is `/`.
 */
export function targetUri(request: RequestTarget): TargetUri {
  const { target } = request
  if (target.startsWith('/')) return { authority: authorityOf(request.host, request.scheme), target }
  const absolute = ABSOLUTE.exec(target)
  if (!absolute) return { authority: authorityOf(request.host, request.scheme), target }
  const scheme = (absolute[1] as string).toLowerCase()
  return { authority: authorityOf(absolute[2] as string, scheme), target: withPath(absolute[3] as string) }
}

/**
 * Path and query that a Location or Content-Location value refers to, where it is of the same origin as the request;
 * else null. Dot segments are resolved; all other bytes stay.
 */
export function resolveSameOrigin(request: RequestTarget, reference: string): string | null {
  const base = targetUri(request)
  const text = unfragmented(trimmed(reference))
  const scheme = schemeOf(request)
  const absolute = ABSOLUTE.exec(text.startsWith('//') ? `${scheme}:${text}` : text)
  if (absolute) {
    const sameOrigin =
      (absolute[1] as string).toLowerCase() === scheme && authorityOf(absolute[2] as string, scheme) === base.authority
    return sameOrigin ? withoutDots(withPath(absolute[3] as string)) : null
  }
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(text)) return null
  if (text === '') return base.target
  if (text.startsWith('/')) return withoutDots(text)
  const path = base.target.split('?', 1)[0] as string
  if (text.startsWith('?')) return path + text
  return withoutDots(path.slice(0, path.lastIndexOf('/') + 1) + text)
}

function schemeOf(request: RequestTarget): string {
  const absolute = request.target.startsWith('/') ? null : ABSOLUTE.exec(request.target)
  return absolute ? (absolute[1] as string).toLowerCase() : request.scheme
}

function unfragmented(text: string): string {
  const hash = text.indexOf('#')
  return hash === -1 ? text : text.slice(0, hash)
}

function withPath(pathAndQuery: string): string {
  return pathAndQuery.startsWith('/') ? pathAndQuery : `/${pathAndQuery}`
}

/** Lower case, without user information and without the scheme's default port. */
function authorityOf(authority: string, scheme: string): string {
  const host = authority.slice(authority.lastIndexOf('@') + 1).toLowerCase()
  const port = scheme === 'https' ? ':443' : ':80'
  if (host.endsWith(port)) return host.slice(0, -port.length)
  return host.endsWith(':') ? host.slice(0, -1) : host
}
