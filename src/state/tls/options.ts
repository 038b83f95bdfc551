/**
 * TLS options for connections to a server, for requests and health checks.
 */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { ConnectionOptions, PeerCertificate } from 'node:tls'
import type { TlsSettings } from '../../rules/table/table.ts'
import { contextOf, type TlsMaterial } from './material.ts'

/**
 * Options for node:tls.
 * @param hostname of the server, as its URL has it
 * @throws {Error} what `contextOf` throws
 */
export function tlsOptions(settings: TlsSettings, hostname: string, material: TlsMaterial): ConnectionOptions {
  return {
    secureContext: contextOf(settings, material),
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: settings.verify,
    servername: settings.serverName ?? sniName(hostname),
    checkServerIdentity,
  }
}

/** RFC 6066 section 3: an IP address is no name for SNI, and a name has no dot at its end. */
function sniName(hostname: string): string {
  return isIP(hostname) === 0 ? hostname.replace(/\.$/, '') : ''
}

/**
 * Whether a certificate is one for a host: by its subject alternative names only, never by the common name of its subject
 * (RFC 9110 section 4.3.4), and with `*` as a whole first label only (RFC 9525 section 6.3).
 * @returns why not, or undefined. It is called where nobody would catch what it throws
 */
function checkServerIdentity(host: string, { raw }: PeerCertificate): Error | undefined {
  try {
    const certificate = new X509Certificate(raw)
    const fits =
      isIP(host) === 0
        ? certificate.checkHost(host, { subject: 'never', partialWildcards: false, multiLabelWildcards: false })
        : certificate.checkIP(host)
    if (fits !== undefined) return undefined
    const names = certificate.subjectAltName?.slice(0, 500) ?? 'none'
    return identityError(`the certificate is not valid for ${host}; subject alternative names: ${names}`)
  } catch (error) {
    return identityError(`cannot verify the certificate for ${host}: ${(error as Error).message}`)
  }
}

function identityError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
}
