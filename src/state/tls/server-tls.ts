/**
 * What the public side needs for TLS: certificates by name, the authorities of clients, the keys of session tickets. Plain data,
 * which comes from any number of sources (files, ACME) and is sent to all processes that accept connections.
 */

/** A certificate with its chain, and its private key. */
export interface ServerPair {
  /** PEM texts: the certificate first, then those that it is signed by. */
  readonly cert: string
  readonly key: string
  /** Its DNS names in lower case, `*.example.test` among them, and its IP addresses. */
  readonly names: readonly string[]
  /** `rsa`, `ec`: of two certificates for one name, clients get the one whose algorithm they can verify. */
  readonly keyType: string
  /** Digest of both texts: the same pair keeps its TLS context. */
  readonly digest: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** What the operator knows it by: its file, or the name that it was ordered for. */
  readonly label: string
}

/** How a handshake ended. */
export type HandshakeOutcome =
  | 'full'
  | 'resumed'
  /** A challenge of an authority was answered. */
  | 'challenge'
  /** It took too long. */
  | 'timeout'
  /** The client began with something else than TLS. */
  | 'no-tls'
  /** The client has left, or has refused the certificate. */
  | 'left'
  /** No common version, cipher or protocol, or something that TLS does not allow. */
  | 'failed'
  /** No certificate of a client, or none that is accepted. */
  | 'client-certificate'
  /** It gave way to later ones. */
  | 'crowded'

/** All of it, at one moment. */
export interface ServerTls {
  /** By precedence. The first one serves clients that name no host, or one that no certificate has. */
  readonly pairs: readonly ServerPair[]
  /** Certificates for clients that offer `acme-tls/1` (RFC 8737), chosen by name, never by default. */
  readonly challenges: readonly ServerPair[]
  /** Answers to http-01 by their tokens (RFC 8555 section 8.3). */
  readonly answers: Readonly<Record<string, string>>
  /** PEM text of the authorities of client certificates; null where clients are asked for none. */
  readonly clientCa: string | null
  /** Keys of session tickets, 48 bytes each in Base64: the first one makes tickets, all of them open tickets. */
  readonly ticketKeys: readonly string[]
}

/** The protocol of tls-alpn-01 (RFC 8737). */
export const ACME_TLS = 'acme-tls/1'

/** Without any certificate: all handshakes fail. */
export const NO_SERVER_TLS: ServerTls = Object.freeze({
  ...{ pairs: [], challenges: [], answers: {} },
  ...{ clientCa: null, ticketKeys: [] },
})
