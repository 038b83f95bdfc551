/**
 * Parses a certificate of the public server and its key from PEM texts.
 */
import { createHash, X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { Flaw } from '../../rules/values/units.ts'
import { flawOfPair, privateKeyIn } from './material.ts'
import type { ServerPair } from './server-tls.ts'

/** What is wrong with one of two texts. */
export type PairFlaw = Flaw & { readonly at: 'cert' | 'key' }

/**
 * Reads a certificate with its chain, and its key.
 * @param label how messages refer to it
 * @returns a flaw instead, with the text that it is in
 */
export function serverPairOf(cert: string, key: string, label: string): ServerPair | PairFlaw {
  const flaw = flawOfPair(cert, key)
  if (flaw !== null) return flaw
  try {
    // OpenSSL may still refuse it, such as for a key that is too short.
    createSecureContext({ cert, key, ca: [] })
  } catch (error) {
    const { reason, message } = error as Error & { reason?: string }
    return { at: 'cert', message: `can't be used: ${reason ?? message}` }
  }
  const certificate = new X509Certificate(cert)
  return {
    cert,
    key,
    names: namesOf(certificate),
    keyType: privateKeyIn(key).asymmetricKeyType ?? '',
    digest: createHash('sha256').update(`${cert.length}:`).update(cert).update(key).digest('base64'),
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
    label,
  }
}

/** The subject alternative names (RFC 9525 section 2). The subject's common name is ignored. */
function namesOf({ subjectAltName = '' }: X509Certificate): string[] {
  return [...subjectAltName.matchAll(/(?:^|, )(?:DNS|IP Address):([^",]+)(?=,|$)/g)].map(([, name]) =>
    (name as string).toLowerCase(),
  )
}
