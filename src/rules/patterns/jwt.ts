/**
 * Claims of a bearer token (RFC 6750, RFC 7519), read and not verified: a claim serves as a key, and grants nothing.
 */

/** Longer tokens have no claims: they are decoded for each request. */
const MAX_TOKEN_LENGTH = 16_384

const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * The text of a claim.
 * @param authorization value of the Authorization header; undefined if there is none, or more than one
 * @returns undefined if it is no signed token (RFC 7515 section 3.1), or has no such claim that is a text or a number
 */
export function claimOf(authorization: string | undefined, claim: string): string | undefined {
  if (authorization === undefined || authorization.length > MAX_TOKEN_LENGTH) return undefined
  const [, payload] = /^bearer +[\w-]+\.([\w-]+)\.[\w-]*$/i.exec(authorization) ?? []
  if (payload === undefined) return undefined
  try {
    const claims: unknown = JSON.parse(strictUtf8.decode(Buffer.from(payload, 'base64url')))
    if (typeof claims !== 'object' || claims === null || !Object.hasOwn(claims, claim)) return undefined
    const value = (claims as Record<string, unknown>)[claim]
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
  } catch {
    return undefined
  }
}
