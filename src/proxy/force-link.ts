/**
 * Force by link: a tester opens a link with a force token in a browser, and a cookie names the upstream until the token expires.
 */
import type { FailureCode } from '../rules/failures/failure.ts'
import { FORCE_COOKIE, setCookieText } from '../rules/http/own-cookies.ts'
import type { Table } from '../rules/table/table.ts'
import { type Force, forceCookieValue } from '../state/force-token.ts'

/** Reserved where links are on. */
const PATH = '/.well-known/banyan/force'

/** The answer to a link: 303 with these fields, or why it is refused. */
export type LinkAnswer = { readonly fields: readonly string[] } | { readonly failure: FailureCode }

/** Answers links. */
export class ForceLink {
  readonly #force: Force
  readonly #table: () => Table

  /** @param table the current one: a link can name its upstreams only */
  constructor(force: Force, table: () => Table) {
    this.#force = force
    this.#table = table
  }

  /** Whether a target is that of a link. */
  takes(target: string): boolean {
    return target.startsWith(PATH) && (target.length === PATH.length || target[PATH.length] === '?')
  }

  /**
   * Reads `?upstream=NAME&token=T[&to=/PATH]` or `?off[&to=/PATH]`.
   * @param secure the client uses TLS
   * @param nowMs epoch milliseconds
   */
  answer(target: string, secure: boolean, nowMs: number): LinkAnswer {
    const query = new URLSearchParams(target.slice(PATH.length))
    const location = locationOf(query.get('to') ?? '/')
    if (location === null) return { failure: 'bad-request' }
    if (query.has('off')) return { fields: redirect(location, setCookie('', 0, secure)) }
    const upstream = query.get('upstream') ?? ''
    const token = query.get('token') ?? ''
    const expirySeconds = this.#force.expiryOf(token, upstream, this.#table(), nowMs)
    if (expirySeconds === null) return { failure: 'force-refused' }
    const age = Math.ceil(expirySeconds - nowMs / 1000)
    return { fields: redirect(location, setCookie(forceCookieValue(upstream, token), age, secure)) }
  }
}

/** A target as it may be logged: without the token of a link. */
export function withoutToken(target: string): string {
  const mark = target.indexOf(`${PATH}?`)
  return mark === -1 ? target : `${target.slice(0, mark)}${PATH}?…`
}

/**
 * The path to go on to, as it stands in Location; null for what a browser could take for another host. Browsers read `\` as `/`, and
 * leave out tabs and line ends (WHATWG URL section 4.4).
 */
function locationOf(to: string): string | null {
  if (!/^\/(?![/\\])[^\\\x00-\x1f\x7f]*$/.test(to)) return null
  return to.replace(/[^\x21-\x7e]/gu, encodeURIComponent)
}

function setCookie(value: string, maxAge: number, secure: boolean): string {
  const attributes = { path: '/', domain: null, maxAge, sameSite: 'lax', httpOnly: true } as const
  return setCookieText(FORCE_COOKIE, value, attributes, secure)
}

function redirect(location: string, cookie: string): string[] {
  return [
    ...['Location', location, 'Set-Cookie', cookie],
    ...['Cache-Control', 'no-store', 'Referrer-Policy', 'no-referrer', 'Content-Length', '0'],
  ]
}
