/**
 * What lies behind a failure, in words for the operator: one line, without what only the authors of a library can use.
 */

/** Why a certificate was not accepted, by the codes of node:tls; each says what to do where that is not plain. */
const WORDS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is self-signed: set tls.ca to it',
  SELF_SIGNED_CERT_IN_CHAIN: 'the certificate is from a CA that is not trusted: set tls.ca to the CA certificate',
  UNABLE_TO_GET_ISSUER_CERT:
    'an intermediate certificate is from an unknown CA: set tls.ca to the CA certificate at the end of the chain',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'an intermediate certificate is from an unknown CA: set tls.ca to the CA certificate at the end of the chain',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'the certificate is from an unknown CA: set tls.ca to its certificate, or let the server send its intermediate certificates',
  CERT_HAS_EXPIRED: 'the certificate has expired',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet',
  CERT_SIGNATURE_FAILURE: 'the signature of the certificate is wrong: it is not from the CA in tls.ca',
  INVALID_PURPOSE: 'the certificate is not for servers',
  INVALID_CA: 'a certificate of the chain is not from a CA',
  PATH_LENGTH_EXCEEDED: 'the certificate chain is longer than its CA allows',
}

/** An error of OpenSSL as node passes it on: thread, number, library, function, reason, source file, line and more. */
const OPENSSL = /error:[0-9A-F]+:[^:]*:[^:]*:([^:\n]+)(?:.*\bSSL alert number (\d+))?/s

/** The reason of an error that a TLS alert of the peer has caused. */
const ALERT = /^(?:ssl\/tls|sslv3|tlsv1\.?[0-9]*) alert (.+)$/

/** What there is of other protocols in the place of TLS. */
const NO_TLS: ReadonlySet<string> = new Set(['wrong version number', 'packet length too long', 'http request'])

/** The text for the log and the API. */
export function causeText(error: Error): string {
  const { code = '', message } = error as NodeJS.ErrnoException
  return WORDS[code] ?? opensslText(message) ?? message.trim().replace(/\s*\n\s*/g, '; ')
}

function opensslText(message: string): string | null {
  const [, reason, alert] = OPENSSL.exec(message) ?? []
  if (reason === undefined) return null
  if (NO_TLS.has(reason)) return 'the server does not speak TLS on this port'
  const said = ALERT.exec(reason)?.[1]
  return said === undefined ? `TLS: ${reason}` : `the server refused TLS: ${said}${alert ? ` (alert ${alert})` : ''}`
}
