/**
 * The TLS material of the public server: certificates, client authorities, session ticket keys. Plain data, which comes from files and
 * ACME, and is sent to all processes that accept connections.
 */

/** A certificate with its chain, and its private key. */
export interface ServerPair {
  /** PEM text: the certificate, then its chain. */
  readonly cert: string
  readonly key: string
  /** Its DNS names in lower case, including wildcards (`*.example.test`), and its IP addresses. */
  readonly names: readonly string[]
  /** `rsa`, `ec`: of two certificates for one name, a client gets the one whose algorithm it supports. */
  readonly keyType: string
  /** Digest of both texts, by which an unchanged pair keeps its TLS context. */
  readonly digest: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** How messages refer to it: its file, or the name that it was ordered for. */
  readonly label: string
}

/** How a handshake ended. */
export type HandshakeOutcome =
  | 'full'
  | 'resumed'
  /** A tls-alpn-01 challenge was answered. */
  | 'challenge'
  /** It took too long. */
  | 'timeout'
  /** The client's first bytes were not TLS. */
  | 'no-tls'
  /** The client disconnected, or rejected the certificate. */
  | 'left'
  /** No common version, cipher or protocol, or a violation of TLS. */
  | 'failed'
  /** The client's certificate is missing or was not accepted. */
  | 'client-certificate'
  /** There were too many handshakes, and this one was the oldest. */
  | 'crowded'

/** All TLS material at one moment. */
export interface ServerTls {
  /** By precedence. The first one serves clients without SNI, or with a name that no certificate has. */
  readonly pairs: readonly ServerPair[]
  /** Certificates for clients that offer `acme-tls/1` (RFC 8737), chosen by name, never by default. */
  readonly challenges: readonly ServerPair[]
  /** Answers to http-01 challenges by token (RFC 8555 section 8.3). */
  readonly answers: Readonly<Record<string, string>>
  /** PEM text of the client authorities; null if clients are not asked for certificates. */
  readonly clientCa: string | null
  /** Session ticket keys, 48 bytes each in Base64: the first one makes tickets, all of them open tickets. */
  readonly ticketKeys: readonly string[]
}

/** The protocol of tls-alpn-01 (RFC 8737). */
export const ACME_TLS = 'acme-tls/1'

/** No certificates: all handshakes fail. */
export const NO_SERVER_TLS: ServerTls = Object.freeze({
  ...{ pairs: [], challenges: [], answers: {} },
  ...{ clientCa: null, ticketKeys: [] },
})
