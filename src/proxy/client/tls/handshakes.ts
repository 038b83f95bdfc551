/**
 * TLS handshakes with clients: limited in time and number, and started a few at a time with other work in between, because each costs
 * this thread up to a millisecond.
 */
import type { Socket } from 'node:net'
import { createServer, type SecureContext, type Server, type TLSSocket } from 'node:tls'
import { ACME_TLS, type HandshakeOutcome, type ServerPair } from '../../../state/tls/server-tls.ts'
import { coarseNowMs, unwatch, type Watched, watch } from '../../../wire/deadlines.ts'
import { endGently, LINGER_MS } from '../../../wire/gentle-end.ts'
import { type ClientHello, isTls, readClientHello } from './client-hello.ts'
import type { ServerContexts } from './contexts.ts'
import { subjectOf } from './subject.ts'

/** Settings for all handshakes of a server. */
export interface HandshakeTerms {
  readonly contexts: ServerContexts
  /** From accepting the connection to the end of the handshake. */
  readonly timeoutMs: number
  /** Maximum concurrent handshakes; with more, the oldest one is closed. Default 4096. */
  readonly maxOpen?: number
  /** @param why for the log; null if it is not worth a line */
  onEnd(outcome: HandshakeOutcome, client: string | undefined, why: string | null): void
}

/** Is called after a successful handshake. @param subject of the client's certificate, null without one */
export type Secured = (socket: TLSSocket, subject: string | null) => void

const MAX_OPEN = 4096

/** How many handshakes are started in one turn of the event loop. */
const PER_TURN = 4

/** Internals of node:tls sockets: the underlying connection, and the handle that reads it. */
type Inner = TLSSocket & {
  readonly _parent?: Socket | null
  readonly _handle?: { readStop(): void; getpeername?(name: object): number } | null
}

/** The handshakes in progress on one server. */
export class Handshakes {
  readonly #terms: HandshakeTerms
  readonly #protocols: readonly string[]
  /** Servers of node:tls by their certificates: they can choose among several only if created with all of them. */
  readonly #servers = new Map<string, Server>()
  /** In order of age, oldest first. */
  readonly #open = new Map<Socket, Handshake>()
  readonly #queue: Handshake[] = []
  #turnIsDue = false

  /** @param protocols to offer by ALPN, by preference */
  constructor(terms: HandshakeTerms, protocols: readonly string[]) {
    this.#terms = terms
    this.#protocols = protocols
    // Handshakes in progress finish with the certificates that they started with.
    terms.contexts.onChange = () => this.#servers.clear()
  }

  /** Connections with a handshake in progress. */
  get count(): number {
    return this.#open.size
  }

  /**
   * Starts the handshake on a connection from which nothing was read, or whose bytes were put back.
   * @param onSecure called with the TLS connection, which is paused
   * @param onLost called if the connection closes before that
   */
  begin(raw: Socket, client: string | undefined, onSecure: Secured, onLost: () => void): void {
    const handshake = new Handshake(raw, client, {
      terms: this.#terms,
      onReady: () => this.#enqueue(handshake),
      onOver: () => this.#open.delete(raw),
      onSecure,
      onLost,
    })
    this.#open.set(raw, handshake)
    if (this.#open.size > (this.#terms.maxOpen ?? MAX_OPEN)) {
      const [oldest] = this.#open.values()
      oldest?.giveWay()
    }
  }

  /** Closes connections on which nothing has arrived. */
  closeIdle(): void {
    for (const handshake of [...this.#open.values()]) handshake.closeIdle()
  }

  /** Closes all connections. */
  cut(): void {
    for (const handshake of [...this.#open.values()]) handshake.cut()
  }

  /** The node:tls server with the certificates for a client. It never listens. */
  #serverFor({ serverName, protocols }: ClientHello): Server {
    const { contexts } = this.#terms
    const pairs = contexts.pairsFor(serverName, protocols)
    const digest = pairs.map((pair) => pair.digest).join()
    const known = this.#servers.get(digest)
    if (known !== undefined) return known
    const isChallenge = protocols.includes(ACME_TLS) && contexts.hasChallenge(serverName)
    const server = this.#makeServer(pairs, isChallenge ? [ACME_TLS] : this.#protocols)
    this.#servers.set(digest, server)
    return server
  }

  #makeServer(pairs: readonly ServerPair[], protocols: readonly string[]): Server {
    const { contexts } = this.#terms
    const { clientCertificates } = contexts.policy
    const server = createServer({
      ...contexts.optionsOf(pairs),
      requestCert: clientCertificates !== 'none',
      rejectUnauthorized: clientCertificates === 'required',
      pauseOnConnect: true,
      ALPNProtocols: [...protocols],
    })
    const { _sharedCreds: context } = server as Server & { readonly _sharedCreds?: SecureContext }
    if (context !== undefined) contexts.prepare(context)
    const handshakeOf = (socket: Inner): Handshake | undefined => this.#open.get(socket._parent as Socket)
    server.on('secureConnection', (socket: TLSSocket) => handshakeOf(socket)?.onSecure(socket))
    server.on('tlsClientError', (error: Error, socket: TLSSocket) => handshakeOf(socket)?.onError(error, socket))
    return server
  }

  #enqueue(handshake: Handshake): void {
    this.#queue.push(handshake)
    if (this.#turnIsDue) return
    this.#turnIsDue = true
    setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    for (const handshake of this.#queue.splice(0, PER_TURN)) handshake.shake((hello) => this.#serverFor(hello))
    this.#turnIsDue = this.#queue.length > 0
    if (this.#turnIsDue) setImmediate(this.#turn)
  }
}

/** Dependencies of one handshake. */
interface HandshakeParts {
  readonly terms: HandshakeTerms
  /** The ClientHello has arrived. */
  onReady(): void
  onOver(): void
  readonly onSecure: Secured
  onLost(): void
}

/** One handshake. */
class Handshake implements Watched {
  readonly #raw: Socket
  readonly #client: string | undefined
  readonly #parts: HandshakeParts
  #hello: ClientHello | null = null
  /** The bytes that the client has sent so far; null for none. */
  #held: Buffer | null = null
  #over = false
  deadlineMs = Number.POSITIVE_INFINITY

  constructor(raw: Socket, client: string | undefined, parts: HandshakeParts) {
    this.#raw = raw
    this.#client = client
    this.#parts = parts
    raw.on('readable', this.#onReadable)
    raw.on('end', this.#onEnd)
    raw.on('error', ignore)
    raw.on('close', this.#onClose)
    watch(this)
    this.deadlineMs = coarseNowMs() + parts.terms.timeoutMs
  }

  expire(): void {
    // A client that has sent nothing is not worth a log line: browsers open connections in advance.
    this.#fail('timeout', this.#held !== null ? `not complete after ${this.#parts.terms.timeoutMs / 1000} s` : null)
  }

  giveWay(): void {
    this.#fail('crowded', 'too many handshakes at once')
  }

  closeIdle(): void {
    if (this.#held === null && this.#raw.readableLength === 0) this.cut()
  }

  cut(): void {
    this.#fail('left', null)
  }

  /** Starts the handshake with the bytes received. */
  shake(serverFor: (hello: ClientHello) => Server): void {
    if (this.#over) return
    // From now on node:tls reports why it closes.
    this.#raw.off('close', this.#onClose)
    try {
      serverFor(this.#hello as ClientHello).emit('connection', this.#raw)
    } catch (error) {
      // The certificate was valid when it was loaded.
      this.#fail('failed', (error as Error).message)
    }
  }

  onSecure(socket: TLSSocket): void {
    if (this.#over) return
    socket.allowHalfOpen = true
    // If a reset coincides with OpenSSL's own writes, such as tickets, node:tls reports it as an end, and later writes never complete.
    socket.once('end', () => {
      if (isReset(socket)) socket.destroy()
    })
    const { clientCertificates } = this.#parts.terms.contexts.policy
    const certificate = clientCertificates === 'none' ? undefined : socket.getPeerX509Certificate()
    if (certificate !== undefined) {
      // In a resumed session, the certificate was verified when the session began; it may have expired since.
      const isOver = certificate.validToDate.getTime() < Date.now()
      if (!socket.authorized || isOver) {
        this.#lose('client-certificate', isOver ? 'its certificate has expired' : refusal(socket.authorizationError))
        endGently(socket.on('error', ignore))
        return
      }
    }
    if (socket.alpnProtocol === ACME_TLS) {
      // The certificate is the answer (RFC 8737 section 3).
      this.#leave()
      this.#parts.terms.onEnd('challenge', this.#client, null)
      socket.on('close', () => this.#parts.onLost())
      endGently(socket.on('error', ignore))
      return
    }
    this.#leave()
    this.#parts.terms.onEnd(socket.isSessionReused() ? 'resumed' : 'full', this.#client, null)
    this.#parts.onSecure(socket, certificate === undefined ? null : subjectOf(certificate))
  }

  onError({ message, code, reason }: NodeJS.ErrnoException & { reason?: string }, socket: Inner): void {
    socket.on('error', ignore)
    if (this.#over) return
    const isAlert = reason !== undefined && /alert/.test(reason)
    if (isAlert || code === 'ECONNRESET' || code === 'EPIPE') {
      const refused = socket.authorizationError as Error | string | null | undefined
      if (refused == null) this.#fail('left', null)
      else this.#fail('client-certificate', refusal(refused))
      return
    }
    // OpenSSL has sent the client an alert.
    if (reason !== undefined) this.#endUnread(socket)
    const hasNone = reason !== undefined && /peer did not return a certificate/.test(reason)
    if (hasNone) this.#fail('client-certificate', 'it has sent no certificate')
    else if (this.#isUnserved()) this.#fail('failed', 'no certificate to serve it is available yet')
    else this.#fail('failed', reason ?? message)
  }

  #isUnserved(): boolean {
    const { serverName, protocols } = this.#hello as ClientHello
    return this.#parts.terms.contexts.pairsFor(serverName, protocols).length === 0
  }

  readonly #onReadable = (): void => {
    const arrived = this.#raw.read() as Buffer | null
    if (arrived === null) return
    const bytes = this.#held === null ? arrived : Buffer.concat([this.#held, arrived])
    this.#held = bytes
    if (!isTls(bytes[0] as number)) {
      this.#answerInClear(bytes)
      return
    }
    this.#hello = readClientHello(bytes)
    if (this.#hello === null) return
    this.#raw.off('readable', this.#onReadable)
    this.#raw.off('end', this.#onEnd)
    // A client that half-closes during the handshake has left; after the handshake it may half-close.
    this.#raw.allowHalfOpen = false
    // Put back for OpenSSL.
    this.#raw.unshift(bytes)
    this.#parts.onReady()
  }

  /** Tells a plain HTTP client that this port speaks HTTPS. */
  #answerInClear(bytes: Buffer): void {
    const isHttp = /^[A-Z]{3,8} /.test(bytes.toString('latin1', 0, 9))
    this.#lose('no-tls', 'the client speaks HTTP without TLS')
    if (!isHttp) this.#raw.destroy()
    else {
      this.#raw.write(PLAIN_ANSWER)
      endGently(this.#raw)
    }
  }

  readonly #onEnd = (): void => this.#fail('left', null)
  readonly #onClose = (): void => this.#fail('left', null)

  /**
   * Half-closes, and closes a moment later: if the client is still sending, an immediate close would be a reset, and the client could
   * lose the alert. Nothing is read, so a client that goes on sending fills its own buffers.
   */
  #endUnread(socket: Inner): void {
    const raw = this.#raw
    if (raw.destroyed) return
    socket._handle?.readStop()
    // node:tls would close it right after its event.
    raw.destroy = () => raw
    // node:tls holds the alert back until an earlier write completes, which it learns at the end of this turn.
    setImmediate(() => raw.end())
    setTimeout(() => {
      Reflect.deleteProperty(raw, 'destroy')
      raw.destroy()
    }, LINGER_MS)
  }

  #leave(): void {
    this.#over = true
    unwatch(this)
    const raw = this.#raw
    raw.off('readable', this.#onReadable)
    raw.off('end', this.#onEnd)
    raw.off('close', this.#onClose)
    this.#parts.onOver()
  }

  #fail(outcome: HandshakeOutcome, why: string | null): void {
    if (this.#over) return
    this.#lose(outcome, why)
    this.#raw.destroy()
  }

  /** The handshake has failed. */
  #lose(outcome: HandshakeOutcome, why: string | null): void {
    this.#leave()
    this.#parts.terms.onEnd(outcome, this.#client, why)
    this.#parts.onLost()
  }
}

const PLAIN_TEXT = 'This port speaks HTTPS.\n'
const PLAIN_ANSWER = `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${PLAIN_TEXT.length}\r\nConnection: close\r\n\r\n${PLAIN_TEXT}`

function refusal(why: unknown): string {
  return `its certificate was refused: ${why}`
}

function ignore(): void {
  // 'close' follows and handles it.
}

/** Whether the connection was reset: the kernel then has no peer address any more, unlike after a half-close. */
function isReset({ _handle }: Inner): boolean {
  return (_handle?.getpeername?.({}) ?? 0) !== 0
}
