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
 * @param hostname of the server, as in its URL
 * @throws {Error} from `contextOf`
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

/** RFC 6066 section 3: SNI allows no IP addresses and no trailing dot. */
function sniName(hostname: string): string {
  return isIP(hostname) === 0 ? hostname.replace(/\.$/, '') : ''
}

/**
 * Whether a certificate is valid for a host: by its subject alternative names only, never by the common name of its subject
 * (RFC 9110 section 4.3.4), and with `*` only as the whole first label (RFC 9525 section 6.3).
 * @returns an error, or undefined. It must not throw: node:tls would not catch it
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
