/**
 * Who may ask the admin API for what: hosts against DNS rebinding, origins against forged requests, bearer tokens.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { AdminProblem } from './admin-problem.ts'

/** A bearer token, known by its hash only. */
export interface AdminToken {
  /** Whose it is, for the audit line. */
  readonly name: string
  /** `write` may read too. */
  readonly scope: 'read' | 'write'
  /** SHA-256 of the secret. */
  readonly hash: Buffer
}

/** Prepares a token. The secret itself is not kept. */
export function tokenOf(name: string, secret: string, scope: AdminToken['scope'] = 'write'): AdminToken {
  return Object.freeze({ name, scope, hash: hashOf(secret) })
}

/**
 * Why the admin API must not listen on `host`, or null: beyond loopback it needs a token.
 * `host` is an address or a name as given to listen; a name other than localhost may be anybody's.
 */
export function whyNotBind(host: string, tokens: readonly AdminToken[]): string | null {
  if (tokens.length > 0 || isLoopback(host)) return null
  return `the admin API would be open to everybody who reaches ${host}: set --admin-token, or listen on 127.0.0.1`
}

function isLoopback(host: string): boolean {
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
  throw new AdminProblem('wrong-host', 'Ask by IP address, as localhost, or by the name that --admin gives.')
}

function isOwnHost(host: string, names: readonly string[]): boolean {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?$/.exec(host.toLowerCase())
  if (parts === null) return false
  const [, ipv6, name] = parts
  if (ipv6 !== undefined) return isIP(ipv6) === 6
  return isIP(name as string) === 4 || name === 'localhost' || names.includes(name as string)
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
  return new AdminProblem('cross-site', `Writes are taken from this origin only, and ${field} names another.`)
}

/**
 * The name of the token that a request carries (RFC 6750 section 2.1), or `anonymous` where none is asked for.
 * @throws {AdminProblem} unauthorized, wrong-token, read-only-token
 */
export function authorOf(
  authorization: string | undefined,
  tokens: readonly AdminToken[],
  scope: AdminToken['scope'],
): string {
  if (tokens.length === 0) return 'anonymous'
  const secret = /^bearer +([\x21-\x7e]+)$/i.exec(authorization ?? '')?.[1]
  if (secret === undefined) throw challenge('unauthorized', 'Send Authorization: Bearer TOKEN.', '')
  const token = findToken(secret, tokens)
  if (token === null) throw challenge('wrong-token', 'This token is not known here.', ', error="invalid_token"')
  if (scope === 'write' && token.scope !== 'write') {
    throw challenge('read-only-token', `The token ${token.name} may only read.`, ', error="insufficient_scope"')
  }
  return token.name
}

function challenge(code: 'unauthorized' | 'wrong-token' | 'read-only-token', detail: string, error: string) {
  return new AdminProblem(code, detail, { fields: { 'WWW-Authenticate': `Bearer realm="banyan"${error}` } })
}

/** Compares hashes of one length with every token, so that the time taken says nothing about any of them. */
function findToken(secret: string, tokens: readonly AdminToken[]): AdminToken | null {
  const hash = hashOf(secret)
  let found: AdminToken | null = null
  for (const token of tokens) if (timingSafeEqual(hash, token.hash)) found = token
  return found
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}
