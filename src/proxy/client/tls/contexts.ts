/**
 * The TLS contexts of the public server: which certificate a client gets, by SNI.
 */
import { constants, createHash, randomFillSync } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { ACME_TLS, NO_SERVER_TLS, type ServerPair, type ServerTls } from '../../../state/tls/server-tls.ts'

/** The operator's settings. */
export interface TlsPolicy {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** OpenSSL names, for TLS 1.2 and 1.3, separated by colons. */
  readonly ciphers: string
  /** Whether clients need a certificate of their own. */
  readonly clientCertificates: 'none' | 'optional' | 'required'
}

/** How long a session can be resumed. Ticket keys are kept that long. */
export const SESSION_TIMEOUT_S = 8 * 60 * 60

/** Parts of a ticket key, in bytes. */
const PART = 16

/** Internals of node:tls's contexts. */
interface Internals {
  enableTicketKeyCallback?(): void
  onticketkeycallback?: TicketKeyCallback
}

/**
 * Returns an action (0: new session, 1: new ticket, 2: resume and renew the ticket), the keys for MAC and cipher, and name and IV for a new
 * ticket.
 */
type TicketKeyCallback = (
  name: Buffer,
  iv: Buffer,
  makes: boolean,
) => [number, Buffer, Buffer, Buffer | null, Buffer | null]

/** A key that seals session tickets. */
interface TicketKey {
  readonly name: Buffer
  readonly mac: Buffer
  readonly cipher: Buffer
}

/** The certificates of one process, and the TLS options for them. */
export class ServerContexts {
  readonly policy: TlsPolicy
  #tls = NO_SERVER_TLS
  /** The current one first. */
  #ticketKeys: readonly TicketKey[] = []
  /** Certificates by name, in order of preference. */
  #byName = new Map<string, readonly ServerPair[]>()
  #default: readonly ServerPair[] = []
  #challenges = new Map<string, readonly ServerPair[]>()
  #onChange: () => void = () => {}

  constructor(policy: TlsPolicy) {
    this.policy = policy
  }

  /** Called after each change. */
  set onChange(listener: () => void) {
    this.#onChange = listener
  }

  /**
   * Uses new material for new connections from now on.
   * @throws {Error} node:tls can't use the first certificate or the client authorities; then nothing has changed
   */
  set(tls: ServerTls): void {
    const byName = namesOf(tls.pairs)
    const [first] = tls.pairs
    const fallback = first === undefined ? [] : (byName.get(first.names[0] ?? '') ?? [first])
    createSecureContext(optionsOf(served(fallback), tls, this.policy))
    this.#tls = tls
    this.#ticketKeys = tls.ticketKeys.map(ticketKeyOf)
    this.#byName = byName
    this.#default = fallback
    this.#challenges = new Map(tls.challenges.flatMap((pair) => pair.names.map((name) => [name, [pair]])))
    this.#onChange()
  }

  /** Whether a tls-alpn-01 challenge is open for a name; a special certificate answers it (RFC 8737 section 3). */
  hasChallenge(serverName: string): boolean {
    return this.#challenges.has(plainName(serverName))
  }

  /**
   * The certificates for a client, one per key type; OpenSSL picks one.
   * @param serverName from SNI; '' for none
   * @param protocols from ALPN
   */
  pairsFor(serverName: string, protocols: readonly string[]): readonly ServerPair[] {
    const name = plainName(serverName)
    const challenge = protocols.includes(ACME_TLS) ? this.#challenges.get(name) : undefined
    return served(challenge ?? this.#byName.get(name) ?? this.#byName.get(wildcardOf(name)) ?? this.#default)
  }

  /** Options for a context with these certificates. */
  optionsOf(pairs: readonly ServerPair[]): SecureContextOptions {
    return optionsOf(pairs, this.#tls, this.policy)
  }

  /** Makes a context use the shared ticket keys. */
  prepare(context: SecureContext): void {
    const internals = context.context as Internals
    internals.enableTicketKeyCallback?.()
    internals.onticketkeycallback = this.#onTicket
  }

  readonly #onTicket: TicketKeyCallback = (name, _iv, makes) => {
    const [current] = this.#ticketKeys
    const key = makes ? current : this.#ticketKeys.find((one) => one.name.equals(name))
    if (key === undefined) return [0, NO_KEY, NO_KEY, NO_KEY, NO_KEY]
    return makes ? [1, key.mac, key.cipher, key.name, newIv()] : [2, key.mac, key.cipher, null, null]
  }
}

function ticketKeyOf(text: string): TicketKey {
  const bytes = Buffer.from(text, 'base64')
  const [name, mac, cipher] = [0, 1, 2].map((n) => bytes.subarray(n * PART, (n + 1) * PART)) as [Buffer, Buffer, Buffer]
  return { name, mac, cipher }
}

/** Random bytes for the next IVs, fetched in bulk: the call costs more than the bytes. */
const ivs = Buffer.alloc(256 * PART)
let ivsUsed = ivs.length

function newIv(): Buffer {
  if (ivsUsed === ivs.length) {
    randomFillSync(ivs)
    ivsUsed = 0
  }
  ivsUsed += PART
  return ivs.subarray(ivsUsed - PART, ivsUsed)
}

const NO_KEY = Buffer.alloc(PART)

function optionsOf(pairs: readonly ServerPair[], tls: ServerTls, policy: TlsPolicy): SecureContextOptions {
  const { minVersion, ciphers } = policy
  const { clientCa, ticketKeys } = tls
  const [key] = ticketKeys
  return {
    cert: pairs.map(({ cert }) => cert),
    key: pairs.map((pair) => pair.key),
    // An empty list, because node:tls would otherwise load all public authorities, which takes a while and is useless here.
    ca: clientCa ?? [],
    minVersion,
    ciphers,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    sessionTimeout: SESSION_TIMEOUT_S,
    // Sessions are bound to the client authorities, so that after one is removed no client gets in with a ticket, and to the names of
    // the certificate, so that a session for one host is not resumed for another (RFC 6066 section 3).
    sessionIdContext: createHash('sha256')
      .update(JSON.stringify([clientCa, pairs.map(({ names }) => names)]))
      .digest('hex')
      .slice(0, 32),
    // In case node:tls lacks the callback.
    ...(key === undefined ? {} : { ticketKeys: Buffer.from(key, 'base64') }),
  }
}

function plainName(serverName: string): string {
  return serverName.toLowerCase().replace(/\.$/, '')
}

/** `*.example.test` for `www.example.test`: one label, as RFC 9525 section 6.3 has it. */
function wildcardOf(name: string): string {
  const dot = name.indexOf('.')
  return dot === -1 ? '' : `*${name.slice(dot)}`
}

function namesOf(pairs: readonly ServerPair[]): Map<string, readonly ServerPair[]> {
  const byName = new Map<string, ServerPair[]>()
  for (const pair of pairs) {
    for (const name of pair.names) {
      const known = byName.get(name) ?? []
      byName.set(name, known)
      known.push(pair)
    }
  }
  return byName
}

/** The certificates to use for one name: per key type, the first one that is valid now, or else the first one. */
function served(pairs: readonly ServerPair[]): readonly ServerPair[] {
  if (pairs.length < 2) return pairs
  const nowMs = Date.now()
  const byType = new Map<string, ServerPair>()
  for (const pair of pairs
    .filter(({ notBeforeMs, notAfterMs }) => notBeforeMs <= nowMs && nowMs < notAfterMs)
    .concat(pairs)) {
    if (!byType.has(pair.keyType)) byType.set(pair.keyType, pair)
  }
  return [...byType.values()]
}
