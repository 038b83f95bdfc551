/**
 * The MACs of banyan's own cookies: what a client brings counts only if it was made here.
 */
import { createHmac, randomFillSync, timingSafeEqual } from 'node:crypto'

/** 128 bits: a guess is right once in 3 * 10^38 times. */
const BYTES = 16
/** Their length in base64url. */
const TEXT_LENGTH = 22

/** Why a secret can't be used, or null. */
export function flawOfCookieSecret(secret: string): string | null {
  return secret.length < 16 ? 'must have at least 16 characters' : null
}

/** A signed text that was read. */
export interface SignedText {
  readonly text: string
  /** Made with the first secret. */
  readonly isCurrent: boolean
}

/** Makes and checks MACs (HMAC-SHA256, the first 128 bits). The first secret makes; all of them check, for rotation. */
export class CookieKeys {
  readonly #secrets: readonly string[]

  constructor(secrets: readonly string[]) {
    this.#secrets = secrets
  }

  /** The MAC of a text: 22 characters of base64url. @param purpose MACs of one purpose are invalid for any other */
  mac(purpose: string, text: string): string {
    return macOf(this.#secrets[0] as string, purpose, text)
  }

  /** The MACs of a text with each secret, the current one first. */
  macs(purpose: string, text: string): string[] {
    return this.#secrets.map((secret) => macOf(secret, purpose, text))
  }

  /** `TEXT.MAC`. */
  sign(purpose: string, text: string): string {
    return `${text}.${this.mac(purpose, text)}`
  }

  /** Reads the result of `sign`; null if its MAC is not right. */
  read(purpose: string, signed: string): SignedText | null {
    const dot = signed.length - TEXT_LENGTH - 1
    if (dot < 1 || signed[dot] !== '.') return null
    const text = signed.slice(0, dot)
    const given = Buffer.from(signed.slice(dot + 1), 'latin1')
    for (const [at, secret] of this.#secrets.entries()) {
      if (timingSafeEqual(given, Buffer.from(macOf(secret, purpose, text)))) return { text, isCurrent: at === 0 }
    }
    return null
  }
}

function macOf(secret: string, purpose: string, text: string): string {
  const mac = createHmac('sha256', secret).update(`banyan-cookie\n${purpose}\n${text}`).digest()
  return mac.toString('base64url', 0, BYTES)
}

const pool = Buffer.alloc(BYTES * 256)
let used = pool.length

/** 128 random bits in base64url, from a pool: one call to the system for many. */
export function newVisitorId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += BYTES
  return pool.toString('base64url', used - BYTES, used)
}

/** The purpose of the MAC of a visitor's id. */
export const VISITOR = 'visitor'

const VISITOR_ID = /^[\w-]{22}$/

/** The first id of a visitor that was made here, or null. @param values of the visitor cookie */
export function readVisitor(keys: CookieKeys, values: readonly string[]): SignedText | null {
  for (const value of values) {
    const read = keys.read(VISITOR, value)
    if (read !== null && VISITOR_ID.test(read.text)) return read
  }
  return null
}
