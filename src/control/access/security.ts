/**
 * Access to the admin API: host checks against DNS rebinding, origin checks against CSRF, bearer tokens.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { AdminProblem } from '../http/problem.ts'
import { type AdminToken, Backoff, findToken, type TokenBook, type TokenScope } from './tokens.ts'

/**
 * Why the admin API must not listen on `host`, or null: beyond loopback it needs a token.
 * `host` is an address or a name as given to listen; a name other than localhost may be anybody's.
 */
export function whyNotBind(host: string, tokens: readonly AdminToken[]): string | null {
  if (tokens.length > 0 || isLoopback(host)) return null
  return `the admin API on ${host} would be open to everyone: set --admin-token or --admin-token-file, or listen on 127.0.0.1`
}

/** Whether nothing but this machine reaches an address to listen on. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase()
  return name === 'localhost' || name === '::1' || (isIP(name) === 4 && name.startsWith('127.'))
}

/**
 * Refuses a request whose Host is a name that this server does not have. A page whose own name is made to point here (DNS
 * rebinding) still sends that name; addresses and localhost can't be rebound.
 * @throws {AdminProblem} wrong-host
 */
export function checkHost(host: string | undefined, names: readonly string[]): void {
  if (host !== undefined && isOwnHost(host, names)) return
  throw new AdminProblem(
    'wrong-host',
    'Use an IP address, localhost, the host name of --admin, or a name of the certificate of --admin-tls-cert.',
  )
}

function isOwnHost(host: string, names: readonly string[]): boolean {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?$/.exec(host.toLowerCase())
  if (parts === null) return false
  const [, ipv6, name] = parts
  if (ipv6 !== undefined) return isIP(ipv6) === 6
  return isIP(name as string) === 4 || name === 'localhost' || isNamed(name as string, names)
}

function isNamed(name: string, names: readonly string[]): boolean {
  return names.includes(name) || names.includes(name.replace(/^[^.]+/, '*'))
}

/**
 * Refuses a write that a page of another origin has made a browser send. A client that is no browser sends none of these
 * fields. `same-site` is not enough: every port of localhost is the same site.
 * @throws {AdminProblem} cross-site
 */
export function checkOrigin(headers: IncomingHttpHeaders): void {
  const site = headers['sec-fetch-site']
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw crossSite('Sec-Fetch-Site')
  const mode = headers['sec-fetch-mode']
  if (mode === 'no-cors' || mode === 'navigate') throw crossSite('Sec-Fetch-Mode')
  const { origin, host } = headers
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) throw crossSite('Origin')
}

function crossSite(field: string): AdminProblem {
  return new AdminProblem('cross-site', `Writes are accepted from the same origin only, and ${field} names another.`)
}

/** Who sends a request, and what they may do. */
export interface Sender {
  /** The token's name, or `anonymous` where none is asked for. */
  readonly author: string
  readonly scope: TokenScope
}

const ANYBODY: Sender = Object.freeze({ author: 'anonymous', scope: 'write' })

/**
 * Refuses what a token may not do.
 * @throws {AdminProblem} read-only-token
 */
export function checkScope({ author, scope }: Sender, asked: TokenScope): void {
  if (asked === 'read' || scope === 'write') return
  throw challenge('read-only-token', `The token ${author} is read-only.`, ', error="insufficient_scope"')
}

/** Asks who sends a request, and makes whoever guesses wait. */
export class Gate {
  readonly #tokens: TokenBook
  readonly #now: () => number
  readonly #backoff = new Backoff()

  /** @param now epoch milliseconds */
  constructor(tokens: TokenBook, now: () => number) {
    this.#tokens = tokens
    this.#now = now
  }

  /**
   * Who sends a request, by the token that it carries (RFC 6750 section 2.1).
   * @throws {AdminProblem} unauthorized, wrong-token, too-many-attempts
   */
  senderOf(req: IncomingMessage): Sender {
    const nowMs = this.#now()
    const tokens = this.#tokens.current(nowMs)
    if (tokens.length === 0) return ANYBODY
    const secret = /^bearer +([\x21-\x7e]+)$/i.exec(req.headers.authorization ?? '')?.[1]
    if (secret === undefined)
      throw challenge(
        'unauthorized',
        'Set a token: Authorization: Bearer TOKEN, or BANYAN_TOKEN for the command line.',
        '',
      )
    const token = findToken(secret, tokens)
    // A right token is let in whatever its address has sent before: somebody with an outdated one may share it (NAT, a proxy).
    if (token !== null) return { author: token.name, scope: token.scope }
    const address = req.socket.remoteAddress ?? ''
    const waitMs = this.#backoff.waitMs(address, nowMs)
    if (waitMs > 0) throw tooManyAttempts(waitMs)
    this.#backoff.failed(address, nowMs)
    throw challenge('wrong-token', 'The token is unknown.', ', error="invalid_token"')
  }
}

function tooManyAttempts(waitMs: number): AdminProblem {
  const seconds = Math.ceil(waitMs / 1000)
  return new AdminProblem('too-many-attempts', `Try again in ${seconds} s.`, {
    fields: { 'Retry-After': String(seconds) },
  })
}

function challenge(code: 'unauthorized' | 'wrong-token' | 'read-only-token', detail: string, error: string) {
  return new AdminProblem(code, detail, { fields: { 'WWW-Authenticate': `Bearer realm="banyan"${error}` } })
}
