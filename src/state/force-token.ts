/**
 * Force tokens: the holder may choose the upstream until the token expires. An HMAC over the name of the upstream and the time,
 * so no tokens are stored.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { fieldValue, type RequestView } from '../rules/http/exchange.ts'
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

/** Reads the two fields of requests. */
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
    if (table.upstreams.has(upstream) && this.#isValid(token, upstream, nowMs)) return upstream
    this.#onRefused()
    return null
  }

  #isValid(token: string, upstream: string, nowMs: number): boolean {
    const [, seconds, mac] = TOKEN.exec(token) ?? []
    if (seconds === undefined || mac === undefined || Number(seconds) * 1000 <= nowMs) return false
    const given = Buffer.from(mac, 'base64url')
    const right = macOf(this.#secret, upstream, Number(seconds))
    return given.length === right.length && timingSafeEqual(given, right)
  }
}

function macOf(secret: string, upstream: string, seconds: number): Buffer {
  return createHmac('sha256', secret).update(`banyan-force\n${upstream}\n${seconds}`).digest()
}
