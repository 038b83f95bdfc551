/**
 * Names for ACME certificates, and challenge types.
 */

/** Challenge types: a text at a path (http-01), or a certificate for an ALPN protocol (tls-alpn-01). */
export type ChallengeKind = 'http-01' | 'tls-alpn-01'

/** A label of a DNS name (RFC 1035 section 2.3.1, RFC 1123 section 2.1), in lower case; internationalized names in ASCII form. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const MAX_NAME = 253

/** Why no certificate can be ordered for a name, or null if one can. */
export function flawOfAcmeName(name: string): string | null {
  if (name.startsWith('*.')) return `'${name}': a wildcard needs dns-01, which banyan does not do`
  const labels = name.split('.')
  if (/^[0-9.]+$/.test(name) || name.includes(':')) return `'${name}': an authority certifies names, not addresses`
  if (name.length > MAX_NAME || labels.length < 2 || !labels.every((label) => LABEL.test(label))) {
    return `'${name}' is no full domain name, such as shop.example.com`
  }
  return null
}
