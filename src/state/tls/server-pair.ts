/**
 * A certificate of the public side with its key, as it is read from PEM texts.
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
 * @param label what the operator knows it by
 * @returns what is wrong instead, and in which of the texts
 */
export function serverPairOf(cert: string, key: string, label: string): ServerPair | PairFlaw {
  const flaw = flawOfPair(cert, key)
  if (flaw !== null) return flaw
  try {
    // It may still be one that OpenSSL refuses, such as one with a key that is too short.
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

/** The subject alternative names (RFC 9525 section 2): the common name of the subject is none. */
function namesOf({ subjectAltName = '' }: X509Certificate): string[] {
  return [...subjectAltName.matchAll(/(?:^|, )(?:DNS|IP Address):([^",]+)(?=,|$)/g)].map(([, name]) =>
    (name as string).toLowerCase(),
  )
}
