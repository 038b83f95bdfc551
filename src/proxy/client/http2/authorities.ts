/**
 * The hosts that a TLS connection may serve. HTTP/2 clients reuse a connection for all names in its certificate, and some for more: those
 * requests get 421 and are retried on another connection (RFC 9110 section 15.5.20, RFC 9113 section 9.1.1).
 */
import { isIP } from 'node:net'
import type { TLSSocket } from 'node:tls'

/** How many hosts are cached per connection. */
const MAX_KNOWN = 100

/** The hosts of one connection. */
export class Authorities {
  readonly #socket: TLSSocket
  /** The host that the client has connected to: from SNI, else that of its first request. */
  #own: string | null
  readonly #known = new Map<string, boolean>()

  constructor(socket: TLSSocket) {
    this.#socket = socket
    const { servername } = socket as TLSSocket & { readonly servername?: string | false | null }
    this.#own = typeof servername === 'string' && servername !== '' ? plainHost(servername) : null
  }

  /** @param authority host, with or without a port */
  has(authority: string): boolean {
    const host = plainHost(authority.replace(/:[0-9]*$/, ''))
    // A missing host is refused with 400 elsewhere.
    if (host === '') return true
    this.#own ??= host
    if (host === this.#own) return true
    const known = this.#known.get(host)
    if (known !== undefined) return known
    const is = this.#isNamed(host)
    if (this.#known.size < MAX_KNOWN) this.#known.set(host, is)
    return is
  }

  #isNamed(host: string): boolean {
    const certificate = this.#socket.getX509Certificate()
    if (certificate === undefined) return true
    const address = host.replace(/^\[(.*)\]$/, '$1')
    if (isIP(address) !== 0) return certificate.checkIP(address) !== undefined
    return certificate.checkHost(host, { subject: 'never', partialWildcards: false }) !== undefined
  }
}

/** Removes the final dot of a fully qualified name, which SNI and certificates leave out (RFC 6066 section 3). */
function plainHost(host: string): string {
  return host.toLowerCase().replace(/\.$/, '')
}
