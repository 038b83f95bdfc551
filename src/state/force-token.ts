/**
 * Force tokens: the holder may choose the upstream until the token expires. An HMAC over the name of the upstream and the time,
 * so no tokens are stored.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { fieldValue, type RequestView } from '../rules/http/exchange.ts'
import { FORCE_COOKIE, ownValues } from '../rules/http/own-cookies.ts'
import type { Table } from '../rules/table/table.ts'

const UPSTREAM_FIELD = 'banyan-upstream'
const TOKEN_FIELD = 'banyan-force'

/** Seconds since the epoch, and the MAC in base64url. */
const TOKEN = /^([0-9]{1,12})\.([A-Za-z0-9_-]{43})$/

/** Why a secret can't be used, or null: a short one could be guessed from a token. */
export function flawOfForceSecret(secret: string): string | null {
  return secret.length < 16 ? 'must have at least 16 characters' : null
}

/**
 * Makes the value of `Banyan-Force` for one upstream. `expiresAtMs` is in epoch milliseconds; whole seconds count.
 * @throws {RangeError} for a secret that the proxy would refuse
 */
export function makeForceToken(secret: string, upstream: string, expiresAtMs: number): string {
  const flaw = flawOfForceSecret(secret)
  if (flaw !== null) throw new RangeError(flaw)
  const seconds = Math.floor(expiresAtMs / 1000)
  return `${seconds}.${macOf(secret, upstream, seconds).toString('base64url')}`
}

/** The value of the cookie that forces an upstream: names of upstreams have no colon. */
export function forceCookieValue(upstream: string, token: string): string {
  return `${upstream}:${token}`
}

/** Reads the two fields of requests, and the cookie of links. */
export class Force {
  readonly #secret: string
  readonly #onRefused: () => void

  /** @param onRefused called for each request whose token is not good for the upstream that it names */
  constructor(secret: string, onRefused: () => void) {
    this.#secret = secret
    this.#onRefused = onRefused
  }

  /**
   * The upstream that a request may name, or null: it names none, there is no such upstream, or the token is not valid for it.
   * Then the request goes where it would go without the two fields. `nowMs` is in epoch milliseconds.
   */
  upstreamFor(view: RequestView, table: Table, nowMs: number): string | null {
    const token = fieldValue(view.rawHeaders, TOKEN_FIELD)
    if (token === undefined) return null
    const upstream = fieldValue(view.rawHeaders, UPSTREAM_FIELD) ?? ''
    if (this.expiryOf(token, upstream, table, nowMs) !== null) return upstream
    this.#onRefused()
    return null
  }

  /**
   * The upstream that a cookie names, or null. One that has expired, or whose upstream is gone, is no refusal: browsers keep sending it.
   * @param own banyan's own cookies: name, value, name, value
   */
  cookieUpstream(own: readonly string[], table: Table, nowMs: number): string | null {
    for (const value of ownValues(own, FORCE_COOKIE)) {
      const [upstream = '', token = ''] = value.split(':')
      if (this.expiryOf(token, upstream, table, nowMs) !== null) return upstream
    }
    return null
  }

  /** When a token that is valid for an upstream of the table expires, in epoch seconds; null if it is not valid. */
  expiryOf(token: string, upstream: string, table: Table, nowMs: number): number | null {
    const [, seconds, mac] = TOKEN.exec(token) ?? []
    if (seconds === undefined || mac === undefined || Number(seconds) * 1000 <= nowMs) return null
    const given = Buffer.from(mac, 'base64url')
    const right = macOf(this.#secret, upstream, Number(seconds))
    const isValid = given.length === right.length && timingSafeEqual(given, right) && table.upstreams.has(upstream)
    return isValid ? Number(seconds) : null
  }
}

function macOf(secret: string, upstream: string, seconds: number): Buffer {
  return createHmac('sha256', secret).update(`banyan-force\n${upstream}\n${seconds}`).digest()
}
