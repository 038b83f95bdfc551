/**
 * The TLS contexts of the public side: which certificate a client gets, by the name that it asks for.
 */
import { constants, createHash, randomBytes } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { ACME_TLS, NO_SERVER_TLS, type ServerPair, type ServerTls } from '../../../state/tls/server-tls.ts'

/** What the operator has chosen. */
export interface TlsPolicy {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** OpenSSL's names, for TLS 1.2 and 1.3, separated by colons. */
  readonly ciphers: string
  /** Whether clients need a certificate of their own. */
  readonly clientCertificates: 'none' | 'optional' | 'required'
}

/** How long a session can be resumed. Its key is kept as long. */
export const SESSION_TIMEOUT_S = 8 * 60 * 60

/** Parts of a ticket key, in bytes. */
const PART = 16

/** What node:tls keeps inside of a context. */
interface Internals {
  enableTicketKeyCallback?(): void
  onticketkeycallback?: TicketKeyCallback
}

/** Returns what to do (0: make a new session, 2: resume and renew the ticket), the keys for MAC and cipher, and a name and IV for new tickets. */
type TicketKeyCallback = (
  name: Buffer,
  iv: Buffer,
  makes: boolean,
) => [number, Buffer, Buffer, Buffer | null, Buffer | null]

/** The contexts of one process. */
export class ServerContexts {
  readonly policy: TlsPolicy
  #tls = NO_SERVER_TLS
  #ticketKeys: readonly Buffer[] = []
  /** By name, those of different key types. */
  #byName = new Map<string, readonly ServerPair[]>()
  #challenges = new Map<string, ServerPair>()
  /** By the digests of their pairs. */
  #made = new Map<string, SecureContext>()
  #onChange: () => void = () => {}

  constructor(policy: TlsPolicy) {
    this.policy = policy
  }

  /** Has a listener called behind each change. */
  set onChange(listener: () => void) {
    this.#onChange = listener
  }

  /** Certificates for challenges are there: the protocols that a client offers have to be known before its name is answered. */
  get hasChallenges(): boolean {
    return this.#challenges.size > 0
  }

  /**
   * Uses other material from now on, for new connections.
   * @throws {Error} if node:tls can't use the default certificate or the authorities of clients; then nothing has changed
   */
  set(tls: ServerTls): void {
    const before = { tls: this.#tls, made: this.#made, keys: this.#ticketKeys }
    // Tickets are bound to the authorities: one that is taken away must not be let in by a ticket.
    if (tls.clientCa !== this.#tls.clientCa) this.#made = new Map()
    this.#tls = tls
    this.#ticketKeys = tls.ticketKeys.map((key) => Buffer.from(key, 'base64'))
    try {
      this.prepare(createSecureContext(this.defaults))
    } catch (error) {
      this.#tls = before.tls
      this.#made = before.made
      this.#ticketKeys = before.keys
      throw error
    }
    this.#byName = namesOf(tls.pairs)
    this.#challenges = new Map(tls.challenges.flatMap((pair) => pair.names.map((name) => [name, pair])))
    const used = new Set([...this.#byName.values(), ...tls.challenges.map((pair) => [pair])].map(digestOf))
    this.#made = new Map([...this.#made].filter(([digest]) => used.has(digest)))
    this.#onChange()
  }

  /** Options of the context for clients that name no host. */
  get defaults(): SecureContextOptions {
    const [first] = this.#tls.pairs
    return this.#optionsOf(first === undefined ? [] : (this.#pairsFor(first.names[0] ?? '') ?? [first]))
  }

  /**
   * The context for a name.
   * @param protocols those that the client offers, where they are known
   * @returns null for the default one
   * @throws {Error} if node:tls can't use the certificate, or a challenge is asked for that is not open
   */
  contextFor(serverName: string, protocols: readonly string[]): SecureContext | null {
    const name = serverName.toLowerCase().replace(/\.$/, '')
    if (protocols.includes(ACME_TLS)) {
      const challenge = this.#challenges.get(name)
      if (challenge === undefined) throw new Error(`no challenge is open for ${name}`)
      return this.#contextOf([challenge])
    }
    const pairs = this.#pairsFor(name)
    return pairs === null ? null : this.#contextOf(pairs)
  }

  /** Whether the certificate that a client gets for one name is also for another one (RFC 9110 section 7.4). */
  covers(serverName: string | null, host: string): boolean {
    const name = serverName?.toLowerCase().replace(/\.$/, '') ?? ''
    const [pair] = this.#pairsFor(name) ?? this.#tls.pairs
    return pair?.names.some((one) => one === host || one === wildcardOf(host)) === true
  }

  /** Has a context open and make tickets as all others do. */
  prepare(context: SecureContext): SecureContext {
    const internals = context.context as Internals
    internals.enableTicketKeyCallback?.()
    internals.onticketkeycallback = this.#onTicket
    return context
  }

  readonly #onTicket: TicketKeyCallback = (name, _iv, makes) => {
    const [current] = this.#ticketKeys
    const key = makes ? current : this.#ticketKeys.find((one) => one.subarray(0, PART).equals(name))
    if (key === undefined) return [0, NO_KEY, NO_KEY, NO_KEY, NO_KEY]
    const [mac, cipher] = [key.subarray(PART, 2 * PART), key.subarray(2 * PART, 3 * PART)]
    return makes ? [1, mac, cipher, key.subarray(0, PART), randomBytes(PART)] : [2, mac, cipher, null, null]
  }

  #pairsFor(name: string): readonly ServerPair[] | null {
    return this.#byName.get(name) ?? this.#byName.get(wildcardOf(name)) ?? null
  }

  /** Made when it is first asked for: a folder may have thousands of certificates. */
  #contextOf(pairs: readonly ServerPair[]): SecureContext {
    const digest = digestOf(pairs)
    const known = this.#made.get(digest)
    if (known !== undefined) return known
    const context = this.prepare(createSecureContext(this.#optionsOf(pairs)))
    this.#made.set(digest, context)
    return context
  }

  #optionsOf(pairs: readonly ServerPair[]): SecureContextOptions {
    const { minVersion, ciphers } = this.policy
    const { clientCa, ticketKeys } = this.#tls
    const [key] = ticketKeys
    return {
      cert: pairs.map(({ cert }) => cert),
      key: pairs.map((pair) => pair.key),
      // Without any, node:tls would read those of all public authorities, which takes a while and is of no use here.
      ca: clientCa ?? [],
      minVersion,
      ciphers,
      honorCipherOrder: true,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      sessionTimeout: SESSION_TIMEOUT_S,
      sessionIdContext: createHash('sha256')
        .update(clientCa ?? '')
        .digest('hex')
        .slice(0, 32),
      // Where node:tls has no callback for them.
      ...(key === undefined ? {} : { ticketKeys: Buffer.from(key, 'base64') }),
    }
  }
}

const NO_KEY = Buffer.alloc(PART)

/** `*.example.test` for `www.example.test`: one label, as RFC 9525 section 6.3 has it. */
function wildcardOf(name: string): string {
  return `*${name.slice(Math.max(name.indexOf('.'), 0))}`
}

function digestOf(pairs: readonly ServerPair[]): string {
  return pairs.map(({ digest }) => digest).join()
}

function namesOf(pairs: readonly ServerPair[]): Map<string, readonly ServerPair[]> {
  const byName = new Map<string, ServerPair[]>()
  for (const pair of pairs) {
    for (const name of pair.names) {
      const known = byName.get(name) ?? []
      byName.set(name, known)
      if (!known.some(({ keyType }) => keyType === pair.keyType)) known.push(pair)
    }
  }
  return byName
}
