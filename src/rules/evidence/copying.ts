/**
 * Which requests may be copied to the other side of their route.
 */

import { kindOf } from '../discovery/fold.ts'
import { fieldValues, type Reason, type Side } from '../http/exchange.ts'
import { nameOfSetCookie } from '../http/own-cookies.ts'
import { cookieValue } from '../patterns/request-parts.ts'
import { hideQuery } from './shown-fields.ts'

/**
 * Why a request that was drawn for a copy got none. A closed set: log, metrics and API use these words.
 *
 * - `method`: neither GET nor HEAD
 * - `body`: it has a body
 * - `conditional`, `range`: the other side may respond with another part, or with 304
 * - `upgrade`: it asks for another protocol
 * - `private`: its client has a connection of its own (NTLM, Negotiate)
 * - `forced`: a force token chose the upstream
 * - `broken`: its own response failed or was cut off, so that there is nothing to compare with
 * - `fallback`: `from` responded for `to`
 * - `unavailable`: the other side has no server, or its breaker is open
 * - `paused`: the upstream of the other side did not respond to several copies in a row, of whatever route
 * - `path`: its path has a value that the other side could read as another path
 * - `busy`: enough copies are in flight
 */
export type SkipReason =
  | 'method'
  | 'body'
  | 'conditional'
  | 'range'
  | 'upgrade'
  | 'private'
  | 'forced'
  | 'broken'
  | 'fallback'
  | 'unavailable'
  | 'paused'
  | 'path'
  | 'busy'

/** What became of an exchange that was drawn for a copy. */
export type ShadowWord = 'copied' | SkipReason

/** What is looked at of a request. */
export interface CopiedRequest {
  readonly method: string
  /** Name, value, name, value. */
  readonly rawHeaders: readonly string[]
  readonly hasBody: boolean
  readonly upgrades: boolean
  /** It goes to its upstream on a connection that belongs to its client. */
  readonly isPrivate: boolean
  readonly reason: Reason
}

const CONDITIONS: ReadonlySet<string> = new Set([
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
])

/** Why a request can't be copied, or null. Only GET and HEAD are, since a copy must change nothing (RFC 9110 section 9.2.1). */
export function whyNotCopied(request: CopiedRequest): SkipReason | null {
  if (request.method !== 'GET' && request.method !== 'HEAD') return 'method'
  if (request.upgrades) return 'upgrade'
  if (request.hasBody) return 'body'
  if (request.isPrivate || request.reason === 'pinned') return 'private'
  if (request.reason === 'forced') return 'forced'
  if (request.reason === 'unavailable') return 'unavailable'
  const { rawHeaders } = request
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase()
    if (CONDITIONS.has(name)) return 'conditional'
    if (name === 'range' || name === 'if-range') return 'range'
  }
  return null
}

/**
 * Whether a response may have begun a session, so that asking again would begin another one: it sets a cookie that the client has
 * not sent. The same value again only prolongs it, as rolling sessions and load balancers do. Of another value the one that was sent
 * is over: an application may take its reuse for theft, and end the session.
 */
export function maySetSession(answered: readonly string[], requested: readonly string[]): boolean {
  return fieldValues(answered, 'set-cookie').some((line) => {
    const name = nameOfSetCookie(line)
    if (name === null) return true
    const sent = cookieValue(requested, name)
    return sent === undefined || sent !== cookieValue(['Cookie', line.split(';', 1)[0] as string], name)
  })
}

/** Whether the exchanges of a side are copied. */
export function copiesSide(sides: Side | 'both', side: Side): boolean {
  return sides === 'both' || sides === side
}

/** Hexadecimal digits that are longer are a secret rather than an id. */
const SECRET_HEX = /^[\da-f]{20,}$/i

/**
 * A request target without what may be a secret: the values of its query, of parameters in its path, such as `;jsessionid=`, and
 * whole segments that look like a token.
 */
export function hideSecrets(target: string): string {
  const [, path = '', query] = /^([^?]*)(?:\?(.*))?$/s.exec(target) ?? []
  const shown = path
    .replaceAll(/(;[^=;/]*=)[^;/]*/g, '$1...')
    .replaceAll(/[^/;]+/g, (segment) => (kindOf(segment) === 'token' || SECRET_HEX.test(segment) ? '...' : segment))
  return query === undefined ? shown : `${shown}?${hideQuery(query, '...')}`
}
